/* x86-64: MD5 (RFC 1321) in general registers, SHA-256 (FIPS 180-4) in the SHA instructions, both over the same block at once;
 * CRC-32C by the SSE4.2 instruction. The functions carry their own target, so the rest of the program runs on any x86-64; callers ask
 * accel_*_usable() first.
 *
 * MD5's 64 steps form one chain: about 290 cycles a block whatever else the processor does. SHA-256's 16 groups of four rounds form another, shorter one.
 * Written alternately, four steps beside four rounds, both fit into the reordering window and the block takes as long as MD5 alone. */
#include "ops/digest_impl.h"

#include <cpuid.h>
#include <immintrin.h>
#include <stdalign.h>
#include <string.h>

/* FIPS 180-4 §4.2.2 */
alignas(16) static const uint32_t k256[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
	0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
	0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
	0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
	0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
	0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* Keeps the compiler from joining or reordering the sums around x: what does not depend on the newest word must be added before it is known. */
#define PIN(x) __asm__("" : "+r"(x))

/* Message word k, little-endian as the machine is; the compiler makes it an operand of the addition. */
static inline uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}
#define WORD(k) load32(md5_src + 4 * (k))

#define ROL(x, s) (((x) << (s)) | ((x) >> (32 - (s))))

/* RFC 1321 §3.4: a = b + rol(a + f(b,c,d) + message word + constant, s); b is the word computed last.
 * F is written with one operation less behind b than in the RFC. G's two halves have no bit in common, so they are added, and the half without b is ready early. */
#define STEP_F(a, b, c, d, k, t, s)                                                                                                        \
	do {                                                                                                                               \
		(a) += WORD(k) + (uint32_t)(t);                                                                                            \
		PIN(a);                                                                                                                    \
		(a) += (((c) ^ (d)) & (b)) ^ (d);                                                                                          \
		(a) = ROL(a, s) + (b);                                                                                                     \
	} while (0)
#define STEP_G(a, b, c, d, k, t, s)                                                                                                        \
	do {                                                                                                                               \
		(a) += WORD(k) + (uint32_t)(t);                                                                                            \
		(a) += ~(d) & (c);                                                                                                         \
		PIN(a);                                                                                                                    \
		(a) += (d) & (b);                                                                                                          \
		(a) = ROL(a, s) + (b);                                                                                                     \
	} while (0)
#define STEP_H(a, b, c, d, k, t, s)                                                                                                        \
	do {                                                                                                                               \
		uint32_t cd = (c) ^ (d);                                                                                                   \
		PIN(cd);                                                                                                                   \
		(a) += WORD(k) + (uint32_t)(t);                                                                                            \
		PIN(a);                                                                                                                    \
		(a) += cd ^ (b);                                                                                                           \
		(a) = ROL(a, s) + (b);                                                                                                     \
	} while (0)
#define STEP_I(a, b, c, d, k, t, s)                                                                                                        \
	do {                                                                                                                               \
		(a) += WORD(k) + (uint32_t)(t);                                                                                            \
		PIN(a);                                                                                                                    \
		(a) += (c) ^ ((b) | ~(d));                                                                                                 \
		(a) = ROL(a, s) + (b);                                                                                                     \
	} while (0)

/* Four steps with the message words k0…k3 and the constants t0…t3 */
#define STEPS(F, s0, s1, s2, s3, k0, t0, k1, t1, k2, t2, k3, t3)                                                                           \
	do {                                                                                                                               \
		F(a, b, c, d, k0, t0, s0);                                                                                                 \
		F(d, a, b, c, k1, t1, s1);                                                                                                 \
		F(c, d, a, b, k2, t2, s2);                                                                                                 \
		F(b, c, d, a, k3, t3, s3);                                                                                                 \
	} while (0)
#define STEPS_F(...) STEPS(STEP_F, 7, 12, 17, 22, __VA_ARGS__)
#define STEPS_G(...) STEPS(STEP_G, 5, 9, 14, 20, __VA_ARGS__)
#define STEPS_H(...) STEPS(STEP_H, 4, 11, 16, 23, __VA_ARGS__)
#define STEPS_I(...) STEPS(STEP_I, 6, 10, 15, 21, __VA_ARGS__)

