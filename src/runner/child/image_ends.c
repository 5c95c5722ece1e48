/* Does a file lack its end? Decoders differ in what they notice and how they say it; the structure of the formats is plain. Each function walks over lengths only.
 * "Ends early" means: something that was announced lies beyond the last byte. Rubbish in between is not told here; the decoder will. */
#include "runner/child/image_impl.h"

#include <string.h>

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* ITU T.81 B.2.1: an image ends with EOI. Cameras put other things behind it, so the last one may stand anywhere; one inside a segment (a thumbnail's) does not count, and
 * entropy-coded data has none, since 0xff is followed by 0 or a restart marker there. */
bool image_jpeg_ends_early(const uint8_t *p, size_t n)
{
	size_t at = 2;

	while (at + 4 <= n) {
		const uint8_t *ff = memchr(p + at, 0xff, n - at - 1);

		if (!ff)
			return true;
		at = (size_t)(ff - p) + 1;
		if (p[at] == 0xd9)
			return false;
		/* Stuffing, fill bytes, markers without a length: TEM, RST, SOI */
		if (p[at] == 0xff || p[at] <= 0x01 || (p[at] >= 0xd0 && p[at] <= 0xd8)) {
			at += p[at] != 0xff;
			continue;
		}
		if (at + 3 > n)
			return true;
		at += 1 + ((size_t)p[at + 1] << 8 | p[at + 2]);
	}
	return n < 2 || p[n - 2] != 0xff || p[n - 1] != 0xd9;
}

/* PNG §5.3: length, type, data, CRC; the last chunk is IEND. */
bool image_png_ends_early(const uint8_t *p, size_t n)
{
	size_t at = 8;

	while (n >= 12 && at <= n - 12) {
		uint64_t next = (uint64_t)at + 12 + be32(p + at);

		if (memcmp(p + at + 4, "IEND", 4) == 0)
			return false;
		if (next > n)
			return true;
		at = (size_t)next;
	}
	return true;
}

/* RFC 9649 §2.4: the size in the RIFF header covers all but its own eight bytes. */
bool image_webp_ends_early(const uint8_t *p, size_t n)
{
	return n < 20 || (uint64_t)le32(p + 4) + 8 > n;
}

/* Skips data sub-blocks (GIF89a §15): 0 when they run over the end, else what follows their terminator. */
static size_t skip_sub_blocks(const uint8_t *p, size_t n, size_t at)
{
	while (at < n) {
		if (p[at] == 0)
			return at + 1;
		at += 1u + p[at];
	}
	return 0;
}

/* GIF89a §17–27: screen descriptor, colour table, then blocks up to the trailer. Only the first image is decoded, so one that is whole is enough: animations without a trailer
 * are common. */
bool image_gif_ends_early(const uint8_t *p, size_t n)
{
	size_t at = 13;

	if (n < 14)
		return true;
	if (p[10] & 0x80)
		at += (size_t)3 << ((p[10] & 7) + 1);
	while (at < n) {
		if (p[at] == 0x21) { /* extension */
			at = skip_sub_blocks(p, n, at + 2);
			if (at == 0)
				return true;
		} else if (p[at] == 0x2c) { /* image */
			if (at + 10 >= n)
				return true;
			at += 10 + ((p[at + 9] & 0x80) ? (size_t)3 << ((p[at + 9] & 7) + 1) : 0);
			return skip_sub_blocks(p, n, at + 1) == 0;
		} else {
			return false; /* the trailer, or rubbish, which the decoder may judge */
		}
	}
	return true;
}

/* ---- TIFF 6.0 §2 ---- */

struct tiff {
	const uint8_t *p;
	size_t n;
	bool big_endian, big; /* big: BigTIFF, 8-byte offsets */
};

static uint64_t tiff_number(const struct tiff *t, uint64_t at, unsigned bytes)
{
	uint64_t v = 0;

	if (at > t->n || t->n - at < bytes)
		return 0;
	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)t->p[at + i] << 8 * (t->big_endian ? bytes - 1 - i : i);
	return v;
}

static unsigned tiff_type_size(uint64_t type)
{
	static const uint8_t sizes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8};

	return type < ARRAY_LEN(sizes) ? sizes[type] : 0;
}

/* A list of numbers in an entry: where it lies. */
struct tiff_list {
	uint64_t at, count;
	unsigned size;
};

/* The entry's values, or false when they lie beyond the end. */
static bool tiff_entry(const struct tiff *t, uint64_t at, uint64_t *ret_tag, struct tiff_list *ret)
{
	unsigned word = t->big ? 8 : 4;
	uint64_t bytes;

	*ret_tag = tiff_number(t, at, 2);
	ret->size = tiff_type_size(tiff_number(t, at + 2, 2));
	ret->count = tiff_number(t, at + 4, word);
	ret->at = at + 4 + word;
	if (!u64_mul(ret->count, ret->size, &bytes))
		return false;
	if (bytes > word)
		ret->at = tiff_number(t, ret->at, word);
	return ret->at <= t->n && bytes <= t->n - ret->at;
}

static bool strips_end_early(const struct tiff *t, const struct tiff_list *offsets, const struct tiff_list *lengths)
{
	for (uint64_t i = 0; i < offsets->count && i < lengths->count; i++) {
		uint64_t at = tiff_number(t, offsets->at + i * offsets->size, offsets->size);
		uint64_t n = tiff_number(t, lengths->at + i * lengths->size, lengths->size);

		if (at > t->n || n > t->n - at)
			return true;
	}
	return false;
}

/* The first directory, its entries, and the strips or tiles they tell of. */
bool image_tiff_ends_early(const uint8_t *p, size_t n)
{
	struct tiff t = {p, n, n > 0 && p[0] == 'M', false};
	struct tiff_list offsets = {}, lengths = {};
	uint64_t at, count;
	unsigned entry;

	if (n < 16)
		return true;
	t.big = tiff_number(&t, 2, 2) == 43;
	entry = t.big ? 20 : 12;
	at = t.big ? tiff_number(&t, 8, 8) : tiff_number(&t, 4, 4);
	if (at > n - 8)
		return true;
	count = tiff_number(&t, at, t.big ? 8 : 2);
	at += t.big ? 8 : 2;
	if (count > (n - at) / entry)
		return true;
	for (uint64_t i = 0; i < count; i++) {
		struct tiff_list list;
		uint64_t tag;

		if (!tiff_entry(&t, at + i * entry, &tag, &list))
			return true;
		if (list.size == 0)
			continue;
		if (tag == 273 || tag == 324) /* StripOffsets, TileOffsets */
			offsets = list;
		if (tag == 279 || tag == 325) /* StripByteCounts, TileByteCounts */
			lengths = list;
	}
	return strips_end_early(&t, &offsets, &lengths);
}

/* ISO/IEC 14496-12 §4.2: boxes with a size; 1: the size follows in eight bytes, 0: up to the end of the file. */
bool image_heif_ends_early(const uint8_t *p, size_t n)
{
	uint64_t at = 0;

	while (at < n) {
		uint64_t size;

		if (n - at < 8)
			return true;
		size = be32(p + at);
		if (size == 0)
			return false;
		if (size == 1) {
			if (n - at < 16)
				return true;
			size = (uint64_t)be32(p + at + 8) << 32 | be32(p + at + 12);
		}
		if (size < 8)
			return false; /* rubbish; the decoder may judge */
		if (size > n - at)
			return true;
		at += size;
	}
	return false;
}
