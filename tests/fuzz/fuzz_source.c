/* What an import reads in the head of a source's answer: its length, part, validator and digests. The lowest bit of the first byte says whether the source is an object storage, the rest are the lines
 * of the head. What is believed could be written that way again, and a validator can be sent back. */
#include "base/buf.h"
#include "engine/import.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_etag(const struct fetch_head *f, const struct net_head *h)
{
	const size_t n = strlen(f->etag);

	if (n == 0)
		return;
	require(n >= 2 && n <= ETAG_MAX && f->etag[0] == '"' && f->etag[n - 1] == '"');
	require(str_eq(net_head_field(h, "etag"), str_of(f->etag)));
	for (size_t i = 1; i < n - 1; i++)
		require(f->etag[i] > ' ' && f->etag[i] < 0x7f && f->etag[i] != '"');
}

static void check_numbers(const struct fetch_head *f)
{
	require(f->length >= -1 && f->from >= -1 && f->whole >= -1);
	require(f->from >= 0 || f->whole == -1);
	require(f->whole == -1 || f->whole > f->from);
}

/* The same promises, written as they should be, read as the same. */
static void reads_the_same_when_written_again(const struct fetch_head *f, bool object)
{
	char base64[64], hex[33];
	struct net_head h = {.status = f->status};
	struct buf b = BUF_INIT;
	struct fetch_head again;

	if (f->length >= 0)
		buf_addf(&b, "content-length:%lld\n", (long long)f->length);
	if (f->from >= 0 && f->whole >= 0)
		buf_addf(&b, "CONTENT-RANGE: bytes %lld-%lld/%lld\r\n", (long long)f->from, (long long)f->from, (long long)f->whole);
	else if (f->from >= 0)
		buf_addf(&b, "Content-Range: bytes %lld-%lld/*\r\n", (long long)f->from, (long long)f->from);
	hex_encode(hex, f->md5, 16);
	if (object && f->has_md5)
		buf_addf(&b, "ETag: \"%s\"\r\n", hex);
	else if (f->etag[0] != '\0')
		buf_addf(&b, "ETag: %s\r\n", f->etag);
	base64_encode(base64, f->md5, 16);
	if (!object && f->has_md5)
		buf_addf(&b, "Content-MD5: %s\r\n", base64);
	base64_encode(base64, f->sha256, 32);
	if (f->has_sha256)
		buf_addf(&b, "Repr-Digest: sha-256=:%s:\r\n", base64);
	require(buf_ok(&b));
	h.fields = buf_str(&b);
	import_read_head(&again, &h, object);
	require(again.length == f->length && again.from == f->from && again.whole == f->whole);
	require(again.has_md5 == f->has_md5 || f->etag[0] != '\0'); /* KMS is said by a line that was left out */
	require(!f->has_md5 || memcmp(again.md5, f->md5, 16) == 0);
	require(again.has_sha256 == f->has_sha256 && (!f->has_sha256 || memcmp(again.sha256, f->sha256, 32) == 0));
	buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fetch_head f;

	if (size == 0)
		return 0;
	const bool object = data[0] & 1;
	const struct net_head h = {.status = data[0] & 2 ? 200 : 206, .fields = {(const char *)data + 1, size - 1}};
	import_read_head(&f, &h, object);
	check_etag(&f, &h);
	check_numbers(&f);
	reads_the_same_when_written_again(&f, object);
	return 0;
}
