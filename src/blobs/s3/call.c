/* Requests: signed, sent, judged, sent again.
 *
 * A request is signed anew each time it is sent, with the clock of the service as far as it is known: what is refused because the clocks differ tells the service's time, and
 * the difference is kept. An answer decides by its status and the word in its body; what did not come to an answer may have been carried out or not, so who sends again must be
 * able to tell its own work from another's (see write.c). */
#include "base/clock.h"
#include "blobs/s3/s3_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 5000
#define TOTAL_MS ((int64_t)30 * 60 * 1000)
#define SKEW_S_MAX 60 /* services take up to 15 minutes; from here on a refusal may be the clock's */

void s3_add_query(struct s3_request *r, const char *name, struct str value)
{
	r->query[r->n_query++] = (struct sigv4_pair){str_of(name), value};
}

void s3_add_header(struct s3_request *r, const char *name, struct str value)
{
	r->headers[r->n_headers++] = (struct sigv4_pair){str_of(name), value};
}

void s3_call_init(struct s3_call *c, struct s3 *s)
{
	*c = (struct s3_call){.s = s,
			      .over = true,
			      .length = -1,
			      .from = -1,
			      .whole = -1,
			      .date_s = -1,
			      .retry_after_s = -1,
			      .patience_ms = s->patience_ms,
			      .stall_s = s->stall_s,
			      .body = BUF_INIT};
}

void s3_call_release(struct s3_call *c)
{
	buf_release(&c->body);
}

/* ---- what the client's thread calls ---- */

static void copy_field(char *dst, size_t size, const struct net_head *h, const char *name)
{
	struct str value = net_head_field(h, name);

	if (value.len >= 2 && value.p[0] == '"' && value.p[value.len - 1] == '"')
		value = (struct str){value.p + 1, value.len - 2};
	snprintf(dst, size, "%.*s", (int)(value.len < size ? value.len : 0), value.p ? value.p : "");
}

static int64_t number_of(struct str s)
{
	uint64_t n;

	return str_to_u64(s, &n) && n <= INT64_MAX ? (int64_t)n : -1;
}

static bool take_head(void *arg, const struct net_head *h)
{
	struct s3_call *c = arg;
	struct str range = net_head_field(h, "content-range"), whole;
	int64_t date_ms;

	/* `bytes 0-99/1000` (RFC 9110 §14.4) */
	if (str_starts(range, STR("bytes ")))
		c->from = number_of(str_split((struct str){range.p + 6, range.len - 6}, '-', &whole));
	c->status = h->status;
	c->length = number_of(net_head_field(h, "content-length"));
	(void)str_split(range, '/', &whole);
	c->whole = whole.p ? number_of(whole) : -1;
	if (http_date_parse(&date_ms, net_head_field(h, "date")))
		c->date_s = date_ms / 1000;
	copy_field(c->etag, sizeof(c->etag), h, "etag");
	/* It goes into XML and header fields: one that would have to be escaped there is none. */
	if (strpbrk(c->etag, "<>&\""))
		c->etag[0] = '\0';
	copy_field(c->checksum, sizeof(c->checksum), h, "x-amz-checksum-sha256");
	copy_field(c->token, sizeof(c->token), h, "x-amz-meta-writer");
	if (c->head)
		c->head(c, h);
	return true;
}

static enum net_take take_body(void *arg, const char *data, size_t n)
{
	struct s3_call *c = arg;

	if (c->take && (c->status == 200 || c->status == 206))
		return c->take(c, data, n);
	if (n > S3_BODY_MAX - c->body.len)
		return NET_ENOUGH;
	buf_add(&c->body, data, n);
	return NET_TAKEN;
}

/* With the lock held. */
static void enter(struct s3_call *c)
{
	struct s3 *s = c->s;

	c->over = false;
	c->before = NULL;
	c->behind = s->calls;
	if (s->calls)
		s->calls->before = c;
	s->calls = c;
}

