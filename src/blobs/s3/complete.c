/* The end of writing: the object appears, with all its bytes or not at all.
 *
 * A request whose answer was lost may have been carried out, so the same one sent again may find what it made itself: `412` or `NoSuchUpload` then means success. Each
 * writer leaves a token in the object's metadata; whose token the object has tells which it is. What fails in the end is removed only when it is the writer's own: the name may be
 * another's. */
#include "blobs/s3/write_impl.h"

#include <stdio.h>
#include <string.h>

#define DAMAGED_TRIES 3
#define COMPLETE_STALLS 15 /* "could take several minutes" (S3, CompleteMultipartUpload), and not all services send spaces meanwhile */

enum whose { NOBODYS, OURS, ANOTHERS };

struct seen {
	enum whose whose;
	uint64_t size;
	char etag[S3_ETAG_MAX + 1];
};

static int look(struct seen *ret, struct s3_writer *w, int64_t patience_ms, struct err *e)
{
	struct s3_request r = {.method = STR("HEAD"), .name = str_of(w->name)};
	struct s3_call c;

	s3_call_init(&c, w->s);
	c.patience_ms = patience_ms;
	int rc = s3_do(&c, &r, e);
	if (rc == 0 && c.status != 200 && c.status != 404)
		rc = s3_unexpected(&c, "a blob could not be looked for", e);
	if (rc == 0) {
		ret->whose = c.status == 404 ? NOBODYS : str_eq(str_of(c.token), str_of(w->token)) ? OURS : ANOTHERS;
		ret->size = c.length < 0 ? UINT64_MAX : (uint64_t)c.length;
		memcpy(ret->etag, c.etag, sizeof(ret->etag));
	}
	s3_call_release(&c);
	return rc;
}

static int conflict(struct err *e)
{
	return err_set(e, ERR_CONFLICT, "the blob exists already");
}

/* For services without the precondition. Between the look and the object another process might make one of this name, which only one that
 * was given the same name would. */
static int look_first(struct s3_writer *w, bool needed, struct err *e)
{
	struct seen seen = {};
	int rc = needed ? look(&seen, w, w->s->patience_ms, e) : 0;

	return rc == 0 && seen.whose != NOBODYS ? conflict(e) : rc;
}

/* The ETag of an object of parts is the MD5 of their MD5s and how many they were, where it is of this form at all. Where the parts' own ETags are no MD5s, as of what the service
 * encrypts with keys of its own, it says nothing, whatever it looks like: those parts' checksums were compared. */
enum whole { WHOLE, WRONG, NOT_SAID };

static int read_etag(enum whole *ret, const struct s3_writer *w, struct str text, struct err *e)
{
	CLEANUP(buf_release) struct buf md5s = BUF_INIT;
	struct str count, hex = str_split(text, '-', &count);
	struct s3_sums sums;
	uint8_t md5[16];
	uint64_t n;

	*ret = NOT_SAID;
	if (!count.p || !hex_decode(md5, sizeof(md5), hex) || !str_to_u64(count, &n))
		return 0;
	for (unsigned i = 0; i < w->parts; i++) {
		struct s3_sent sent;
		uint8_t etag[16];

		memcpy(&sent, w->sent.p + i * sizeof(sent), sizeof(sent));
		if (!hex_decode(etag, sizeof(etag), str_of(sent.etag)) || memcmp(etag, sent.md5, sizeof(etag)) != 0)
			return 0;
		buf_add(&md5s, sent.md5, sizeof(sent.md5));
	}
	int rc = buf_ok(&md5s) ? s3_sums_of(&sums, buf_str(&md5s), e) : err_set(e, ERR_NO_MEMORY, "no memory for a digest");
	if (rc == 0)
		*ret = n == w->parts && memcmp(md5, sums.md5, sizeof(md5)) == 0 ? WHOLE : WRONG;
	return rc;
}

static int other_parts(struct err *e)
{
	return err_set(e, ERR_IO, "the object storage put other parts together than it was sent");
}

