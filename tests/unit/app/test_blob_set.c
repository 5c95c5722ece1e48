#include "app/blob_set.h"
#include "blobs/blobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MANY 100000

static struct str name_of(char dst[80], unsigned i)
{
	int n = snprintf(dst, 80, "owner/%02x/01900000-0000-7000-8000-%012x", i % 256, i);

	return (struct str){dst, (size_t)n};
}

static void the_empty_set_has_nothing(void **state)
{
	struct blob_set s = {};
	char name[80];

	(void)state;
	assert_false(blob_set_has(&s, name_of(name, 1), 0));
	blob_set_release(&s);
	blob_set_release(&s);
}

static void it_has_what_was_added_and_nothing_else(void **state)
{
	struct blob_set s = {};
	char name[80];

	(void)state;
	for (unsigned i = 0; i < MANY; i++)
		assert_true(blob_set_add(&s, name_of(name, 2 * i), i));
	assert_int_equal(s.n, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		assert_true(blob_set_has(&s, name_of(name, 2 * i), i));
		assert_false(blob_set_has(&s, name_of(name, 2 * i), i + 1));
		assert_false(blob_set_has(&s, name_of(name, 2 * i + 1), i));
	}
	blob_set_release(&s);
	assert_false(blob_set_has(&s, name_of(name, 0), 0));
}

static void what_comes_twice_is_there_once(void **state)
{
	struct blob_set s = {};
	char name[80];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(blob_set_add(&s, name_of(name, 7), 100));
	assert_int_equal(s.n, 1);
	assert_true(blob_set_add(&s, name_of(name, 7), 101));
	assert_int_equal(s.n, 2);
	blob_set_release(&s);
}

static void names_of_the_greatest_length_differ_in_their_last_byte(void **state)
{
	struct blob_set s = {};
	char name[BLOB_NAME_MAX];

	(void)state;
	memset(name, 'a', sizeof(name));
	assert_true(blob_set_add(&s, (struct str){name, sizeof(name)}, 1));
	name[sizeof(name) - 1] = 'b';
	assert_false(blob_set_has(&s, (struct str){name, sizeof(name)}, 1));
	blob_set_release(&s);
}

static void a_blob_takes_64_bytes_at_most_once_there_are_many(void **state)
{
	struct blob_set s = {};
	char name[80];

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		assert_true(blob_set_add(&s, name_of(name, i), i));
		assert_true(i < 512 || s.cap * sizeof(*s.tags) <= 64 * s.n);
	}
	blob_set_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_empty_set_has_nothing),
		cmocka_unit_test(it_has_what_was_added_and_nothing_else),
		cmocka_unit_test(what_comes_twice_is_there_once),
		cmocka_unit_test(names_of_the_greatest_length_differ_in_their_last_byte),
		cmocka_unit_test(a_blob_takes_64_bytes_at_most_once_there_are_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
