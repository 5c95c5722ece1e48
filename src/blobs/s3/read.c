/* Reading: bytes as they come, in one piece or as a file without a name.
 *
 * A reader holds READ_AHEAD bytes at most; when they are not fetched the connection stands still. A connection that breaks is taken up where it broke, of the same object
 * (`If-Match`). */
#include "base/fd.h"
#include "blobs/s3/s3_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define READ_AHEAD ((size_t)1 << 20) /* bytes; libcurl hands over at most 64 KiB at once */
#define COPY_BYTES ((size_t)256 << 10)
#define MEMORY_FILE_MAX ((uint64_t)256 << 10) /* up to here blob_open() uses no disk */

struct s3_reader {
	struct blob_reader base;
	struct s3 *s;
	struct s3_call call;
	char name[BLOB_NAME_MAX + 1];
	char etag[S3_ETAG_MAX + 3]; /* with quotes */
	uint64_t whole; /* size of the object */
	uint64_t asked; /* where the answer has to begin */
	bool ranged; /* a part was asked for */
	bool counted; /* among s3.readers */
	int64_t give_up_ms; /* 0: nothing failed since bytes came */
	unsigned failures;

	/* Under the lock; the reader's thread alone changes `at` and `end`, and so reads them without */
	uint64_t at, end; /* the next byte to hand over, and to ask for when the connection breaks; end = the one behind the last */
	char *bytes; /* a ring of READ_AHEAD */
	size_t first, count;
	bool full; /* the connection stands still */
	bool wrong; /* the answer is not what was asked for */
};

/* ---- the client's thread ---- */

static enum net_take take(struct s3_call *c, const char *data, size_t n)
{
	struct s3_reader *r = CONTAINER_OF(c, struct s3_reader, call);
	enum net_take t = NET_FULL;

	pthread_mutex_lock(&r->s->lock);
	if (r->ranged ? c->status != 206 || c->from != (int64_t)r->asked : c->status != 200) {
		r->wrong = true;
		t = NET_ENOUGH;
	} else if (n > r->end - r->at - r->count) {
		t = NET_ENOUGH; /* more than was asked for */
	} else if (n <= READ_AHEAD - r->count) {
		const size_t to = (r->first + r->count) % READ_AHEAD, one = n < READ_AHEAD - to ? n : READ_AHEAD - to;

		memcpy(r->bytes + to, data, one);
		memcpy(r->bytes, data + one, n - one);
		r->count += n;
		t = NET_TAKEN;
	}
	r->full = t == NET_FULL;
	pthread_cond_broadcast(&r->s->changed);
	pthread_mutex_unlock(&r->s->lock);
	return t;
}

/* ---- requests ---- */

static void ask(struct s3_reader *r)
{
	struct s3_request q = {.method = STR("GET"), .name = str_of(r->name)};
	char range[64];

	r->asked = r->at;
	r->ranged = r->at > 0 || r->end < UINT64_MAX;
	if (r->ranged) {
		snprintf(range, sizeof(range), r->end < UINT64_MAX ? "bytes=%llu-%llu" : "bytes=%llu-", (unsigned long long)r->at,
			 (unsigned long long)r->end - 1);
		s3_add_header(&q, "range", str_of(range));
	}
	if (r->etag[0])
		s3_add_header(&q, "if-match", str_of(r->etag));
	s3_send(&r->call, &q);
}

/* Until the head of an answer is there, or bytes are, or the call is over. */
static bool wait_for_bytes(struct s3_reader *r)
{
	pthread_mutex_lock(&r->s->lock);
	while (r->count == 0 && !r->call.over)
		pthread_cond_wait(&r->s->changed, &r->s->lock);
	const bool there = r->count > 0;
	pthread_mutex_unlock(&r->s->lock);
	return there;
}

/* A pause, and the rest is asked for again; or an error. */
static int ask_again(struct s3_reader *r, struct err *e)
{
	struct s3 *s = r->s;
	bool at_once = false;
	const int64_t now_ms = s3_now_ms(s);

	/* An answer that ended well and too early comes here too. */
	if (s3_judge(&r->call, &at_once) == S3_FAILED)
		return s3_unexpected(&r->call, "a blob could not be read", e);
	if (r->give_up_ms == 0)
		r->give_up_ms = now_ms + s->patience_ms;
	r->failures++;
	const int64_t again_ms = now_ms + (at_once && r->failures == 1 ? 0 : s3_pause_ms(s, r->failures, r->call.retry_after_s));
	if (again_ms > r->give_up_ms)
		return s3_unexpected(&r->call, "a blob could not be read", e);
	pthread_mutex_lock(&s->lock);
	while (!s->ending && s3_now_ms(s) < again_ms)
		s3_wait_until(s, again_ms);
	pthread_mutex_unlock(&s->lock);
	ask(r);
	return 0;
}

