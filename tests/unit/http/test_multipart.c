/* The multipart reader: what it takes, what it refuses, and that neither depends on how the bytes are cut. */
#include "http/multipart.h"

#include "base/arena.h"
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- a parse as text: "[name|filename|type]data." a part ---- */

struct record {
	struct buf out;
	unsigned parts;
	int fail_at; /* the part_begin that fails; 0 = none */
};

static void add_field(struct buf *b, struct str s)
{
	if (s.p)
		buf_add_str(b, s);
	else
		buf_add_char(b, '~');
}

static int on_begin(void *arg, const struct multipart_part *part, struct err *e)
{
	struct record *r = arg;

	if (++r->parts == (unsigned)r->fail_at)
		return err_set(e, ERR_BAD_NAME, "no");
	buf_add_char(&r->out, '[');
	add_field(&r->out, part->name);
	buf_add_char(&r->out, '|');
	add_field(&r->out, part->filename);
	buf_add_char(&r->out, '|');
	add_field(&r->out, part->type);
	buf_add_char(&r->out, ']');
	return 0;
}

static int on_data(void *arg, const void *data, size_t n, struct err *e)
{
	struct record *r = arg;

	assert_true(n > 0);
	buf_add(&r->out, data, n);
	return 0;
}

static int on_end(void *arg, struct err *e)
{
	struct record *r = arg;

	buf_add_char(&r->out, '.');
	return 0;
}

static const struct multipart_events events = {on_begin, on_data, on_end};

/* Feeds in pieces of `step` bytes after a first one of `first`. */
static int parse_cut(struct record *r, const char *body, size_t n, size_t first, size_t step)
{
	struct multipart *m = NULL;
	struct err e = ERR_INIT;
	int rc;

	r->parts = 0;
	buf_reset(&r->out);
	assert_int_equal(multipart_new(&m, STR("multipart/form-data; boundary=AaB"), &events, r, &e), 0);
	rc = multipart_feed(m, body, first < n ? first : n, &e);
	for (size_t at = first; !rc && at < n; at += step)
		rc = multipart_feed(m, body + at, n - at < step ? n - at : step, &e);
	if (!rc)
		rc = multipart_finish(m, &e);
	if (rc)
		assert_int_equal(rc, e.code);
	multipart_free(m);
	return rc;
}

static void check_body(const char *body, size_t n, int want_rc, const char *want, size_t want_n)
{
	struct record r = {};
	int rc = parse_cut(&r, body, n, n, 1);

	if (rc != want_rc)
		fail_msg("%.60s…: %d instead of %d", body, rc, want_rc);
	if (want && (r.out.len != want_n || (want_n && memcmp(r.out.p, want, want_n) != 0)))
		fail_msg("%.*s instead of %s", (int)r.out.len, r.out.p, want);
	for (size_t cut = 0; cut <= n; cut++) {
		if (parse_cut(&r, body, n, cut, n) != want_rc)
			fail_msg("%.60s… cut at %zu: another result", body, cut);
		if (want && (r.out.len != want_n || (want_n && memcmp(r.out.p, want, want_n) != 0)))
			fail_msg("cut at %zu: %.*s instead of %s", cut, (int)r.out.len, r.out.p, want);
	}
	assert_int_equal(parse_cut(&r, body, n, 1, 1), want_rc);
	buf_release(&r.out);
}

#define GOOD(body, want) check_body(body, sizeof(body) - 1, 0, want, sizeof(want) - 1)
#define BAD(body) check_body(body, sizeof(body) - 1, ERR_BAD_MULTIPART, NULL, 0)
#define CD "Content-Disposition: form-data; name=\"f\""
#define PART(head, data) "--AaB\r\n" head "\r\n\r\n" data "\r\n"
#define END "--AaB--\r\n"

