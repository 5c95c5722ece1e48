/* Parts of one upload: filled by the writer, carried by the client's thread, several at once.
 *
 * A part's memory is free as soon as the service said that it has it. What failed is sent again by the writer's thread, whenever that appends or waits; a part that
 * arrived twice is one part. Memory of all writers together is bounded: who finds none waits for that of others, and in the end is told to come again. First parts grow, so many
 * writers may hold some and want more, all of them; the last of the memory, as much as a part has, is one part's at a time therefore: that one can leave, and then the next. */
#include "blobs/s3/write_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CAP_FIRST ((uint64_t)256 << 10) /* not counted: small blobs never wait for memory */
#define HUGE_FROM ((uint64_t)4 << 20)
#define SPARE_FROM ((uint64_t)1 << 20) /* a first part that has so much goes on in spare pages, where there are some */

static int no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for a part of a blob");
}

/* ---- memory ---- */

/* Straight from the kernel and back to it: an allocator would keep what is freed, for each thread, and the bound would hold for nothing that can be measured. */
static char *resize_bytes(char *bytes, uint64_t had, uint64_t n)
{
	void *p = bytes ? mremap(bytes, had, n, MREMAP_MAYMOVE) : mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	/* Thousands of page faults for each part are a tenth of our work on it. It is as good without. */
	if (n >= HUGE_FROM)
		(void)madvise(p, n, MADV_HUGEPAGE);
	return p;
}

void s3_drop_spares(struct s3 *s, unsigned most)
{
	while (s->spares > most)
		munmap(s->spare[--s->spares], s->part_bytes);
}

/* With the lock held. */
static bool fits_as_spare(const struct s3 *s, uint64_t n)
{
	return n == s->part_bytes && s->spares < S3_SPARES_MAX && s->memory + (s->spares + 1) * n <= s->memory_max;
}

/* Of a part that nobody uses any more; with the lock held. */
static void free_bytes(struct s3_part *p)
{
	struct s3 *s = p->writer->s;

	s->memory -= p->counted;
	if (p->bytes && fits_as_spare(s, p->cap)) {
		(void)madvise(p->bytes, p->cap, MADV_FREE);
		s->spare[s->spares++] = p->bytes;
	} else if (p->bytes) {
		munmap(p->bytes, p->cap);
	}
	p->bytes = NULL;
	p->counted = 0;
	if (s->reserve == p)
		s->reserve = NULL;
}

static int look_after(struct s3_writer *w, int64_t *ret_due_ms, struct err *e);
static bool any_news(const struct s3_writer *w);

/* One part always fits: when nobody else has any, or else a limit below a part's size would stop everything. With the lock held. */
static bool try_memory(struct s3_writer *w, uint64_t n)
{
	struct s3 *s = w->s;
	struct s3_part *p = w->filling;
	const uint64_t wanted = s->memory + n, usual = s->memory_max > s->part_bytes ? s->memory_max - s->part_bytes : 0;

	if (wanted > usual) {
		if (s->reserve && s->reserve != p)
			return false;
		if (wanted > s->memory_max && s->memory > p->counted)
			return false;
		s->reserve = p;
	}
	s->memory += n;
	p->counted += n;
	while (s->spares > 0 && s->memory + s->spares * s->part_bytes > s->memory_max)
		s3_drop_spares(s, s->spares - 1);
	return true;
}

/* Goes on in spare pages, if there are some and memory need not be waited for. */
static bool grow_into_spare(struct s3_writer *w)
{
	struct s3 *s = w->s;
	struct s3_part *p = w->filling;
	char *bytes = NULL;

	if (w->part_bytes != s->part_bytes || (w->parts == 0 && p->cap < SPARE_FROM))
		return false;
	pthread_mutex_lock(&s->lock);
	if (s->spares > 0) {
		bytes = s->spare[--s->spares];
		if (!try_memory(w, w->part_bytes - p->counted)) {
			s->spare[s->spares++] = bytes;
			bytes = NULL;
		}
	}
	pthread_mutex_unlock(&s->lock);
	if (!bytes)
		return false;
	if (p->bytes) {
		memcpy(bytes, p->bytes, p->len);
		munmap(p->bytes, p->cap);
	}
	p->bytes = bytes;
	p->cap = w->part_bytes;
	return true;
}

