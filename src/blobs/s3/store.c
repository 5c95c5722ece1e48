/* The store: its life, names of its objects, removal, pauses. */
#include "base/wipe.h"
#include "blobs/s3/s3_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_GROWS 50
#define PROBE_STALL_S 3
#define LAST_REQUESTS_MS 1500 /* so long the end of the store waits for requests that give uploads up */

/* ADR 0038 has the table of what was read and what was tried. */
static const struct s3_service services[] = {
	{.host = ".amazonaws.com", .virtual_host = true},
	{.host = ".amazonaws.com.cn", .virtual_host = true},
	{.host = "storage.googleapis.com", .region = "auto"},
	{.host = ".r2.cloudflarestorage.com", .region = "auto"},
	{.host = "", .region = "us-east-1"}, /* Ceph, MinIO and whoever else: they do not look at it, or call their only one so */
};

const struct s3_service *s3_service_of(struct str host)
{
	const struct s3_service *s = services;

	for (;; s++) {
		const size_t n = strlen(s->host);

		if (n == 0 || (host.len > n && memcmp(host.p + host.len - n, s->host, n) == 0) || str_eq(host, str_of(s->host)))
			return s;
	}
}

struct s3 *s3_of(struct blobs *b)
{
	return (struct s3 *)b;
}

int64_t s3_now_ms(const struct s3 *s)
{
	return s->env->mono_ms(s->env);
}