/* Four rounds of SHA-256 with schedule words w (as 4 lanes) of rounds 4g…4g+3: two by the low pair of w + k, two by the high one. */
#define ROUNDS(g, w)                                                                                                                       \
	do {                                                                                                                               \
		__m128i wk = _mm_add_epi32(w, _mm_load_si128((const __m128i *)(const void *)&k256[4 * (g)]));                              \
		cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);                                                                              \
		abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));                                                     \
		if (second) {                                                                                                              \
			cdgh_2 = _mm_sha256rnds2_epu32(cdgh_2, abef_2, wk);                                                                \
			abef_2 = _mm_sha256rnds2_epu32(abef_2, cdgh_2, _mm_shuffle_epi32(wk, 0x0e));                                       \
		}                                                                                                                          \
	} while (0)
/* The next four schedule words, into w0: σ0 of the words 15 back, the word 7 back, σ1 of the words 2 back (FIPS 180-4 §6.2.2). */
#define SCHEDULE(w0, w1, w2, w3) ((w0) = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4)), w3))
#define LOAD(i) _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(sha256_src + 16 * (i))), big_endian)

/* The instructions want the eight words as {a,b,e,f} and {c,d,g,h}. */
[[gnu::target("sha,sse4.1,ssse3")]] static inline void load_state(__m128i *ret_abef, __m128i *ret_cdgh, const uint32_t words[8])
{
	const __m128i low = _mm_loadu_si128((const __m128i *)(const void *)words);
	const __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(words + 4));
	const __m128i ba_dc = _mm_shuffle_epi32(low, 0xb1), hg_fe = _mm_shuffle_epi32(high, 0x1b);

	*ret_abef = _mm_alignr_epi8(ba_dc, hg_fe, 8);
	*ret_cdgh = _mm_blend_epi16(hg_fe, ba_dc, 0xf0);
}

[[gnu::target("sha,sse4.1,ssse3")]] static inline void store_state(uint32_t words[8], __m128i abef, __m128i cdgh)
{
	const __m128i ba_dc = _mm_shuffle_epi32(abef, 0x1b), hg_fe = _mm_shuffle_epi32(cdgh, 0xb1);

	_mm_storeu_si128((__m128i *)(void *)words, _mm_blend_epi16(ba_dc, hg_fe, 0xf0));
	_mm_storeu_si128((__m128i *)(void *)(words + 4), _mm_alignr_epi8(hg_fe, ba_dc, 8));
}

/* One function on purpose: the whole block is straight-line code, and cutting it would spill the states to memory. second: NULL, or another state of SHA-256; a constant where this
 * is called, so that either is code of its own. */