static int take_memory(struct s3_writer *w, uint64_t n, struct err *e)
{
	struct s3 *s = w->s;
	const int64_t until_ms = s3_now_ms(s) + s->patience_ms;
	bool taken = false;

	while (!taken) {
		int64_t due_ms;
		int rc = look_after(w, &due_ms, e);

		if (rc != 0)
			return rc;
		due_ms = due_ms < until_ms ? due_ms : until_ms;
		pthread_mutex_lock(&s->lock);
		while (!(taken = try_memory(w, n)) && !any_news(w) && !s->ending && s3_now_ms(s) < due_ms)
			s3_wait_until(s, due_ms);
		const bool ending = s->ending;
		pthread_mutex_unlock(&s->lock);
		if (!taken && ending)
			return err_set(e, ERR_SHUTTING_DOWN, "the server is stopping");
		if (!taken && s3_now_ms(s) >= until_ms)
			return err_set(e, ERR_OVERLOADED, "the memory for parts of blobs is used by other uploads");
	}
	return 0;
}

static int grow(struct s3_writer *w, struct err *e)
{
	struct s3_part *p = w->filling;

	if (grow_into_spare(w))
		return 0;
	/* The first part grows with what comes, because it may be all; those behind it will be full, or the last. */
	uint64_t cap = w->parts > 0 ? w->part_bytes : p->cap == 0 ? CAP_FIRST : 2 * p->cap;

	if (cap > w->part_bytes)
		cap = w->part_bytes;
	const uint64_t n = cap == CAP_FIRST ? 0 : cap - p->counted;
	int rc = n > 0 ? take_memory(w, n, e) : 0;
	if (rc != 0)
		return rc;
	char *bytes = resize_bytes(p->bytes, p->cap, cap);
	if (!bytes)
		return no_memory(e);
	p->bytes = bytes;
	p->cap = cap;
	return 0;
}

static void free_part(struct s3_part *p)
{
	struct s3 *s = p->writer->s;

	pthread_mutex_lock(&s->lock);
	free_bytes(p);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	s3_call_release(&p->call);
	free(p);
}

/* ---- filling ---- */

/* beside: NULL, or a set that is updated together with the part's. */
static int reset_digest(struct s3_writer *w, const struct digest_set *beside, struct err *e)
{
	const unsigned sums = s3_sums_wanted(&w->powers);
	int rc = w->digest ? digest_set_reset(w->digest, sums, e) : digest_set_new(&w->digest, sums, e);

	return rc == 0 && beside && sums == 1u << DIGEST_SHA256 ? digest_set_reset_beside(w->digest, beside, e) : rc;
}

static int new_part(struct s3_writer *w, const struct digest_set *beside, struct err *e)
{
	struct s3_part *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return no_memory(e);
	p->writer = w;
	p->number = w->parts + 1;
	s3_call_init(&p->call, w->s);
	rc = reset_digest(w, beside, e);
	if (rc != 0)
		free_part(p);
	else
		w->filling = p;
	return rc;
}

int part_fill(struct s3_writer *w, const char *data, uint64_t n, struct digest_set *d, uint64_t *ret_taken, struct err *e)
{
	struct s3_part *p;
	int rc = 0;

	if (!w->filling)
		rc = new_part(w, d, e);
	p = w->filling;
	if (rc == 0 && p->len == p->cap)
		rc = grow(w, e);
	if (rc != 0)
		return rc;
	const uint64_t room = p->cap - p->len, taken = n < room ? n : room;
	memcpy(p->bytes + p->len, data, taken);
	if (d)
		digest_set_update_both(d, w->digest, data, taken);
	else
		digest_set_update(w->digest, data, taken);
	p->len += taken;
	*ret_taken = taken;
	return 0;
}