void s3_wait_until(struct s3 *s, int64_t until_ms)
{
	const int64_t left_ms = until_ms - s3_now_ms(s);
	struct timespec t;

	if (left_ms <= 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(left_ms / 1000);
	t.tv_nsec += (long)(left_ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	(void)pthread_cond_timedwait(&s->changed, &s->lock, &t);
}

int64_t s3_pause_ms(const struct s3 *s, unsigned tries, int64_t asked_for_s)
{
	const int64_t longest = s->pause_ms * PAUSE_GROWS;
	int64_t most = s->pause_ms;

	while (--tries > 0 && most < longest)
		most *= 2;
	if (most > longest)
		most = longest;
	/* Between half of it and all. */
	int64_t pause_ms = most / 2 + (int64_t)(s->env->random(s->env) % (uint64_t)(most / 2 + 1));
	if (asked_for_s > 0)
		pause_ms = asked_for_s > longest / 1000 ? longest : asked_for_s * 1000;
	return pause_ms;
}

void s3_token(const struct s3 *s, char dst[S3_TOKEN_LEN + 1])
{
	const uint64_t bits[2] = {s->env->random(s->env), s->env->random(s->env)};

	hex_encode(dst, bits, sizeof(bits));
}

int s3_key(struct buf *out, const struct s3 *s, struct str name, struct err *e)
{
	buf_addf(out, "%s%.*s", s->prefix, STR_FMT(name));
	return buf_ok(out) ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a key");
}

/* ---- removing ---- */

int s3_delete(struct s3 *s, struct str name, struct err *e)
{
	struct s3_request r = {.method = STR("DELETE"), .name = name};
	struct s3_call c;

	s3_call_init(&c, s);
	int rc = s3_do(&c, &r, e);
	if (rc == 0 && c.status != 200 && c.status != 204 && !(c.status == 404 && s3_error_is(&c, "NoSuchKey")))
		rc = s3_unexpected(&c, "a blob could not be removed", e);
	s3_call_release(&c);
	return rc;
}

static int s3_remove(struct blobs *b, struct str name, struct err *e)
{
	s3_tell_removed(s3_of(b), name);
	return s3_delete(s3_of(b), name, e);
}

/* ---- health ---- */

/* One try each, and soon given up: who asks wants to know how it is now. */
static int probe_with(struct s3 *s, const struct s3_request *r, struct err *e)
{
	struct s3_call c;

	s3_call_init(&c, s);
	c.patience_ms = 1;
	c.stall_s = PROBE_STALL_S;
	int rc = s3_do(&c, r, e);
	if (rc == 0 && c.status != 200 && c.status != 204)
		rc = s3_unexpected(&c, "the object storage cannot be written", e);
	s3_call_release(&c);
	return rc;
}

/* The object has the name of a probe, so that fsck removes what a crash leaves. */
static int s3_probe(struct blobs *b, struct err *e)
{
	static const struct str bytes = STR("filemill probe\n");
	struct s3 *s = s3_of(b);
	char name[64], token[S3_TOKEN_LEN + 1];
	struct s3_sums sums;
	int rc = s3_sums_of(&sums, bytes, e);

	if (rc != 0)
		return rc;
	s3_token(s, token);
	snprintf(name, sizeof(name), "probe/00/probe-%.16s", token);
	struct s3_request put = {.method = STR("PUT"), .name = str_of(name), .body = bytes};
	s3_add_sums(&put, &sums, &(struct s3_powers){});
	rc = probe_with(s, &put, e);
	return rc == 0 ? probe_with(s, &(struct s3_request){.method = STR("DELETE"), .name = str_of(name)}, e) : rc;
}

/* ---- life ---- */

static void free_secret(char *text)
{
	if (text)
		wipe(text, strlen(text));
	free(text);
}

static void s3_free(struct blobs *b)
{
	struct s3 *s = s3_of(b);

	if (s->net)
		net_client_drain(s->net, LAST_REQUESTS_MS);
	net_client_free(s->net);
	s3_drop_spares(s, 0);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->learning);
	free(s->authority);
	free(s->scheme);
	free(s->region);
	free(s->bucket);
	free(s->prefix);
	free(s->access_key);
	free_secret(s->secret_key);
	free(s);
}

static const struct blobs_methods s3_methods = {
	.free = s3_free,
	.create = s3_create,
	.create_copy = s3_create_copy,
	.append = s3_append,
	.append_digesting = s3_append_digesting,
	.commit = s3_commit,
	.abandon = s3_abandon,
	.open = s3_open,
	.read_open = s3_read_open,
	.read = s3_read,
	.read_wait = s3_read_wait,
	.read_ready = s3_read_ready,
	.read_origin = s3_read_origin,
	.read_close = s3_read_close,
	.remove = s3_remove,
	.visit = s3_visit,
	.visit_some = s3_visit_some,
	.give_up = s3_give_up,
	.foreign = s3_foreign,
	.probe = s3_probe,
	.interrupt = s3_interrupt,
};

struct s3 *s3_inside(struct blobs *b)
{
	while (b->inner)
		b = b->inner;
	return b->methods == &s3_methods ? s3_of(b) : NULL;
}

static int bad(struct err *e, const char *what)
{
	return err_set(e, ERR_BAD_CONFIG, "%s", what);
}

/* The letters of bucket names that may stand in a host or a path as they are. */
static bool bucket_valid(struct str s)
{
	if (s.len < 3 || s.len > 63)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		const char c = s.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && (i == 0 || !strchr("-._", c)))
			return false;
	}
	return true;
}

static int check(const struct s3_options *o, struct err *e)
{
	const struct str prefix = str_of(o->prefix);

	if (!o->access_key || !o->access_key[0] || !o->secret_key || !o->secret_key[0])
		return bad(e, "the access key and the secret key of the object storage are needed");
	if (!bucket_valid(str_of(o->bucket)))
		return bad(e, "the bucket's name is 3 to 63 letters, digits, dots, hyphens and underscores");
	if (prefix.len > S3_PREFIX_MAX || !utf8_valid(prefix) || (prefix.len > 0 && prefix.p[0] == '/'))
		return bad(e, "the prefix is at most 512 bytes of UTF-8 and does not begin with a slash");
	if (o->part_bytes != 0 && (o->part_bytes < S3_PART_BYTES_MIN || o->part_bytes > S3_PART_BYTES_MAX))
		return bad(e, "parts have 5 MiB to 1 GiB");
	return 0;
}

static int no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for a store");
}

