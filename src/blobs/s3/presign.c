/* Addresses for others: whoever has one may do just that, with no key and no way past it through this server. */
#include "base/clock.h"
#include "base/json_out.h"
#include "blobs/s3/s3_impl.h"

#include <stdio.h>

#define SECONDS_MAX 604800 /* seven days */

static int our_store(struct s3 **ret, struct blobs *b, struct str name, struct err *e)
{
	*ret = s3_inside(b);
	if (!*ret)
		return err_set(e, ERR_NOT_IMPLEMENTED, "the blobs are in no object storage that gives addresses out");
	return blob_name_valid(name) ? 0 : err_set(e, ERR_BAD_NAME, "not the name of a blob");
}

bool s3_gives_addresses(struct blobs *b)
{
	return s3_inside(b) != NULL;
}

static int presign(struct buf *out, struct s3 *s, struct sigv4_request *r, struct str name, unsigned expires_s, struct err *e)
{
	CLEANUP(buf_release) struct buf path = BUF_INIT;
	const struct sigv4_key key = s3_signing_key(s);
	int rc = s3_path(&path, s, name, e);

	if (rc != 0)
		return rc;
	r->path = buf_str(&path);
	r->payload_sha256 = STR(SIGV4_UNSIGNED);
	r->unix_s = s3_their_time(s);
	buf_addf(out, "%s%s", s->scheme, s->authority);
	rc = sigv4_presign(out, &key, r, expires_s, e);
	return rc == 0 && !buf_ok(out) ? err_set(e, ERR_NO_MEMORY, "no memory for an address") : rc;
}

int s3_presign_get(struct buf *out, struct blobs *b, struct str name, struct str filename, struct str type, unsigned expires_s,
		   struct err *e)
{
	CLEANUP(buf_release) struct buf disposition = BUF_INIT;
	struct sigv4_pair query[2], headers[1];
	struct sigv4_request r = {.method = STR("GET"), .query = query, .headers = headers, .n_headers = 1};
	struct s3 *s;
	int rc = our_store(&s, b, name, e);

	if (rc != 0)
		return rc;
	headers[0] = (struct sigv4_pair){STR("host"), str_of(s->authority)};
	if (filename.len > 0) {
		buf_add_cstr(&disposition, "attachment; filename*=UTF-8''"); /* RFC 8187 */
		sigv4_encode(&disposition, filename, false);
		query[r.n_query++] = (struct sigv4_pair){STR("response-content-disposition"), buf_str(&disposition)};
	}
	if (type.len > 0)
		query[r.n_query++] = (struct sigv4_pair){STR("response-content-type"), type};
	return buf_ok(&disposition) ? presign(out, s, &r, name, expires_s, e) : err_set(e, ERR_NO_MEMORY, "no memory for an address");
}

int s3_presign_bare_put(struct buf *out, struct s3 *s, struct str name, struct str size, const char *guard, unsigned expires_s,
			struct err *e)
{
	struct sigv4_pair headers[3] = {{STR("content-length"), size}, {STR("host"), str_of(s->authority)}};
	struct sigv4_request r = {.method = STR("PUT"), .headers = headers, .n_headers = 2};

	if (guard)
		headers[r.n_headers++] = (struct sigv4_pair){str_of(guard), STR(S3_GUARD_VALUE)};
	return presign(out, s, &r, name, expires_s, e);
}

int s3_presign_put(struct buf *out, struct s3_put_terms *ret, struct blobs *b, struct str name, uint64_t size, struct str type,
		   struct str meta_name, unsigned expires_s, struct err *e)
{
	struct sigv4_pair headers[6];
	struct sigv4_request r = {.method = STR("PUT"), .headers = headers};
	struct s3_powers powers;
	enum s3_trust trust;
	const char *guard;
	char length[24];
	struct s3 *s;
	int rc = our_store(&s, b, name, e);

	if (rc == 0)
		rc = s3_learn(s, &powers, e);
	if (rc == 0)
		rc = s3_learn_trust(s, &trust, &guard, e);
	if (rc == 0 && trust == S3_TRUST_NONE)
		rc = err_set(e, ERR_NOT_IMPLEMENTED, "whoever had an address of this object storage to write to could read by it");
	if (rc != 0)
		return rc;
	snprintf(length, sizeof(length), "%llu", (unsigned long long)size);
	headers[r.n_headers++] = (struct sigv4_pair){STR("content-length"), str_of(length)};
	headers[r.n_headers++] = (struct sigv4_pair){STR("content-type"), type};
	headers[r.n_headers++] = (struct sigv4_pair){STR("host"), str_of(s->authority)};
	if (powers.put_if_none_match)
		headers[r.n_headers++] = (struct sigv4_pair){STR("if-none-match"), STR("*")};
	if (guard)
		headers[r.n_headers++] = (struct sigv4_pair){str_of(guard), STR(S3_GUARD_VALUE)};
	if (meta_name.len > 0)
		headers[r.n_headers++] = (struct sigv4_pair){STR(S3_META_NAME), meta_name};
	rc = presign(out, s, &r, name, expires_s, e);
	if (rc == 0)
		*ret = (struct s3_put_terms){.if_none_match = powers.put_if_none_match, .guard = guard};
	return rc;
}

