#include "app/transfer.h"
#include "app/process.h"
#include "base/fd.h"
#include "rt/env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 20)
#define SHOW_EVERY_MS 200
#define NAMED_MAX 20

int transfer_init(struct transfer *ret, struct err *e)
{
	struct transfer t = {.buffer = malloc(PIECE), .shown = isatty(STDERR_FILENO) == 1};
	int rc = t.buffer ? digest_set_new(&t.digest, 1u << DIGEST_SHA256, e) : err_set(e, ERR_NO_MEMORY, "no memory for a buffer");

	if (rc != 0) {
		free(t.buffer);
		return rc;
	}
	process_block_signals();
	(void)process_raise_descriptors(); /* two stores keep folders open */
	*ret = t;
	return 0;
}

void transfer_release(struct transfer *t)
{
	digest_set_free(t->digest);
	free(t->buffer);
}

/* ---- watching ---- */

static bool due(struct transfer *t)
{
	int64_t now = t->shown ? env_real.mono_ms(&env_real) : 0;

	if (!t->shown || now - t->shown_at < SHOW_EVERY_MS)
		return false;
	t->shown_at = now;
	return true;
}

bool transfer_catalog(void *arg, uint64_t done, uint64_t of)
{
	struct transfer *t = arg;

	if (due(t))
		fprintf(stderr, "\r\033[Kcatalogue: %llu %%", (unsigned long long)(of > 0 ? done * 100 / of : 100));
	return !process_stop_asked();
}

bool transfer_rows(void *arg, uint64_t rows)
{
	struct transfer *t = arg;

	if (due(t))
		fprintf(stderr, "\r\033[Kcatalogue: %llu rows", (unsigned long long)rows);
	return !process_stop_asked();
}

int transfer_goes_on(struct transfer *t, struct err *e)
{
	if (due(t))
		fprintf(stderr, "\r\033[Kblobs: %llu of %llu, %llu of %llu MiB", (unsigned long long)t->blobs,
			(unsigned long long)t->of_blobs, (unsigned long long)t->bytes >> 20, (unsigned long long)t->of_bytes >> 20);
	return process_stop_asked() ? err_set(e, ERR_CANCELLED, "interrupted by a signal") : 0;
}

void transfer_clear(struct transfer *t)
{
	if (t->shown && t->shown_at > 0)
		fputs("\r\033[K", stderr);
}

static int count_blob(void *arg, const struct snapshot_blob *blob)
{
	struct transfer *t = arg;

	t->of_blobs++;
	t->of_bytes += blob->size;
	return 0;
}

int transfer_count(struct transfer *t, struct snapshot *s, struct err *e)
{
	return snapshot_blobs(s, count_blob, t, e);
}

void transfer_done(struct transfer *t, const struct snapshot_blob *blob, enum blob_state state)
{
	static const char *const WORDS[] = {
		[BLOB_GOOD] = "good", [BLOB_GONE] = "missing", [BLOB_BAD] = "damaged", [BLOB_UNREADABLE] = "unreadable"};

	t->blobs++;
	t->bytes += blob->size;
	if (state == BLOB_GOOD)
		return;
	t->lacking++;
	if (t->lacking > NAMED_MAX)
		return;
	transfer_clear(t);
	/* A name that is none is not shown: it may be anything. */
	struct str name = blob_name_valid(blob->name) ? blob->name : STR("(a name that cannot be)");
	fprintf(stderr, "filemill: %s: %.*s\n", WORDS[state], STR_FMT(name));
	if (t->lacking == NAMED_MAX)
		fputs("filemill: more of them are counted, not named\n", stderr);
}

/* ---- bytes ---- */

int transfer_open(struct blobs *b, const struct snapshot_blob *blob, int *ret_fd, enum blob_state *ret, struct err *e)
{
	struct err why = ERR_INIT;
	uint64_t size = 0;
	int fd = -1, rc = blob_open(b, blob->name, &fd, &size, &why);

	switch (rc) {
	case 0:
		*ret = size == blob->size ? BLOB_GOOD : BLOB_BAD;
		break;
	case ERR_NOT_FOUND:
	case ERR_BAD_NAME:
		*ret = BLOB_GONE;
		return 0;
	case ERR_IO:
		*ret = BLOB_BAD;
		return 0;
	default:
		if (e)
			*e = why;
		return rc;
	}
	if (*ret == BLOB_GOOD)
		*ret_fd = fd;
	else
		fd_close(&fd);
	return 0;
}

/* A piece of the blob from `at`; false: it cannot be read, or ends too early. */
static bool read_piece(struct transfer *t, int fd, const struct snapshot_blob *blob, uint64_t at, size_t *ret)
{
	*ret = blob->size - at < PIECE ? (size_t)(blob->size - at) : PIECE;
	return fd_pread_full(fd, t->buffer, *ret, (off_t)at) == (ssize_t)*ret;
}

static int judge_digest(struct transfer *t, const struct snapshot_blob *blob, enum blob_state *ret, struct err *e)
{
	size_t n;
	int rc = digest_set_finish(t->digest, e);

	if (rc == 0)
		*ret = memcmp(digest_set_get(t->digest, DIGEST_SHA256, &n), blob->sha256, 32) == 0 ? BLOB_GOOD : BLOB_BAD;
	return rc;
}

int transfer_check(struct transfer *t, int fd, const struct snapshot_blob *blob, enum blob_state *ret, struct err *e)
{
	int rc = digest_set_reset(t->digest, 1u << DIGEST_SHA256, e);
	size_t n;

	for (uint64_t at = 0; rc == 0 && at < blob->size; at += n) {
		if (!read_piece(t, fd, blob, at, &n)) {
			*ret = BLOB_BAD;
			return 0;
		}
		digest_set_update(t->digest, t->buffer, n);
		rc = transfer_goes_on(t, e);
	}
	return rc == 0 ? judge_digest(t, blob, ret, e) : rc;
}

int transfer_copy(struct transfer *t, int fd, struct blobs *to, const struct snapshot_blob *blob, bool check, enum blob_state *ret,
		  struct err *e)
{
	struct blob_writer *w;
	size_t n;
	int rc = digest_set_reset(t->digest, 1u << DIGEST_SHA256, e);

	*ret = BLOB_GOOD;
	if (rc == 0)
		rc = blob_create(to, blob->name, blob->size, &w, e);
	if (rc != 0)
		return rc;
	for (uint64_t at = 0; rc == 0 && *ret == BLOB_GOOD && at < blob->size; at += n) {
		if (!read_piece(t, fd, blob, at, &n)) {
			*ret = BLOB_BAD;
			break;
		}
		if (check)
			digest_set_update(t->digest, t->buffer, n);
		rc = blob_append(w, t->buffer, n, e);
		if (rc == 0)
			rc = transfer_goes_on(t, e);
	}
	if (rc == 0 && *ret == BLOB_GOOD && check)
		rc = judge_digest(t, blob, ret, e);
	if (rc == 0 && *ret == BLOB_GOOD)
		return blobs_local_settle(w, e);
	blob_abandon(w);
	return rc;
}