static void forms_are_read(void **state)
{
	GOOD(PART(CD, "hello") END, "[f|~|~]hello.");
	GOOD("\r\n" PART(CD, "hello") END, "[f|~|~]hello.");
	GOOD(PART(CD, "hello") "--AaB--", "[f|~|~]hello.");
	GOOD(PART(CD, "") END, "[f|~|~].");
	GOOD(PART(CD "; filename=\"a.txt\"\r\nContent-Type: text/plain; charset=utf-8", "x") PART(CD, "y") END,
	     "[f|a.txt|text/plain; charset=utf-8]x.[f|~|~]y.");
	GOOD(PART("content-disposition:form-data;name=f;filename=\"\"", "x") END, "[f||~]x.");
	GOOD(PART(CD "\r\nContent-Transfer-Encoding: binary\r\nX-Other: 1", "x") END, "[f|~|~]x.");
	GOOD(PART(CD, "x") END "epilogue", "[f|~|~]x.");
	GOOD("--AaB--\r\n", "");
}

static void data_that_resembles_a_boundary_stays_whole(void **state)
{
	GOOD(PART(CD, "--AaB") END, "[f|~|~]--AaB.");
	GOOD(PART(CD, "\r\n--AaBc\r\n") END, "[f|~|~]\r\n--AaBc\r\n.");
	GOOD(PART(CD, "\r\n--Aa") END, "[f|~|~]\r\n--Aa.");
	GOOD(PART(CD, "\r\n--AaB-\r\n--AaB-x") END, "[f|~|~]\r\n--AaB-\r\n--AaB-x.");
	GOOD(PART(CD, "\r\n--AaB\r\r\n--AaB\rx") END, "[f|~|~]\r\n--AaB\r\r\n--AaB\rx.");
	GOOD(PART(CD, "\r\r\n\n\r\n\r\n-\r\n--\r\n--A") END, "[f|~|~]\r\r\n\n\r\n\r\n-\r\n--\r\n--A.");
	GOOD(PART(CD, "\n--AaB--\r\n") END, "[f|~|~]\n--AaB--\r\n.");
	GOOD(PART(CD, "a\0b\xff") END, "[f|~|~]a\0b\xff.");
	GOOD(PART(CD, "0123456789012345678901234567890123456789\r\n--AaX0123456789012345678901234567890123456789") END,
	     "[f|~|~]0123456789012345678901234567890123456789\r\n--AaX0123456789012345678901234567890123456789.");
}

static void malformed_bodies_are_refused(void **state)
{
	BAD("");
	BAD("preamble\r\n" PART(CD, "x") END);
	BAD("\r\n\r\n" PART(CD, "x") END);
	BAD("-" PART(CD, "x") END);
	BAD(PART(CD, "x"));
	BAD(PART(CD, "x") "--AaB");
	BAD(PART(CD, "x") "--AaB-");
	BAD(PART(CD, "x") "--AaB--x");
	BAD(PART(CD, "x") "--AaB--\n");
	BAD(PART(CD, "x") "--AaB--\r");
	BAD("--AaB\r\n" CD);
	BAD("--AaB\r\n" CD "\r\n");
	BAD("--AaB\r\n" CD "\r\nx\r\n--AaB--\r\n");
	BAD("--AaB\n" CD "\r\n\r\nx\r\n--AaB--\r\n");
	BAD("--AaB \r\n" CD "\r\n\r\nx\r\n--AaB--\r\n");
	BAD("--AaB\r\n" CD "\n\r\nx\r\n--AaB--\r\n");
	BAD("--AaB\r\n" CD "\r\n\nx\r\n--AaB--\r\n");
	BAD("--AaB\r\n" CD "\rX: y\r\n\r\nx\r\n--AaB--\r\n");
	BAD(PART(CD, "x") "--AaB \r\n" CD "\r\n\r\n" END);
	BAD(PART(CD, "x") "--AaB\n" CD "\r\n\r\n" END);
	BAD("--AaB\r\n\r\nx\r\n" END);
}