/* ---- forms ---- */

static void condition(struct json_out *j, const char *name, struct str value)
{
	json_obj_open(j);
	json_kstr(j, name, value);
	json_obj_close(j);
}

struct policy {
	uint64_t size_min, size_max;
	struct str key, type, credential, time;
	unsigned expires_s;
	int64_t now_s;
};

static void write_policy(struct buf *out, const struct s3 *s, const struct policy *p)
{
	struct json_out j = json_out(out);
	char until[TIME_TEXT_LEN + 1];

	time_format(until, (p->now_s + p->expires_s) * 1000);
	json_obj_open(&j);
	json_kstr(&j, "expiration", str_of(until));
	json_key(&j, "conditions");
	json_arr_open(&j);
	condition(&j, "bucket", str_of(s->bucket));
	condition(&j, "key", p->key);
	condition(&j, "Content-Type", p->type);
	condition(&j, "x-amz-algorithm", STR("AWS4-HMAC-SHA256"));
	condition(&j, "x-amz-credential", p->credential);
	condition(&j, "x-amz-date", p->time);
	json_arr_open(&j);
	json_str(&j, STR("content-length-range"));
	json_u64(&j, p->size_min);
	json_u64(&j, p->size_max);
	json_arr_close(&j);
	json_arr_close(&j);
	json_obj_close(&j);
}

static struct buf *field(struct s3_form *f, size_t i, const char *name)
{
	f->fields[i].name = name;
	return &f->fields[i].value;
}

static int sign_form(struct s3_form *f, struct s3 *s, const struct policy *p, struct err *e)
{
	CLEANUP(buf_release) struct buf policy = BUF_INIT;
	const struct sigv4_key key = s3_signing_key(s);
	struct buf *text = field(f, 5, "policy");
	char signature[65];

	write_policy(&policy, s, p);
	buf_reserve(text, 4 * ((policy.len + 2) / 3) + 1);
	if (!buf_ok(&policy) || !buf_ok(text))
		return err_set(e, ERR_NO_MEMORY, "no memory for a form");
	text->len = base64_encode(text->p, policy.p, policy.len);
	int rc = sigv4_sign_text(signature, &key, p->now_s, buf_str(text), e);
	if (rc == 0)
		buf_add_cstr(field(f, 6, "x-amz-signature"), signature);
	return rc;
}

int s3_presign_post(struct s3_form *out, struct blobs *b, struct str name, uint64_t size_min, uint64_t size_max, struct str type,
		    unsigned expires_s, struct err *e)
{
	CLEANUP(buf_release) struct buf path = BUF_INIT;
	char time[SIGV4_TIME_LEN + 1];
	struct s3 *s;

	*out = (struct s3_form){};
	int rc = our_store(&s, b, name, e);
	if (rc == 0 && (expires_s == 0 || expires_s > SECONDS_MAX))
		rc = err_set(e, ERR_INVALID_VALUE, "a signed form is good for 1 to %d seconds", SECONDS_MAX);
	if (rc == 0)
		rc = s3_key(field(out, 0, "key"), s, name, e);
	if (rc == 0)
		rc = s3_path(&path, s, (struct str){}, e);
	if (rc != 0)
		return rc;
	const struct sigv4_key key = s3_signing_key(s);
	const int64_t now_s = s3_their_time(s);
	sigv4_time(time, now_s);
	buf_add_str(field(out, 1, "Content-Type"), type);
	buf_add_cstr(field(out, 2, "x-amz-algorithm"), "AWS4-HMAC-SHA256");
	sigv4_credential(field(out, 3, "x-amz-credential"), &key, now_s);
	buf_add_cstr(field(out, 4, "x-amz-date"), time);
	buf_addf(&out->url, "%s%s%.*s/", s->scheme, s->authority, STR_FMT(buf_str(&path)));
	const struct policy policy = {.size_min = size_min,
				      .size_max = size_max,
				      .key = buf_str(&out->fields[0].value),
				      .type = type,
				      .credential = buf_str(&out->fields[3].value),
				      .time = str_of(time),
				      .expires_s = expires_s,
				      .now_s = now_s};
	rc = sign_form(out, s, &policy, e);
	for (size_t i = 0; rc == 0 && i < S3_POST_FIELDS; i++)
		if (!buf_ok(&out->fields[i].value))
			rc = err_set(e, ERR_NO_MEMORY, "no memory for a form");
	return rc;
}

void s3_form_release(struct s3_form *f)
{
	buf_release(&f->url);
	for (size_t i = 0; i < S3_POST_FIELDS; i++)
		buf_release(&f->fields[i].value);
}
