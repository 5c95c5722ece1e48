#include "bucket.h"

#include "base/clock.h"
#include "base/fd.h"
#include "blobs/s3/s3_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 16384
#define CONNECTIONS_MAX 256
#define PAGE 100
#define SKEW_S 3600
#define ENCRYPTED_ETAG "0123456789abcdef0123456789abcdef"

struct object {
	struct object *next; /* sorted by key, or by number */
	char *key;
	unsigned number; /* of a part */
	char *bytes;
	size_t n;
	char etag[48], token[64];
};

struct upload {
	struct upload *next;
	char *key;
	unsigned id;
	char token[64];
	struct object *parts;
};

struct bucket {
	struct bucket_options o;
	int listener, stop[2];
	char endpoint[48];
	pthread_t thread, workers[CONNECTIONS_MAX];
	unsigned n_workers;

	pthread_mutex_t lock; /* guards what follows */
	struct object *objects;
	struct upload *uploads;
	unsigned serial;

	atomic_uint requests, refused, fail_at;
	atomic_int fault;
	atomic_bool sticky, failed;
};

struct request {
	char head[HEAD_MAX + 1];
	char *fields; /* of the head, behind the first line */
	char method[8];
	char key[HEAD_MAX];
	char *query; /* not decoded */
	char *body;
	size_t n;
};

struct answer {
	int status;
	struct buf fields, body;
};

struct connection {
	struct bucket *b;
	int fd;
};

/* ---- the wire ---- */

/* False: closed, or to stop. */
static bool wait_readable(struct connection *c)
{
	struct pollfd p[2] = {{.fd = c->fd, .events = POLLIN}, {.fd = c->b->stop[0], .events = POLLIN}};

	return poll(p, 2, -1) > 0 && p[1].revents == 0;
}

static bool receive(struct connection *c, char *dst, size_t n)
{
	while (n > 0) {
		ssize_t got = wait_readable(c) ? recv(c->fd, dst, n, 0) : 0;

		if (got <= 0)
			return false;
		dst += got;
		n -= (size_t)got;
	}
	return true;
}

