/* A machine without instructions that help: everything goes through OpenSSL and tables. */
#include "ops/digest_impl.h"

#include <assert.h>

bool accel_pair_usable(void)
{
	return false;
}

void accel_pair_blocks(uint32_t md5[4], uint32_t sha256[8], const uint8_t *md5_src, const uint8_t *sha256_src, size_t blocks)
{
	assert(!"accel_pair_usable() said no");
}

void accel_trio_blocks(uint32_t md5[4], uint32_t sha256[8], uint32_t second[8], const uint8_t *src, size_t blocks)
{
	assert(!"accel_pair_usable() said no");
}

bool accel_crc32c_usable(void)
{
	return false;
}

uint32_t accel_crc32c(uint32_t inverted, const uint8_t *p, size_t n)
{
	assert(!"accel_crc32c_usable() said no");
	return 0;
}
