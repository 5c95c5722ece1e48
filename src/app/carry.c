#include "app/carry.h"
#include "app/process.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PIECE ((size_t)256 << 10)
#define THREADS_MAX 64

static int go_on(struct err *e)
{
	return process_stop_asked() ? err_set(e, ERR_CANCELLED, "interrupted by a signal") : 0;
}

/* ---- one blob ---- */

int carrier_pour(struct carrier *c, struct blob_reader *r, struct blob_writer *w, uint64_t *ret_bytes, bool *ret_ours, struct err *e)
{
	size_t n = 1;
	int rc = digest_set_reset(c->digest, 1u << DIGEST_SHA256, e);

	*ret_bytes = 0;
	*ret_ours = rc != 0;
	while (rc == 0 && n > 0) {
		rc = blob_read(r, c->buffer, PIECE, &n, e);
		if (rc != 0 || n == 0)
			break;
		digest_set_update(c->digest, c->buffer, n);
		*ret_bytes += n;
		rc = w != NULL ? blob_append(w, c->buffer, n, e) : 0;
		if (rc == 0)
			rc = go_on(e);
		*ret_ours = rc != 0;
	}
	return rc;
}

bool carrier_has(struct carrier *c, const uint8_t sha256[32], uint64_t size, uint64_t bytes)
{
	struct err why = ERR_INIT;
	size_t n;

	return bytes == size && digest_set_finish(c->digest, &why) == 0 &&
	       memcmp(digest_set_get(c->digest, DIGEST_SHA256, &n), sha256, 32) == 0;
}

/* ---- many at once ---- */

/* What threads share: each takes the next one. */
struct load {
	carry_fn *work;
	void *arg;
	size_t n;
	atomic_size_t next;
	pthread_mutex_t lock; /* guards what follows */
	int rc;
	struct err err;
};

static void failed(struct load *l, int rc, const struct err *e)
{
	pthread_mutex_lock(&l->lock);
	if (l->rc == 0) {
		l->rc = rc;
		l->err = *e;
	}
	pthread_mutex_unlock(&l->lock);
	atomic_store(&l->next, l->n);
}

static int carrier_init(struct carrier *c, struct err *e)
{
	*c = (struct carrier){.buffer = malloc(PIECE)};
	int rc = c->buffer != NULL ? digest_set_new(&c->digest, 1u << DIGEST_SHA256, e)
				   : err_set(e, ERR_NO_MEMORY, "no memory for a buffer");
	if (rc != 0)
		free(c->buffer);
	return rc;
}

static void *carry(void *arg)
{
	struct load *l = arg;
	struct err e = ERR_INIT;
	struct carrier c;
	int rc = carrier_init(&c, &e);

	if (rc != 0) {
		failed(l, rc, &e);
		return NULL;
	}
	for (size_t i; rc == 0 && (i = atomic_fetch_add(&l->next, 1)) < l->n;) {
		rc = go_on(&e);
		if (rc == 0)
			rc = l->work(l->arg, &c, i, &e);
	}
	if (rc != 0)
		failed(l, rc, &e);
	digest_set_free(c.digest);
	free(c.buffer);
	return NULL;
}

int carry_each(unsigned threads, size_t n, carry_fn *work, void *arg, struct err *e)
{
	struct load l = {.work = work, .arg = arg, .n = n, .lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_t list[THREADS_MAX];
	unsigned begun = 0;

	while (begun + 1 < threads && begun + 1 < n && begun < THREADS_MAX && pthread_create(&list[begun], NULL, carry, &l) == 0)
		begun++;
	carry(&l); /* this thread too, and alone where no other could be had */
	while (begun > 0)
		pthread_join(list[--begun], NULL);
	pthread_mutex_destroy(&l.lock);
	if (l.rc != 0 && e)
		*e = l.err;
	return l.rc;
}
