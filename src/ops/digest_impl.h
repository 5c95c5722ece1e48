/* For the files that compute digests and for their tests: the parts beneath struct digest_set. */
#ifndef FILEMILL_OPS_DIGEST_IMPL_H
#define FILEMILL_OPS_DIGEST_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAIR_BLOCK 64 /* bytes; MD5 and SHA-256 share the block size, which is what makes one pass possible */

/* MD5 (RFC 1321) and SHA-256 (FIPS 180-4) of the same bytes. Owned by one thread. */
struct pair {
	uint32_t md5[4];
	uint32_t sha256[8];
	uint64_t total; /* bytes seen */
	uint8_t tail[PAIR_BLOCK]; /* the total % PAIR_BLOCK bytes that do not fill a block yet */
};

/* Only while accel_pair_usable(). */
void pair_init(struct pair *p);
void pair_update(struct pair *p, const void *data, size_t n);
/* The same bytes into both; the second one began elsewhere and is for its SHA-256 alone: its MD5 is not to be asked for. Beside the first one it costs next to nothing where both began whole
 * blocks apart. */
void pair_update_both(struct pair *p, struct pair *second, const void *data, size_t n);
void pair_final(struct pair *p, uint8_t md5[16], uint8_t sha256[32]);

/* CRC-32C (RFC 3720 appendix B.4), over any number of calls: start with 0, the result is the usual value. */
uint32_t crc32c_update(uint32_t crc, const void *data, size_t n);
/* The same from tables only, for machines without the instruction and for comparison in tests. */
uint32_t crc32c_update_table(uint32_t crc, const void *data, size_t n);

/* ---- what the machine may have; one of accel_*.c is built ---- */

/* SHA-256 instructions: without them EVP is faster than anything here. */
bool accel_pair_usable(void);
/* Runs `blocks` blocks through both. The two sources differ only in the padding of the last block. */
void accel_pair_blocks(uint32_t md5[4], uint32_t sha256[8], const uint8_t *md5_src, const uint8_t *sha256_src, size_t blocks);
/* The same with one source, which goes into another SHA-256 too: the words of its schedule are those of the first. */
void accel_trio_blocks(uint32_t md5[4], uint32_t sha256[8], uint32_t second[8], const uint8_t *src, size_t blocks);

bool accel_crc32c_usable(void);
/* On the inverted register, as the instruction works. */
uint32_t accel_crc32c(uint32_t inverted, const uint8_t *p, size_t n);

#endif
