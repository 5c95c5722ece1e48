#include "auth/link.h"
#include "base/compiler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW INT64_C(1700000000000)
#define ID "018bcfe5-6800-7000-8000-00000000000a"

static const struct link_secret secrets[] = {{.number = 7, .bytes = {1, 2, 3}}, {.number = 4, .bytes = {9, 8, 7}}};

static struct uuid id_of(const char *text)
{
	struct uuid u;

	assert_true(uuid_parse(&u, str_of(text)));
	return u;
}

static struct link upload_link(void)
{
	return (struct link){
		.id = id_of(ID),
		.method = LINK_PUT,
		.single_use = true,
		.issued_at = NOW,
		.expires_at = NOW + 60000,
		.account = id_of("018bcfe5-6800-7000-8000-00000000000b"),
		.key = id_of("018bcfe5-6800-7000-8000-00000000000c"),
		.size = 1 << 20,
		.type = STR("image/png"),
		.ops = STR("sha256,resize;width=64"),
		.name = STR("Übersicht, 1.png"),
	};
}

static struct link download_link(void)
{
	return (struct link){.id = id_of(ID),
			     .method = LINK_GET,
			     .issued_at = NOW,
			     .expires_at = NOW + 60000,
			     .file = id_of("018bcfe5-6800-7000-8000-00000000000d"),
			     .type = STR(""),
			     .ops = STR(""),
			     .name = STR("")};
}

static struct buf written(const struct link *l, unsigned secret)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	assert_int_equal(link_write(&b, l, &secrets[secret], &e), 0);
	assert_true(b.len <= LINK_TOKEN_MAX);
	return b;
}

/* The code that reading gives. */
static int read_as(struct str id, struct str token, int64_t now)
{
	struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct link l;
	int rc = link_read(&l, id, token, secrets, ARRAY_LEN(secrets), now, &a, &e);

	assert_int_equal(rc, e.code);
	arena_release(&a);
	return rc;
}

static void assert_reads_back(const struct link *l, unsigned secret)
{
	struct buf b = written(l, secret), again = BUF_INIT;
	struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct link back;

	assert_int_equal(link_read(&back, STR(ID), buf_str(&b), secrets, ARRAY_LEN(secrets), NOW, &a, &e), 0);
	assert_true(uuid_eq(back.id, l->id) && uuid_eq(back.account, l->account) && uuid_eq(back.key, l->key) &&
		    uuid_eq(back.file, l->file));
	assert_true(back.method == l->method && back.single_use == l->single_use && back.size_exact == l->size_exact);
	assert_true(back.issued_at == l->issued_at && back.expires_at == l->expires_at && back.size == l->size);
	assert_true(str_eq(back.type, l->type) && str_eq(back.ops, l->ops) && str_eq(back.name, l->name));
	assert_int_equal(link_write(&again, &back, &secrets[secret], &e), 0);
	assert_true(str_eq(buf_str(&again), buf_str(&b)));
	buf_release(&again);
	buf_release(&b);
	arena_release(&a);
}

static void a_link_reads_back_as_it_was_written(void **state)
{
	struct link put = upload_link(), get = download_link();

	assert_reads_back(&put, 0);
	assert_reads_back(&get, 0);
	put.size_exact = true;
	put.size = UINT64_MAX;
	put.account = put.key = (struct uuid){};
	put.single_use = false;
	assert_reads_back(&put, 1); /* an older secret that is kept */
}

static void every_single_bit_change_of_id_or_token_is_refused(void **state)
{
	static const char *const names[] = {"", "a", "b", "c", "d", "e", "f", "g"}; /* signatures with all kinds of characters */

	for (size_t k = 0; k <= ARRAY_LEN(names); k++) {
		struct link l = k < ARRAY_LEN(names) ? upload_link() : download_link();
		l.name = k < ARRAY_LEN(names) ? str_of(names[k]) : STR("");
		struct buf b = written(&l, 0);
		char id[] = ID;

		assert_int_equal(read_as(str_of(id), buf_str(&b), NOW), 0);
		for (size_t bit = 0; bit < 8 * strlen(id); bit++) {
			id[bit / 8] ^= (char)(1u << bit % 8);
			assert_int_equal(read_as((struct str){id, strlen(ID)}, buf_str(&b), NOW), ERR_LINK_INVALID);
			id[bit / 8] ^= (char)(1u << bit % 8);
		}
		for (size_t bit = 0; bit < 8 * b.len; bit++) {
			b.p[bit / 8] ^= (char)(1u << bit % 8);
			assert_int_equal(read_as(STR(ID), buf_str(&b), NOW), ERR_LINK_INVALID);
			b.p[bit / 8] ^= (char)(1u << bit % 8);
		}
		buf_release(&b);
	}
}

