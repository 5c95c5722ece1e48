/* RFC 4231: the vectors of HMAC-SHA-256 that are not about truncation, each in one part and in three. */
#include "base/compiler.h"
#include "net/sign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct vector {
	struct str key, data;
	const char *mac;
};

static void check(const struct vector *v)
{
	size_t third = v->data.len / 3;
	const struct str pieces[] = {{v->data.p, third}, {v->data.p + third, third}, {v->data.p + 2 * third, v->data.len - 2 * third}};
	struct err e = ERR_INIT;
	uint8_t whole[32], parts[32];
	char hex[65] = "";

	assert_int_equal(sign_hmac_sha256(whole, v->key, &v->data, 1, &e), 0);
	for (size_t i = 0; i < sizeof(whole); i++)
		snprintf(hex + 2 * i, 3, "%02x", whole[i]);
	assert_string_equal(hex, v->mac);
	assert_int_equal(sign_hmac_sha256(parts, v->key, pieces, ARRAY_LEN(pieces), &e), 0);
	assert_memory_equal(parts, whole, sizeof(parts));
}

static void the_vectors_of_rfc_4231_come_out(void **state)
{
	static char key20[20], keyaa[20], datadd[50], key25[25], datacd[50], key131[131];

	memset(key20, 0x0b, sizeof(key20));
	memset(keyaa, 0xaa, sizeof(keyaa));
	memset(datadd, 0xdd, sizeof(datadd));
	memset(datacd, 0xcd, sizeof(datacd));
	memset(key131, 0xaa, sizeof(key131));
	for (size_t i = 0; i < sizeof(key25); i++)
		key25[i] = (char)(i + 1);
	const struct vector vectors[] = {
		{{key20, 20}, STR("Hi There"), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{STR("Jefe"), STR("what do ya want for nothing?"), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{{keyaa, 20}, {datadd, 50}, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
		{{key25, 25}, {datacd, 50}, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
		{{key131, 131},
		 STR("Test Using Larger Than Block-Size Key - Hash Key First"),
		 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
		{{key131, 131},
		 STR("This is a test using a larger than block-size key and a larger than block-size data. "
		     "The key needs to be hashed before being used by the HMAC algorithm."),
		 "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
	};

	for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
		check(&vectors[i]);
}

static void every_bit_makes_another_signature(void **state)
{
	uint8_t a[32], b[32];

	for (size_t i = 0; i < sizeof(a); i++)
		a[i] = (uint8_t)(i * 7);
	memcpy(b, a, sizeof(b));
	assert_true(sign_equal(a, b));
	for (size_t bit = 0; bit < 256; bit++) {
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(sign_equal(a, b));
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_vectors_of_rfc_4231_come_out),
					   cmocka_unit_test(every_bit_makes_another_signature)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
