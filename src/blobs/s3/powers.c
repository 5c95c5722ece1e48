/* What a service can is asked by trying: what its documentation says and what the version at hand does are two things, and a precondition that is silently
 * ignored would be worse than none. The object of the trial has the name of a probe, so that fsck removes what a crash leaves. */
#include "blobs/s3/s3_impl.h"

#include <assert.h>
#include <stdio.h>

#define TRIAL_BYTES "filemill"
#define TRIES 3

struct trial {
	struct s3 *s;
	char name[64];
	struct s3_sums sums;
};

static struct s3_request request(const struct trial *t, struct str method, struct str body)
{
	return (struct s3_request){.method = method, .name = str_of(t->name), .body = body};
}

static int put(struct s3_call *c, const struct trial *t, bool checksum, bool none_match, struct err *e)
{
	struct s3_request r = request(t, STR("PUT"), STR(TRIAL_BYTES));

	s3_add_sums(&r, &t->sums, &(struct s3_powers){.checksums = checksum});
	if (none_match)
		s3_add_header(&r, "if-none-match", STR("*"));
	return s3_do(c, &r, e);
}

/* Who knows the field answers it; who does not ignores it or refuses it. */
static int try_checksum(struct s3_powers *p, struct s3_call *c, const struct trial *t, struct err *e)
{
	int rc = put(c, t, true, false, e);

	p->checksums = rc == 0 && c->status == 200 && str_eq(str_of(c->checksum), str_of(t->sums.sha256_base64));
	if (rc == 0 && c->status != 200)
		rc = put(c, t, false, false, e);
	return rc == 0 && c->status != 200 ? s3_unexpected(c, "the object storage takes no object", e) : rc;
}

/* Bytes that are not those that were signed, over the object that is there. What is neither is no proof: then the MD5 goes on being compared. */
static bool refuses_other_bytes(struct s3_call *c, const struct trial *t)
{
	struct s3_request r = request(t, STR("PUT"), STR("FILEMILL"));
	bool again = true, refused = false, at_once;

	static_assert(sizeof("FILEMILL") == sizeof(TRIAL_BYTES));
	r.body_sha256 = t->sums.sha256_hex;
	for (unsigned i = 0; again && i < TRIES; i++) {
		s3_send(c, &r);
		s3_wait(c);
		refused = c->code == 0 && c->status >= 400 && s3_error_is(c, "XAmzContentSHA256Mismatch");
		again = !refused && s3_judge(c, &at_once) == S3_AGAIN;
	}
	return refused;
}

/* The answer of the last one is that of an object that was taken. */
static void try_sha256(struct s3_powers *p, struct s3_call *c, const struct trial *t)
{
	const bool etag_is_md5 = str_eq(str_of(c->etag), str_of(t->sums.md5_hex));

	p->sha256_suffices = !p->checksums && etag_is_md5 && refuses_other_bytes(c, t);
}

static int try_put(struct s3_powers *p, struct s3_call *c, const struct trial *t, struct err *e)
{
	int rc = put(c, t, p->checksums, true, e);

	p->put_if_none_match = rc == 0 && c->status == 412;
	return rc;
}

static int send_part(struct s3_call *c, const struct trial *t, struct str upload_id, struct err *e)
{
	struct s3_request r = request(t, STR("PUT"), STR(TRIAL_BYTES));

	s3_add_query(&r, "partNumber", STR("1"));
	s3_add_query(&r, "uploadId", upload_id);
	return s3_do(c, &r, e);
}

static int complete(struct s3_call *c, const struct trial *t, struct str upload_id, const char *etag, struct err *e)
{
	char body[S3_ETAG_MAX + 160];

	snprintf(body, sizeof(body),
		 "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;%s&quot;</ETag></Part></CompleteMultipartUpload>",
		 etag);
	struct s3_request r = request(t, STR("POST"), str_of(body));
	s3_add_query(&r, "uploadId", upload_id);
	s3_add_header(&r, "if-none-match", STR("*"));
	return s3_do(c, &r, e);
}

/* Over the object that is there. */
static int try_complete(struct s3_powers *p, struct s3_call *c, const struct trial *t, struct err *e)
{
	struct s3_request begin = request(t, STR("POST"), (struct str){}), end = request(t, STR("DELETE"), (struct str){});
	CLEANUP(buf_release) struct buf upload_id = BUF_INIT;
	char etag[S3_ETAG_MAX + 1];

	s3_add_query(&begin, "uploads", STR(""));
	int rc = s3_do(c, &begin, e);
	if (rc == 0 && (c->status != 200 || !s3_xml_find(&upload_id, buf_str(&c->body), "UploadId")))
		return s3_unexpected(c, "the object storage begins no upload in parts", e);
	if (rc == 0)
		rc = send_part(c, t, buf_str(&upload_id), e);
	if (rc == 0) {
		snprintf(etag, sizeof(etag), "%s", c->etag);
		rc = complete(c, t, buf_str(&upload_id), etag, e);
	}
	p->complete_if_none_match = rc == 0 && c->status == 412;
	s3_add_query(&end, "uploadId", buf_str(&upload_id));
	if (rc != 0 || c->status != 200)
		s3_send_and_forget(t->s, &end);
	return rc;
}

static int learn(struct s3 *s, struct s3_powers *ret, struct err *e)
{
	char token[S3_TOKEN_LEN + 1];
	struct trial t = {.s = s};
	struct s3_powers p = {.known = true};
	struct s3_call c;

	s3_token(s, token);
	snprintf(t.name, sizeof(t.name), "probe/00/probe-%.16s", token);
	int rc = s3_sums_of(&t.sums, STR(TRIAL_BYTES), e);
	s3_call_init(&c, s);
	if (rc == 0)
		rc = try_checksum(&p, &c, &t, e);
	if (rc == 0)
		try_sha256(&p, &c, &t);
	if (rc == 0)
		rc = try_put(&p, &c, &t, e);
	/* Nobody has the second without the first. */
	if (rc == 0 && p.put_if_none_match)
		rc = try_complete(&p, &c, &t, e);
	if (rc == 0)
		rc = s3_delete(s, str_of(t.name), e);
	s3_call_release(&c);
	if (rc == 0)
		*ret = p;
	return rc;
}

int s3_learn(struct s3 *s, struct s3_powers *ret, struct err *e)
{
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	*ret = s->powers;
	pthread_mutex_unlock(&s->lock);
	if (ret->known)
		return 0;
	/* One asks, the others wait for it. */
	pthread_mutex_lock(&s->learning);
	pthread_mutex_lock(&s->lock);
	*ret = s->powers;
	pthread_mutex_unlock(&s->lock);
	if (!ret->known)
		rc = learn(s, ret, e);
	if (rc == 0) {
		pthread_mutex_lock(&s->lock);
		s->powers = *ret;
		pthread_mutex_unlock(&s->lock);
	}
	pthread_mutex_unlock(&s->learning);
	return rc;
}