/* With the lock held. */
static void leave(struct s3_call *c)
{
	if (c->before)
		c->before->behind = c->behind;
	else
		c->s->calls = c->behind;
	if (c->behind)
		c->behind->before = c->before;
}

static const char stopping[] = "the server is stopping";

/* With the lock held. */
static void end(struct s3_call *c)
{
	leave(c);
	if (c->s->ending && c->code == ERR_CANCELLED) {
		c->code = ERR_SHUTTING_DOWN;
		snprintf(c->detail, sizeof(c->detail), "%s", stopping);
	}
	if (c->finished)
		c->finished(c);
	c->over = true;
	pthread_cond_broadcast(&c->s->changed);
}

static void done(void *arg, const struct net_result *r)
{
	struct s3_call *c = arg;
	struct s3 *s = c->s;

	/* Of what has no body libcurl takes a head that breaks off for a whole one. */
	const bool broken = r->code == 0 && c->status == 0;
	c->code = r->code != 0 ? r->code : broken ? ERR_CONNECTION_LOST : buf_ok(&c->body) ? 0 : ERR_NO_MEMORY;
	/* Who takes an answer as it comes may be looking at it. */
	if (c->status == 0)
		c->status = r->status;
	c->retry_after_s = r->retry_after_s;
	snprintf(c->detail, sizeof(c->detail), "%s", broken ? "its head broke off" : r->detail);
	pthread_mutex_lock(&s->lock);
	end(c);
	/* From here on the call may be gone. */
	pthread_mutex_unlock(&s->lock);
}

/* ---- signing and sending ---- */

/* Everything of one request as text, kept until net_send() has copied it. */
struct signing {
	struct buf path, url, authorization;
	char time[SIGV4_TIME_LEN + 1], body_sha256[65];
	struct sigv4_pair headers[S3_PAIRS_MAX + 3];
	struct net_header sent[S3_PAIRS_MAX + 3];
};

static void release_signing(struct signing *g)
{
	buf_release(&g->path);
	buf_release(&g->url);
	buf_release(&g->authorization);
}

struct sigv4_key s3_signing_key(const struct s3 *s)
{
	return (struct sigv4_key){str_of(s->access_key), str_of(s->secret_key), str_of(s->region), STR("s3")};
}

int64_t s3_their_time(struct s3 *s)
{
	pthread_mutex_lock(&s->lock);
	const int64_t skew_s = s->skew_s;
	pthread_mutex_unlock(&s->lock);
	return s->env->wall_ms(s->env) / 1000 + skew_s;
}

int s3_path(struct buf *out, const struct s3 *s, struct str name, struct err *e)
{
	if (!s->virtual_host)
		buf_addf(out, "/%s", s->bucket);
	if (name.len == 0)
		return 0;
	buf_add_char(out, '/');
	return s3_key(out, s, name, e);
}

static int digest_body(char dst[65], const struct s3_request *r, struct err *e)
{
	struct s3_sums sums;
	int rc = 0;

	if (r->body_sha256) {
		snprintf(dst, 65, "%s", r->body_sha256);
	} else if (r->body.len == 0) {
		snprintf(dst, 65, "%s", SIGV4_EMPTY_SHA256);
	} else {
		rc = s3_sums_of(&sums, r->body, e);
		if (rc == 0)
			snprintf(dst, 65, "%s", sums.sha256_hex);
	}
	return rc;
}

