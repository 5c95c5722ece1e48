#include "../fresh_folder.h"
#include "app/data_dir.h"
#include "base/fd.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
	char top[64], dir[80];
};

static int make_world(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	fresh_folder(w->top, sizeof(w->top), "data");
	snprintf(w->dir, sizeof(w->dir), "%s/data", w->top);
	*state = w;
	return 0;
}

static void path_in(char dst[160], const struct world *w, const char *name)
{
	snprintf(dst, 160, "%s/%s", w->dir, name);
}

static int free_world(void **state)
{
	static const char *const names[] = {"filemill.id", "filemill.id.new", "filemill.fresh", "catalog.db", "lock", "blobs", "strange"};
	struct world *w = *state;
	char path[160];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		path_in(path, w, names[i]);
		if (remove(path) != 0)
			continue;
	}
	if (access(w->dir, F_OK) == 0)
		assert_int_equal(remove(w->dir), 0);
	assert_int_equal(rmdir(w->top), 0);
	free(w);
	return 0;
}

static int open_in(struct data_dir *d, const struct world *w, struct err *e)
{
	return data_dir_open(d, w->dir, &(struct data_dir_options){.allow_network_fs = true}, &env_real, e);
}

static void touch(const struct world *w, const char *name, const char *text)
{
	char path[160];

	path_in(path, w, name);
	CLEANUP(fd_close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void a_new_directory_is_private_and_keeps_its_identity(void **state)
{
	struct world *w = *state;
	struct data_dir d;
	struct err e = ERR_INIT;
	struct stat st;

	assert_int_equal(open_in(&d, w, &e), 0);
	assert_int_equal(stat(w->dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	struct uuid first = d.id;
	data_dir_close(&d);
	assert_int_equal(open_in(&d, w, &e), 0);
	assert_true(uuid_eq(first, d.id));
	data_dir_close(&d);
}

static void a_directory_in_use_is_refused(void **state)
{
	struct world *w = *state;
	struct data_dir first, second;
	struct err e = ERR_INIT;

	assert_int_equal(open_in(&first, w, &e), 0);
	assert_int_equal(open_in(&second, w, &e), ERR_IN_USE);
	data_dir_close(&first);
	assert_int_equal(open_in(&second, w, &e), 0);
	data_dir_close(&second);
}

static void a_directory_with_other_things_is_refused_and_left_alone(void **state)
{
	struct world *w = *state;
	struct data_dir d;
	struct err e = ERR_INIT;
	char path[160];

	assert_int_equal(mkdir(w->dir, 0700), 0);
	touch(w, "strange", "x");
	assert_int_equal(open_in(&d, w, &e), ERR_BAD_CONFIG);
	path_in(path, w, "lock");
	assert_int_not_equal(access(path, F_OK), 0);
}

static void a_first_start_that_was_interrupted_is_taken_up(void **state)
{
	struct world *w = *state;
	struct data_dir d;
	struct err e = ERR_INIT;

	assert_int_equal(mkdir(w->dir, 0700), 0);
	touch(w, "lock", "");
	touch(w, "filemill.id.new", "019a");
	assert_int_equal(open_in(&d, w, &e), 0);
	data_dir_close(&d);
}

static void a_catalogue_that_was_lost_is_not_replaced_by_a_new_one(void **state)
{
	struct world *w = *state;
	struct data_dir d;
	struct err e = ERR_INIT;

	assert_int_equal(open_in(&d, w, &e), 0);
	data_dir_close(&d);
	assert_int_equal(open_in(&d, w, &e), 0); /* interrupted before there was a catalogue */
	assert_int_equal(data_dir_complete(&d, &e), 0);
	data_dir_close(&d);
	assert_int_equal(open_in(&d, w, &e), ERR_DAMAGED);
	touch(w, "catalog.db", "");
	assert_int_equal(open_in(&d, w, &e), ERR_DAMAGED);
	touch(w, "catalog.db", "SQLite");
	assert_int_equal(open_in(&d, w, &e), 0);
	data_dir_close(&d);
}

static void a_catalogue_elsewhere_is_not_looked_for_and_one_inside_is_not_passed_over(void **state)
{
	const struct data_dir_options elsewhere = {.allow_network_fs = true, .catalogue_elsewhere = true};
	struct world *w = *state;
	struct data_dir d;
	struct err e = ERR_INIT;

	assert_int_equal(data_dir_open(&d, w->dir, &elsewhere, &env_real, &e), 0);
	assert_int_equal(data_dir_complete(&d, &e), 0);
	data_dir_close(&d);
	assert_int_equal(data_dir_open_complete(&d, w->dir, &elsewhere, &e), 0);
	data_dir_close(&d);
	assert_int_equal(open_in(&d, w, &e), ERR_DAMAGED);
	touch(w, "catalog.db", "SQLite");
	assert_int_equal(data_dir_open(&d, w->dir, &elsewhere, &env_real, &e), ERR_BAD_CONFIG);
	assert_int_equal(data_dir_open_complete(&d, w->dir, &elsewhere, &e), ERR_BAD_CONFIG);
}

static void a_damaged_marker_is_told(void **state)
{
	struct world *w = *state;
	struct data_dir d;
	struct err e = ERR_INIT;

	assert_int_equal(mkdir(w->dir, 0700), 0);
	touch(w, "filemill.id", "not a uuid");
	assert_int_equal(open_in(&d, w, &e), ERR_DAMAGED);
}

static void a_blob_root_that_is_a_symbolic_link_is_refused(void **state)
{
	struct world *w = *state;
	struct data_dir d;
	struct err e = ERR_INIT;
	char path[160];

	assert_int_equal(open_in(&d, w, &e), 0);
	data_dir_close(&d);
	path_in(path, w, "blobs");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink("/", path), 0);
	assert_int_not_equal(open_in(&d, w, &e), 0);
}

static void a_plain_file_is_no_directory(void **state)
{
	struct world *w = *state;
	struct data_dir d;
	struct err e = ERR_INIT;
	CLEANUP(fd_close) int fd = open(w->dir, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(open_in(&d, w, &e), ERR_BAD_CONFIG);
}

static void looking_needs_no_lock_and_makes_nothing(void **state)
{
	struct world *w = *state;
	struct data_dir d, seen;
	struct err e = ERR_INIT;
	struct stat st;

	assert_int_equal(data_dir_look(&seen, w->dir, &e), ERR_BAD_CONFIG);
	assert_int_equal(stat(w->dir, &st), -1);
	assert_int_equal(mkdir(w->dir, 0700), 0);
	assert_int_equal(data_dir_look(&seen, w->dir, &e), ERR_BAD_CONFIG);
	assert_int_equal(open_in(&d, w, &e), 0);
	assert_int_equal(data_dir_look(&seen, w->dir, &e), 0);
	assert_true(uuid_eq(seen.id, d.id));
	assert_int_equal(seen.lock_fd, -1);
	data_dir_close(&seen);
	data_dir_close(&d);
}

static void blobs_are_held_until_the_last_holder_is_gone(void **state)
{
	struct world *w = *state;
	struct data_dir d, a, b;
	struct err e = ERR_INIT;

	assert_int_equal(open_in(&d, w, &e), 0);
	assert_false(data_dir_blobs_held(&d));
	assert_int_equal(data_dir_look(&a, w->dir, &e), 0);
	assert_int_equal(data_dir_look(&b, w->dir, &e), 0);
	assert_false(data_dir_blobs_held(&d));
	assert_int_equal(data_dir_hold_blobs(&a, &e), 0);
	assert_int_equal(data_dir_hold_blobs(&b, &e), 0);
	assert_true(data_dir_blobs_held(&d));
	data_dir_close(&a);
	assert_true(data_dir_blobs_held(&d));
	data_dir_close(&b);
	assert_false(data_dir_blobs_held(&d));
	data_dir_close(&d);
}

static void what_is_restored_is_a_data_directory_once_it_is_marked(void **state)
{
	struct world *w = *state;
	struct data_dir d, other;
	struct err e = ERR_INIT;
	struct uuid id = {.b = {1, 2, 3, [6] = 0x70, [8] = 0x80}};

	assert_int_equal(data_dir_make(&d, w->dir, &e), 0);
	touch(w, "catalog.db", "something");
	assert_int_equal(open_in(&other, w, &e), ERR_BAD_CONFIG); /* half of one is none */
	assert_int_equal(data_dir_make(&other, w->dir, &e), ERR_CONFLICT);
	assert_int_equal(data_dir_mark(&d, id, &e), 0);
	assert_int_equal(open_in(&other, w, &e), ERR_IN_USE);
	data_dir_close(&d);
	assert_int_equal(open_in(&other, w, &e), 0);
	assert_true(uuid_eq(other.id, id));
	assert_false(other.fresh);
	data_dir_close(&other);
	assert_int_equal(data_dir_make(&other, w->dir, &e), ERR_CONFLICT);
}

static void network_file_systems_are_known_and_local_ones_are_not(void **state)
{
	assert_string_equal(network_fs_name(0x6969), "NFS");
	assert_string_equal(network_fs_name((long)0xff534d42), "CIFS");
	assert_string_equal(network_fs_name((int)0xff534d42), "CIFS");
	assert_string_equal(network_fs_name(0x65735546), "FUSE");
	assert_null(network_fs_name(0xef53)); /* ext4 */
	assert_null(network_fs_name(0x01021994)); /* tmpfs */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_new_directory_is_private_and_keeps_its_identity, make_world, free_world),
		cmocka_unit_test_setup_teardown(a_directory_in_use_is_refused, make_world, free_world),
		cmocka_unit_test_setup_teardown(a_directory_with_other_things_is_refused_and_left_alone, make_world, free_world),
		cmocka_unit_test_setup_teardown(a_first_start_that_was_interrupted_is_taken_up, make_world, free_world),
		cmocka_unit_test_setup_teardown(a_catalogue_that_was_lost_is_not_replaced_by_a_new_one, make_world, free_world),
		cmocka_unit_test_setup_teardown(a_catalogue_elsewhere_is_not_looked_for_and_one_inside_is_not_passed_over, make_world,
						free_world),
		cmocka_unit_test_setup_teardown(a_damaged_marker_is_told, make_world, free_world),
		cmocka_unit_test_setup_teardown(a_blob_root_that_is_a_symbolic_link_is_refused, make_world, free_world),
		cmocka_unit_test_setup_teardown(a_plain_file_is_no_directory, make_world, free_world),
		cmocka_unit_test_setup_teardown(looking_needs_no_lock_and_makes_nothing, make_world, free_world),
		cmocka_unit_test_setup_teardown(blobs_are_held_until_the_last_holder_is_gone, make_world, free_world),
		cmocka_unit_test_setup_teardown(what_is_restored_is_a_data_directory_once_it_is_marked, make_world, free_world),
		cmocka_unit_test(network_file_systems_are_known_and_local_ones_are_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