/* The answer did not say that the object is ours and whole: is it? */
static int must_be_ours(struct s3_writer *w, struct err *e)
{
	enum whole whole = NOT_SAID;
	struct seen seen;
	int rc = look(&seen, w, w->s->patience_ms, e);

	if (rc == 0 && seen.whose == ANOTHERS)
		return conflict(e);
	if (rc == 0 && seen.whose == NOBODYS)
		return err_set(e, ERR_IO, "the object storage does not have what it was sent");
	if (rc == 0 && seen.size != w->size)
		return err_set(e, ERR_IO, "the object in the object storage has another size than was written");
	if (rc == 0 && w->parts > 0)
		rc = read_etag(&whole, w, str_of(seen.etag), e);
	return rc == 0 && whole == WRONG ? other_parts(e) : rc;
}

/* What may have come to be although nobody was told. One try: patience was shown before, and there is the sweep. */
static void undo(struct s3_writer *w)
{
	struct seen seen;

	if (look(&seen, w, 1, NULL) == 0 && seen.whose == OURS)
		(void)s3_delete(w->s, str_of(w->name), NULL);
}

/* ---- in one ---- */

static int put_single(struct s3_call *c, struct s3_writer *w, const struct s3_sums *sums, bool *ret_damaged, struct err *e)
{
	struct s3_request r = {.method = STR("PUT"), .name = str_of(w->name)};

	if (w->filling)
		r.body = (struct str){w->filling->bytes, w->filling->len};
	s3_add_sums(&r, sums, &w->powers);
	s3_add_header(&r, "x-amz-meta-writer", str_of(w->token));
	if (w->powers.put_if_none_match)
		s3_add_header(&r, "if-none-match", STR("*"));
	int rc = s3_do(c, &r, e);
	*ret_damaged = rc == 0 && c->status == 200 && s3_sums_differ(c, sums, &w->powers);
	if (rc != 0 || *ret_damaged)
		return rc;
	if (c->status == 412)
		return must_be_ours(w, e);
	return c->status == 200 ? 0 : s3_unexpected(c, "a blob was not taken", e);
}

int complete_single(struct s3_writer *w, struct err *e)
{
	struct s3_sums sums;
	struct s3_call c;
	bool damaged = true;
	int rc = look_first(w, !w->powers.put_if_none_match, e);

	if (rc == 0 && w->filling)
		rc = part_finish_sums(w, e);
	if (rc == 0 && w->filling)
		sums = w->filling->sums;
	else if (rc == 0)
		rc = s3_sums_of(&sums, (struct str){}, e);
	if (rc != 0)
		return rc;
	s3_call_init(&c, w->s);
	for (unsigned i = 0; rc == 0 && damaged && i < DAMAGED_TRIES; i++) {
		rc = i > 0 ? s3_delete(w->s, str_of(w->name), e) : 0;
		if (rc == 0)
			rc = put_single(&c, w, &sums, &damaged, e);
	}
	s3_call_release(&c);
	if (rc == 0 && damaged)
		rc = err_set(e, ERR_IO, "the object storage answered that other bytes arrived");
	if (rc != 0 && rc != ERR_CONFLICT)
		undo(w);
	return rc;
}

/* ---- as a copy ---- */

/* `/bucket/key`, encoded (S3, CopyObject); of just those bytes that were read. */
static int copy_from(struct s3_request *r, struct buf *source, struct buf *tag, const struct s3_writer *w, struct err *e)
{
	CLEANUP(buf_release) struct buf key = BUF_INIT;
	int rc = s3_key(&key, w->s, str_of(w->origin.name), e);

	if (rc != 0)
		return rc;
	buf_addf(source, "/%s/", w->s->bucket);
	sigv4_encode(source, buf_str(&key), true);
	buf_addf(tag, "\"%s\"", w->origin.tag);
	s3_add_header(r, "x-amz-copy-source", buf_str(source));
	s3_add_header(r, "x-amz-copy-source-if-match", buf_str(tag));
	s3_add_header(r, "x-amz-copy-if-match", buf_str(tag)); /* as Ceph calls it, which does not know the other */
	s3_add_header(r, "x-amz-metadata-directive", STR("REPLACE"));
	s3_add_header(r, "x-amz-meta-writer", str_of(w->token));
	return buf_ok(source) && buf_ok(tag) ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a request");
}

/* Copied again is the same copy; where the origin went after an answer that was lost, ours may be there. */
static int read_copied(struct s3_writer *w, const struct s3_call *c, struct err *e)
{
	int rc;

	if (c->status != 200 && c->status != 404 && c->status != 412)
		return s3_unexpected(c, "a blob was not copied", e);
	rc = must_be_ours(w, e);
	return rc != 0 && c->status != 200 ? err_set(e, ERR_CONFLICT, "what was to be copied was changed or removed") : rc;
}

