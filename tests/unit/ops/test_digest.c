/* Digests against published vectors and against OpenSSL, over every length that meets a block border and over random cuts. */
#include "ops/digest_impl.h"
#include "ops/digest_table.h"
#include "ops/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define BIT(algo) (1u << (algo))
#define ALL (BIT(DIGEST_ALGOS) - 1)
#define PAIR (BIT(DIGEST_MD5) | BIT(DIGEST_SHA256))

/* xorshift64: the same bytes and cuts in every run, so that a failure comes again. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint8_t *random_bytes(size_t n, uint64_t seed)
{
	uint8_t *p = malloc(n ? n : 1);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(next_random(&seed) >> 32);
	return p;
}

static void openssl_digest(const char *name, const void *data, size_t n, uint8_t *out)
{
	assert_int_equal(EVP_Q_digest(NULL, name, NULL, data, n, out, NULL), 1);
}

static void assert_digest_hex(const struct digest_set *d, enum digest_algo algo, const char *hex)
{
	char got[2 * DIGEST_MAX + 1];
	size_t n = 0;
	const uint8_t *bytes = digest_set_get(d, algo, &n);

	assert_non_null(bytes);
	assert_int_equal(n, digest_size(algo));
	hex_encode(got, bytes, n);
	assert_string_equal(got, hex);
}

static void the_published_vectors_come_out(void **state)
{
	/* RFC 1321 A.5, FIPS 180-4 examples, RFC 3720 B.4 (CRC-32C of "123456789" is the check value of its definition) */
	static const struct {
		const char *text;
		enum digest_algo algo;
		const char *hex;
	} vectors[] = {
		{"", DIGEST_MD5, "d41d8cd98f00b204e9800998ecf8427e"},
		{"abc", DIGEST_MD5, "900150983cd24fb0d6963f7d28e17f72"},
		{"12345678901234567890123456789012345678901234567890123456789012345678901234567890", DIGEST_MD5,
		 "57edf4a22be3c955ac49da2e2107b67a"},
		{"abc", DIGEST_SHA1, "a9993e364706816aba3e25717850c26c9cd0d89d"},
		{"", DIGEST_SHA256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", DIGEST_SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", DIGEST_SHA256,
		 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
		{"abc", DIGEST_SHA512,
		 "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
		{"", DIGEST_CRC32C, "00000000"},
		{"123456789", DIGEST_CRC32C, "e3069283"},
	};

	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct digest_set *d;

		assert_int_equal(digest_set_new(&d, ALL, NULL), 0);
		digest_set_update(d, vectors[i].text, strlen(vectors[i].text));
		assert_int_equal(digest_set_finish(d, NULL), 0);
		assert_digest_hex(d, vectors[i].algo, vectors[i].hex);
		digest_set_free(d);
	}
}

static void assert_as_openssl(const struct digest_set *d, unsigned mask, const uint8_t *data, size_t n)
{
	static const char *const names[DIGEST_ALGOS] = {"MD5", "SHA1", "SHA256", "SHA512", NULL};

	for (unsigned algo = 0; algo < DIGEST_ALGOS; algo++) {
		uint8_t want[DIGEST_MAX];
		size_t size = 0;
		const uint8_t *got = digest_set_get(d, algo, &size);

		if (!(mask & BIT(algo))) {
			assert_null(got);
			continue;
		}
		if (!names[algo])
			continue;
		openssl_digest(names[algo], data, n, want);
		assert_int_equal(size, digest_size(algo));
		assert_memory_equal(got, want, size);
	}
}

static void every_short_length_and_every_mask_agree_with_openssl(void **state)
{
	uint8_t *data = random_bytes(300, 1);
	struct digest_set *d;

	assert_int_equal(digest_set_new(&d, 0, NULL), 0);
	for (unsigned mask = 0; mask <= ALL; mask++)
		for (size_t n = 0; n <= 300; n++) {
			assert_int_equal(digest_set_reset(d, mask, NULL), 0);
			digest_set_update(d, data, n);
			assert_int_equal(digest_set_finish(d, NULL), 0);
			assert_as_openssl(d, mask, data, n);
		}
	digest_set_free(d);
	free(data);
}

static void two_pieces_cut_anywhere_give_the_same(void **state)
{
	uint8_t *data = random_bytes(200, 2);
	struct digest_set *d;

	assert_int_equal(digest_set_new(&d, PAIR, NULL), 0);
	for (size_t n = 0; n <= 200; n += 1 + n / 90)
		for (size_t cut = 0; cut <= n; cut++) {
			assert_int_equal(digest_set_reset(d, PAIR, NULL), 0);
			digest_set_update(d, data, cut);
			digest_set_update(d, data + cut, n - cut);
			assert_int_equal(digest_set_finish(d, NULL), 0);
			assert_as_openssl(d, PAIR, data, n);
		}
	digest_set_free(d);
	free(data);
}