[[gnu::target("sha,sse4.1,ssse3"), gnu::always_inline]] static inline void do_blocks(uint32_t md5[4], uint32_t sha256[8], uint32_t *second,
										     const uint8_t *md5_src, const uint8_t *sha256_src,
										     size_t blocks)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
	uint32_t a = md5[0], b = md5[1], c = md5[2], d = md5[3];
	__m128i abef, cdgh, abef_2 = {}, cdgh_2 = {};

	load_state(&abef, &cdgh, sha256);
	if (second)
		load_state(&abef_2, &cdgh_2, second);
	for (; blocks > 0; blocks--, md5_src += PAIR_BLOCK, sha256_src += PAIR_BLOCK) {
		const uint32_t a0 = a, b0 = b, c0 = c, d0 = d;
		const __m128i abef0 = abef, cdgh0 = cdgh, abef_20 = abef_2, cdgh_20 = cdgh_2;
		__m128i w0, w1, w2, w3;

		w0 = LOAD(0);
		STEPS_F(0, 0xd76aa478, 1, 0xe8c7b756, 2, 0x242070db, 3, 0xc1bdceee);
		ROUNDS(0, w0);
		w1 = LOAD(1);
		STEPS_F(4, 0xf57c0faf, 5, 0x4787c62a, 6, 0xa8304613, 7, 0xfd469501);
		ROUNDS(1, w1);
		w2 = LOAD(2);
		STEPS_F(8, 0x698098d8, 9, 0x8b44f7af, 10, 0xffff5bb1, 11, 0x895cd7be);
		ROUNDS(2, w2);
		w3 = LOAD(3);
		STEPS_F(12, 0x6b901122, 13, 0xfd987193, 14, 0xa679438e, 15, 0x49b40821);
		ROUNDS(3, w3);
		SCHEDULE(w0, w1, w2, w3);

		STEPS_G(1, 0xf61e2562, 6, 0xc040b340, 11, 0x265e5a51, 0, 0xe9b6c7aa);
		ROUNDS(4, w0);
		SCHEDULE(w1, w2, w3, w0);
		STEPS_G(5, 0xd62f105d, 10, 0x02441453, 15, 0xd8a1e681, 4, 0xe7d3fbc8);
		ROUNDS(5, w1);
		SCHEDULE(w2, w3, w0, w1);
		STEPS_G(9, 0x21e1cde6, 14, 0xc33707d6, 3, 0xf4d50d87, 8, 0x455a14ed);
		ROUNDS(6, w2);
		SCHEDULE(w3, w0, w1, w2);
		STEPS_G(13, 0xa9e3e905, 2, 0xfcefa3f8, 7, 0x676f02d9, 12, 0x8d2a4c8a);
		ROUNDS(7, w3);
		SCHEDULE(w0, w1, w2, w3);

		STEPS_H(5, 0xfffa3942, 8, 0x8771f681, 11, 0x6d9d6122, 14, 0xfde5380c);
		ROUNDS(8, w0);
		SCHEDULE(w1, w2, w3, w0);
		STEPS_H(1, 0xa4beea44, 4, 0x4bdecfa9, 7, 0xf6bb4b60, 10, 0xbebfbc70);
		ROUNDS(9, w1);
		SCHEDULE(w2, w3, w0, w1);
		STEPS_H(13, 0x289b7ec6, 0, 0xeaa127fa, 3, 0xd4ef3085, 6, 0x04881d05);
		ROUNDS(10, w2);
		SCHEDULE(w3, w0, w1, w2);
		STEPS_H(9, 0xd9d4d039, 12, 0xe6db99e5, 15, 0x1fa27cf8, 2, 0xc4ac5665);
		ROUNDS(11, w3);
		SCHEDULE(w0, w1, w2, w3);

		STEPS_I(0, 0xf4292244, 7, 0x432aff97, 14, 0xab9423a7, 5, 0xfc93a039);
		ROUNDS(12, w0);
		SCHEDULE(w1, w2, w3, w0);
		STEPS_I(12, 0x655b59c3, 3, 0x8f0ccc92, 10, 0xffeff47d, 1, 0x85845dd1);
		ROUNDS(13, w1);
		SCHEDULE(w2, w3, w0, w1);
		STEPS_I(8, 0x6fa87e4f, 15, 0xfe2ce6e0, 6, 0xa3014314, 13, 0x4e0811a1);
		ROUNDS(14, w2);
		SCHEDULE(w3, w0, w1, w2);
		STEPS_I(4, 0xf7537e82, 11, 0xbd3af235, 2, 0x2ad7d2bb, 9, 0xeb86d391);
		ROUNDS(15, w3);

		a += a0;
		b += b0;
		c += c0;
		d += d0;
		abef = _mm_add_epi32(abef, abef0);
		cdgh = _mm_add_epi32(cdgh, cdgh0);
		abef_2 = _mm_add_epi32(abef_2, abef_20);
		cdgh_2 = _mm_add_epi32(cdgh_2, cdgh_20);
	}
	md5[0] = a;
	md5[1] = b;
	md5[2] = c;
	md5[3] = d;
	store_state(sha256, abef, cdgh);
	if (second)
		store_state(second, abef_2, cdgh_2);
}

[[gnu::target("sha,sse4.1,ssse3")]] void accel_pair_blocks(uint32_t md5[4], uint32_t sha256[8], const uint8_t *md5_src,
							   const uint8_t *sha256_src, size_t blocks)
{
	do_blocks(md5, sha256, NULL, md5_src, sha256_src, blocks);
}

[[gnu::target("sha,sse4.1,ssse3")]] void accel_trio_blocks(uint32_t md5[4], uint32_t sha256[8], uint32_t second[8], const uint8_t *src,
							   size_t blocks)
{
	do_blocks(md5, sha256, second, src, src, blocks);
}

[[gnu::target("sse4.2")]] uint32_t accel_crc32c(uint32_t inverted, const uint8_t *p, size_t n)
{
	uint64_t r = inverted;

	for (; n >= 8; p += 8, n -= 8) {
		uint64_t word;

		memcpy(&word, p, sizeof(word));
		r = _mm_crc32_u64(r, word);
	}
	for (; n > 0; p++, n--)
		r = _mm_crc32_u8((uint32_t)r, *p);
	return (uint32_t)r;
}

/* gcc 12 and clang 14 do not know "sha" in __builtin_cpu_supports. SHA is leaf 7, EBX bit 29; it works on XMM registers only, which every
 * x86-64 system saves, so no XGETBV is needed. CPUID leaves a virtual machine for microseconds: ask once. */
bool accel_pair_usable(void)
{
	unsigned eax, ebx, ecx, edx;

	return __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3") && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) &&
	       (ebx & (1u << 29));
}

bool accel_crc32c_usable(void)
{
	return __builtin_cpu_supports("sse4.2");
}
