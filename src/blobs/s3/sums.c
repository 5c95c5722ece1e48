/* Digests of what is sent, and what answers say of what arrived. */
#include "blobs/s3/s3_impl.h"

#include <string.h>

void s3_sums_read(struct s3_sums *ret, const struct digest_set *d)
{
	size_t n;
	const uint8_t *md5 = digest_set_get(d, DIGEST_MD5, &n), *sha256 = digest_set_get(d, DIGEST_SHA256, &n);

	ret->has_md5 = md5 != NULL;
	if (md5) {
		memcpy(ret->md5, md5, sizeof(ret->md5));
		hex_encode(ret->md5_hex, md5, 16);
		base64_encode(ret->md5_base64, md5, 16);
	}
	hex_encode(ret->sha256_hex, sha256, 32);
	base64_encode(ret->sha256_base64, sha256, 32);
}

unsigned s3_sums_wanted(const struct s3_powers *powers)
{
	return powers->sha256_suffices ? 1u << DIGEST_SHA256 : S3_SUMS;
}

int s3_sums_of(struct s3_sums *ret, struct str bytes, struct err *e)
{
	struct digest_set *d;
	int rc = digest_set_new(&d, S3_SUMS, e);

	if (rc != 0)
		return rc;
	digest_set_update(d, bytes.p, bytes.len);
	rc = digest_set_finish(d, e);
	if (rc == 0)
		s3_sums_read(ret, d);
	digest_set_free(d);
	return rc;
}

void s3_add_sums(struct s3_request *r, const struct s3_sums *sums, const struct s3_powers *powers)
{
	r->body_sha256 = sums->sha256_hex;
	if (powers->checksums)
		s3_add_header(r, "x-amz-checksum-sha256", str_of(sums->sha256_base64));
	else if (sums->has_md5)
		s3_add_header(r, "content-md5", str_of(sums->md5_base64));
}

/* An ETag of another form than an MD5 says nothing: objects encrypted with a key of their own have such. */
bool s3_sums_differ(const struct s3_call *c, const struct s3_sums *sums, const struct s3_powers *powers)
{
	uint8_t etag[16];

	if (powers->checksums && c->checksum[0] != '\0')
		return !str_eq(str_of(c->checksum), str_of(sums->sha256_base64));
	return sums->has_md5 && hex_decode(etag, sizeof(etag), str_of(c->etag)) && memcmp(etag, sums->md5, sizeof(etag)) != 0;
}
