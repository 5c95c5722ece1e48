/* MD5 and SHA-256 of one stream in one pass. MD5 is a chain of dependent additions that leaves most of the processor idle; the SHA-256
 * instructions fill the gaps, so the second digest costs nothing (OpenSSL one after the other: 0.54 GB/s, both together here: MD5's own speed).
 * This file cuts the stream into blocks and pads its end; accel_pair_blocks() does the arithmetic. */
#include "ops/digest_impl.h"

#include <string.h>

#define LENGTH_AT (PAIR_BLOCK - 8) /* where both put the length in bits: MD5 little-endian, SHA-256 big-endian */

void pair_init(struct pair *p)
{
	static const uint32_t md5[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
	static const uint32_t sha256[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

	memcpy(p->md5, md5, sizeof(md5));
	memcpy(p->sha256, sha256, sizeof(sha256));
	p->total = 0;
}

void pair_update(struct pair *p, const void *data, size_t n)
{
	const uint8_t *src = data;
	size_t have = p->total % PAIR_BLOCK;

	if (n == 0)
		return;
	p->total += n;
	if (have > 0) {
		size_t take = n < PAIR_BLOCK - have ? n : PAIR_BLOCK - have;

		memcpy(p->tail + have, src, take);
		if (have + take < PAIR_BLOCK)
			return;
		accel_pair_blocks(p->md5, p->sha256, p->tail, p->tail, 1);
		src += take;
		n -= take;
	}
	if (n >= PAIR_BLOCK)
		accel_pair_blocks(p->md5, p->sha256, src, src, n / PAIR_BLOCK);
	memcpy(p->tail, src + (n - n % PAIR_BLOCK), n % PAIR_BLOCK);
}

void pair_update_both(struct pair *p, struct pair *second, const void *data, size_t n)
{
	const uint8_t *src = data;
	const size_t have = p->total % PAIR_BLOCK, room = (PAIR_BLOCK - have) % PAIR_BLOCK, head = n < room ? n : room;
	const size_t blocks = (n - head) / PAIR_BLOCK, tail = (n - head) % PAIR_BLOCK;

	if (second->total % PAIR_BLOCK != have) {
		pair_update(p, src, n);
		pair_update(second, src, n);
		return;
	}
	/* What stood in front of these bytes is each one's own. */
	pair_update(p, src, head);
	pair_update(second, src, head);
	if (blocks > 0)
		accel_trio_blocks(p->md5, p->sha256, second->sha256, src + head, blocks);
	p->total += blocks * PAIR_BLOCK;
	second->total += blocks * PAIR_BLOCK;
	pair_update(p, src + n - tail, tail);
	pair_update(second, src + n - tail, tail);
}

static void put_le32(uint8_t *dst, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		dst[i] = (uint8_t)(v >> (8 * i));
}

static void put_be32(uint8_t *dst, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		dst[i] = (uint8_t)(v >> (24 - 8 * i));
}

void pair_final(struct pair *p, uint8_t md5[16], uint8_t sha256[32])
{
	/* RFC 1321 §3.1 and FIPS 180-4 §5.1.1: one bit, zeros, the length; one or two blocks. */
	uint8_t end_md5[2 * PAIR_BLOCK] = {}, end_sha256[2 * PAIR_BLOCK] = {};
	size_t have = p->total % PAIR_BLOCK;
	size_t blocks = have < LENGTH_AT ? 1 : 2;
	uint64_t bits = p->total * 8; /* both standards count modulo 2^64 */
	uint8_t *length_md5 = end_md5 + (blocks - 1) * PAIR_BLOCK + LENGTH_AT;
	uint8_t *length_sha256 = end_sha256 + (blocks - 1) * PAIR_BLOCK + LENGTH_AT;

	memcpy(end_md5, p->tail, have);
	end_md5[have] = 0x80;
	memcpy(end_sha256, end_md5, have + 1);
	put_le32(length_md5, (uint32_t)bits);
	put_le32(length_md5 + 4, (uint32_t)(bits >> 32));
	put_be32(length_sha256, (uint32_t)(bits >> 32));
	put_be32(length_sha256 + 4, (uint32_t)bits);
	accel_pair_blocks(p->md5, p->sha256, end_md5, end_sha256, blocks);
	for (int i = 0; i < 4; i++)
		put_le32(md5 + 4 * i, p->md5[i]);
	for (int i = 0; i < 8; i++)
		put_be32(sha256 + 4 * i, p->sha256[i]);
}
