/* What the gate refuses, byte by byte: rows A1–A34 of the catalogue of bad inputs. Each case is sent with a second request right behind it, which
 * must never be answered. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct world world;

static int setup(void **state)
{
	world_start(&world, world_config());
	return 0;
}

static int teardown(void **state)
{
	world_stop(&world);
	return 0;
}

struct gate_case {
	const char *name, *request;
	size_t len; /* of request */
	int status, other; /* another status that is right too, 0 = none; -1 = closed without an answer */
	bool out_of_sight; /* cut at the wrong place, the library may take this line of a chunk in a round of its own and forgive it: such a body passes, and nothing behind it */
};

#define C(name, request, ...)                                                                                                              \
	{                                                                                                                                  \
		name, request, sizeof(request) - 1, __VA_ARGS__                                                                            \
	}
#define H "Host: a\r\n"
#define POST "POST /echo HTTP/1.1\r\n" H

static const struct gate_case cases[] = {
	C("A1 length and coding", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
	C("A1 coding and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
	C("A2 two lengths", POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
	C("A3 two equal lengths", POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
	C("A3 a list of lengths", POST "Content-Length: 5, 5\r\n\r\nhello", 400),
	C("A4 negative", POST "Content-Length: -1\r\n\r\nhello", 400),
	C("A4 plus", POST "Content-Length: +5\r\n\r\nhello", 400),
	C("A4 hexadecimal", POST "Content-Length: 0x10\r\n\r\nhello", 400),
	C("A4 semicolon", POST "Content-Length: 5;\r\n\r\nhello", 400),
	C("A4 empty", POST "Content-Length: \r\n\r\nhello", 400),
	C("A4 exponent", POST "Content-Length: 1e3\r\n\r\nhello", 400),
	C("A4 20 digits", POST "Content-Length: 99999999999999999999\r\n\r\nhello", 400, 413),
	C("A4 Arabic digit", POST "Content-Length: \xd9\xa3\r\n\r\nhello", 400),
	C("A5 gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
	C("A5 chunked twice", POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
	C("A5 two fields", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
	C("A5 xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
	C("A5 parameter", POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400),
	C("A5 vertical tab", POST "Transfer-Encoding: chunked\x0b\r\n\r\n0\r\n\r\n", 400),
	C("A5 identity", POST "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
	C("A5 empty", POST "Transfer-Encoding: \r\n\r\n0\r\n\r\n", 400),
	C("A6 coding in HTTP/1.0", "POST /echo HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
	C("A7 space before the colon", POST "Content-Length : 5\r\n\r\nhello", 400),
	C("A7 tab before the colon", POST "Content-Length\t: 5\r\n\r\nhello", 400),
	C("A8 continuation line", "GET /hello HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", 400),
	C("A8 continuation line of a tab", "GET /hello HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", 400),
	C("A8 first line continues", "GET /hello HTTP/1.1\r\n X: a\r\n" H "\r\n", 400),
	C("A9 bare LF everywhere", "GET /hello HTTP/1.1\nHost: a\n\n", 400),
	C("A9 bare LF in the request line", "GET /hello HTTP/1.1\n" H "\r\n", 400),
	C("A9 bare LF behind a field", "GET /hello HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
	C("A9 bare LF behind the last field", "GET /hello HTTP/1.1\r\nHost: a\n\r\n", 400),
	C("A9 bare LF as the empty line", "GET /hello HTTP/1.1\r\n" H "\n", 400),
	C("A9 bare CR in a value", "GET /hello HTTP/1.1\r\n" H "X: a\rb\r\n\r\n", 400),
	C("A9 CR CR LF", "GET /hello HTTP/1.1\r\n" H "X: a\r\r\n\r\n", 400),
	C("A9 CR CR LF in the request line", "GET /hello HTTP/1.1\r\r\n" H "\r\n", 400),
	C("A10 NUL in a value", "GET /hello HTTP/1.1\r\n" H "X: a\0b\r\n\r\n", 400),
	C("A10 NUL at a value's end", "GET /hello HTTP/1.1\r\n" H "X: a\0\r\n\r\n", 400),
	C("A10 NULs like a line end", "GET /hello HTTP/1.1\r\n" H "X: a\0\0Y: b\r\n\r\n", 400),
	C("A10 NUL in the last value", "GET /hello HTTP/1.1\r\n" H "X: \0\0\r\n\r\n", 400),
	C("A10 NUL in a name", "GET /hello HTTP/1.1\r\n" H "X\0: a\r\n\r\n", 400),
	C("A10 NUL in the target", "GET /hello\0 HTTP/1.1\r\n" H "\r\n", 400),
	C("A10 0x01 in a value", "GET /hello HTTP/1.1\r\n" H "X: a\x01\r\n\r\n", 400),
	C("A10 DEL in a value", "GET /hello HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n", 400),
	C("A10 byte above 127 in a name", "GET /hello HTTP/1.1\r\n" H "X\xc3\xa9: a\r\n\r\n", 400),
	C("A10 parenthesis in a name", "GET /hello HTTP/1.1\r\n" H "X(: a\r\n\r\n", 400),
	C("A11 empty name", "GET /hello HTTP/1.1\r\n" H ": x\r\n\r\n", 400),
	C("A11 no colon", "GET /hello HTTP/1.1\r\n" H "nonsense\r\n\r\n", 400),
	C("A12 chunk size 0x5", POST "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", 400),
	C("A12 chunk size -1", POST "Transfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n", 400),
	C("A12 chunk size +5", POST "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", 400),
	C("A12 space before the size", POST "Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n", 400),
	C("A12 space behind the size", POST "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", 400, .out_of_sight = true),
	C("A12 11 digits", POST "Transfer-Encoding: chunked\r\n\r\n00000000005\r\nhello\r\n0\r\n\r\n", 400, .out_of_sight = true),
	C("A12 16 digits", POST "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nhello", 400, 413),
	C("A12 20 digits", POST "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFFFF\r\nhello", 400, 413),
	C("A13 no CRLF behind the data", POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n", 400),
	C("A13 LF behind the data", POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n5\r\nhello\r\n0\r\n\r\n", 400,
	  .out_of_sight = true),
	C("A13 size line ended by LF", POST "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", 400, .out_of_sight = true),
	C("A14 extension of 65 bytes",
	  POST "Transfer-Encoding: chunked\r\n\r\n5;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\nhello\r\n0\r\n\r\n",
	  400, .out_of_sight = true),
	C("A16 length in the trailer", POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n", 400),
	C("A16 Host in the trailer", POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nHost: b\r\n\r\n", 400),
	C("A16 Authorization in the trailer", POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nAuthorization: b\r\n\r\n", 400),
	C("A17 no Host", "GET /hello HTTP/1.1\r\n\r\n", 400),
	C("A17 two Hosts", "GET /hello HTTP/1.1\r\n" H H "\r\n", 400),
	C("A17 empty Host", "GET /hello HTTP/1.1\r\nHost: \r\n\r\n", 400),
	C("A17 Host with a space", "GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
	C("A17 Host with @", "GET /hello HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
	C("A17 Host with a slash", "GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
	C("A17 Host with a wrong port", "GET /hello HTTP/1.1\r\nHost: a:70000\r\n\r\n", 400),
	C("A18 absolute form of another host", "GET http://b/hello HTTP/1.1\r\n" H "\r\n", 400),
	C("A19 CONNECT", "CONNECT a:80 HTTP/1.1\r\n" H "\r\n", 501, 400),
	C("A19 FOO", "FOO /hello HTTP/1.1\r\n" H "\r\n", 501),
	C("A19 lower case", "get /hello HTTP/1.1\r\n" H "\r\n", 501),
	C("A20 HTTP/1.2", "GET /hello HTTP/1.2\r\n" H "\r\n", 505),
	C("A20 HTTP/2.0", "GET /hello HTTP/2.0\r\n" H "\r\n", 505),
	C("A20 HTTP/0.9 in words", "GET /hello HTTP/0.9\r\n" H "\r\n", 505),
	C("A20 HTTP/0.9", "GET /hello\r\n" H "\r\n", 400),
	C("A20 HTTP/1.1x", "GET /hello HTTP/1.1x\r\n" H "\r\n", 400),
	C("A20 http/1.1", "GET /hello http/1.1\r\n" H "\r\n", 400),
	C("two spaces in the request line", "GET  /hello HTTP/1.1\r\n" H "\r\n", 400),
	C("two spaces before the version", "GET /hello  HTTP/1.1\r\n" H "\r\n", 400),
	C("tab in the request line", "GET\t/hello HTTP/1.1\r\n" H "\r\n", 400, -1),
	C("one word", "GET\r\n\r\n", 400, -1),
	C("A28 another expectation", POST "Expect: 200-ok\r\nContent-Length: 5\r\n\r\nhello", 417),
	C("A34 HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, 400),
	C("A34 TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n\n", 400, -1),
	C("two Content-Types", POST "Content-Type: a/b\r\nContent-Type: a/c\r\nContent-Length: 5\r\n\r\nhello", 400),
	C("two Authorizations", "GET /hello HTTP/1.1\r\n" H "Authorization: a\r\nAuthorization: b\r\n\r\n", 400),
};

#define SECOND "GET /later HTTP/1.1\r\nHost: a\r\n\r\n"

static void check_refused(const struct gate_case *c)
{
	char *both = malloc(c->len + sizeof(SECOND));
	int handed = atomic_load(&world.handed);
	struct answer a;
	bool silent;

	assert_non_null(both);
	memcpy(both, c->request, c->len);
	memcpy(both + c->len, SECOND, sizeof(SECOND));
	a = exchange(&world, both, c->len + sizeof(SECOND) - 1);
	silent = a.status == 0 && c->other == -1;
	if (!a.closed || (!silent && a.status != c->status && (c->other == 0 || a.status != c->other)))
		fail_msg("%s: status %d, %s", c->name, a.status, a.closed ? "closed" : "still open");
	if (a.rest_len && memmem(a.rest, a.rest_len, " 200 ", 5))
		fail_msg("%s: what followed was answered", c->name);
	/* A chunked body is seen by its handler before it turns out to be malformed; nothing else is. */
	if (!strstr(c->request, "chunked\r\n\r\n"))
		assert_int_equal(atomic_load(&world.handed), handed);
	answer_free(&a);
	free(both);
}

static void malformed_heads_are_refused_and_the_connection_ends(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_refused(&cases[i]);
}

/* The same, a byte at a time: what MHD forgives must not depend on how the bytes arrive. */
static void malformed_heads_are_refused_however_they_arrive(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct gate_case *c = &cases[i];
		int fd = client_connect(&world);
		struct answer a;

		for (size_t k = 0; k < c->len; k++)
			client_send(fd, c->request + k, 1);
		client_send(fd, SECOND, sizeof(SECOND) - 1);
		a = client_read(fd, true);
		if (!a.closed || a.status == 200 || (a.rest_len && memmem(a.rest, a.rest_len, " 200 ", 5))) {
			if (!(a.closed && c->out_of_sight && a.rest_len == 0))
				fail_msg("%s: status %d, %s", c->name, a.status, a.closed ? "closed" : "still open");
		}
		answer_free(&a);
		close(fd);
	}
}

static void a_refusal_is_a_problem_with_request_id(void **state)
{
	struct answer a = exchange_str(&world, "GET /hello HTTP/1.1\r\nHost: a\r\nHost: a\r\nX-Request-Id: my.id-1\r\n\r\n");

	assert_int_equal(a.status, 400);
	assert_string_equal(answer_header(&a, "Content-Type"), "application/problem+json");
	assert_string_equal(answer_header(&a, "X-Request-Id"), "my.id-1");
	assert_string_equal(answer_header(&a, "Connection"), "close");
	assert_non_null(strstr(a.body, "\"code\":\"bad_header\""));
	assert_non_null(strstr(a.body, "\"field\":\"Host\""));
	answer_free(&a);
}

static void a_request_id_that_is_not_well_formed_is_replaced(void **state)
{
	struct answer a = exchange_str(&world, "GET /hello HTTP/1.1\r\nHost: a\r\nX-Request-Id: a b\r\nConnection: close\r\n\r\n");

	assert_int_equal(a.status, 200);
	assert_int_equal(strlen(answer_header(&a, "X-Request-Id")), 16);
	answer_free(&a);
}

/* Ends in an ordinary head; fills with n header fields. */
static struct answer with_headers(unsigned n, size_t value_len)
{
	struct buf b = BUF_INIT;
	struct answer a;

	buf_add_cstr(&b, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
	for (unsigned i = 0; i < n; i++) {
		buf_addf(&b, "X-%u: ", i);
		for (size_t k = 0; k < value_len; k++)
			buf_add_char(&b, 'v');
		buf_add_cstr(&b, "\r\n");
	}
	buf_add_cstr(&b, "\r\n");
	a = exchange(&world, b.p, b.len);
	buf_release(&b);
	return a;
}

static void a_hundred_header_fields_pass_and_one_more_does_not(void **state)
{
	struct answer a = with_headers(98, 1);

	assert_int_equal(a.status, 200);
	answer_free(&a);
	a = with_headers(99, 1);
	assert_int_equal(a.status, 431);
	answer_free(&a);
	a = with_headers(2000, 1);
	assert_int_equal(a.status, 431);
	answer_free(&a);
}

static void a_long_header_field_or_block_is_refused(void **state)
{
	struct answer a = with_headers(1, 8000);

	assert_int_equal(a.status, 200);
	answer_free(&a);
	a = with_headers(1, 8193);
	assert_int_equal(a.status, 431);
	answer_free(&a);
	a = with_headers(3, 4000);
	assert_int_equal(a.status, 200);
	answer_free(&a);
	a = with_headers(3, 5500);
	assert_int_equal(a.status, 431);
	answer_free(&a);
}

static struct answer with_target(size_t len)
{
	struct buf b = BUF_INIT;
	struct answer a;

	buf_add_cstr(&b, "GET /");
	while (b.len < len - strlen(" HTTP/1.1"))
		buf_add_char(&b, 'a');
	buf_add_cstr(&b, " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	a = exchange(&world, b.p, b.len);
	buf_release(&b);
	return a;
}

static void a_request_line_of_8_kib_passes_and_one_byte_more_does_not(void **state)
{
	struct answer a = with_target(8192);

	assert_int_equal(a.status, 404);
	answer_free(&a);
	a = with_target(8193);
	assert_int_equal(a.status, 414);
	answer_free(&a);
	a = with_target(100000);
	assert_int_equal(a.status, 414);
	answer_free(&a);
}

static void targets_are_decoded_once_and_strictly(void **state)
{
	static const struct {
		const char *target;
		int status;
	} targets[] = {
		{"/hello", 200},
		{"/%68ello", 200},
		{"/items/a%20b", 200},
		{"/items/%C3%A9", 200},
		{"http://a/hello", 200},
		{"HTTP://A/hello", 200},
		{"/items/..%2f..%2fetc", 400},
		{"/items/../hello", 400},
		{"/./hello", 400},
		{"/hello/..", 400},
		{"/%2e%2e/hello", 400},
		{"/..%5chello", 400},
		{"/a\\b", 400},
		{"//hello", 400},
		{"/items//x", 400},
		{"/%00", 400},
		{"/%", 400},
		{"/%4", 400},
		{"/%g1", 400},
		{"/%C0%AF", 400},
		{"/%ED%A0%80", 400},
		{"/%0a", 400},
		{"/%252e%252e", 404},
		{"/hello#x", 400},
		{"/h\xc3\xa9", 400},
		{"hello", 400},
		{"*", 400},
		{"http://a", 400},
		{"/hello/", 404},
		{"/slash/", 200},
		{"/query?a=1", 200},
		{"/query?a=1&a=2", 400},
		{"/query?c=1", 400},
		{"/query?a=%00", 400},
		{"/query?a=%", 400},
		{"/query?a=%FF", 400},
		{"/query?", 200},
		{"/query?a=1&&b", 200},
		{"/query?a=1;b=2", 200},
		{"/query?1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&17&18&19&20&21&22&23&24&25&26&27&28&29&30&31&32&33", 400},
	};

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		char request[512];
		struct answer a;

		snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", targets[i].target);
		a = exchange_str(&world, request);
		if (a.status != targets[i].status)
			fail_msg("%s: %d instead of %d", targets[i].target, a.status, targets[i].status);
		answer_free(&a);
	}
}

static void a_malformed_length_is_answered_once(void **state)
{
	struct answer a = exchange_str(&world, POST "Content-Length: x\r\n\r\nhello");

	assert_int_equal(a.status, 400);
	assert_int_equal(a.rest_len, 0);
	answer_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(malformed_heads_are_refused_and_the_connection_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(malformed_heads_are_refused_however_they_arrive, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refusal_is_a_problem_with_request_id, setup, teardown),
		cmocka_unit_test_setup_teardown(a_request_id_that_is_not_well_formed_is_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(a_hundred_header_fields_pass_and_one_more_does_not, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_header_field_or_block_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_request_line_of_8_kib_passes_and_one_byte_more_does_not, setup, teardown),
		cmocka_unit_test_setup_teardown(targets_are_decoded_once_and_strictly, setup, teardown),
		cmocka_unit_test_setup_teardown(a_malformed_length_is_answered_once, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