int complete_copy(struct s3_writer *w, struct err *e)
{
	CLEANUP(buf_release) struct buf source = BUF_INIT, tag = BUF_INIT;
	struct s3_request r = {.method = STR("PUT"), .name = str_of(w->name)};
	struct s3_call c;
	int rc = 0;

	if (w->size != w->origin.size)
		rc = err_set(e, ERR_IO, "fewer bytes were read of a blob than it has");
	if (rc == 0)
		rc = look_first(w, true, e);
	if (rc == 0)
		rc = copy_from(&r, &source, &tag, w, e);
	if (rc != 0)
		return rc;
	s3_call_init(&c, w->s);
	c.stall_s *= COMPLETE_STALLS;
	rc = s3_do(&c, &r, e);
	if (rc == 0)
		rc = read_copied(w, &c, e);
	s3_call_release(&c);
	if (rc != 0)
		undo(w);
	return rc;
}

/* ---- in parts ---- */

static void write_parts(struct buf *out, const struct s3_writer *w)
{
	buf_add_cstr(out, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	for (unsigned i = 0; i < w->parts; i++) {
		struct s3_sent sent;

		memcpy(&sent, w->sent.p + i * sizeof(sent), sizeof(sent));
		buf_addf(out, "<Part><PartNumber>%u</PartNumber><ETag>&quot;%s&quot;</ETag>", i + 1, sent.etag);
		if (w->powers.checksums)
			buf_addf(out, "<ChecksumSHA256>%s</ChecksumSHA256>", sent.sha256_base64);
		buf_add_cstr(out, "</Part>");
	}
	buf_add_cstr(out, "</CompleteMultipartUpload>");
}

/* Ceph answers an empty element. */
static int read_answered_etag(enum whole *ret, const struct s3_writer *w, const struct s3_call *c, struct err *e)
{
	CLEANUP(buf_release) struct buf etag = BUF_INIT;

	*ret = NOT_SAID;
	if (!s3_xml_find(&etag, buf_str(&c->body), "ETag"))
		return 0;
	struct str text = buf_str(&etag);
	if (text.len >= 2 && text.p[0] == '"')
		text = (struct str){text.p + 1, text.len - 2};
	return read_etag(ret, w, text, e);
}

static int read_completed(struct s3_writer *w, const struct s3_call *c, struct err *e)
{
	enum whole whole;
	int rc;

	if (c->status == 412 || (c->status == 404 && s3_error_is(c, "NoSuchUpload")))
		return must_be_ours(w, e);
	if (c->status != 200)
		return s3_unexpected(c, "the parts of a blob were not put together", e);
	rc = read_answered_etag(&whole, w, c, e);
	if (rc == 0 && whole == WRONG)
		return other_parts(e);
	return rc == 0 && whole == NOT_SAID ? must_be_ours(w, e) : rc;
}

int complete_parts(struct s3_writer *w, struct err *e)
{
	struct s3_request r = {.method = STR("POST"), .name = str_of(w->name)};
	CLEANUP(buf_release) struct buf body = BUF_INIT;
	struct s3_call c;
	int rc = w->filling ? part_send(w, e) : 0;

	if (rc == 0)
		rc = parts_wait(w, 0, e);
	if (rc == 0)
		rc = look_first(w, !w->powers.complete_if_none_match, e);
	if (rc != 0)
		return rc;
	write_parts(&body, w);
	if (!buf_ok(&body))
		return err_set(e, ERR_NO_MEMORY, "no memory for a list of parts");
	r.body = buf_str(&body);
	s3_add_query(&r, "uploadId", buf_str(&w->upload_id));
	if (w->powers.complete_if_none_match)
		s3_add_header(&r, "if-none-match", STR("*"));
	s3_call_init(&c, w->s);
	c.stall_s *= COMPLETE_STALLS;
	rc = s3_do(&c, &r, e);
	if (rc == 0)
		rc = read_completed(w, &c, e);
	s3_call_release(&c);
	if (rc != 0 && rc != ERR_CONFLICT)
		undo(w);
	return rc;
}