/* What an answer means that has no bytes for us. 0: ask again. */
static int judge_empty(struct s3_reader *r, struct err *e)
{
	struct s3_call *c = &r->call;
	bool at_once;

	if (r->wrong)
		return err_set(e, ERR_IO, "the object storage sent another part of the blob than it was asked for");
	if (s3_judge(c, &at_once) == S3_AGAIN || c->status == 200 || c->status == 206)
		return 0;
	/* There is no bucket is not: there is no blob. */
	if (c->code == 0 && c->status == 404 && !s3_error_is(c, "NoSuchBucket"))
		return err_set(e, ERR_NOT_FOUND, "no such blob");
	if (c->code == 0 && c->status == 416)
		return err_set(e, ERR_RANGE_UNSATISFIABLE, "the range begins behind the end of the blob");
	if (c->code == 0 && c->status == 412)
		return err_set(e, ERR_IO, "the object changed while it was read");
	return s3_unexpected(c, "a blob could not be read", e);
}

/* The first answer tells the size. */
static int read_size(struct s3_reader *r, struct err *e)
{
	const struct s3_call *c = &r->call;
	const int64_t whole = c->status == 206 ? c->whole : c->length;

	if (whole < 0)
		return err_set(e, ERR_IO, "the object storage did not say how large the blob is");
	r->whole = (uint64_t)whole;
	pthread_mutex_lock(&r->s->lock);
	/* More may have come already than it says there is. */
	const bool fits = r->count <= r->whole && r->at <= r->whole - r->count;
	if (r->end > r->whole)
		r->end = r->whole;
	pthread_mutex_unlock(&r->s->lock);
	if (!fits)
		return err_set(e, ERR_IO, "the object storage sent more of the blob than it says there is");
	snprintf(r->etag, sizeof(r->etag), c->etag[0] ? "\"%s\"" : "%s", c->etag);
	return 0;
}

static int begin(struct s3_reader *r, struct err *e)
{
	ask(r);
	for (;;) {
		const bool bytes = wait_for_bytes(r);
		int rc = 0;

		/* An empty blob has no bytes, and all is well. */
		if (bytes || (r->call.code == 0 && r->call.status == 200 && r->call.length == 0))
			return read_size(r, e);
		rc = judge_empty(r, e);
		if (rc == 0)
			rc = ask_again(r, e);
		if (rc != 0)
			return rc;
	}
}

/* ---- the reader ---- */

/* Whoever reads slowly has a request under way all the while. */
static int enter(struct s3_reader *r, struct err *e)
{
	pthread_mutex_lock(&r->s->lock);
	r->counted = r->s->readers < r->s->readers_max;
	r->s->readers += r->counted;
	pthread_mutex_unlock(&r->s->lock);
	return r->counted ? 0 : err_set(e, ERR_OVERLOADED, "as many blobs are being read from the object storage as may be");
}

static void leave(struct s3_reader *r)
{
	pthread_mutex_lock(&r->s->lock);
	r->s->readers -= r->counted;
	pthread_mutex_unlock(&r->s->lock);
}

void s3_read_close(struct blob_reader *base)
{
	struct s3_reader *r = (struct s3_reader *)base;

	s3_cancel_and_wait(&r->call);
	s3_call_release(&r->call);
	leave(r);
	free(r->bytes);
	free(r);
}

static int open_reader(struct blobs *b, struct str name, uint64_t from, uint64_t length, bool counted, struct blob_reader **ret,
		       uint64_t *ret_size, struct err *e)
{
	struct s3_reader *r = calloc(1, sizeof(*r));

	if (r)
		r->bytes = malloc(READ_AHEAD);
	if (!r || !r->bytes) {
		free(r);
		return err_set(e, ERR_NO_MEMORY, "no memory for a reader");
	}
	r->base.store = b;
	r->s = s3_of(b);
	memcpy(r->name, name.p, name.len);
	r->at = from;
	r->end = length < UINT64_MAX - from ? from + length : UINT64_MAX;
	s3_call_init(&r->call, r->s);
	r->call.take = take;
	int rc = counted ? enter(r, e) : 0;
	if (rc == 0)
		rc = begin(r, e);
	if (rc != 0) {
		s3_read_close(&r->base);
		return rc;
	}
	*ret = &r->base;
	*ret_size = r->whole;
	return 0;
}

int s3_read_open(struct blobs *b, struct str name, uint64_t from, uint64_t length, struct blob_reader **ret, uint64_t *ret_size,
		 struct err *e)
{
	return open_reader(b, name, from, length, true, ret, ret_size, e);
}