int part_finish_sums(struct s3_writer *w, struct err *e)
{
	int rc = digest_set_finish(w->digest, e);

	if (rc == 0)
		s3_sums_read(&w->filling->sums, w->digest);
	return rc;
}

/* ---- on their way ---- */

/* The client's thread, with the lock held. */
static void part_over(struct s3_call *c)
{
	struct s3_part *p = CONTAINER_OF(c, struct s3_part, call);
	const bool arrived = c->code == 0 && c->status == 200 && c->etag[0] != '\0' && !s3_sums_differ(c, &p->sums, &p->writer->powers);

	p->state = arrived ? PART_DONE : PART_FAILED;
	p->again_ms = 0;
	if (arrived)
		free_bytes(p);
}

static void launch(struct s3_part *p)
{
	struct s3_writer *w = p->writer;
	struct s3_request r = {.method = STR("PUT"), .name = str_of(w->name), .body = {p->bytes, p->len}};
	char number[16];

	snprintf(number, sizeof(number), "%u", p->number);
	s3_add_query(&r, "partNumber", str_of(number));
	s3_add_query(&r, "uploadId", buf_str(&w->upload_id));
	s3_add_sums(&r, &p->sums, &w->powers);
	p->tries++;
	p->state = PART_SENDING;
	p->call.finished = part_over;
	s3_send(&p->call, &r);
}

static int keep_sent(struct s3_writer *w, const struct s3_part *p, struct err *e)
{
	struct s3_sent sent = {};

	snprintf(sent.etag, sizeof(sent.etag), "%s", p->call.etag);
	memcpy(sent.sha256_base64, p->sums.sha256_base64, sizeof(sent.sha256_base64));
	/* Where none was computed it is the service's, which compared the bytes with their SHA-256 before it said so. */
	if (p->sums.has_md5)
		memcpy(sent.md5, p->sums.md5, sizeof(sent.md5));
	else
		(void)hex_decode(sent.md5, sizeof(sent.md5), str_of(sent.etag));
	/* They end in any order. */
	const size_t at = (p->number - 1) * sizeof(sent), end = at + sizeof(sent);
	if (w->sent.len < end) {
		buf_reserve(&w->sent, end - w->sent.len);
		if (!buf_ok(&w->sent))
			return no_memory(e);
		memset(w->sent.p + w->sent.len, 0, end - w->sent.len);
		w->sent.len = end;
	}
	memcpy(w->sent.p + at, &sent, sizeof(sent));
	return 0;
}

/* When to send a part again that failed: 0, or an error when never. */
static int plan_again(struct s3_part *p, struct err *e)
{
	struct s3 *s = p->writer->s;
	bool at_once = false;
	const bool damaged = p->call.code == 0 && p->call.status == 200;
	const int64_t now_ms = s3_now_ms(s);

	if (!damaged && s3_judge(&p->call, &at_once) != S3_AGAIN)
		return s3_unexpected(&p->call, "a part of a blob was not taken", e);
	if (p->give_up_ms == 0)
		p->give_up_ms = now_ms + s->patience_ms;
	p->again_ms = now_ms + (at_once && p->tries == 1 ? 0 : s3_pause_ms(s, p->tries, p->call.retry_after_s));
	if (p->again_ms <= p->give_up_ms)
		return 0;
	return damaged ? err_set(e, ERR_IO, "the object storage answered that other bytes arrived")
		       : s3_unexpected(&p->call, "a part of a blob was not taken", e);
}

static enum part_state state_of(struct s3_part *p)
{
	pthread_mutex_lock(&p->writer->s->lock);
	const enum part_state state = p->call.over ? p->state : PART_SENDING;
	pthread_mutex_unlock(&p->writer->s->lock);
	return state;
}