static void malformed_part_heads_are_refused(void **state)
{
	BAD(PART("Content-Type: text/plain", "x") END);
	BAD(PART(CD "\r\n" CD, "x") END);
	BAD(PART(CD "\r\nContent-Type: a/b\r\nContent-Type: a/b", "x") END);
	BAD(PART("Content-Disposition: attachment; name=f", "x") END);
	BAD(PART("Content-Disposition: form-data", "x") END);
	BAD(PART("Content-Disposition: form-data; filename=a", "x") END);
	BAD(PART(CD "; name=g", "x") END);
	BAD(PART(CD "; filename=a; filename=b", "x") END);
	BAD(PART(CD "; filename=a; filename*=UTF-8''b", "x") END);
	BAD(PART(CD "; filename*=ISO-8859-1''b", "x") END);
	BAD(PART(CD "; filename*=UTF-8''%g1", "x") END);
	BAD(PART(CD "; filename*=UTF-8''%ff", "x") END);
	BAD(PART(CD "; filename*=UTF-8''%00", "x") END);
	BAD(PART(CD "; filename*=\"UTF-8''a\"", "x") END);
	BAD(PART(CD "; filename*0=a", "x") END);
	BAD(PART(CD "; filename=\"a", "x") END);
	BAD(PART(CD "; filename=\"a\xff\"", "x") END);
	BAD(PART(CD "; filename=\"a\0b\"", "x") END);
	BAD(PART(CD "\r\n continued: x", "x") END);
	BAD(PART(CD "\r\nno colon", "x") END);
	BAD(PART(CD "\r\n: x", "x") END);
	BAD(PART(CD "\r\nX : x", "x") END);
	BAD(PART(CD "\r\nX: \x01", "x") END);
	BAD(PART(CD "\r\nContent-Transfer-Encoding: base64", "x") END);
	BAD(PART(CD "\r\nContent-Type: Multipart/Mixed; boundary=x", "x") END);
	BAD(PART(CD "\r\nA: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\nF: 1\r\nG: 1\r\nH: 1", "x") END);
}

static void names_are_decoded(void **state)
{
	GOOD(PART(CD "; filename=\"a%22b.txt\"", "") END, "[f|a\"b.txt|~].");
	GOOD(PART(CD "; filename=\"a\\\"b\\\\c\"", "") END, "[f|a\"b\\c|~].");
	GOOD(PART(CD "; filename=\"C:\\dir\\x\"", "") END, "[f|C:\\dir\\x|~].");
	GOOD(PART(CD "; filename=\"%2e%00\"", "") END, "[f|%2e%00|~].");
	GOOD(PART(CD "; filename=\"n\xc3\xa4me\"", "") END, "[f|n\xc3\xa4me|~].");
	GOOD(PART(CD "; filename*=utf-8'en'n%C3%A4me%20x", "") END, "[f|n\xc3\xa4me x|~].");
	GOOD(PART(CD "; filename=\"a b\"; filename*=UTF-8''a%20b", "") END, "[f|a b|~].");
}

static int new_rc(struct str type)
{
	struct multipart *m = NULL;
	struct err e = ERR_INIT;
	int rc = multipart_new(&m, type, &events, NULL, &e);

	if (!rc)
		multipart_free(m);
	return rc;
}

static void boundaries_are_checked(void **state)
{
	static const char *const bad[] = {
		"",
		"; boundary",
		"; boundary=",
		"; boundary=\"\"",
		"; boundary=a<b",
		"; boundary=\"a<b\"",
		"; boundary=\"a\\\"b\"",
		"; boundary=\"a \"",
		"; boundary=a; boundary=a",
		"; boundary*=UTF-8''a",
		"; boundary=\"a",
		"; boundary=a b",
		"; boundary=a, b",
		";boundary=a;;x",
		"; boundary=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" /* 71 */,
	};
	static const char *const good[] = {
		"; boundary=a",
		";boundary=\"a b\"",
		"; charset=utf-8; BOUNDARY=a;",
		"; boundary=\"'()+_,-./:=?\"",
		"; boundary=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" /* 70 */,
	};
	char type[256];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(type, sizeof(type), "multipart/form-data%s", bad[i]);
		if (new_rc(str_of(type)) != ERR_BAD_MULTIPART)
			fail_msg("%s was taken", type);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(type, sizeof(type), "Multipart/Form-Data%s", good[i]);
		if (new_rc(str_of(type)))
			fail_msg("%s was refused", type);
	}
	assert_int_equal(new_rc(STR("multipart/mixed; boundary=a")), ERR_UNSUPPORTED_TYPE);
	assert_int_equal(new_rc(STR("text/plain")), ERR_UNSUPPORTED_TYPE);
}

