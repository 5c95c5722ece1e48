/* The signature of a request: how it is read, what it must cover, what is signed. The vector is RFC 9421, Appendix B.2.5. */
#include "auth/signature.h"
#include "base/compiler.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW INT64_C(1618884473)
#define ZERO_MAC "s=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
#define SECRET "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="

struct field {
	const char *name, *value;
};

/* The request of Appendix B.2. */
static const struct field fields[] = {
	{"date", "Tue, 20 Apr 2021 02:07:55 GMT"},
	{"content-type", "application/json"},
	{"content-length", "18"},
	{"x-latin", "caf\xe9"},
	{"x-empty", ""},
};

static struct str field_of(const void *arg, struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (str_eq(name, str_of(fields[i].name)))
			return str_of(fields[i].value);
	return (struct str){};
}

static struct signed_message message(void)
{
	return (struct signed_message){.method = STR("POST"),
				       .scheme = STR("https"),
				       .authority = STR("Example.com"),
				       .target = STR("/foo?param=Value&Pet=dog"),
				       .field = field_of};
}

static int parse(struct arena *a, struct signature *s, const char *input, const char *mac, struct err *e)
{
	return signature_parse(s, str_of(input), str_of(mac), a, e);
}

static void the_vector_of_the_rfc_holds(void **state)
{
	static const char expected[] =
		"\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n"
		"\"@authority\": example.com\n"
		"\"content-type\": application/json\n"
		"\"@signature-params\": (\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"";
	const struct signed_message m = message();
	struct arena a = ARENA_INIT;
	struct buf base = BUF_INIT;
	struct err e = ERR_INIT;
	struct signature s;
	uint8_t key[64];

	assert_int_equal(base64_decode(key, sizeof(key), STR(SECRET)), 64);
	assert_int_equal(parse(&a, &s, "sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"",
			       "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:", &e),
			 0);
	assert_int_equal(s.created, NOW);
	assert_true(str_eq(s.keyid, STR("test-shared-secret")));
	assert_int_equal(signature_base(&base, &s, &m, &e), 0);
	assert_true(str_eq(buf_str(&base), STR(expected)));
	assert_true(signature_is_by(&s, buf_str(&base), key, sizeof(key)));
	for (unsigned bit = 0; bit < 8 * sizeof(s.mac); bit++) {
		s.mac[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(signature_is_by(&s, buf_str(&base), key, sizeof(key)));
		s.mac[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	key[63] ^= 1;
	assert_false(signature_is_by(&s, buf_str(&base), key, sizeof(key)));
	buf_release(&base);
	arena_release(&a);
}

static void each_derived_component_has_its_value(void **state)
{
	static const char expected[] =
		"\"@method\": POST\n"
		"\"@target-uri\": https://example.com/foo?param=Value&Pet=dog\n"
		"\"@authority\": example.com\n"
		"\"@scheme\": https\n"
		"\"@request-target\": /foo?param=Value&Pet=dog\n"
		"\"@path\": /foo\n"
		"\"@query\": ?param=Value&Pet=dog\n"
		"\"x-empty\": \n"
		"\"@signature-params\": (\"@method\" \"@target-uri\" \"@authority\" \"@scheme\" \"@request-target\" \"@path\" "
		"\"@query\" \"x-empty\")";
	struct signed_message m = message();
	struct arena a = ARENA_INIT;
	struct buf base = BUF_INIT;
	struct err e = ERR_INIT;
	struct signature s;

	assert_int_equal(
		parse(&a, &s,
		      "a=(\"@method\" \"@target-uri\" \"@authority\" \"@scheme\" \"@request-target\" \"@path\" \"@query\" \"x-empty\")",
		      "a=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:", &e),
		0);
	assert_int_equal(signature_base(&base, &s, &m, &e), 0);
	assert_true(str_eq(buf_str(&base), STR(expected)));
	buf_reset(&base);
	m.target = STR("/foo"); /* §2.2.7: no query is a lone question mark */
	assert_int_equal(signature_base(&base, &s, &m, &e), 0);
	assert_non_null(strstr(base.p, "\"@path\": /foo\n\"@query\": ?\n"));
	buf_release(&base);
	arena_release(&a);
}

static void a_list_is_signed_in_one_form_however_it_was_written(void **state)
{
	struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct signature s;

	assert_int_equal(parse(&a, &s,
			       "  s=(  \"date\"   \"@path\" ); created=0005;  nonce=\"q\\\"\\\\uote\";alg=\"hmac-sha256\";expires=7 \t",
			       ZERO_MAC, &e),
			 0);
	assert_true(str_eq(s.params, STR("(\"date\" \"@path\");created=5;nonce=\"q\\\"\\\\uote\";alg=\"hmac-sha256\";expires=7")));
	assert_true(str_eq(s.nonce, STR("q\"\\uote")));
	assert_int_equal(s.expires, 7);
	assert_true(signature_covers(&s, STR("@path")));
	assert_false(signature_covers(&s, STR("@method")));
	arena_release(&a);
}

static void what_is_no_signature_for_us_is_refused(void **state)
{
	static const char good_mac[] = "s=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:";
	static const char *const inputs[] = {
		"",
		"s",
		"s=",
		"s=1",
		"s=()x",
		"s=(\"date\"",
		"s=(\"date\"\"@path\")",
		"s=(\"date\" \"date\")",
		"s=(date)",
		"s=(1)",
		"s=(\"Date\")",
		"s=(\"\")",
		"s=(\"a b\")",
		"s=(\"@query-param\")",
		"s=(\"@status\")",
		"s=(\"date\";sf)",
		"s=(\"@query-param\";name=\"q\")",
		"s=(\"@method\";req)",
		"s=();created=1, t=();created=1",
		"s=();created=1, s=();created=1",
		"s=();created=1,",
		"s=();created=-1",
		"s=();created=1.0",
		"s=();created=\"1\"",
		"s=();created",
		"s=();created=9999999999999999",
		"s=();created=1;created=1",
		"s=();keyid=token",
		"s=();tag=\"x\"",
		"s=();Created=1",
		"s=();alg=\"none\"",
		"s=();alg=\"ed25519\"",
		"s=();alg=\"rsa-pss-sha512\"",
		"s=();alg=hmac-sha256",
		"S=()",
		"s=();nonce=\"caf\xe9\"",
		"s=();nonce=\"open",
	};
	static const char *const macs[] = {
		"",
		"s",
		"s=1",
		"t=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:",
		"s=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA:",
		"s=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=:", /* bits that encode nothing */
		"s=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==:",
		"s=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"s=: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:",
		"s=:____________________________________________:", /* the alphabet of URLs */
		"s=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA:", /* 33 bytes */
		"s=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==:", /* 31 bytes */
		"s=::",
		"s=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:;x",
		"s=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:, s=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:",
	};
	struct arena a = ARENA_INIT;
	struct signature s;

	for (size_t i = 0; i < ARRAY_LEN(inputs) + ARRAY_LEN(macs); i++) {
		const char *input = i < ARRAY_LEN(inputs) ? inputs[i] : "s=();created=1";
		const char *mac = i < ARRAY_LEN(inputs) ? good_mac : macs[i - ARRAY_LEN(inputs)];
		struct err e = ERR_INIT;
		if (parse(&a, &s, input, mac, &e) != ERR_BAD_HEADER)
			fail_msg("taken: %s and %s", input, mac);
		assert_string_equal(e.field, i < ARRAY_LEN(inputs) ? "Signature-Input" : "Signature");
		assert_string_not_equal(e.detail, "");
	}
	arena_release(&a);
}

static void one_field_without_the_other_is_refused(void **state)
{
	struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct signature s;

	assert_int_equal(signature_parse(&s, (struct str){}, STR("s=:AAAA:"), &a, &e), ERR_BAD_HEADER);
	assert_string_equal(e.field, "Signature-Input");
	assert_int_equal(signature_parse(&s, STR("s=()"), (struct str){}, &a, &e), ERR_BAD_HEADER);
	assert_string_equal(e.field, "Signature");
	arena_release(&a);
}

static void no_more_components_than_the_limit_are_covered(void **state)
{
	for (unsigned n = SIGNATURE_COMPONENTS_MAX; n <= SIGNATURE_COMPONENTS_MAX + 1; n++) {
		struct buf input = BUF_INIT;
		struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		struct signature s;

		for (unsigned i = 0; i < n; i++)
			buf_addf(&input, "%s\"x-%u\"", i > 0 ? " " : "s=(", i);
		buf_add_char(&input, ')');
		assert_true(buf_ok(&input));
		assert_int_equal(parse(&a, &s, input.p, ZERO_MAC, &e), n <= SIGNATURE_COMPONENTS_MAX ? 0 : ERR_BAD_HEADER);
		buf_release(&input);
		arena_release(&a);
	}
}

static void a_covered_field_must_be_there_and_be_ascii(void **state)
{
	static const char *const bad[] = {"x-absent", "x-latin"};
	const struct signed_message m = message();

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct arena a = ARENA_INIT;
		struct buf base = BUF_INIT;
		struct err e = ERR_INIT;
		struct signature s;
		char input[64];

		snprintf(input, sizeof(input), "s=(\"%s\")", bad[i]);
		assert_int_equal(parse(&a, &s, input, ZERO_MAC, &e), 0);
		assert_int_equal(signature_base(&base, &s, &m, &e), ERR_BAD_SIGNATURE);
		buf_release(&base);
		arena_release(&a);
	}
}

/* What signature_check() says to `("@method" "@target-uri"…);…`. */
static int judge(const char *components, const char *parameters, bool has_body, int64_t now_s)
{
	struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct signature s;
	char input[512];
	int rc;

	snprintf(input, sizeof(input), "s=(%s)%s", components, parameters);
	assert_int_equal(parse(&a, &s, input, ZERO_MAC, &e), 0);
	rc = signature_check(&s, has_body, now_s, &e);
	assert_string_equal(e.field, rc == 0 ? "" : "Signature-Input");
	arena_release(&a);
	return rc;
}

#define COVERED "\"@method\" \"@target-uri\""
#define PARAMETERS ";created=1618884473;keyid=\"k\";nonce=\"0123456789abcdef\""

static void a_signature_covers_the_method_the_target_and_the_body(void **state)
{
	assert_int_equal(judge(COVERED, PARAMETERS, false, NOW), 0);
	assert_int_equal(judge(COVERED, PARAMETERS, true, NOW), ERR_BAD_SIGNATURE);
	assert_int_equal(judge(COVERED " \"content-digest\"", PARAMETERS, true, NOW), 0);
	assert_int_equal(judge("\"@method\"", PARAMETERS, false, NOW), ERR_BAD_SIGNATURE);
	assert_int_equal(judge("\"@target-uri\" \"@path\"", PARAMETERS, false, NOW), ERR_BAD_SIGNATURE);
	assert_int_equal(judge("\"@method\" \"@path\" \"@query\" \"@authority\"", PARAMETERS, false, NOW), ERR_BAD_SIGNATURE);
}

static void a_signature_has_a_time_a_key_and_a_nonce_of_some_length(void **state)
{
	char parameters[128];

	assert_int_equal(judge(COVERED, ";keyid=\"k\";nonce=\"0123456789abcdef\"", false, NOW), ERR_BAD_HEADER);
	assert_int_equal(judge(COVERED, ";created=1618884473;nonce=\"0123456789abcdef\"", false, NOW), ERR_BAD_HEADER);
	assert_int_equal(judge(COVERED, ";created=1618884473;keyid=\"k\"", false, NOW), ERR_BAD_HEADER);
	for (int n = SIGNATURE_NONCE_MIN - 1; n <= SIGNATURE_NONCE_MAX + 1; n++) {
		snprintf(parameters, sizeof(parameters), ";created=1618884473;keyid=\"k\";nonce=\"%0*d\"", n, 7);
		assert_int_equal(judge(COVERED, parameters, false, NOW),
				 n < SIGNATURE_NONCE_MIN || n > SIGNATURE_NONCE_MAX ? ERR_BAD_HEADER : 0);
	}
}

static void a_signature_counts_around_its_time_only(void **state)
{
	assert_int_equal(judge(COVERED, PARAMETERS, false, NOW + SIGNATURE_WINDOW_S), 0);
	assert_int_equal(judge(COVERED, PARAMETERS, false, NOW - SIGNATURE_WINDOW_S), 0);
	assert_int_equal(judge(COVERED, PARAMETERS, false, NOW + SIGNATURE_WINDOW_S + 1), ERR_BAD_SIGNATURE);
	assert_int_equal(judge(COVERED, PARAMETERS, false, NOW - SIGNATURE_WINDOW_S - 1), ERR_BAD_SIGNATURE);
	assert_int_equal(judge(COVERED, PARAMETERS ";expires=1618884483", false, NOW + 9), 0);
	assert_int_equal(judge(COVERED, PARAMETERS ";expires=1618884483", false, NOW + 10), ERR_BAD_SIGNATURE);
}

static void the_mark_of_use_is_of_the_key_and_the_nonce(void **state)
{
	const struct signature a = {.keyid = STR("key"), .nonce = STR("a nonce")}, b = {.keyid = STR("keya"), .nonce = STR(" nonce")};
	uint8_t expected[SIGNATURE_ONCE], one[SIGNATURE_ONCE], other[SIGNATURE_ONCE];

	/* printf 'nonce\0key\0a nonce' | sha256sum */
	assert_true(hex_decode(expected, sizeof(expected), STR("4a11a6e1bf1ea633e565e0ec475337be9d48d259a6d77fd922ea8b189a3c02af")));
	signature_once(one, &a);
	signature_once(other, &b);
	assert_memory_equal(one, expected, sizeof(one));
	assert_memory_not_equal(one, other, sizeof(one));
}

/* ---- every bit ---- */

#define MESSAGES 200
#define PARTS 8

/* All that comes over the wire and counts, in one piece each, so that any bit of it can be changed. */
enum part { PART_INPUT, PART_MAC, PART_METHOD, PART_AUTHORITY, PART_TARGET, PART_DIGEST, PART_TYPE, PART_KEY };

struct wire {
	char text[PARTS][320];
};

static struct str wire_field(const void *arg, struct str name)
{
	const struct wire *w = arg;

	if (str_eq(name, STR("content-digest")))
		return str_of(w->text[PART_DIGEST]);
	return str_eq(name, STR("content-type")) ? str_of(w->text[PART_TYPE]) : (struct str){};
}

static bool holds(const struct wire *w, struct arena *a, struct buf *base)
{
	const struct signed_message m = {.method = str_of(w->text[PART_METHOD]),
					 .scheme = STR("http"),
					 .authority = str_of(w->text[PART_AUTHORITY]),
					 .target = str_of(w->text[PART_TARGET]),
					 .field = wire_field,
					 .arg = w};
	struct err e = ERR_INIT;
	struct signature s;

	buf_reset(base);
	return signature_parse(&s, str_of(w->text[PART_INPUT]), str_of(w->text[PART_MAC]), a, &e) == 0 &&
	       signature_check(&s, true, NOW, &e) == 0 && signature_base(base, &s, &m, &e) == 0 &&
	       signature_is_by(&s, buf_str(base), w->text[PART_KEY], 32);
}

static void sign(struct wire *w, struct arena *a, struct buf *base)
{
	crypto_auth_hmacsha256_state state;
	uint8_t mac[32];
	char text[64];

	strcpy(w->text[PART_MAC], "sig=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:");
	assert_false(holds(w, a, base)); /* which leaves what is to be signed in `base` */
	crypto_auth_hmacsha256_init(&state, (const unsigned char *)w->text[PART_KEY], 32);
	crypto_auth_hmacsha256_update(&state, (const unsigned char *)base->p, base->len);
	crypto_auth_hmacsha256_final(&state, mac);
	base64_encode(text, mac, sizeof(mac));
	snprintf(w->text[PART_MAC], sizeof(w->text[PART_MAC]), "sig=:%s:", text);
}

static void a_message_with_any_one_bit_changed_is_not_the_signed_one(void **state)
{
	struct buf base = BUF_INIT;
	long tried = 0;

	for (int n = 0; n < MESSAGES; n++) {
		struct arena a = ARENA_INIT;
		struct wire w = {{"", "", "POST", "Files.example:8080", "", "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
				  "text/plain", "0123456789abcdef0123456789abcdef"}};
		snprintf(w.text[PART_TARGET], sizeof(w.text[PART_TARGET]), "/v1/files?name=a%%20%d", n * 7919);
		snprintf(
			w.text[PART_INPUT], sizeof(w.text[PART_INPUT]),
			"sig=(\"@method\" \"@target-uri\" \"content-digest\" \"content-type\");created=%lld;keyid=\"key-%d\";nonce=\"%016d\"",
			(long long)NOW - n, n, n * 104729);
		sign(&w, &a, &base);
		assert_true(holds(&w, &a, &base));
		for (int part = 0; part < PARTS; part++) {
			for (size_t bit = 0; bit < 8 * strlen(w.text[part]); bit++) {
				char *c = &w.text[part][bit / 8], was = *c;
				struct arena b = ARENA_INIT;
				*c = (char)(was ^ 1 << bit % 8);
				/* the case of a host's name says nothing */
				bool same = part == PART_AUTHORITY && (was | 32) >= 'a' && (was | 32) <= 'z' && bit % 8 == 5;
				if (*c != '\0' && holds(&w, &b, &base) != same)
					fail_msg("part %d, bit %zu: %s", part, bit, w.text[part]);
				*c = was;
				arena_release(&b);
				tried++;
			}
		}
		arena_release(&a);
	}
	assert_true(tried > 2000 * MESSAGES);
	buf_release(&base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vector_of_the_rfc_holds),
		cmocka_unit_test(each_derived_component_has_its_value),
		cmocka_unit_test(a_list_is_signed_in_one_form_however_it_was_written),
		cmocka_unit_test(what_is_no_signature_for_us_is_refused),
		cmocka_unit_test(one_field_without_the_other_is_refused),
		cmocka_unit_test(no_more_components_than_the_limit_are_covered),
		cmocka_unit_test(a_covered_field_must_be_there_and_be_ascii),
		cmocka_unit_test(a_signature_covers_the_method_the_target_and_the_body),
		cmocka_unit_test(a_signature_has_a_time_a_key_and_a_nonce_of_some_length),
		cmocka_unit_test(a_signature_counts_around_its_time_only),
		cmocka_unit_test(the_mark_of_use_is_of_the_key_and_the_nonce),
		cmocka_unit_test(a_message_with_any_one_bit_changed_is_not_the_signed_one),
	};

	return cmocka_run_group_tests_name("signature", tests, NULL, NULL);
}