static void large_random_data_in_random_pieces_agrees_with_openssl(void **state)
{
	uint64_t seed = 3;
	struct digest_set *d;

	assert_int_equal(digest_set_new(&d, 0, NULL), 0);
	for (int round = 0; round < 40; round++) {
		size_t n = next_random(&seed) % (3u << 20), at = 0;
		size_t most = 1 + next_random(&seed) % (round % 2 ? 200 : 100000);
		uint8_t *data = random_bytes(n, (uint64_t)round + 99);

		assert_int_equal(digest_set_reset(d, ALL, NULL), 0);
		while (at < n) {
			size_t take = next_random(&seed) % (most + 1);

			take = take < n - at ? take : n - at;
			digest_set_update(d, data + at, take);
			at += take;
		}
		assert_int_equal(digest_set_finish(d, NULL), 0);
		assert_as_openssl(d, ALL, data, n);
		free(data);
	}
	digest_set_free(d);
}

/* The second one begins anywhere; each piece goes into both, and some bytes into one alone, before and in between. */
static void a_part_of_a_stream_is_digested_beside_it(void **state)
{
	static const unsigned firsts[] = {PAIR, ALL, BIT(DIGEST_SHA256), BIT(DIGEST_MD5)};
	uint8_t *data = random_bytes(3000, 5);
	struct digest_set *first, *second;
	uint64_t seed = 6;

	assert_int_equal(digest_set_new(&first, 0, NULL), 0);
	assert_int_equal(digest_set_new(&second, BIT(DIGEST_SHA256), NULL), 0);
	for (unsigned round = 0; round < 4000; round++) {
		const unsigned mask = firsts[round % ARRAY_LEN(firsts)];
		const size_t from = round % 8 < 4 ? next_random(&seed) % 5 * 64 : next_random(&seed) % 300,
			     most = 1 + next_random(&seed) % 400;
		const size_t end = from + next_random(&seed) % (sizeof(uint8_t[3000]) - from);

		assert_int_equal(digest_set_reset(first, mask, NULL), 0);
		digest_set_update(first, data, from);
		assert_int_equal(digest_set_reset_beside(second, first, NULL), 0);
		for (size_t at = from; at < end;) {
			const size_t left = end - at, n = next_random(&seed) % most + 1, take = n < left ? n : left;

			if (next_random(&seed) % 16 == 0) {
				digest_set_update(first, data + at, take);
				digest_set_update(second, data + at, take);
			} else {
				digest_set_update_both(first, second, data + at, take);
			}
			at += take;
		}
		digest_set_update_both(first, second, data, 0);
		assert_int_equal(digest_set_finish(first, NULL), 0);
		assert_int_equal(digest_set_finish(second, NULL), 0);
		assert_as_openssl(first, mask, data, end);
		assert_as_openssl(second, BIT(DIGEST_SHA256), data + from, end - from);
	}
	digest_set_free(first);
	digest_set_free(second);
	free(data);
}

/* What came before was not the same, though it was as long. */
static void bytes_that_went_into_one_alone_stay_its_own(void **state)
{
	static const uint8_t data[300] = {1, 2, 3};
	struct digest_set *first, *second;
	uint8_t want[32];
	size_t n;

	assert_int_equal(digest_set_new(&first, PAIR, NULL), 0);
	assert_int_equal(digest_set_new(&second, 0, NULL), 0);
	assert_int_equal(digest_set_reset_beside(second, first, NULL), 0);
	digest_set_update(first, data + 1, 10);
	digest_set_update(second, data, 10);
	digest_set_update_both(first, second, data + 10, 290);
	assert_int_equal(digest_set_finish(second, NULL), 0);
	openssl_digest("SHA256", data, 300, want);
	assert_memory_equal(digest_set_get(second, DIGEST_SHA256, &n), want, sizeof(want));
	assert_null(digest_set_get(second, DIGEST_MD5, &n));
	digest_set_free(first);
	digest_set_free(second);
}