static int parse_all(const struct buf *b, struct record *r)
{
	assert_true(buf_ok(b));
	return parse_cut(r, b->p, b->len, b->len, 1);
}

static void limits_hold_to_the_byte(void **state)
{
	struct record r = {};

	for (unsigned n = MULTIPART_PARTS_MAX; n <= MULTIPART_PARTS_MAX + 1; n++) {
		struct buf b = BUF_INIT;

		for (unsigned i = 0; i < n; i++)
			buf_add_cstr(&b, PART(CD, "x"));
		buf_add_cstr(&b, END);
		assert_int_equal(parse_all(&b, &r), n == MULTIPART_PARTS_MAX ? 0 : ERR_TOO_LARGE);
		buf_release(&b);
	}
	for (size_t n = MULTIPART_HEADER_MAX; n <= MULTIPART_HEADER_MAX + 1; n++) {
		struct buf b = BUF_INIT;
		size_t start;

		buf_add_cstr(&b, "--AaB\r\n");
		start = b.len;
		buf_add_cstr(&b, CD "\r\nX: ");
		while (b.len - start < n - 4)
			buf_add_char(&b, 'x');
		buf_add_cstr(&b, "\r\n\r\ndata\r\n" END);
		assert_int_equal(parse_all(&b, &r), n == MULTIPART_HEADER_MAX ? 0 : ERR_BAD_MULTIPART);
		buf_release(&b);
	}
	for (size_t n = MULTIPART_EPILOGUE_MAX; n <= MULTIPART_EPILOGUE_MAX + 1; n++) {
		struct buf b = BUF_INIT;

		buf_add_cstr(&b, PART(CD, "x") END);
		for (size_t i = 0; i < n; i++)
			buf_add_char(&b, '-');
		assert_int_equal(parse_all(&b, &r), n == MULTIPART_EPILOGUE_MAX ? 0 : ERR_BAD_MULTIPART);
		buf_release(&b);
	}
	buf_release(&r.out);
}

static void a_callback_ends_the_parse(void **state)
{
	struct record r = {.fail_at = 2};
	static const char body[] = PART(CD, "x") PART(CD, "y") END;

	assert_int_equal(parse_cut(&r, body, sizeof(body) - 1, 3, 3), ERR_BAD_NAME);
	buf_release(&r.out);
}

/* Random data rich in pieces of the boundary, in random cuts. */
static void random_data_in_random_cuts_comes_out_whole(void **state)
{
	static const char *const pieces[] = {"\r",      "\n", "-",          "--",         "\r\n--",
					     "AaB",     "Aa", "\r\n--AaBx", "\r\n--AaB-", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
					     "\r\n--Aa"};
	unsigned seed = 1;

	for (int round = 0; round < 2000; round++) {
		struct buf b = BUF_INIT, data = BUF_INIT;
		struct record r = {};
		unsigned n = rand_r(&seed) % 40;

		for (unsigned i = 0; i < n; i++)
			buf_add_cstr(&data, pieces[rand_r(&seed) % (sizeof(pieces) / sizeof(pieces[0]))]);
		buf_add_cstr(&b, "--AaB\r\n" CD "\r\n\r\n");
		buf_add(&b, data.p, data.len);
		buf_add_cstr(&b, "\r\n" END);
		if (data.len == 0 || (!memmem(data.p, data.len, "\r\n--AaB--", 9) && !memmem(data.p, data.len, "\r\n--AaB\n", 8) &&
				      !memmem(data.p, data.len, "\r\n--AaB\r\n", 9) &&
				      !(data.len >= 7 && memcmp(data.p + data.len - 7, "\r\n--AaB", 7) == 0))) {
			assert_int_equal(parse_cut(&r, b.p, b.len, rand_r(&seed) % b.len, 1 + rand_r(&seed) % 60), 0);
			assert_int_equal(r.out.len, data.len + sizeof("[f|~|~].") - 1);
			if (data.len)
				assert_memory_equal(r.out.p + 7, data.p, data.len);
		}
		buf_release(&r.out);
		buf_release(&data);
		buf_release(&b);
	}
}

