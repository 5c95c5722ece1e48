/* What an import fetches, and how it asks: params to requests, heads of answers to what they promise. */
#include "base/json_out.h"
#include "engine/import.h"
#include "rt/json_in.h"

#include <string.h>

/* ---- params ---- */

static const struct engine_s3 *find_s3(const struct engine *g, struct str name)
{
	const struct engine_imports *im = &g->config.imports;

	for (size_t i = 0; i < im->n_s3; i++)
		if (str_eq(name, str_of(im->s3[i].name)))
			return &im->s3[i];
	return NULL;
}

static int copy_member(struct str *ret, json_t *object, const char *name, struct arena *a)
{
	json_t *v = json_object_get(object, name);

	*ret = (struct str){};
	if (!json_is_string(v))
		return 0;
	*ret = arena_str(a, (struct str){json_string_value(v), json_string_length(v)});
	return ret->p != NULL ? 0 : ERR_NO_MEMORY;
}

int import_source_read(struct import_source *ret, const struct engine *g, struct str params, struct arena *a, struct err *e)
{
	struct str source, sha256;
	json_t *object;
	int rc = json_read(&object, params, e);

	if (rc != 0)
		return rc;
	*ret = (struct import_source){};
	if (copy_member(&ret->url, object, "url", a) != 0 || copy_member(&ret->bucket, object, "bucket", a) != 0 ||
	    copy_member(&ret->key, object, "key", a) != 0 || copy_member(&source, object, "source", a) != 0 ||
	    copy_member(&sha256, object, "sha256", a) != 0)
		rc = err_set(e, ERR_NO_MEMORY, "no memory for an import");
	json_decref(object);
	if (rc != 0)
		return rc;
	ret->want_sha256 = sha256.p != NULL && hex_decode(ret->sha256, sizeof(ret->sha256), sha256);
	if (ret->url.p != NULL)
		return 0;
	ret->s3 = find_s3(g, source.p != NULL ? source : STR(""));
	return ret->s3 != NULL
		       ? 0
		       : err_set(e, ERR_NOT_IMPLEMENTED, "this server's configuration does not name the import's object storage any more");
}

static void put(struct json_out *j, const char *key, struct str value)
{
	if (value.len > 0)
		json_kstr(j, key, value);
}

/* Canonical: keys sorted. */
static void write_params(struct buf *out, const struct engine_import *im)
{
	struct json_out j = json_out(out);

	json_obj_open(&j);
	put(&j, "bucket", im->bucket);
	put(&j, "key", im->key);
	put(&j, "sha256", im->sha256);
	put(&j, "source", im->source);
	put(&j, "url", im->url);
	json_obj_close(&j);
}

/* ---- what may be asked for ---- */

static int refuse(struct err *e, const char *field, const char *detail)
{
	err_set(e, ERR_INVALID_VALUE, "%s", detail);
	return err_field(e, field);
}

/* The letters of bucket names (S3 user guide, "General purpose bucket naming rules"), and capitals and underscores, which older ones have. */
bool engine_bucket_allowed(struct str s)
{
	if (s.len < 3 || s.len > IMPORT_BUCKET_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		const char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (i > 0 && strchr("-._", c) && c != '\0')))
			return false;
	}
	return true;
}

static bool bucket_of(const struct engine_s3 *s3, struct str bucket)
{
	return s3->bucket[0] == '\0' || str_eq(bucket, str_of(s3->bucket));
}

static int check_object(const struct engine *g, const struct engine_import *im, struct err *e)
{
	const struct engine_s3 *s3 = find_s3(g, im->source);

	if (s3 == NULL)
		return refuse(e, "s3", "this server's configuration names no object storage to import from");
	if (!engine_bucket_allowed(im->bucket) || !bucket_of(s3, im->bucket))
		return refuse(e, "s3/bucket", "this is no bucket that may be imported from");
	if (im->key.len == 0 || im->key.len > IMPORT_KEY_MAX || !utf8_valid(im->key) || memchr(im->key.p, '\0', im->key.len) != NULL) {
		refuse(e, "s3/key", "a key is 1 to 1024 bytes of UTF-8");
		return err_limit(e, IMPORT_KEY_MAX);
	}
	return 0;
}