static int sign(struct signing *g, const struct s3_request *r, const struct s3 *s, int64_t now_s, struct err *e)
{
	const struct sigv4_key key = s3_signing_key(s);
	size_t n = 3;
	int rc = s3_path(&g->path, s, r->name, e);

	if (rc == 0)
		rc = digest_body(g->body_sha256, r, e);
	if (rc != 0)
		return rc;
	sigv4_time(g->time, now_s);
	g->headers[0] = (struct sigv4_pair){STR("host"), str_of(s->authority)};
	g->headers[1] = (struct sigv4_pair){STR("x-amz-content-sha256"), str_of(g->body_sha256)};
	g->headers[2] = (struct sigv4_pair){STR("x-amz-date"), str_of(g->time)};
	for (size_t i = 0; i < r->n_headers; i++)
		g->headers[n++] = r->headers[i];
	const struct sigv4_request sign = {.method = r->method,
					   .path = buf_str(&g->path),
					   .query = r->query,
					   .n_query = r->n_query,
					   .headers = g->headers,
					   .n_headers = n,
					   .payload_sha256 = str_of(g->body_sha256),
					   .unix_s = now_s};
	buf_addf(&g->url, "%s%s", s->scheme, s->authority);
	sigv4_target(&g->url, &sign);
	rc = sigv4_authorization(&g->authorization, &key, &sign, e);
	/* Host is the client's own to send. */
	for (size_t i = 1; i < n; i++)
		g->sent[i] = (struct net_header){.name = g->headers[i].name, .value = g->headers[i].value};
	g->sent[0] = (struct net_header){.name = STR("authorization"), .value = buf_str(&g->authorization)};
	return rc == 0 && (!buf_ok(&g->path) || !buf_ok(&g->url)) ? err_set(e, ERR_NO_MEMORY, "no memory for a request") : rc;
}

static void forget_answer(struct s3_call *c)
{
	c->code = c->status = 0;
	c->detail[0] = c->etag[0] = c->checksum[0] = c->token[0] = '\0';
	c->length = c->from = c->whole = c->date_s = c->retry_after_s = -1;
	buf_reset(&c->body);
}

static void begin(struct s3_call *c)
{
	struct s3 *s = c->s;

	forget_answer(c);
	c->signed_s = s->env->wall_ms(s->env) / 1000;
	pthread_mutex_lock(&s->lock);
	enter(c);
	c->skew_s = s->skew_s;
	pthread_mutex_unlock(&s->lock);
}

/* Whoever ends all calls may not have known the number of this one. */
static void set_id(struct s3_call *c, uint64_t id)
{
	pthread_mutex_lock(&c->s->lock);
	c->net_id = id;
	const bool ending = c->s->ending;
	pthread_mutex_unlock(&c->s->lock);
	if (ending)
		net_cancel(c->s->net, id);
}

/* With what went wrong before it could be sent. */
static void launch(struct s3_call *c, int rc, const struct s3_signed *r, struct err *e)
{
	struct s3 *s = c->s;
	const struct net_request request = {
		.method = r->method,
		.url = r->url,
		.headers = r->headers,
		.headers_n = r->n_headers,
		.body = r->body,
		.limits = {.connect_ms = CONNECT_MS, .total_ms = TOTAL_MS, .rate_grace_s = c->stall_s, .body_max = INT64_MAX},
		.head = take_head,
		.take = take_body,
		.done = done,
		.arg = c,
	};
	uint64_t id = 0;

	if (rc == 0 && s3_ending(s))
		rc = err_set(e, ERR_SHUTTING_DOWN, stopping);
	if (rc == 0)
		rc = net_send(s->net, &request, &id, e);
	if (rc == 0) {
		set_id(c, id);
		return;
	}
	c->code = rc;
	snprintf(c->detail, sizeof(c->detail), "%s", e->detail);
	pthread_mutex_lock(&s->lock);
	end(c);
	pthread_mutex_unlock(&s->lock);
}

void s3_send(struct s3_call *c, const struct s3_request *r)
{
	CLEANUP(release_signing) struct signing g = {};
	struct err e = ERR_INIT;

	begin(c);
	int rc = sign(&g, r, c->s, c->signed_s + c->skew_s, &e);
	const struct s3_signed ready = {
		.method = r->method, .url = buf_str(&g.url), .headers = g.sent, .n_headers = r->n_headers + 3, .body = r->body};
	launch(c, rc, &ready, &e);
}

void s3_send_signed(struct s3_call *c, const struct s3_signed *r)
{
	struct err e = ERR_INIT;

	begin(c);
	launch(c, 0, r, &e);
}