static bool say(struct connection *c, const char *p, size_t n)
{
	while (n > 0) {
		struct pollfd to[2] = {{.fd = c->fd, .events = POLLOUT}, {.fd = c->b->stop[0], .events = POLLIN}};
		ssize_t sent = poll(to, 2, -1) > 0 && to[1].revents == 0 ? send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT) : -1;

		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

static struct str field(const struct request *r, const char *name)
{
	return net_head_field(&(struct net_head){.fields = str_of(r->fields)}, name);
}

/* A parameter of the query, decoded; p NULL: not there. */
static bool parameter(char *dst, size_t size, const struct request *r, const char *name)
{
	struct str rest = str_of(r->query ? r->query : "");

	while (rest.len > 0) {
		struct str value, pair = str_split(rest, '&', &rest), key = str_split(pair, '=', &value);

		if (str_eq(key, str_of(name)) && value.len < size) {
			long n = pct_decode(dst, value);

			dst[n > 0 ? n : 0] = '\0';
			return n >= 0;
		}
	}
	return false;
}

static bool has(const struct request *r, const char *name)
{
	char value[2048];

	return parameter(value, sizeof(value), r, name);
}

/* `GET /bucket/key?query HTTP/1.1` */
static bool read_line(struct request *r)
{
	char *target = strchr(r->head, ' '), *end = target ? strchr(target + 1, ' ') : NULL, *key;
	long n;

	if (!end || target - r->head >= (ptrdiff_t)sizeof(r->method))
		return false;
	memcpy(r->method, r->head, (size_t)(target - r->head));
	*end = '\0';
	r->query = strchr(++target, '?');
	if (r->query)
		*r->query++ = '\0';
	key = strchr(target + 1, '/');
	n = key ? pct_decode(r->key, str_of(key + 1)) : 0;
	r->key[n > 0 ? n : 0] = '\0';
	return n >= 0;
}

/* Looks how far the head goes and takes just that. */
static bool read_head(struct connection *c, struct request *r)
{
	const char *end = NULL;

	while (!end) {
		ssize_t n = wait_readable(c) ? recv(c->fd, r->head, HEAD_MAX, MSG_PEEK) : 0;

		end = n > 0 ? memmem(r->head, (size_t)n, "\r\n\r\n", 4) : NULL;
		if (n <= 0 || (!end && n == HEAD_MAX))
			return false;
	}
	if (!receive(c, r->head, (size_t)(end + 4 - r->head)))
		return false;
	r->head[end + 4 - r->head] = '\0';
	r->fields = strchr(r->head, '\n');
	return r->fields++ && read_line(r);
}

static bool read_body(struct connection *c, struct request *r)
{
	uint64_t n = 0;

	if (!str_to_u64(field(r, "content-length"), &n))
		n = 0;
	r->body = malloc(n + 1);
	r->n = n;
	return r->body && receive(c, r->body, n);
}

/* ---- what it holds; all with the lock held ---- */

static void free_object(struct object *o)
{
	free(o->key);
	free(o->bytes);
	free(o);
}

/* Where the object of this key is, or would be. */
static struct object **find(struct bucket *b, const char *key)
{
	struct object **at = &b->objects;

	while (*at && strcmp((*at)->key, key) < 0)
		at = &(*at)->next;
	return at;
}

static struct object *at_key(struct bucket *b, const char *key)
{
	struct object **at = find(b, key);

	return *at && strcmp((*at)->key, key) == 0 ? *at : NULL;
}

static void drop_object(struct bucket *b, const char *key)
{
	struct object **at = find(b, key), *gone = *at;

	if (!gone || strcmp(gone->key, key) != 0)
		return;
	*at = gone->next;
	free_object(gone);
}

static struct upload **find_upload(struct bucket *b, const struct request *r)
{
	struct upload **at = &b->uploads;
	char id[64] = "";

	parameter(id, sizeof(id), r, "uploadId");
	while (*at && ((*at)->id != strtoul(id, NULL, 10) || strcmp((*at)->key, r->key) != 0))
		at = &(*at)->next;
	return at;
}

static void drop_upload(struct upload **at)
{
	struct upload *gone = *at;
	struct object *part;

	*at = gone->next;
	while ((part = gone->parts) != NULL) {
		gone->parts = part->next;
		free_object(part);
	}
	free(gone->key);
	free(gone);
}

/* ---- answers ---- */

static void refuse(struct answer *a, int status, const char *word)
{
	a->status = status;
	buf_reset(&a->body);
	buf_addf(&a->body, "<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>as told &amp; done</Message></Error>", word);
}

static struct object *new_object(const char *key, struct str bytes, struct str token)
{
	struct object *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	o->key = strdup(key);
	o->bytes = malloc(bytes.len + 1);
	assert_true(o->key && o->bytes);
	if (bytes.len > 0)
		memcpy(o->bytes, bytes.p, bytes.len);
	o->n = bytes.len;
	snprintf(o->token, sizeof(o->token), "%.*s", (int)token.len, token.p ? token.p : "");
	return o;
}

static void insert(struct bucket *b, struct object *o)
{
	drop_object(b, o->key);
	struct object **at = find(b, o->key);
	o->next = *at;
	*at = o;
}

/* Of what arrived. */
static void add_digests(struct object *o, const struct bucket *b, const struct request *r, struct answer *a)
{
	struct s3_sums sums;

	assert_int_equal(s3_sums_of(&sums, (struct str){o->bytes, o->n}, NULL), 0);
	snprintf(o->etag, sizeof(o->etag), "%s%s", b->o.opaque_etags ? "opaque-" : "", b->o.encrypted ? ENCRYPTED_ETAG : sums.md5_hex);
	buf_addf(&a->fields, "ETag: \"%s\"\r\n", o->etag);
	if (b->o.checksums && field(r, "x-amz-checksum-sha256").p)
		buf_addf(&a->fields, "x-amz-checksum-sha256: %s\r\n", sums.sha256_base64);
}

static bool refused_for_another(struct bucket *b, const struct request *r, struct answer *a, bool looks)
{
	if (!looks || !field(r, "if-none-match").p || !at_key(b, r->key))
		return false;
	refuse(a, 412, "PreconditionFailed");
	return true;
}

/* `/bucket/key`, encoded. The body of the answer is what S3 says. */
static void copy_object(struct bucket *b, const struct request *r, struct answer *a, struct str source)
{
	struct str match = field(r, "x-amz-copy-source-if-match");
	char path[4096];
	long n = source.len < sizeof(path) ? pct_decode(path, source) : -1;

	path[n > 0 ? n : 0] = '\0';
	const char *key = n > 0 ? strchr(path + 1, '/') : NULL;
	const struct object *from = key ? at_key(b, key + 1) : NULL;
	if (!from) {
		refuse(a, 404, "NoSuchKey");
		return;
	}
	if (match.p && (match.len != strlen(from->etag) + 2 || memcmp(match.p + 1, from->etag, match.len - 2) != 0)) {
		refuse(a, 412, "PreconditionFailed");
		return;
	}
	struct object *o = new_object(r->key, (struct str){from->bytes, from->n}, field(r, "x-amz-meta-writer"));
	memcpy(o->etag, from->etag, sizeof(o->etag));
	buf_addf(&a->body, "<CopyObjectResult><ETag>&quot;%s&quot;</ETag></CopyObjectResult>", o->etag);
	insert(b, o);
}

static void put_object(struct bucket *b, const struct request *r, struct answer *a)
{
	struct str source = field(r, "x-amz-copy-source");

	if (source.p) {
		copy_object(b, r, a, source);
		return;
	}
	if (refused_for_another(b, r, a, b->o.put_if_none_match))
		return;
	struct object *o = new_object(r->key, (struct str){r->body, r->n}, field(r, "x-amz-meta-writer"));
	add_digests(o, b, r, a);
	insert(b, o);
}

static void put_part(struct bucket *b, const struct request *r, struct answer *a)
{
	struct upload *u = *find_upload(b, r);
	char number[16] = "";

	if (!u) {
		refuse(a, 404, "NoSuchUpload");
		return;
	}
	struct object *o = new_object(r->key, (struct str){r->body, r->n}, (struct str){}), **at = &u->parts, *gone;
	add_digests(o, b, r, a);
	parameter(number, sizeof(number), r, "partNumber");
	o->number = (unsigned)strtoul(number, NULL, 10);
	while (*at && (*at)->number < o->number)
		at = &(*at)->next;
	gone = *at && (*at)->number == o->number ? *at : NULL;
	o->next = gone ? gone->next : *at;
	*at = o;
	if (gone)
		free_object(gone);
}

static void begin_upload(struct bucket *b, const struct request *r, struct answer *a)
{
	struct upload *u = calloc(1, sizeof(*u));
	struct str token = field(r, "x-amz-meta-writer");

	assert_non_null(u);
	u->key = strdup(r->key);
	u->id = ++b->serial;
	snprintf(u->token, sizeof(u->token), "%.*s", (int)token.len, token.p ? token.p : "");
	u->next = b->uploads;
	b->uploads = u;
	buf_addf(&a->body,
		 "<a:InitiateMultipartUploadResult xmlns:a=\"x\"><Bucket/><a:UploadId>%u</a:UploadId></a:InitiateMultipartUploadResult>",
		 u->id);
}

/* The parts are joined; each has to be named, in its place and with its ETag. */
static void complete(struct bucket *b, const struct request *r, struct answer *a)
{
	CLEANUP(buf_release) struct buf bytes = BUF_INIT, md5s = BUF_INIT;
	struct upload **u = find_upload(b, r);
	struct s3_sums sums;
	unsigned n = 0;

	if (!*u) {
		refuse(a, 404, "NoSuchUpload");
		return;
	}
	if (refused_for_another(b, r, a, b->o.complete_if_none_match))
		return;
	for (const struct object *o = (*u)->parts; o; o = o->next, n++) {
		assert_int_equal(s3_sums_of(&sums, (struct str){o->bytes, o->n}, NULL), 0);
		buf_add(&bytes, o->bytes, o->n);
		buf_add(&md5s, sums.md5, sizeof(sums.md5));
		if (b->o.other_parts)
			md5s.p[0] ^= 1;
		if (o->number != n + 1 || !memmem(r->body, r->n, o->etag, strlen(o->etag))) {
			refuse(a, 400, "InvalidPart");
			return;
		}
	}
	struct object *whole = new_object(r->key, buf_str(&bytes), str_of((*u)->token));
	assert_int_equal(s3_sums_of(&sums, buf_str(&md5s), NULL), 0);
	snprintf(whole->etag, sizeof(whole->etag), "%s%s-%u", b->o.opaque_etags ? "opaque-" : "",
		 b->o.encrypted ? ENCRYPTED_ETAG : sums.md5_hex, n);
	insert(b, whole);
	drop_upload(u);
	buf_addf(&a->body, "<CompleteMultipartUploadResult><ETag>&#34;%s&quot;</ETag></CompleteMultipartUploadResult>",
		 b->o.empty_etags ? "" : whole->etag);
}

static void get_object(struct bucket *b, const struct request *r, struct answer *a)
{
	const struct object *o = at_key(b, r->key);
	unsigned long long from = 0, to = UINT64_MAX;
	struct str range = field(r, "range"), match = field(r, "if-match");

	if (!o) {
		refuse(a, 404, "NoSuchKey");
		return;
	}
	if (match.p && (match.len != strlen(o->etag) + 2 || memcmp(match.p + 1, o->etag, match.len - 2) != 0)) {
		refuse(a, 412, "PreconditionFailed");
		return;
	}
	buf_addf(&a->fields, "ETag: \"%s\"\r\nx-amz-meta-writer: %s\r\n", o->etag, o->token);
	if (range.p && !b->o.no_ranges) {
		sscanf(range.p, "bytes=%llu-%llu", &from, &to);
		if (from >= o->n) {
			refuse(a, 416, "InvalidRange");
			return;
		}
		to = to < o->n ? to : o->n - 1;
		a->status = 206;
		buf_addf(&a->fields, "Content-Range: bytes %llu-%llu/%zu\r\n", from, to, b->o.short_ranges ? 1 : o->n);
		buf_add(&a->body, o->bytes + from, to - from + 1);
		return;
	}
	buf_add(&a->body, o->bytes, o->n);
}

/* ---- lists ---- */

static void list_objects(struct bucket *b, const struct request *r, struct answer *a)
{
	char prefix[2048] = "", after[4096] = "";
	const struct object *last = NULL;
	unsigned n = 0;
	bool more = false;

	parameter(prefix, sizeof(prefix), r, "prefix");
	parameter(after, sizeof(after), r, "continuation-token");
	buf_add_cstr(
		&a->body,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"x\"><Name>b</Name><EncodingType>url</EncodingType>");
	for (const struct object *o = b->objects; o && !more; o = o->next) {
		if (!str_starts(str_of(o->key), str_of(prefix)) || strcmp(o->key, after) <= 0)
			continue;
		more = n++ == PAGE;
		if (more)
			break;
		buf_add_cstr(&a->body, "<Contents><Key>");
		sigv4_encode(&a->body, str_of(o->key), true);
		buf_addf(&a->body, "</Key><Size>%zu</Size><Owner><ID>x</ID></Owner></Contents>\n", o->n);
		last = o;
	}
	buf_addf(&a->body, "<IsTruncated>%s</IsTruncated>", more || b->o.same_page ? "true" : "false");
	if (more || b->o.same_page)
		buf_addf(&a->body, "<NextContinuationToken>%s</NextContinuationToken>", more ? last->key : "again");
	buf_add_cstr(&a->body, "</ListBucketResult>");
}

static void list_uploads(struct bucket *b, const struct request *r, struct answer *a)
{
	buf_add_cstr(&a->body, "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>");
	for (const struct upload *u = b->uploads; u; u = u->next)
		buf_addf(&a->body, "<Upload><Key>%s</Key><UploadId>%u</UploadId><Initiated>2020-01-01T00:00:00.000Z</Initiated></Upload>",
			 u->key, u->id);
	buf_add_cstr(&a->body, "</ListMultipartUploadsResult>");
}

/* ---- requests ---- */

static void act_on_key(struct bucket *b, const struct request *r, struct answer *a)
{
	struct upload **u;

	if (strcmp(r->method, "PUT") == 0 && has(r, "uploadId")) {
		put_part(b, r, a);
	} else if (strcmp(r->method, "PUT") == 0) {
		put_object(b, r, a);
	} else if (strcmp(r->method, "POST") == 0 && has(r, "uploads")) {
		begin_upload(b, r, a);
	} else if (strcmp(r->method, "POST") == 0) {
		complete(b, r, a);
		poll(NULL, 0, (int)b->o.slow_complete_ms);
	} else if (strcmp(r->method, "DELETE") == 0 && has(r, "uploadId")) {
		u = find_upload(b, r);
		if (*u)
			drop_upload(u);
		else
			refuse(a, 404, "NoSuchUpload");
	} else if (strcmp(r->method, "DELETE") == 0) {
		drop_object(b, r->key);
		a->status = 204;
	} else {
		get_object(b, r, a);
	}
}

static void act(struct bucket *b, const struct request *r, struct answer *a)
{
	pthread_mutex_lock(&b->lock);
	if (r->key[0] != '\0')
		act_on_key(b, r, a);
	else if (has(r, "uploads"))
		list_uploads(b, r, a);
	else
		list_objects(b, r, a);
	pthread_mutex_unlock(&b->lock);
}

static bool send_answer(struct connection *c, const struct request *r, struct answer *a, bool half, int64_t skew_s)
{
	const bool head_only = strcmp(r->method, "HEAD") == 0;
	struct buf head = BUF_INIT;
	char date[30];

	http_date_format(date, env_real.wall_ms(&env_real) + skew_s * 1000);
	buf_addf(&head, "HTTP/1.1 %d Whatever\r\nDate: %s\r\n%.*s", a->status, date, STR_FMT(buf_str(&a->fields)));
	if (a->status != 204)
		buf_addf(&head, "Content-Length: %zu\r\n", a->body.len);
	buf_add_cstr(&head, "\r\n");
	const size_t n = head_only || a->status == 204 ? 0 : a->body.len;
	/* Half of a head when there is nothing else. */
	bool ok = say(c, head.p, half && n == 0 ? head.len / 2 : head.len) && say(c, a->body.p, half ? n / 2 : n);
	buf_release(&head);
	return ok && !half;
}

/* The fault this request meets, or FAULTS. */
static enum bucket_fault next_fault(struct bucket *b)
{
	const unsigned number = atomic_fetch_add(&b->requests, 1) + 1, at = atomic_load(&b->fail_at);

	if (at == 0 || number < at || (number > at && !atomic_load(&b->sticky)))
		return FAULTS;
	atomic_store(&b->failed, true);
	return (enum bucket_fault)atomic_load(&b->fault);
}

/* A clock that is an hour ahead takes what is signed in its own last minute. */
static bool clock_fits(const struct request *r)
{
	const int64_t now_s = env_real.wall_ms(&env_real) / 1000 + SKEW_S;
	struct str date = field(r, "x-amz-date");
	char at[SIGV4_TIME_LEN + 1];

	for (int64_t s = now_s - 60; s <= now_s + 1; s++) {
		sigv4_time(at, s);
		if (str_eq(date, str_of(at)))
			return true;
	}
	return false;
}

static bool body_is_signed(const struct request *r)
{
	struct s3_sums sums;

	assert_int_equal(s3_sums_of(&sums, (struct str){r->body, r->n}, NULL), 0);
	return str_eq(field(r, "x-amz-content-sha256"), str_of(sums.sha256_hex));
}

static bool refuse_or_act(struct connection *c, const struct request *r, struct answer *a, enum bucket_fault fault)
{
	static const char garbage[] = "220 ready\r\n\r\n";
	const bool late = fault == FAULT_LATE_ERROR && (strcmp(r->method, "POST") == 0 || field(r, "x-amz-copy-source").p);

	switch (fault) {
	case FAULT_500:
	case FAULT_LATE_ERROR:
		refuse(a, late ? 200 : 500, "InternalError");
		return send_answer(c, r, a, false, 0);
	case FAULT_SLOW_DOWN:
		refuse(a, 503, "SlowDown");
		return send_answer(c, r, a, false, 0);
	case FAULT_DENIED:
		refuse(a, 403, "AccessDenied");
		return send_answer(c, r, a, false, 0);
	case FAULT_SKEW:
		if (clock_fits(r))
			break;
		atomic_fetch_add(&c->b->refused, 1);
		refuse(a, 403, "RequestTimeTooSkewed");
		return send_answer(c, r, a, false, SKEW_S);
	case FAULT_GARBAGE:
		say(c, garbage, sizeof(garbage) - 1);
		return false;
	case FAULT_STALL:
		while (wait_readable(c) && recv(c->fd, (char[1]){0}, 1, 0) > 0)
			;
		return false;
	default:
		break;
	}
	if (fault == FAULT_DAMAGE && r->n > 0)
		r->body[r->n / 2] ^= 1;
	a->status = 200;
	/* The digest that is signed: of small bodies all services look at it. */
	if ((c->b->o.looks || strcmp(r->method, "POST") == 0) && !body_is_signed(r))
		refuse(a, 400, "XAmzContentSHA256Mismatch");
	else
		act(c->b, r, a);
	if (fault == FAULT_CLOSE_AFTER)
		return false;
	if (fault == FAULT_500_AFTER)
		refuse(a, 500, "InternalError");
	return send_answer(c, r, a, fault == FAULT_HALF, fault == FAULT_SKEW ? SKEW_S : 0);
}

/* False when the connection is to be closed. */
static bool serve_one(struct connection *c, struct request *r)
{
	struct answer a = {.fields = BUF_INIT, .body = BUF_INIT};
	bool more = read_head(c, r);
	enum bucket_fault fault = more ? next_fault(c->b) : FAULTS;

	more = more && fault != FAULT_CLOSE_EARLY && read_body(c, r) && fault != FAULT_CLOSE_BEFORE;
	if (more)
		more = refuse_or_act(c, r, &a, fault);
	buf_release(&a.fields);
	buf_release(&a.body);
	free(r->body);
	return more;
}

static void *work(void *arg)
{
	CLEANUP(free_ptr) struct connection *c = arg;
	CLEANUP(free_ptr) struct request *r = NULL;
	bool more = true;

	while (more) {
		free(r);
		r = calloc(1, sizeof(*r));
		more = r && serve_one(c, r);
	}
	close(c->fd);
	return NULL;
}

static void *listen_loop(void *arg)
{
	struct bucket *b = arg;

	for (;;) {
		struct connection *c = malloc(sizeof(*c));
		const int one = 1;

		assert_true(c && b->n_workers < CONNECTIONS_MAX);
		*c = (struct connection){.b = b, .fd = b->listener};
		c->fd = wait_readable(c) ? accept4(b->listener, NULL, NULL, SOCK_CLOEXEC) : -1;
		if (c->fd < 0) {
			free(c);
			return NULL;
		}
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		assert_int_equal(pthread_create(&b->workers[b->n_workers++], NULL, work, c), 0);
	}
}

/* ---- for tests ---- */

struct bucket *bucket_start(const struct bucket_options *o)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);
	struct bucket *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->o = *o;
	pthread_mutex_init(&b->lock, NULL);
	b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(b->listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(b->listener, 64), 0);
	assert_int_equal(getsockname(b->listener, (struct sockaddr *)&at, &n), 0);
	assert_int_equal(pipe(b->stop), 0);
	snprintf(b->endpoint, sizeof(b->endpoint), "http://127.0.0.1:%u", ntohs(at.sin_port));
	assert_int_equal(pthread_create(&b->thread, NULL, listen_loop, b), 0);
	return b;
}

