#include "ops/digest_impl.h"

#include <pthread.h>

#define POLY_REFLECTED 0x82F63B78u /* 0x1EDC6F41 with its bits turned round: the CRC is computed least significant bit first */

/* Slicing by eight: table[k][b] is the register after byte b and k more zero bytes. Filled once for the process and constant from then on,
 * so it is no state that two servers could share wrongly. */
static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void fill_table(void)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t r = b;

		for (int bit = 0; bit < 8; bit++)
			r = (r >> 1) ^ ((r & 1) ? POLY_REFLECTED : 0);
		table[0][b] = r;
	}
	for (int k = 1; k < 8; k++)
		for (int b = 0; b < 256; b++)
			table[k][b] = (table[k - 1][b] >> 8) ^ table[0][table[k - 1][b] & 0xff];
}

uint32_t crc32c_update_table(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;
	uint32_t r = ~crc;

	pthread_once(&table_once, fill_table);
	for (; n >= 8; p += 8, n -= 8)
		r = table[7][(r ^ p[0]) & 0xff] ^ table[6][(r >> 8 ^ p[1]) & 0xff] ^ table[5][(r >> 16 ^ p[2]) & 0xff] ^
		    table[4][r >> 24 ^ p[3]] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
	for (; n > 0; p++, n--)
		r = (r >> 8) ^ table[0][(r ^ *p) & 0xff];
	return ~r;
}

uint32_t crc32c_update(uint32_t crc, const void *data, size_t n)
{
	if (accel_crc32c_usable())
		return ~accel_crc32c(~crc, data, n);
	return crc32c_update_table(crc, data, n);
}