static int check(const struct engine *g, const struct engine_import *im, struct err *e)
{
	struct target target;
	uint8_t sha256[32];
	int rc;

	if (g->config.imports.client == NULL)
		return err_set(e, ERR_NOT_IMPLEMENTED, "this server's configuration allows no imports");
	if (im->sha256.p != NULL && !hex_decode(sha256, sizeof(sha256), im->sha256))
		return refuse(e, "sha256", "a SHA-256 is 64 hex digits");
	if (im->url.p == NULL)
		return check_object(g, im, e);
	rc = target_parse(&target, im->url, g->config.imports.targets, e);
	return rc == 0 ? 0 : err_field(e, "url");
}

/* ---- the change ---- */

static int build_jobs(struct engine *g, struct file *f, const struct engine_import *im, struct str params, struct arena *a, struct err *e)
{
	const struct op *op = op_table_find(g->config.ops, STR("import"));
	const struct op_request import = {.op = op, .params = params, .after = -1};
	const struct engine_s3 *s3 = im->url.p == NULL ? find_s3(g, im->source) : NULL;
	struct job *jobs = arena_alloc(a, (im->n_ops + 1) * sizeof(*jobs));

	if (op == NULL)
		return err_set(e, ERR_NOT_IMPLEMENTED, "this server has no op import");
	if (im->n_ops >= OPS_MAX) {
		err_set(e, ERR_BAD_OPS, "at most %d ops may be asked for with an import", OPS_MAX - 1);
		err_limit(e, OPS_MAX - 1);
		return err_field(e, "ops");
	}
	if (jobs == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for jobs");
	engine_new_job(g, jobs, f->id, &import);
	jobs[0].own_name = true; /* what was fetched before may be something else now */
	if (im->max_attempts > 0)
		jobs[0].max_attempts = im->max_attempts;
	else if (s3 != NULL && s3->attempts > 0)
		jobs[0].max_attempts = s3->attempts;
	engine_new_jobs(g, jobs + 1, f->id, im->ops, im->n_ops);
	for (size_t i = 1; i <= im->n_ops; i++)
		if (uuid_is_zero(jobs[i].after))
			jobs[i].after = jobs[0].id;
	f->jobs = jobs;
	f->n_jobs = im->n_ops + 1;
	return 0;
}

int engine_new_import(struct engine *g, struct change *c, const struct engine_import *im, struct arena *a, struct err *e)
{
	CLEANUP(buf_release) struct buf params = BUF_INIT;
	struct file *f = arena_alloc(a, sizeof(*f));
	int64_t now = engine_now(g);
	struct str text;
	int rc = check(g, im, e);

	if (rc != 0)
		return rc;
	write_params(&params, im);
	text = arena_str(a, buf_str(&params));
	if (f == NULL || text.p == NULL || !buf_ok(&params))
		return err_set(e, ERR_NO_MEMORY, "no memory for an import");
	*f = (struct file){
		.id = uuid_is_zero(im->id) ? engine_new_id(g) : im->id,
		.owner = im->owner,
		.type = STR(""),
		.labels = im->labels.p != NULL ? im->labels : STR("{}"),
		.location = LOCATION_COMING,
		.created_at = now,
		.expires_at = g->config.files_keep_ms > 0 ? now + g->config.files_keep_ms : 0,
	};
	rc = name_clean(&f->name, im->name, a, e);
	if (rc == 0)
		rc = build_jobs(g, f, im, text, a, e);
	if (rc == 0)
		*c = (struct change){.kind = CHANGE_ADD_FILE, .add_file = {.file = f, .arena = a}};
	return rc;
}

int64_t import_pause_ms(const struct engine_s3 *s3, uint32_t attempts, struct env *env)
{
	uint64_t span = (uint64_t)(s3->pause_max_ms - s3->pause_min_ms) + 1;

	return (s3->pause_min_ms + (int64_t)(env->random(env) % span)) * attempts;
}

/* ---- requests ---- */

static int no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for an import");
}

/* In front of the host it has to be a part of a name, in small letters, and over TLS a single label, for which a certificate for all of them stands (RFC 9525 §6.3). */
bool import_bucket_in_host(const struct engine_s3 *s3, struct str bucket)
{
	const bool tls = str_starts(str_of(s3->endpoint), STR("https://"));
	struct str label, rest = bucket;

	if (!s3->virtual_host)
		return false;
	while (rest.p != NULL) {
		label = str_split(rest, '.', &rest);
		if (label.len == 0 || label.len > 63 || label.p[0] == '-' || label.p[label.len - 1] == '-' || (tls && rest.p != NULL))
			return false;
		for (size_t i = 0; i < label.len; i++)
			if (label.p[i] == '_' || (label.p[i] >= 'A' && label.p[i] <= 'Z'))
				return false;
	}
	return true;
}