void bucket_stop(struct bucket *b)
{
	assert_int_equal(write(b->stop[1], "", 1), 1);
	pthread_join(b->thread, NULL);
	for (unsigned i = 0; i < b->n_workers; i++)
		pthread_join(b->workers[i], NULL);
	while (b->objects)
		drop_object(b, b->objects->key);
	while (b->uploads)
		drop_upload(&b->uploads);
	close(b->listener);
	close(b->stop[0]);
	close(b->stop[1]);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

const char *bucket_endpoint(const struct bucket *b)
{
	return b->endpoint;
}

void bucket_fail(struct bucket *b, unsigned n, enum bucket_fault fault, bool sticky)
{
	atomic_store(&b->fault, fault);
	atomic_store(&b->sticky, sticky);
	atomic_store(&b->failed, false);
	atomic_store(&b->requests, 0);
	atomic_store(&b->fail_at, n);
}

unsigned bucket_requests(const struct bucket *b)
{
	return atomic_load(&b->requests);
}

unsigned bucket_refused(const struct bucket *b)
{
	return atomic_load(&b->refused);
}

bool bucket_failed(const struct bucket *b)
{
	return atomic_load(&b->failed);
}

unsigned bucket_objects(struct bucket *b)
{
	unsigned n = 0;

	pthread_mutex_lock(&b->lock);
	for (const struct object *o = b->objects; o; o = o->next)
		n++;
	pthread_mutex_unlock(&b->lock);
	return n;
}

unsigned bucket_uploads(struct bucket *b)
{
	unsigned n = 0;

	pthread_mutex_lock(&b->lock);
	for (const struct upload *u = b->uploads; u; u = u->next)
		n++;
	pthread_mutex_unlock(&b->lock);
	return n;
}

bool bucket_holds(struct bucket *b, const char *key, const void *bytes, size_t n)
{
	pthread_mutex_lock(&b->lock);
	const struct object *o = at_key(b, key);
	const bool same = o && o->n == n && memcmp(o->bytes, bytes, n) == 0;
	pthread_mutex_unlock(&b->lock);
	return same;
}

void bucket_put(struct bucket *b, const char *key, const char *text)
{
	pthread_mutex_lock(&b->lock);
	struct object *o = new_object(key, str_of(text), STR("another"));
	snprintf(o->etag, sizeof(o->etag), "%s", "another");
	insert(b, o);
	pthread_mutex_unlock(&b->lock);
}
