/* libdeflate only makes whole streams. To go on behind one, its last block must lose the bit that says so, and where that block begins only the blocks before it tell:
 * they are read by zlib, which can stop at their ends. It costs a fifth of what compressing costs, and only inputs of more than one piece pay it (docs/adr/0014). */
#include "runner/child/deflate.h"

#include <string.h>
#include <zlib.h>

#define AT_BLOCK_END 128 /* in z_stream.data_type after inflate(Z_BLOCK): the end of a block was reached */
#define UNUSED_BITS 7 /* mask: bits of the last byte read that were not used */

/* Clears the bit at the beginning of the next block, when it is set. next_in[-1] is used in part when `unused` is not 0. */
static bool clear_last(uint8_t *next, unsigned unused)
{
	uint8_t *byte = unused ? next - 1 : next;
	uint8_t bit = (uint8_t)(1u << (unused ? 8 - unused : 0));
	bool last = *byte & bit;

	*byte &= (uint8_t)~bit;
	return last;
}

/* Walks from block to block; 0 to 7 bits of the last byte are unused in the end, -1: not a stream. */
static int walk(uint8_t *stream, size_t n)
{
	uint8_t nowhere[32u << 10];
	z_stream z = {.next_in = stream, .avail_in = (uInt)n};
	bool last;
	int r, unused = -1;

	if (n == 0 || inflateInit2(&z, -MAX_WBITS) != Z_OK)
		return -1;
	last = clear_last(stream, 0);
	do {
		z.next_out = nowhere;
		z.avail_out = sizeof(nowhere);
		r = inflate(&z, Z_BLOCK);
		if (r != Z_OK || !(z.data_type & AT_BLOCK_END))
			continue;
		if (last) {
			unused = z.avail_in == 0 ? z.data_type & UNUSED_BITS : -1;
			break;
		}
		if (z.avail_in == 0 && !(z.data_type & UNUSED_BITS))
			break;
		last = clear_last(stream + (n - z.avail_in), z.data_type & UNUSED_BITS);
	} while (r == Z_OK);
	inflateEnd(&z);
	return unused;
}

bool deflate_open(uint8_t *stream, size_t *n)
{
	/* An empty stored block (RFC 1951, §3.2.4): three bits 0, zeros to the end of the byte, its length and that turned round. */
	static const uint8_t empty[4] = {0x00, 0x00, 0xff, 0xff};
	int unused = walk(stream, *n);
	size_t at = *n;

	if (unused < 0)
		return false;
	stream[at - 1] &= (uint8_t)(0xff >> unused);
	if (unused < 3)
		stream[at++] = 0;
	memcpy(stream + at, empty, sizeof(empty));
	*n = at + sizeof(empty);
	return true;
}
