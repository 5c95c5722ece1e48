/* A ZIP archive (APPNOTE.TXT 6.3.10) with one entry: the input under its own name.
 *
 * The size of the input is known and what it compresses to is not, so the sizes stand behind the data (a data descriptor) and in the directory. The data is a deflate stream
 * at every level, also where it is only stored: a reader that does not look into the directory first still finds its end. Zip64 only from ZIP64_FROM on: some readers do
 * not know it. The time is the first that DOS has, so the same file makes the same bytes. */
#include "runner/child/deflate.h"
#include "runner/child/zip.h"

#include <assert.h>
#include <string.h>

#define ZIP64_FROM                                                                                                                         \
	UINT64_C(0xf0000000) /* bytes of the input: what it compresses to and the frame around it stay below 4 GiB, whatever it is */
#define MAX_32 0xffffffffu
#define DEFLATED 8
#define VERSION 20 /* 2.0: deflate */
#define VERSION_64 45
#define MADE_BY_UNIX (3u << 8)
#define DOS_DATE (1u << 5 | 1u) /* 1980-01-01 */
#define MODE (0100644u << 16) /* a regular file, rw-r--r-- */

enum { SIZES_BEHIND = 1u << 3, NAME_IS_UTF8 = 1u << 11 };

struct zip {
	char name[ZIP_NAME_MAX];
	size_t name_len;
	unsigned flags;
	bool zip64;
	struct deflated d;
};

/* ---- little-endian numbers into a record ---- */

struct record {
	uint8_t bytes[128 + ZIP_NAME_MAX];
	size_t n;
};

static void add(struct record *r, uint64_t v, size_t bytes)
{
	assert(r->n + bytes <= sizeof(r->bytes));
	for (size_t i = 0; i < bytes; i++)
		r->bytes[r->n++] = (uint8_t)(v >> 8 * i);
}

static void add_name(struct record *r, const struct zip *z)
{
	assert(r->n + z->name_len <= sizeof(r->bytes));
	memcpy(r->bytes + r->n, z->name, z->name_len);
	r->n += z->name_len;
}

/* What local header and directory entry have in common, from the version on. */
static void add_common(struct record *r, const struct zip *z, uint32_t crc, uint64_t size_out, uint64_t size_in)
{
	add(r, z->zip64 ? VERSION_64 : VERSION, 2);
	add(r, z->flags, 2);
	add(r, DEFLATED, 2);
	add(r, 0, 2); /* midnight */
	add(r, DOS_DATE, 2);
	add(r, crc, 4);
	add(r, z->zip64 ? MAX_32 : size_out, 4);
	add(r, z->zip64 ? MAX_32 : size_in, 4);
	add(r, z->name_len, 2);
	add(r, z->zip64 ? 20 : 0, 2); /* bytes of the extra field */
}

static void add_zip64(struct record *r, const struct zip *z, uint64_t size_out, uint64_t size_in)
{
	if (!z->zip64)
		return;
	add(r, 0x0001, 2);
	add(r, 16, 2);
	add(r, size_in, 8);
	add(r, size_out, 8);
}

static struct record local_header(const struct zip *z)
{
	struct record r = {};

	add(&r, 0x04034b50, 4);
	add_common(&r, z, 0, 0, 0);
	add_name(&r, z);
	add_zip64(&r, z, 0, 0);
	return r;
}

static struct record data_descriptor(const struct zip *z)
{
	size_t width = z->zip64 ? 8 : 4;
	struct record r = {};

	add(&r, 0x08074b50, 4);
	add(&r, z->d.crc, 4);
	add(&r, z->d.size_out, width);
	add(&r, z->d.size_in, width);
	return r;
}

static struct record directory(const struct zip *z)
{
	struct record r = {};

	add(&r, 0x02014b50, 4);
	add(&r, MADE_BY_UNIX | (z->zip64 ? VERSION_64 : VERSION), 2);
	add_common(&r, z, z->d.crc, z->d.size_out, z->d.size_in);
	add(&r, 0, 2); /* comment */
	add(&r, 0, 2); /* disk */
	add(&r, 0, 2); /* internal attributes */
	add(&r, MODE, 4);
	add(&r, 0, 4); /* where the local header is */
	add_name(&r, z);
	add_zip64(&r, z, z->d.size_out, z->d.size_in);
	return r;
}

static struct record directory_end(const struct zip *z, uint64_t at, size_t size)
{
	struct record r = {};

	if (z->zip64) {
		add(&r, 0x06064b50, 4);
		add(&r, 44, 8); /* bytes that follow in this record */
		add(&r, MADE_BY_UNIX | VERSION_64, 2);
		add(&r, VERSION_64, 2);
		add(&r, 0, 8); /* disks */
		add(&r, 1, 8); /* entries on this disk */
		add(&r, 1, 8);
		add(&r, size, 8);
		add(&r, at, 8);
		add(&r, 0x07064b50, 4); /* the locator of the record above */
		add(&r, 0, 4);
		add(&r, at + size, 8);
		add(&r, 1, 4);
	}
	add(&r, 0x06054b50, 4);
	add(&r, 0, 4); /* disks */
	add(&r, 1, 2);
	add(&r, 1, 2);
	add(&r, size, 4);
	add(&r, z->zip64 ? MAX_32 : at, 4);
	add(&r, 0, 2); /* comment */
	return r;
}

/* ---- */

static int put(struct sealed_job *j, struct record r, struct err *e)
{
	return sealed_write(j, r.bytes, r.n, e);
}

static bool is_ascii(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] >= 0x80)
			return false;
	return true;
}

static int archive(struct sealed_job *j, int level, struct err *e)
{
	struct zip z = {.flags = SIZES_BEHIND, .zip64 = j->size >= ZIP64_FROM};
	struct record entry;
	uint64_t at;
	int r;

	z.name_len = zip_name(z.name, j->name);
	if (!is_ascii(z.name, z.name_len))
		z.flags |= NAME_IS_UTF8;
	r = put(j, local_header(&z), e);
	if (r == 0)
		r = deflate_input(j, level, &z.d, e);
	if (r == 0 && !z.zip64 && z.d.size_out > MAX_32 - 4096)
		return err_set(e, ERR_INTERNAL, "an entry without Zip64 became too large for it");
	if (r == 0)
		r = put(j, data_descriptor(&z), e);
	if (r < 0)
		return r;
	at = j->written;
	entry = directory(&z);
	r = put(j, entry, e);
	return r < 0 ? r : put(j, directory_end(&z, at, entry.n), e);
}

static int zip(struct sealed_job *j, struct err *e)
{
	return compress_with(j, archive, e);
}

const struct sealed_op op_zip = {"zip", POLICY_MANY, NULL, zip};