/* Frees what arrived, sends again what is due. *ret_due_ms: when the next one is. */
static int look_after(struct s3_writer *w, int64_t *ret_due_ms, struct err *e)
{
	struct s3_part **at = &w->flying, *p;
	int rc = 0;

	*ret_due_ms = INT64_MAX;
	while (rc == 0 && (p = *at) != NULL) {
		const enum part_state state = state_of(p);

		if (state == PART_DONE) {
			rc = keep_sent(w, p, e);
			*at = p->next;
			w->flying_n--;
			free_part(p);
			continue;
		}
		if (state == PART_FAILED && p->again_ms == 0)
			rc = plan_again(p, e);
		if (rc == 0 && state == PART_FAILED && (p->again_ms <= s3_now_ms(w->s) || s3_ending(w->s)))
			launch(p);
		else if (rc == 0 && state == PART_FAILED && p->again_ms < *ret_due_ms)
			*ret_due_ms = p->again_ms;
		at = &p->next;
	}
	return rc;
}

/* One of them is over and was not looked at yet. With the lock held. */
static bool any_news(const struct s3_writer *w)
{
	for (const struct s3_part *p = w->flying; p; p = p->next)
		if (p->call.over && (p->state == PART_DONE || p->again_ms == 0))
			return true;
	return false;
}

int parts_wait(struct s3_writer *w, unsigned most, struct err *e)
{
	struct s3 *s = w->s;

	for (;;) {
		int64_t due_ms;
		int rc = look_after(w, &due_ms, e);

		if (rc != 0 || w->flying_n <= most)
			return rc;
		pthread_mutex_lock(&s->lock);
		while (!any_news(w) && !(s->ending && due_ms < INT64_MAX) && s3_now_ms(s) < due_ms)
			s3_wait_until(s, due_ms < INT64_MAX ? due_ms : s3_now_ms(s) + 60000);
		pthread_mutex_unlock(&s->lock);
	}
}

static int begin_upload(struct s3_writer *w, struct err *e)
{
	struct s3_request r = {.method = STR("POST"), .name = str_of(w->name)};
	struct buf id = BUF_INIT;
	struct s3_call c;

	s3_add_query(&r, "uploads", STR(""));
	s3_add_header(&r, "x-amz-meta-writer", str_of(w->token));
	if (w->powers.checksums)
		s3_add_header(&r, "x-amz-checksum-algorithm", STR("SHA256"));
	s3_call_init(&c, w->s);
	int rc = s3_do(&c, &r, e);
	if (rc == 0 && (c.status != 200 || !s3_xml_find(&id, buf_str(&c.body), "UploadId") || id.len == 0))
		rc = s3_unexpected(&c, "an upload in parts was not begun", e);
	s3_call_release(&c);
	if (rc != 0) {
		buf_release(&id);
		return rc;
	}
	pthread_mutex_lock(&w->s->lock);
	w->upload_id = id;
	pthread_mutex_unlock(&w->s->lock);
	return 0;
}

int part_send(struct s3_writer *w, struct err *e)
{
	struct s3_part *p = w->filling;
	int rc = 0;

	assert(p);
	if (w->parts == PARTS_MAX)
		return err_set(e, ERR_TOO_LARGE, "a blob in the object storage has at most %d parts", PARTS_MAX);
	if (w->upload_id.len == 0)
		rc = begin_upload(w, e);
	if (rc == 0)
		rc = part_finish_sums(w, e);
	if (rc == 0)
		rc = parts_wait(w, w->s->parts_at_once - 1, e);
	if (rc != 0)
		return rc;
	w->filling = NULL;
	w->parts++;
	w->flying_n++;
	p->next = w->flying;
	w->flying = p;
	launch(p);
	return 0;
}

void parts_drop(struct s3_writer *w)
{
	struct s3_part *p, *next;

	for (p = w->flying; p; p = next) {
		next = p->next;
		s3_cancel_and_wait(&p->call);
		free_part(p);
	}
	w->flying = NULL;
	w->flying_n = 0;
	if (w->filling)
		free_part(w->filling);
	w->filling = NULL;
}
