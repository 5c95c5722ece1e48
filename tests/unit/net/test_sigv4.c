/* The examples that Amazon publishes for S3 ("Signature Calculations … Using the Authorization Header", "… Using Query Parameters") and its test suite for Signature Version 4. */
#include "net/sigv4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define S3_TIME 1369353600 /* 2013-05-24T00:00:00Z */
#define SUITE_TIME 1440938160 /* 2015-08-30T12:36:00Z */

static const struct sigv4_key s3_key = {STR("AKIAIOSFODNN7EXAMPLE"), STR("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), STR("us-east-1"),
					STR("s3")};
static const struct sigv4_key suite_key = {STR("AKIDEXAMPLE"), STR("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), STR("us-east-1"),
					   STR("service")};

#define HOST                                                                                                                               \
	{                                                                                                                                  \
		STR("host"), STR("examplebucket.s3.amazonaws.com")                                                                         \
	}
#define DATE                                                                                                                               \
	{                                                                                                                                  \
		STR("x-amz-date"), STR("20130524T000000Z")                                                                                 \
	}

static void assert_signature(const struct sigv4_key *key, const struct sigv4_request *r, const char *signature)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	assert_int_equal(sigv4_authorization(&out, key, r, &e), 0);
	assert_true(out.len > 64);
	assert_string_equal(out.p + out.len - 64, signature);
	buf_release(&out);
}

static void an_object_is_asked_for_with_a_range(void **state)
{
	const struct sigv4_pair headers[] = {
		{STR("range"), STR("bytes=0-9")}, {STR("x-amz-content-sha256"), STR(SIGV4_EMPTY_SHA256)}, DATE, HOST};
	const struct sigv4_request r = {.method = STR("GET"),
					.path = STR("/test.txt"),
					.headers = headers,
					.n_headers = 4,
					.payload_sha256 = STR(SIGV4_EMPTY_SHA256),
					.unix_s = S3_TIME};
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	assert_int_equal(sigv4_authorization(&out, &s3_key, &r, &e), 0);
	assert_string_equal(out.p, "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
				   "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
				   "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
	buf_release(&out);
}

static void an_object_with_a_dollar_in_its_key_is_put(void **state)
{
	const struct sigv4_pair headers[] = {
		{STR("date"), STR("Fri, 24 May 2013 00:00:00 GMT")},
		HOST,
		{STR("x-amz-content-sha256"), STR("44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072")},
		DATE,
		{STR("x-amz-storage-class"), STR("REDUCED_REDUNDANCY")}};
	const struct sigv4_request r = {.method = STR("PUT"),
					.path = STR("/test$file.text"),
					.headers = headers,
					.n_headers = 5,
					.payload_sha256 = STR("44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
					.unix_s = S3_TIME};

	assert_signature(&s3_key, &r, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void a_parameter_without_a_value_is_signed(void **state)
{
	const struct sigv4_pair headers[] = {HOST, {STR("x-amz-content-sha256"), STR(SIGV4_EMPTY_SHA256)}, DATE};
	const struct sigv4_pair query[] = {{STR("lifecycle"), STR("")}};
	const struct sigv4_request r = {.method = STR("GET"),
					.path = STR("/"),
					.query = query,
					.n_query = 1,
					.headers = headers,
					.n_headers = 3,
					.payload_sha256 = STR(SIGV4_EMPTY_SHA256),
					.unix_s = S3_TIME};

	assert_signature(&s3_key, &r, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

static void parameters_are_signed_in_order_whatever_order_they_come_in(void **state)
{
	const struct sigv4_pair headers[] = {HOST, {STR("x-amz-content-sha256"), STR(SIGV4_EMPTY_SHA256)}, DATE};
	const struct sigv4_pair query[] = {{STR("prefix"), STR("J")}, {STR("max-keys"), STR("2")}};
	const struct sigv4_request r = {.method = STR("GET"),
					.path = STR(""),
					.query = query,
					.n_query = 2,
					.headers = headers,
					.n_headers = 3,
					.payload_sha256 = STR(SIGV4_EMPTY_SHA256),
					.unix_s = S3_TIME};
	struct buf target = BUF_INIT;

	assert_signature(&s3_key, &r, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
	sigv4_target(&target, &r);
	assert_string_equal(target.p, "/?max-keys=2&prefix=J");
	buf_release(&target);
}

static void an_address_is_signed_in_its_query(void **state)
{
	const struct sigv4_pair headers[] = {HOST};
	const struct sigv4_request r = {.method = STR("GET"),
					.path = STR("/test.txt"),
					.headers = headers,
					.n_headers = 1,
					.payload_sha256 = STR(SIGV4_UNSIGNED),
					.unix_s = S3_TIME};
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	assert_int_equal(sigv4_presign(&out, &s3_key, &r, 86400, &e), 0);
	assert_string_equal(
		out.p,
		"/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
		"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
		"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
	buf_reset(&out);
	assert_int_equal(sigv4_presign(&out, &s3_key, &r, 604801, &e), ERR_INVALID_VALUE);
	assert_int_equal(sigv4_presign(&out, &s3_key, &r, 0, &e), ERR_INVALID_VALUE);
	buf_release(&out);
}

static void the_plainest_request_of_the_suite(void **state)
{
	const struct sigv4_pair headers[] = {{STR("host"), STR("example.amazonaws.com")}, {STR("x-amz-date"), STR("20150830T123600Z")}};
	const struct sigv4_request r = {.method = STR("GET"),
					.path = STR("/"),
					.headers = headers,
					.n_headers = 2,
					.payload_sha256 = STR(SIGV4_EMPTY_SHA256),
					.unix_s = SUITE_TIME};

	assert_signature(&suite_key, &r, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

static void keys_are_encoded_once_and_nothing_in_them_is_normalised(void **state)
{
	const struct sigv4_request r = {.path = STR("/b/a b+c/../x//\xc3\xa4~%41?&=")};
	struct buf target = BUF_INIT;

	sigv4_target(&target, &r);
	assert_string_equal(target.p, "/b/a%20b%2Bc/../x//%C3%A4~%2541%3F%26%3D");
	buf_release(&target);
}

static void more_parameters_than_there_is_room_for_are_refused(void **state)
{
	struct sigv4_pair query[SIGV4_HEADERS_MAX + 1] = {};
	struct sigv4_request r = {.method = STR("GET"),
				  .query = query,
				  .n_query = SIGV4_HEADERS_MAX,
				  .payload_sha256 = STR(SIGV4_UNSIGNED),
				  .unix_s = S3_TIME};
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	assert_int_equal(sigv4_authorization(&out, &s3_key, &r, &e), 0);
	r.n_query++;
	assert_int_equal(sigv4_authorization(&out, &s3_key, &r, &e), ERR_INVALID_VALUE);
	r.n_query = SIGV4_HEADERS_MAX - 4;
	assert_int_equal(sigv4_presign(&out, &s3_key, &r, 60, &e), ERR_INVALID_VALUE);
	buf_release(&out);
}

static void times_before_1970_and_leap_days_are_written_right(void **state)
{
	char text[SIGV4_TIME_LEN + 1];

	sigv4_time(text, -1);
	assert_string_equal(text, "19691231T235959Z");
	sigv4_time(text, 951782400);
	assert_string_equal(text, "20000229T000000Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_object_is_asked_for_with_a_range),
		cmocka_unit_test(an_object_with_a_dollar_in_its_key_is_put),
		cmocka_unit_test(a_parameter_without_a_value_is_signed),
		cmocka_unit_test(parameters_are_signed_in_order_whatever_order_they_come_in),
		cmocka_unit_test(an_address_is_signed_in_its_query),
		cmocka_unit_test(the_plainest_request_of_the_suite),
		cmocka_unit_test(keys_are_encoded_once_and_nothing_in_them_is_normalised),
		cmocka_unit_test(more_parameters_than_there_is_room_for_are_refused),
		cmocka_unit_test(times_before_1970_and_leap_days_are_written_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
