/* What becomes of jobs when memory is short just where they are claimed. */
#include "world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic unsigned fail_at; /* of the scheduler's allocations from now on: this one fails; 0 = none */
static _Atomic unsigned failed;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	char name[16] = "";

	if (atomic_load(&fail_at) > 0 && pthread_getname_np(pthread_self(), name, sizeof(name)) == 0 && strcmp(name, "scheduler") == 0 &&
	    atomic_fetch_sub(&fail_at, 1) == 1) {
		atomic_fetch_add(&failed, 1);
		return NULL;
	}
	return __real_calloc(n, size);
}

static void add_job(struct world *w, struct uuid file)
{
	struct arena a = ARENA_INIT;
	struct op_request r;
	struct job job;

	assert_int_equal(op_table_request_from_json(op_builtin_table(), &r, STR("sha256"), STR(""), &a, NULL), 0);
	engine_new_job(w->g, &job, file, &r);
	struct change c = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = STR(OWNER_PUBLIC), .jobs = &job, .n = 1}};
	assert_int_equal(apply(w, &c), 0);
	arena_release(&a);
}

static void no_allocation_that_fails_leaves_a_claimed_job_behind(void **state)
{
	struct world w = {};
	struct upload u;

	world_open(&w, NULL);
	for (unsigned k = 1; k <= 4; k++) {
		char byte = (char)k;

		upload_bytes(&w, &PUBLIC_SPEC, &byte, 1, 1, &u);
		assert_int_equal(u.code, 0);
		atomic_store(&fail_at, k);
		add_job(&w, u.id);
		assert_true(wait_final(&w, u.id, 60000));
		atomic_store(&fail_at, 0);
	}
	assert_true(atomic_load(&failed) > 0);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_allocation_that_fails_leaves_a_claimed_job_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