static void dispositions_outside_forms_are_read(void **state)
{
	static const struct {
		const char *value, *name; /* NULL: refused; "~": none */
	} cases[] = {
		{"attachment", "~"},
		{"inline", "~"},
		{"attachment; filename=plain.txt", "plain.txt"},
		{"attachment; filename=\"a b.txt\"", "a b.txt"},
		{"attachment; filename=\"a\\\"b\\\\c\\d\"", "a\"b\\cd"},
		{"attachment; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.txt", "na\xc3\xafve \xe2\x82\xac.txt"},
		{"attachment; filename=fallback; filename*=UTF-8''better", "better"},
		{"attachment; filename=a%22b", "a%22b"},
		{"attachment;", "~"},
		{"", NULL},
		{"; filename=a", NULL},
		{"attachment; filename=\"a", NULL},
		{"attachment; filename=a; filename=b", NULL},
		{"attachment; filename*=ISO-8859-1''a", NULL},
		{"attachment; filename*=UTF-8''%ff", NULL},
		{"attachment; filename=\"\xff\"", NULL},
		{"attachment; filename*=UTF-8''%0a", NULL},
		{"attachment filename=a", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		struct str name = {};
		int rc = disposition_filename(&name, str_of(cases[i].value), &a, &e);

		if (rc != (cases[i].name ? 0 : ERR_BAD_HEADER))
			fail_msg("%s: %d", cases[i].value, rc);
		if (!rc && strcmp(cases[i].name, "~") == 0)
			assert_null(name.p);
		else if (!rc && !str_eq(name, str_of(cases[i].name)))
			fail_msg("%s: %.*s", cases[i].value, STR_FMT(name));
		arena_release(&a);
	}
}

static void what_is_written_is_read_back(void **state)
{
	static const char *const names[] = {"plain.txt",   "with space",       "quote\"s and \\", "100%",
					    "n\xc3\xa4me", "\xf0\x9f\x98\x80", "a;b=c,d'e*f"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct buf b = BUF_INIT;
		struct arena a = ARENA_INIT;
		struct str name = {};

		disposition_write(&b, "attachment", str_of(names[i]));
		assert_int_equal(disposition_filename(&name, buf_str(&b), &a, NULL), 0);
		if (!str_eq(name, str_of(names[i])))
			fail_msg("%s: %s", names[i], b.p);
		for (size_t k = 0; k < b.len; k++)
			assert_true((unsigned char)b.p[k] >= 0x20 && (unsigned char)b.p[k] < 0x7f);
		arena_release(&a);
		buf_release(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms_are_read),
		cmocka_unit_test(data_that_resembles_a_boundary_stays_whole),
		cmocka_unit_test(malformed_bodies_are_refused),
		cmocka_unit_test(malformed_part_heads_are_refused),
		cmocka_unit_test(names_are_decoded),
		cmocka_unit_test(boundaries_are_checked),
		cmocka_unit_test(limits_hold_to_the_byte),
		cmocka_unit_test(a_callback_ends_the_parse),
		cmocka_unit_test(random_data_in_random_cuts_comes_out_whole),
		cmocka_unit_test(dispositions_outside_forms_are_read),
		cmocka_unit_test(what_is_written_is_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