static void a_token_that_is_longer_or_shorter_is_refused(void **state)
{
	struct link l = upload_link();
	struct buf b = written(&l, 0);
	size_t whole = b.len;

	for (size_t n = 0; n < whole; n++)
		assert_int_equal(read_as(STR(ID), (struct str){b.p, n}, NOW), ERR_LINK_INVALID);
	for (const char *c = "A=.&0 "; *c != '\0'; c++) {
		b.len = whole;
		buf_add_char(&b, *c);
		assert_int_equal(read_as(STR(ID), buf_str(&b), NOW), ERR_LINK_INVALID);
	}
	buf_release(&b);
}

static void a_link_ends_at_its_time_and_not_before(void **state)
{
	struct link l = upload_link();
	struct buf b = written(&l, 0);

	assert_int_equal(read_as(STR(ID), buf_str(&b), l.expires_at - 1), 0);
	assert_int_equal(read_as(STR(ID), buf_str(&b), l.expires_at), ERR_LINK_EXPIRED);
	b.p[b.len - 1] ^= 1; /* a wrong one is not told that it was right once */
	assert_int_equal(read_as(STR(ID), buf_str(&b), l.expires_at), ERR_LINK_INVALID);
	buf_release(&b);
}

static void a_secret_that_went_or_has_another_number_verifies_nothing(void **state)
{
	const struct link_secret renumbered = {.number = 4, .bytes = {1, 2, 3}};
	struct link l = upload_link(), back;
	struct buf b = written(&l, 0);
	struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;

	assert_int_equal(link_read(&back, STR(ID), buf_str(&b), &secrets[1], 1, NOW, &a, &e), ERR_LINK_INVALID);
	assert_int_equal(link_read(&back, STR(ID), buf_str(&b), &renumbered, 1, NOW, &a, &e), ERR_LINK_INVALID);
	assert_int_equal(link_read(&back, STR(ID), buf_str(&b), NULL, 0, NOW, &a, &e), ERR_LINK_INVALID);
	arena_release(&a);
	buf_release(&b);
}

static void no_text_brings_a_second_line_or_is_too_long(void **state)
{
	static char long_text[LINK_OPS_MAX + 2];
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct link l = upload_link();

	memset(long_text, 'a', sizeof(long_text) - 1);
	l.name = STR("a\nb");
	assert_int_equal(link_write(&b, &l, &secrets[0], &e), ERR_INVALID_VALUE);
	assert_string_equal(e.field, "name");
	l.name = (struct str){long_text, LINK_NAME_MAX + 1};
	assert_int_equal(link_write(&b, &l, &secrets[0], &e), ERR_INVALID_VALUE);
	l.name = (struct str){long_text, LINK_NAME_MAX};
	l.type = (struct str){long_text, LINK_TYPE_MAX + 1};
	assert_int_equal(link_write(&b, &l, &secrets[0], &e), ERR_INVALID_VALUE);
	l.type = (struct str){long_text, LINK_TYPE_MAX};
	l.ops = (struct str){long_text, LINK_OPS_MAX + 1};
	assert_int_equal(link_write(&b, &l, &secrets[0], &e), ERR_INVALID_VALUE);
	l.ops = (struct str){long_text, LINK_OPS_MAX};
	l.issued_at = l.expires_at = INT64_MAX;
	l.size = UINT64_MAX;
	assert_int_equal(b.len, 0);
	assert_int_equal(link_write(&b, &l, &secrets[0], &e), 0);
	assert_int_equal(read_as(STR(ID), buf_str(&b), NOW), 0);
	buf_release(&b);
}

static void each_link_has_a_mark_of_its_own(void **state)
{
	uint8_t a[LINK_ONCE], b[LINK_ONCE], again[LINK_ONCE];

	link_once(a, id_of(ID));
	link_once(again, id_of(ID));
	link_once(b, id_of("018bcfe5-6800-7000-8000-00000000000b"));
	assert_memory_equal(a, again, LINK_ONCE);
	assert_memory_not_equal(a, b, LINK_ONCE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_reads_back_as_it_was_written),
		cmocka_unit_test(every_single_bit_change_of_id_or_token_is_refused),
		cmocka_unit_test(a_token_that_is_longer_or_shorter_is_refused),
		cmocka_unit_test(a_link_ends_at_its_time_and_not_before),
		cmocka_unit_test(a_secret_that_went_or_has_another_number_verifies_nothing),
		cmocka_unit_test(no_text_brings_a_second_line_or_is_too_long),
		cmocka_unit_test(each_link_has_a_mark_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