void s3_wait(struct s3_call *c)
{
	pthread_mutex_lock(&c->s->lock);
	while (!c->over)
		pthread_cond_wait(&c->s->changed, &c->s->lock);
	pthread_mutex_unlock(&c->s->lock);
}

void s3_cancel_and_wait(struct s3_call *c)
{
	pthread_mutex_lock(&c->s->lock);
	const bool over = c->over;
	pthread_mutex_unlock(&c->s->lock);
	if (!over)
		net_cancel(c->s->net, c->net_id);
	s3_wait(c);
}

bool s3_ending(struct s3 *s)
{
	pthread_mutex_lock(&s->lock);
	const bool ending = s->ending;
	pthread_mutex_unlock(&s->lock);
	return ending;
}

void s3_interrupt(struct blobs *b)
{
	struct s3 *s = s3_of(b);
	uint64_t ids[S3_CALLS_MAX];
	size_t n = 0;

	pthread_mutex_lock(&s->lock);
	s->ending = true;
	for (const struct s3_call *c = s->calls; c && n < S3_CALLS_MAX; c = c->behind)
		ids[n++] = c->net_id;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	/* One that is over by now, or not sent yet, has another number or none. */
	for (size_t i = 0; i < n; i++)
		net_cancel(s->net, ids[i]);
}

static void forgotten(void *arg, const struct net_result *r)
{
	(void)arg;
	(void)r;
}

void s3_send_and_forget(struct s3 *s, const struct s3_request *r)
{
	CLEANUP(release_signing) struct signing g = {};

	if (sign(&g, r, s, s3_their_time(s), NULL) != 0)
		return;
	const struct net_request request = {
		.method = r->method,
		.url = buf_str(&g.url),
		.headers = g.sent,
		.headers_n = r->n_headers + 3,
		.limits = {.connect_ms = CONNECT_MS, .rate_grace_s = s->stall_s},
		.done = forgotten,
	};
	(void)net_send(s->net, &request, NULL, NULL);
}

/* ---- what came of it ---- */

void s3_error_word(char dst[S3_WORD_MAX + 1], const struct s3_call *c)
{
	struct buf word = BUF_INIT;
	size_t n = 0;

	if (s3_xml_find(&word, buf_str(&c->body), "Code")) {
		/* It may be told to people: letters and digits only. */
		for (size_t i = 0; i < word.len && n < S3_WORD_MAX; i++)
			if ((word.p[i] >= 'A' && word.p[i] <= 'Z') || (word.p[i] >= 'a' && word.p[i] <= 'z') ||
			    (word.p[i] >= '0' && word.p[i] <= '9'))
				dst[n++] = word.p[i];
	}
	dst[n] = '\0';
	buf_release(&word);
}

bool s3_error_is(const struct s3_call *c, const char *word)
{
	char got[S3_WORD_MAX + 1];

	s3_error_word(got, c);
	return strcmp(got, word) == 0;
}

/* No answer came. All of these may be different next time, but what we did ourselves, or what the address is. */
static enum s3_verdict judge_failure(int code)
{
	switch (code) {
	case ERR_CANCELLED:
	case ERR_SHUTTING_DOWN:
	case ERR_BLOCKED:
	case ERR_URL_NOT_ALLOWED:
	case ERR_INVALID_VALUE:
		return S3_FAILED;
	default:
		return S3_AGAIN;
	}
}

/* Words of S3's "List of error codes" that pass, beside those of 500 and 503. */
static bool passes(const struct s3_call *c)
{
	static const char *const words[] = {"RequestTimeout",   "BadDigest",     "XAmzContentSHA256Mismatch",  "IncompleteBody",
					    "OperationAborted", "InternalError", "ConditionalRequestConflict", "ServiceUnavailable",
					    "SlowDown"};
	char word[S3_WORD_MAX + 1];

	s3_error_word(word, c);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}