/* scheme://host of the endpoint, with the bucket in front of the host or of the path. What is signed as Host is what libcurl sends: without the port that is the scheme's own. */
static int object_request(struct net_request *r, struct net_header *headers, size_t *n, struct engine *g, const struct import_source *s,
			  struct arena *a, struct err *e)
{
	CLEANUP(buf_release) struct buf host = BUF_INIT, path = BUF_INIT, url = BUF_INIT, authorization = BUF_INIT;
	char time[SIGV4_TIME_LEN + 1];
	const struct sigv4_key key = {.access_key = str_of(s->s3->access_key),
				      .secret_key = str_of(s->s3->secret_key),
				      .region = str_of(s->s3->region),
				      .service = STR("s3")};
	struct str endpoint = str_of(s->s3->endpoint), authority;
	struct str scheme = str_starts(endpoint, STR("http://")) ? STR("http://") : STR("https://");
	int rc;

	authority = (struct str){endpoint.p + scheme.len, endpoint.len - scheme.len};
	if (import_bucket_in_host(s->s3, s->bucket))
		buf_addf(&host, "%.*s.", STR_FMT(s->bucket));
	else
		buf_addf(&path, "/%.*s", STR_FMT(s->bucket));
	buf_add_str(&host, authority);
	buf_addf(&path, "/%.*s", STR_FMT(s->key));
	sigv4_time(time, engine_now(g) / 1000);
	const struct sigv4_pair signed_headers[] = {
		{STR("host"), buf_str(&host)}, {STR("x-amz-content-sha256"), STR(SIGV4_EMPTY_SHA256)}, {STR("x-amz-date"), str_of(time)}};
	const struct sigv4_request sign = {.method = STR("GET"),
					   .path = buf_str(&path),
					   .headers = signed_headers,
					   .n_headers = ARRAY_LEN(signed_headers),
					   .payload_sha256 = STR(SIGV4_EMPTY_SHA256),
					   .unix_s = engine_now(g) / 1000};
	buf_add_str(&url, scheme);
	buf_add_str(&url, buf_str(&host));
	sigv4_target(&url, &sign);
	rc = sigv4_authorization(&authorization, &key, &sign, e);
	if (rc != 0)
		return rc;
	headers[*n] = (struct net_header){.name = STR("Authorization"), .value = arena_str(a, buf_str(&authorization))};
	headers[*n + 1] = (struct net_header){.name = STR("x-amz-content-sha256"), .value = STR(SIGV4_EMPTY_SHA256)};
	headers[*n + 2] = (struct net_header){.name = STR("x-amz-date"), .value = arena_str(a, str_of(time))};
	r->url = arena_str(a, buf_str(&url));
	r->policy = &s->s3->targets;
	if (!buf_ok(&host) || !buf_ok(&path) || !buf_ok(&url) || headers[*n].value.p == NULL || headers[*n + 2].value.p == NULL ||
	    r->url.p == NULL)
		return no_memory(e);
	*n += 3;
	return 0;
}

int import_request(struct net_request *ret, struct engine *g, const struct import_source *s, uint64_t from, const char *etag,
		   struct arena *a, struct err *e)
{
	const struct engine_imports *im = &g->config.imports;
	struct net_header *headers = arena_alloc(a, 8 * sizeof(*headers));
	CLEANUP(buf_release) struct buf range = BUF_INIT;
	size_t n = 0;
	int rc = 0;

	if (headers == NULL)
		return no_memory(e);
	*ret = (struct net_request){
		.method = STR("GET"),
		.url = s->url,
		.policy = im->targets,
		.limits = {.connect_ms = im->connect_ms,
			   .total_ms = im->timeout_ms,
			   .rate_min = im->rate_min,
			   .rate_grace_s = im->rate_grace_s,
			   .body_max = g->config.file_max,
			   .redirects_max = s->s3 != NULL ? 0 : 5},
	};
	if (s->s3 != NULL)
		rc = object_request(ret, headers, &n, g, s, a, e);
	if (rc == 0 && from > 0) {
		buf_addf(&range, "bytes=%llu-", (unsigned long long)from);
		struct str text = arena_str(a, buf_str(&range)), tag = arena_str(a, str_of(etag));
		if (text.p == NULL || tag.p == NULL)
			return no_memory(e);
		headers[n++] = (struct net_header){.name = STR("Range"), .value = text, .anywhere = true};
		headers[n++] = (struct net_header){.name = STR("If-Range"), .value = tag, .anywhere = true};
	}
	ret->headers = headers;
	ret->headers_n = n;
	return rc;
}

