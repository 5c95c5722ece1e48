#include "../fresh_folder.h"
/* From acts to lines: what holds when the log's disk is full, its flush fails, or the log is not what the catalogue knows. */
#include "base/fd.h"
#include "rt/metrics.h"
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GATHER_MS 100 /* the engine flushes no more often */

static struct {
	struct env env;
	char path[64];
	int dir;
	_Atomic bool full, flush_fails;
	_Atomic unsigned flushes;
} disk;

static ssize_t disk_write(struct env *e, int fd, const void *p, size_t n)
{
	if (!atomic_load(&disk.full))
		return write(fd, p, n);
	errno = ENOSPC;
	return -1;
}

static int disk_fdatasync(struct env *e, int fd)
{
	atomic_fetch_add(&disk.flushes, 1);
	if (!atomic_load(&disk.flush_fails))
		return fdatasync(fd);
	errno = EIO;
	return -1;
}

static int make(void **state)
{
	static struct world w;

	disk.env = env_real;
	disk.env.write = disk_write;
	disk.env.fdatasync = disk_fdatasync;
	fresh_folder(disk.path, sizeof(disk.path), "audit");
	disk.dir = open(disk.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	disk.full = disk.flush_fails = false;
	disk.flushes = 0;
	w = (struct world){.env = &disk.env};
	*state = &w;
	return 0;
}

static int end(void **state)
{
	char command[100];

	close(disk.dir);
	snprintf(command, sizeof(command), "rm -r %s", disk.path);
	return system(command);
}

static void begin(struct world *w)
{
	struct engine_config config = world_config();

	config.audit_fd = disk.dir;
	config.audit_file_max = 1 << 20;
	world_open(w, &config);
}

static void act(struct world *w, const char *name)
{
	struct err e = ERR_INIT;

	assert_int_equal(engine_audit_act(w->g, AUDIT_FILE_DELETED, NULL, &e, LF_CSTR("name", name)), 0);
}

static size_t waiting(struct world *w)
{
	struct arena a = ARENA_INIT;
	struct audit_entry *list;
	size_t n;

	assert_int_equal(catalog_audit(w->catalog, 0, 1000, &a, &list, &n, NULL), 0);
	arena_release(&a);
	return n;
}

/* Waits for what another thread does. */
#define await(condition)                                                                                                                   \
	for (int i = 0; !(condition); i++) {                                                                                               \
		assert_in_range(i, 0, 20000);                                                                                              \
		usleep(1000);                                                                                                              \
	}

/* The log's file is right from its beginning to its end, which is `lines`. */
static void assert_lines(int64_t first, int64_t lines)
{
	struct audit_check c = {.anywhere = first > 1};
	char name[AUDIT_NAME_MAX];

	audit_file_name(name, first);
	CLEANUP(fd_close) int fd = openat(disk.dir, name, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(audit_check_file(&c, fd, name, NULL), 0);
	audit_check_end(&c);
	assert_int_equal(c.fault, AUDIT_FINE);
	assert_int_equal(c.first, lines > 0 ? first : 0);
	assert_int_equal(c.lines, lines);
}

static void acts_become_lines_together_with_few_flushes(void **state)
{
	struct world *w = *state;

	begin(w);
	int64_t begun = env_real.mono_ms(&env_real);
	for (int i = 0; i < 500; i++)
		act(w, "a");
	world_stop(w);
	int64_t took = env_real.mono_ms(&env_real) - begun;
	assert_int_equal(waiting(w), 0);
	assert_int_equal(engine_audit_head(w->g).seq, 500);
	assert_in_range(atomic_load(&disk.flushes), 1,
			took / GATHER_MS + 3); /* however slow the machine: with the first one and those of the stop */
	world_free(w);
	assert_lines(1, 500);
}

static void without_a_log_nothing_is_kept_for_it(void **state)
{
	struct world *w = *state;
	struct upload u;

	world_open(w, NULL);
	act(w, "a");
	upload_bytes(w, &PUBLIC_SPEC, "x", 1, 1, &u);
	assert_int_equal(u.code, 0);
	assert_int_equal(waiting(w), 0);
	world_close(w);
}

static void a_full_disk_holds_lines_up_and_the_acts_go_on(void **state)
{
	struct world *w = *state;

	begin(w);
	atomic_store(&disk.full, true);
	for (int i = 0; i < 5; i++)
		act(w, "a");
	await(metric_value(METRIC_AUDIT_STUCK) == 1);
	assert_int_equal(waiting(w), 5);
	atomic_store(&disk.full, false);
	await(waiting(w) == 0);
	await(metric_value(METRIC_AUDIT_STUCK) == 0);
	act(w, "b");
	world_close(w);
	assert_lines(1, 6);
}

static void after_a_failed_flush_entries_wait_for_a_restart(void **state)
{
	struct world *w = *state;

	begin(w);
	atomic_store(&disk.flush_fails, true);
	act(w, "a");
	await(metric_value(METRIC_AUDIT_STUCK) == 1);
	atomic_store(&disk.flush_fails, false);
	act(w, "b");
	world_stop(w);
	assert_int_equal(waiting(w), 2);
	assert_int_equal(engine_audit_head(w->g).seq, 0);
	world_free(w);
	metric_set(METRIC_AUDIT_STUCK, 0);
}

/* The catalogue knows of three lines; the folder is empty. */
static void know_three_lines(struct catalog *c)
{
	struct change notes[3], done = {.kind = CHANGE_AUDIT_DONE, .audit_done = {.head = {.seq = 3, .file = 1, .size = 700}}};

	for (int i = 0; i < 3; i++) {
		struct change *list[] = {&notes[i]};
		notes[i] = (struct change){.kind = CHANGE_AUDIT, .audit = STR("{\"act\":\"x\"}")};
		assert_int_equal(catalog_apply(c, list, 1, NULL), 0);
	}
	struct change *list[] = {&done};
	assert_int_equal(catalog_apply(c, list, 1, NULL), 0);
}

static void a_log_that_is_gone_is_told_in_the_one_that_follows(void **state)
{
	struct world *w = *state;

	w->prepare = know_three_lines;
	begin(w);
	w->prepare = NULL;
	assert_int_equal(metric_value(METRIC_AUDIT_BROKEN), 1);
	world_close(w);
	assert_lines(4, 1);
	begin(w);
	assert_int_equal(metric_value(METRIC_AUDIT_BROKEN), 0);
	world_close(w);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make, end)
	const struct CMUnitTest tests[] = {
		TEST(acts_become_lines_together_with_few_flushes),        TEST(without_a_log_nothing_is_kept_for_it),
		TEST(a_full_disk_holds_lines_up_and_the_acts_go_on),      TEST(after_a_failed_flush_entries_wait_for_a_restart),
		TEST(a_log_that_is_gone_is_told_in_the_one_that_follows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