/* Bytes out of the ring. */
static size_t fetch(struct s3_reader *r, char *dst, size_t n)
{
	pthread_mutex_lock(&r->s->lock);
	const size_t got = n < r->count ? n : r->count, one = got < READ_AHEAD - r->first ? got : READ_AHEAD - r->first;
	memcpy(dst, r->bytes + r->first, one);
	memcpy(dst + one, r->bytes, got - one);
	r->first = (r->first + got) % READ_AHEAD;
	r->count -= got;
	r->at += got;
	/* Half of the room first: each time the connection is taken up costs a turn of the client's thread. */
	const bool resume = r->full && r->count <= READ_AHEAD / 2;
	if (resume)
		r->full = false;
	pthread_mutex_unlock(&r->s->lock);
	if (resume)
		net_resume(r->s->net, r->call.net_id);
	return got;
}

int s3_read_wait(struct blob_reader *base, struct err *e)
{
	struct s3_reader *r = (struct s3_reader *)base;

	while (r->at < r->end && !wait_for_bytes(r)) {
		int rc = judge_empty(r, e);

		if (rc == 0)
			rc = ask_again(r, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

bool s3_read_origin(const struct blob_reader *base, struct blob_origin *ret)
{
	const struct s3_reader *r = (const struct s3_reader *)base;

	if (!r->etag[0])
		return false;
	memcpy(ret->name, r->name, sizeof(ret->name));
	snprintf(ret->tag, sizeof(ret->tag), "%.*s", (int)strlen(r->etag) - 2, r->etag + 1);
	ret->size = r->whole;
	return true;
}

bool s3_read_ready(struct blob_reader *base)
{
	struct s3_reader *r = (struct s3_reader *)base;

	pthread_mutex_lock(&r->s->lock);
	const bool ready = r->count > 0 || r->at == r->end;
	pthread_mutex_unlock(&r->s->lock);
	return ready;
}

int s3_read(struct blob_reader *base, void *dst, size_t n, size_t *ret_n, struct err *e)
{
	struct s3_reader *r = (struct s3_reader *)base;
	int rc = n > 0 ? s3_read_wait(base, e) : 0;

	if (rc != 0)
		return rc;
	if (n == 0 || r->at == r->end) {
		*ret_n = 0;
		return 0;
	}
	*ret_n = fetch(r, dst, n);
	r->give_up_ms = 0;
	r->failures = 0;
	return 0;
}

/* ---- as a descriptor ---- */

/* A file that has no name and so is gone with its last descriptor. */
static int new_file(int *ret_fd, struct s3 *s, uint64_t size, struct err *e)
{
	const bool disk = s->spool_fd >= 0 && size > MEMORY_FILE_MAX;
	int fd = disk ? s->env->openat(s->env, s->spool_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600) : memfd_create("blob", MFD_CLOEXEC);

	if (fd < 0)
		return err_errno(e, errno, disk ? "openat" : "memfd_create");
	*ret_fd = fd;
	return 0;
}

/* Whoever gets it, a sealed child for one, must not be able to change what others read. */
static int read_only(int *ret_fd, int fd, struct err *e)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
	return *ret_fd < 0 ? err_errno(e, errno, "open") : 0;
}

static int copy(struct blob_reader *from, int fd, uint64_t size, char *bytes, struct err *e)
{
	uint64_t done = 0;
	size_t n = 0;

	do {
		int rc = s3_read(from, bytes, COPY_BYTES, &n, e);

		if (rc != 0)
			return rc;
		if (fd_write_all(fd, bytes, n) < 0)
			return err_errno(e, errno, "write");
		done += n;
	} while (n > 0);
	return done == size ? 0 : err_set(e, ERR_IO, "the object storage sent another number of bytes than it said");
}

static int fetch_all(struct blob_reader *from, int fd, uint64_t size, struct err *e)
{
	char *bytes = malloc(COPY_BYTES);
	int rc = bytes ? copy(from, fd, size, bytes, e) : err_set(e, ERR_NO_MEMORY, "no memory for a copy");

	free(bytes);
	return rc;
}

int s3_open(struct blobs *b, struct str name, int *ret_fd, uint64_t *ret_size, struct err *e)
{
	CLEANUP(fd_close) int fd = -1;
	struct blob_reader *r;
	uint64_t size;
	int rc = open_reader(b, name, 0, UINT64_MAX, false, &r, &size, e);

	if (rc != 0)
		return rc;
	rc = new_file(&fd, s3_of(b), size, e);
	if (rc == 0)
		rc = fetch_all(r, fd, size, e);
	s3_read_close(r);
	if (rc == 0)
		rc = read_only(ret_fd, fd, e);
	if (rc == 0)
		*ret_size = size;
	return rc;
}