/* Also by a machine that would not choose it, as long as it can. */
static void the_pair_counts_lengths_beyond_32_bits(void **state)
{
	static uint8_t zeros[1 << 20];
	const uint64_t blocks = 513; /* of 1 MiB: 2^32 bits lie at 512 */
	uint8_t md5[16], sha256[32], want_md5[16], want_sha256[32];
	EVP_MD_CTX *ctx[2] = {EVP_MD_CTX_new(), EVP_MD_CTX_new()};
	struct pair p;

	if (!accel_pair_usable()) {
		EVP_MD_CTX_free(ctx[0]);
		EVP_MD_CTX_free(ctx[1]);
		print_message("this processor has no SHA instructions\n");
		skip();
	}
	assert_int_equal(EVP_DigestInit_ex2(ctx[0], EVP_md5(), NULL), 1);
	assert_int_equal(EVP_DigestInit_ex2(ctx[1], EVP_sha256(), NULL), 1);
	pair_init(&p);
	for (uint64_t i = 0; i < blocks; i++) {
		pair_update(&p, zeros, sizeof(zeros));
		assert_int_equal(EVP_DigestUpdate(ctx[0], zeros, sizeof(zeros)), 1);
		assert_int_equal(EVP_DigestUpdate(ctx[1], zeros, sizeof(zeros)), 1);
	}
	pair_final(&p, md5, sha256);
	assert_int_equal(EVP_DigestFinal_ex(ctx[0], want_md5, NULL), 1);
	assert_int_equal(EVP_DigestFinal_ex(ctx[1], want_sha256, NULL), 1);
	assert_memory_equal(md5, want_md5, 16);
	assert_memory_equal(sha256, want_sha256, 32);
	EVP_MD_CTX_free(ctx[0]);
	EVP_MD_CTX_free(ctx[1]);
}

static uint32_t crc32c_bit_by_bit(const uint8_t *p, size_t n)
{
	uint32_t r = 0xffffffffu;

	for (size_t i = 0; i < n; i++) {
		r ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			r = (r >> 1) ^ ((r & 1) ? 0x82F63B78u : 0);
	}
	return ~r;
}

static void crc32c_by_table_and_by_instruction_agree_with_the_definition(void **state)
{
	uint8_t *data = random_bytes(5000, 4);
	uint64_t seed = 5;

	for (size_t n = 0; n <= 5000; n += n < 100 ? 1 : 77) {
		size_t offset = n > 8 ? next_random(&seed) % 8 : 0, cut = n > offset ? next_random(&seed) % (n - offset + 1) : 0;
		uint32_t want = crc32c_bit_by_bit(data + offset, n - offset);

		assert_int_equal(crc32c_update_table(0, data + offset, n - offset), want);
		assert_int_equal(crc32c_update(0, data + offset, n - offset), want);
		assert_int_equal(crc32c_update(crc32c_update(0, data + offset, cut), data + offset + cut, n - offset - cut), want);
		assert_int_equal(crc32c_update_table(crc32c_update_table(0, data + offset, cut), data + offset + cut, n - offset - cut),
				 want);
	}
	free(data);
}

static void a_set_may_be_reset_in_the_middle_of_a_stream(void **state)
{
	struct digest_set *d;

	assert_int_equal(digest_set_new(&d, ALL, NULL), 0);
	digest_set_update(d, "thrown away", 11);
	assert_int_equal(digest_set_reset(d, PAIR | BIT(DIGEST_CRC32C), NULL), 0);
	digest_set_update(d, "abc", 3);
	assert_int_equal(digest_set_finish(d, NULL), 0);
	assert_digest_hex(d, DIGEST_MD5, "900150983cd24fb0d6963f7d28e17f72");
	assert_digest_hex(d, DIGEST_CRC32C, "364b3fb7");
	digest_set_free(d);
}

static void results_are_json_objects_named_after_the_op(void **state)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	static const uint8_t crc[4] = {0x00, 0x06, 0x92, 0x83};

	digest_write_result(&b, DIGEST_CRC32C, crc);
	assert_true(buf_ok(&b));
	assert_string_equal(b.p, "{\"crc32c\":\"00069283\"}");
}

static void each_streaming_op_is_named_after_its_digest(void **state)
{
	size_t n;
	const struct op *ops = op_table_all(op_builtin_table(), &n);

	for (size_t i = 0; i < n; i++)
		if (ops[i].kind == OP_STREAMING)
			assert_string_equal(ops[i].name, digest_name(ops[i].algo));
}

static void freeing_nothing_is_allowed(void **state)
{
	digest_set_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_published_vectors_come_out),
		cmocka_unit_test(every_short_length_and_every_mask_agree_with_openssl),
		cmocka_unit_test(two_pieces_cut_anywhere_give_the_same),
		cmocka_unit_test(large_random_data_in_random_pieces_agrees_with_openssl),
		cmocka_unit_test(a_part_of_a_stream_is_digested_beside_it),
		cmocka_unit_test(bytes_that_went_into_one_alone_stay_its_own),
		cmocka_unit_test(the_pair_counts_lengths_beyond_32_bits),
		cmocka_unit_test(crc32c_by_table_and_by_instruction_agree_with_the_definition),
		cmocka_unit_test(a_set_may_be_reset_in_the_middle_of_a_stream),
		cmocka_unit_test(results_are_json_objects_named_after_the_op),
		cmocka_unit_test(each_streaming_op_is_named_after_its_digest),
		cmocka_unit_test(freeing_nothing_is_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
