/* One look at the catalogue answers for all requests that came before it began, and for no other. */
#include "catalog/catalog.h"
#include "front/nobody.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

#define BEFORE 0 /* as every look */
#define LATER INT64_MAX
#define OTHERS 3

/* A catalogue whose first look takes until it is let go. */
struct world {
	struct nobody nobody;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t first, next; /* answers */
	unsigned looks;
	bool let_go;
	uint64_t told[OTHERS];
	pthread_t looker, others[OTHERS];
};

static uint64_t look(void *arg)
{
	struct world *w = arg;
	uint64_t answer;

	pthread_mutex_lock(&w->lock);
	answer = w->looks++ == 0 ? w->first : w->next;
	pthread_cond_broadcast(&w->changed);
	while (w->looks == 1 && !w->let_go)
		pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
	return answer;
}

static void *come_before(void *arg)
{
	struct world *w = arg;

	return (void *)(uintptr_t)nobody_count(&w->nobody, BEFORE, look, w); /* NOLINT(performance-no-int-to-ptr) */
}

/* Somebody looks and is not let go. */
static void begin(struct world *w, uint64_t first, uint64_t next)
{
	*w = (struct world){.first = first, .next = next, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	nobody_init(&w->nobody);
	assert_int_equal(pthread_create(&w->looker, NULL, come_before, w), 0);
	pthread_mutex_lock(&w->lock);
	while (w->looks == 0)
		pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

static void let_go(struct world *w)
{
	pthread_mutex_lock(&w->lock);
	w->let_go = true;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static uint64_t joined(pthread_t t)
{
	void *told;

	assert_int_equal(pthread_join(t, &told), 0);
	return (uint64_t)(uintptr_t)told;
}

/* Others that came before the look join it; all are told the same. */
static void assert_all_are_told(struct world *w, uint64_t count, unsigned looks)
{
	for (unsigned i = 0; i < OTHERS; i++)
		assert_int_equal(pthread_create(&w->others[i], NULL, come_before, w), 0);
	let_go(w);
	assert_true(joined(w->looker) == count);
	for (unsigned i = 0; i < OTHERS; i++)
		assert_true(joined(w->others[i]) == count);
	assert_true(w->looks == looks);
}

static void one_look_answers_all_that_came_before_it(void **state)
{
	struct world w;

	begin(&w, 0, 7);
	assert_all_are_told(&w, 0, 1);
	assert_true(nobody_count(&w.nobody, BEFORE, look, &w) == 0);
	assert_true(w.looks == 1);
	nobody_release(&w.nobody);
}

static void who_came_later_looks_himself_and_waits_for_nobody(void **state)
{
	struct world w;

	begin(&w, 0, 7);
	assert_true(nobody_count(&w.nobody, LATER, look, &w) == 7); /* the first look still runs */
	assert_true(w.looks == 2);
	let_go(&w);
	assert_true(joined(w.looker) == 0);
	assert_true(nobody_count(&w.nobody, LATER, look, &w) == 7);
	assert_true(w.looks == 3);
	nobody_release(&w.nobody);
}

static void a_look_that_failed_did_so_for_all_that_came_before_it(void **state)
{
	struct world w;

	begin(&w, ACCOUNTS_UNKNOWN, 0);
	assert_all_are_told(&w, ACCOUNTS_UNKNOWN, 1);
	assert_true(nobody_count(&w.nobody, LATER, look, &w) == 0);
	assert_true(w.looks == 2);
	nobody_release(&w.nobody);
}

/* How many there are the catalogue knows from then on. */
static void accounts_that_were_found_are_not_remembered_here(void **state)
{
	struct world w;

	begin(&w, 7, 7);
	assert_all_are_told(&w, 7, 1 + OTHERS);
	nobody_release(&w.nobody);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_look_answers_all_that_came_before_it),
		cmocka_unit_test(who_came_later_looks_himself_and_waits_for_nobody),
		cmocka_unit_test(a_look_that_failed_did_so_for_all_that_came_before_it),
		cmocka_unit_test(accounts_that_were_found_are_not_remembered_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