/* What is signed as Host is what is sent: without the port that is the scheme's own. */
static int read_endpoint(struct s3 *s, const struct s3_options *o, struct err *e)
{
	char port[8] = "";
	struct target t;

	s->policy = (struct target_policy){.http = true, .allow_n = 2, .allow = {{.family = AF_INET}, {.family = AF_INET6}}};
	int rc = target_parse(&t, str_of(o->endpoint), &s->policy, e);
	if (rc != 0)
		return err_wrap(e, "the endpoint of the object storage"), ERR_BAD_CONFIG;
	if (t.rest.len > 1 || (t.rest.len == 1 && t.rest.p[0] != '/'))
		return bad(e, "the endpoint of the object storage has a path");
	s->policy.http = !t.tls;
	const struct s3_service *service = s3_service_of(str_of(t.host));
	const char *region = o->region && o->region[0] ? o->region : service->region;
	if (!region)
		return bad(e, "the region of the object storage is needed");
	s->virtual_host = o->style == S3_STYLE_VIRTUAL_HOST || (o->style == S3_STYLE_USUAL && service->virtual_host);
	if (s->virtual_host && t.literal)
		return bad(e, "an address cannot have the bucket in front of it: name a host, or have the bucket in the path");
	if (t.port != (t.tls ? 443 : 80))
		snprintf(port, sizeof(port), ":%u", t.port);
	if (asprintf(&s->authority, t.literal == AF_INET6 ? "%s%s[%s]%s" : "%s%s%s%s", s->virtual_host ? o->bucket : "",
		     s->virtual_host ? "." : "", t.host, port) < 0)
		s->authority = NULL;
	s->scheme = strdup(t.tls ? "https://" : "http://");
	s->region = strdup(region);
	return s->authority && s->scheme && s->region ? 0 : no_memory(e);
}

int s3_options_check(const struct s3_options *o, struct err *e)
{
	struct s3 s = {};
	int rc = check(o, e);

	if (rc == 0)
		rc = read_endpoint(&s, o, e);
	free(s.authority);
	free(s.scheme);
	free(s.region);
	return rc;
}

static int init(struct s3 *s, const struct s3_options *o, struct err *e)
{
	const struct net_client_options net = {
		.env = s->env, .policy = s->policy, .ca_file = o->ca_file, .user_agent = "filemill", .calls_max = S3_CALLS_MAX};

	s->bucket = strdup(o->bucket);
	s->prefix = strdup(o->prefix ? o->prefix : "");
	s->access_key = strdup(o->access_key);
	s->secret_key = strdup(o->secret_key);
	if (!s->bucket || !s->prefix || !s->access_key || !s->secret_key)
		return no_memory(e);
	return net_client_new(&s->net, &net, e);
}

static void set_numbers(struct s3 *s, const struct s3_options *o)
{
	s->part_bytes = o->part_bytes ? o->part_bytes : (uint64_t)16 << 20;
	s->parts_at_once = o->parts_at_once ? o->parts_at_once : 4;
	s->memory_max = o->memory_max ? o->memory_max : (uint64_t)256 << 20;
	s->patience_ms = o->patience_ms ? o->patience_ms : 30000;
	s->pause_ms = o->pause_ms ? o->pause_ms : 100;
	s->stall_s = o->stall_s ? o->stall_s : 20;
	s->stale_ms = o->stale_ms ? o->stale_ms : (int64_t)2 * 24 * 3600 * 1000;
	s->spool_fd = o->spool_fd;
	s->readers_max = S3_READERS_MAX;
}

int blobs_s3_new(struct blobs **ret, const struct s3_options *o, struct err *e)
{
	pthread_condattr_t attr;
	struct s3 *s;
	int rc = check(o, e);

	if (rc != 0)
		return rc;
	s = calloc(1, sizeof(*s));
	if (!s)
		return no_memory(e);
	s->base.methods = &s3_methods;
	s->env = o->env ? o->env : &env_real;
	set_numbers(s, o);
	pthread_mutex_init(&s->learning, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
	rc = read_endpoint(s, o, e);
	if (rc == 0)
		rc = init(s, o, e);
	if (rc != 0) {
		s3_free(&s->base);
		return rc;
	}
	*ret = &s->base;
	return 0;
}