/* ---- heads ---- */

static int64_t number(struct str s)
{
	uint64_t n;

	return str_to_u64(s, &n) && n <= INT64_MAX ? (int64_t)n : -1;
}

/* `bytes 100-199/1000`, or with `*` for a length that is not known (RFC 9110 §14.4). One that contradicts itself says nothing. */
static void read_content_range(struct fetch_head *ret, struct str value)
{
	struct str rest, to, whole;
	int64_t first, last, all;

	ret->from = ret->whole = -1;
	if (value.p == NULL || !str_starts(value, STR("bytes ")))
		return;
	value = (struct str){value.p + 6, value.len - 6};
	value = str_split(value, '/', &whole);
	rest = str_split(value, '-', &to);
	if (to.p == NULL || whole.p == NULL)
		return;
	first = number(rest);
	last = number(to);
	all = number(whole);
	if (first < 0 || last < first || (all < 0 && !str_eq(whole, STR("*"))) || (all >= 0 && last >= all))
		return;
	ret->from = first;
	ret->whole = all;
}

/* A strong entity tag (RFC 9110 §8.8.3), of letters that can be sent back: one of others is of no use. */
static bool is_strong_etag(struct str s)
{
	if (s.len < 2 || s.len > ETAG_MAX || s.p[0] != '"' || s.p[s.len - 1] != '"')
		return false;
	for (size_t i = 1; i < s.len - 1; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"')
			return false;
	}
	return true;
}

/* `"<32 hex>"`: an object stored in one piece and not encrypted with a key of its own has its MD5 as ETag. */
static bool etag_md5(uint8_t ret[16], const struct net_head *h, struct str etag)
{
	if (net_head_field(h, "x-amz-server-side-encryption-customer-algorithm").p != NULL ||
	    str_starts(net_head_field(h, "x-amz-server-side-encryption"), STR("aws:kms")))
		return false;
	return etag.len == 34 && etag.p[0] == '"' && etag.p[33] == '"' && hex_decode(ret, 16, (struct str){etag.p + 1, 32});
}

static bool base64_exactly(uint8_t *dst, size_t n, struct str text)
{
	uint8_t bytes[64];

	if (text.len > 64 || base64_decode(bytes, sizeof(bytes), text) != (long)n)
		return false;
	memcpy(dst, bytes, n);
	return true;
}

/* `sha-256=:…:` in a list (RFC 9530). What cannot be read is no promise. */
static bool repr_sha256(uint8_t ret[32], struct str value)
{
	static const struct str name = STR("sha-256=:");
	struct str rest = value;

	while (rest.p != NULL) {
		struct str item = str_trim(str_split(rest, ',', &rest));
		if (item.len > name.len && str_starts(item, name) && item.p[item.len - 1] == ':')
			return base64_exactly(ret, 32, (struct str){item.p + name.len, item.len - name.len - 1});
	}
	return false;
}

void import_read_head(struct fetch_head *ret, const struct net_head *h, bool object)
{
	struct str etag = net_head_field(h, "etag"), md5 = net_head_field(h, "content-md5");

	*ret = (struct fetch_head){.status = h->status, .length = number(net_head_field(h, "content-length"))};
	read_content_range(ret, net_head_field(h, "content-range"));
	if (is_strong_etag(etag))
		memcpy(ret->etag, etag.p, etag.len);
	ret->no_ranges = str_eq_nocase(net_head_field(h, "accept-ranges"), STR("none"));
	ret->has_sha256 = repr_sha256(ret->sha256, net_head_field(h, "repr-digest"));
	if (object)
		ret->has_md5 = etag_md5(ret->md5, h, etag);
	else if (h->status == 200 && md5.p != NULL)
		ret->has_md5 = base64_exactly(ret->md5, 16, md5);
}