/* An answer to HEAD has no body, so the clocks are compared whatever the word is. What counts is the time that this request was signed with: of several that were under way when
 * the clocks parted, the first one refused turns ours, and the others were not refused for another reason. */
static bool clocks_differ(struct s3_call *c)
{
	struct s3 *s = c->s;
	const int64_t skew_s = c->date_s - c->signed_s;

	if (c->status != 403 || c->date_s < 0 || llabs(skew_s - c->skew_s) <= SKEW_S_MAX)
		return false;
	pthread_mutex_lock(&s->lock);
	if (llabs(skew_s - s->skew_s) > SKEW_S_MAX)
		s->skew_s = skew_s;
	pthread_mutex_unlock(&s->lock);
	return true;
}

/* An answer may begin with 200 and turn out to be an error: CompleteMultipartUpload sends its head while it works. */
static void find_late_error(struct s3_call *c)
{
	struct s3_xml x = s3_xml(buf_str(&c->body));

	if (c->status == 200 && c->body.len > 0 && s3_xml_next(&x) == S3_XML_OPEN && str_eq(x.name, STR("Error")))
		c->status = 400;
}

enum s3_verdict s3_judge(struct s3_call *c, bool *ret_at_once)
{
	*ret_at_once = false;
	if (c->code != 0)
		return judge_failure(c->code);
	find_late_error(c);
	*ret_at_once = clocks_differ(c);
	if (*ret_at_once || c->status == 408 || c->status == 429 || (c->status >= 500 && c->status != 501))
		return S3_AGAIN;
	if ((c->status == 400 || c->status == 409) && passes(c))
		return S3_AGAIN;
	return S3_ANSWERED;
}

/* Not the blob in question is at fault but keys, rights, the bucket or its place: what is asked for may be there once that was put right, and it says nothing against a job that needs it. */
static bool says_of_all(int status, const char *word)
{
	return status >= 500 || status == 401 || status == 403 || (status >= 300 && status <= 399) || strcmp(word, "NoSuchBucket") == 0;
}

int s3_unexpected(const struct s3_call *c, const char *what, struct err *e)
{
	char word[S3_WORD_MAX + 1];

	if (c->code == ERR_NO_MEMORY || c->code == ERR_SHUTTING_DOWN || c->code == ERR_CANCELLED)
		return err_set(e, c->code, "%s: %s", what, c->detail);
	if (c->code != 0)
		return err_set(e, ERR_STORAGE_UNAVAILABLE, "%s: the object storage gave no answer: %s", what, c->detail);
	s3_error_word(word, c);
	if (strcmp(word, "QuotaExceeded") == 0 || c->status == 507)
		return err_set(e, ERR_STORAGE_FULL, "%s: the object storage is full", what);
	return err_set(e, says_of_all(c->status, word) ? ERR_STORAGE_UNAVAILABLE : ERR_IO, "%s: the object storage answered %d%s%s", what,
		       c->status, word[0] ? " " : "", word);
}

int s3_do(struct s3_call *c, const struct s3_request *r, struct err *e)
{
	struct s3 *s = c->s;
	int64_t until_ms = 0;

	for (c->tries = 1;; c->tries++) {
		bool at_once;

		s3_send(c, r);
		s3_wait(c);
		enum s3_verdict v = s3_judge(c, &at_once);
		if (v == S3_ANSWERED)
			return 0;
		const int64_t now_ms = s3_now_ms(s);
		int64_t again_ms = now_ms + (at_once && c->tries == 1 ? 0 : s3_pause_ms(s, c->tries, c->retry_after_s));
		/* Patience begins with the first failure: to put many parts together may take longer than it lasts. */
		if (c->tries == 1)
			until_ms = now_ms + c->patience_ms;
		if (v == S3_FAILED || again_ms > until_ms)
			return s3_unexpected(c, "a request failed", e);
		pthread_mutex_lock(&s->lock);
		while (!s->ending && s3_now_ms(s) < again_ms)
			s3_wait_until(s, again_ms);
		pthread_mutex_unlock(&s->lock);
	}
}
