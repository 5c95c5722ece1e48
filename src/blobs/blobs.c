/* The checking layer in front of every backend. */
#include "base/fd.h"
#include "blobs/blobs_impl.h"
#include "ops/ops.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_TEXT "filemill probe\n"
#define ARRIVAL_SUFFIX ".arrival"
#define PROBE_PREFIX "probe/00/probe-"
#define LINE_PREFIX BLOB_LINE_SHARD "line-"

/* ---- names ---- */

bool blob_owner_valid(struct str s)
{
	/* A leading dot would allow "." and "..", and names that directory tools hide. */
	if (s.len == 0 || s.len > BLOB_NAME_MAX || s.p[0] == '.')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'), digit = c >= '0' && c <= '9';

		if (!letter && !digit && c != '.' && c != '_' && c != '-')
			return false;
	}
	return true;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool blob_shard_valid(struct str s)
{
	return s.len == 2 && is_hex(s.p[0]) && is_hex(s.p[1]);
}

struct blob_name_parts blob_name_parts(struct str valid_name)
{
	struct blob_name_parts parts;
	struct str rest;

	parts.owner = str_split(valid_name, '/', &rest);
	parts.shard = str_split(rest, '/', &parts.id);
	return parts;
}

bool blob_name_valid(struct str name)
{
	struct str rest, owner, shard, id;

	if (name.len == 0 || name.len > BLOB_NAME_MAX)
		return false;
	owner = str_split(name, '/', &rest);
	if (!rest.p)
		return false;
	shard = str_split(rest, '/', &id);
	return id.p && blob_owner_valid(owner) && blob_shard_valid(shard) && blob_owner_valid(id);
}

void blob_name_for_file(char dst[BLOB_NAME_MAX + 1], struct str owner, const char *file_id_text)
{
	size_t n = strlen(file_id_text);
	int len;

	assert(n >= 2);
	if (owner.len == 0)
		owner = STR("public");
	len = snprintf(dst, BLOB_NAME_MAX + 1, "%.*s/%s/%s", STR_FMT(owner), file_id_text + n - 2, file_id_text);
	assert(len > 0 && len <= BLOB_NAME_MAX);
}

void blob_name_for_line(char dst[BLOB_NAME_MAX + 1], int64_t word)
{
	snprintf(dst, BLOB_NAME_MAX + 1, LINE_PREFIX "%016llx", (unsigned long long)word);
}

bool blob_line_parse(int64_t *ret_word, struct str name)
{
	const struct str prefix = STR(LINE_PREFIX);
	uint8_t bytes[8];
	uint64_t word = 0;

	*ret_word = 0;
	if (!str_starts(name, prefix) || !hex_decode(bytes, sizeof(bytes), (struct str){name.p + prefix.len, name.len - prefix.len}))
		return false;
	for (size_t i = 0; i < sizeof(bytes); i++)
		word = word << 8 | bytes[i];
	*ret_word = word <= INT64_MAX ? (int64_t)word : 0;
	return *ret_word > 0;
}

void blob_name_for_output(char dst[BLOB_NAME_MAX + 1], struct str owner, const char *job_id_text, int64_t fence, unsigned n)
{
	size_t end;

	assert(fence >= 0);
	blob_name_for_file(dst, owner, job_id_text);
	end = strlen(dst);
	int len = snprintf(dst + end, BLOB_NAME_MAX + 1 - end, ".%lld.%u", (long long)fence, n);
	assert(len > 0 && (size_t)len <= BLOB_NAME_MAX - end);
}

void blob_name_for_arrival(char dst[BLOB_NAME_MAX + 1], struct str owner, const char *id_text)
{
	blob_name_for_file(dst, owner, id_text);
	const size_t end = strlen(dst);
	assert(end + sizeof(ARRIVAL_SUFFIX) <= BLOB_NAME_MAX + 1);
	memcpy(dst + end, ARRIVAL_SUFFIX, sizeof(ARRIVAL_SUFFIX));
}

static int check_name(struct str name, struct err *e)
{
	return blob_name_valid(name) ? 0 : err_set(e, ERR_BAD_NAME, "not the name of a blob");
}

/* ---- sealing ---- */

void blobs_seal(struct blobs *b)
{
	b->sealed = true;
}

/* `<job's id>.<fence>.<n>` */
static bool output_id_parse(struct uuid *ret_job, int64_t *ret_fence, struct str id)
{
	struct str rest, n;
	struct str job = str_split(id, '.', &rest);
	struct str fence = str_split(rest, '.', &n);
	uint64_t value, output;

	if (job.len != UUID_TEXT_LEN || !uuid_parse(ret_job, job) || !str_to_u64(fence, &value) || value > INT64_MAX ||
	    !str_to_u64(n, &output))
		return false;
	*ret_fence = (int64_t)value;
	return true;
}

enum blob_of blob_name_parse(struct uuid *ret_id, int64_t *ret_fence, struct str name)
{
	struct blob_name_parts parts;

	if (!blob_name_valid(name))
		return BLOB_OF_NOBODY;
	parts = blob_name_parts(name);
	if (parts.id.len == UUID_TEXT_LEN && uuid_parse(ret_id, parts.id))
		return BLOB_OF_FILE;
	if (output_id_parse(ret_id, ret_fence, parts.id))
		return BLOB_OF_OUTPUT;
	if (parts.id.len == UUID_TEXT_LEN + strlen(ARRIVAL_SUFFIX) && uuid_parse(ret_id, (struct str){parts.id.p, UUID_TEXT_LEN}) &&
	    str_eq((struct str){parts.id.p + UUID_TEXT_LEN, parts.id.len - UUID_TEXT_LEN}, STR(ARRIVAL_SUFFIX)))
		return BLOB_OF_ARRIVAL;
	return str_starts(name, STR(PROBE_PREFIX)) ? BLOB_OF_PROBE : BLOB_OF_NOBODY;
}

bool blobs_sealed(const struct blobs *b)
{
	return b->sealed || (b->inner && blobs_sealed(b->inner));
}

static int check_writable(const struct blobs *b, struct err *e)
{
	return blobs_sealed(b) ? err_set(e, ERR_STORAGE_SEALED, "a flush failed; the storage takes no writes until a restart") : 0;
}

/* ---- the operations ---- */

void blobs_free(struct blobs *b)
{
	if (b)
		b->methods->free(b);
}

int blob_create(struct blobs *b, struct str name, uint64_t size_hint, struct blob_writer **ret, struct err *e)
{
	struct blob_writer *w;
	int r = check_name(name, e);

	if (r == 0)
		r = check_writable(b, e);
	if (r == 0)
		r = b->methods->create(b, name, size_hint, &w, e);
	if (r != 0)
		return r;
	w->store = b;
	w->failed = 0;
	*ret = w;
	return 0;
}

bool blob_read_origin(const struct blob_reader *r, struct blob_origin *ret)
{
	return r->store && r->store->methods->read_origin && r->store->methods->read_origin(r, ret);
}

int blob_create_copy(struct blobs *b, struct str name, const struct blob_origin *from, struct blob_writer **ret, struct err *e)
{
	struct blob_writer *w;
	int r = check_name(name, e);

	if (r == 0)
		r = check_writable(b, e);
	if (r == 0 && !b->methods->create_copy)
		r = err_set(e, ERR_NOT_IMPLEMENTED, "this store copies no blobs");
	if (r == 0)
		r = b->methods->create_copy(b, name, from, &w, e);
	if (r != 0)
		return r;
	w->store = b;
	w->failed = 0;
	*ret = w;
	return 0;
}

int blob_append(struct blob_writer *w, const void *data, size_t n, struct err *e)
{
	int r = check_writable(w->store, e);

	if (w->failed < 0)
		return err_set(e, w->failed, "an earlier write to this blob failed");
	if (r == 0 && n > 0)
		r = w->store->methods->append(w, data, n, e);
	w->failed = r;
	return r;
}

int blob_append_digesting(struct blob_writer *w, const void *data, size_t n, struct digest_set *d, struct err *e)
{
	const struct blobs_methods *m = w->store->methods;
	int r = m->append_digesting ? check_writable(w->store, e) : blob_append(w, data, n, e);

	if (!m->append_digesting) {
		if (r == 0)
			digest_set_update(d, data, n);
		return r;
	}
	if (w->failed < 0)
		return err_set(e, w->failed, "an earlier write to this blob failed");
	if (r == 0 && n > 0)
		r = m->append_digesting(w, data, n, d, e);
	w->failed = r;
	return r;
}

int blob_commit(struct blob_writer *w, struct err *e)
{
	int r = check_writable(w->store, e);

	/* A write that failed may have left a hole or half of its bytes: what is there is not what was sent. */
	if (r == 0 && w->failed < 0)
		r = err_set(e, w->failed, "an earlier write to this blob failed");
	if (r < 0) {
		blob_abandon(w);
		return r;
	}
	return w->store->methods->commit(w, e);
}

void blob_abandon(struct blob_writer *w)
{
	if (w)
		w->store->methods->abandon(w);
}

int blob_open(struct blobs *b, struct str name, int *ret_fd, uint64_t *ret_size, struct err *e)
{
	int r = check_name(name, e);

	return r < 0 ? r : b->methods->open(b, name, ret_fd, ret_size, e);
}

/* ---- reading piece by piece ---- */

/* From a descriptor, for backends whose blobs are files. */
struct file_reader {
	struct blob_reader base;
	int fd;
	uint64_t at, end;
};

static int file_read_open(struct blobs *b, struct str name, uint64_t from, uint64_t length, struct blob_reader **ret, uint64_t *ret_size,
			  struct err *e)
{
	CLEANUP(fd_close) int fd = -1;
	uint64_t size;
	int r = b->methods->open(b, name, &fd, &size, e);

	if (r < 0)
		return r;
	if (from >= size && (from > 0 || length < UINT64_MAX))
		return err_set(e, ERR_RANGE_UNSATISFIABLE, "the range begins behind the end of the blob");
	struct file_reader *reader = calloc(1, sizeof(*reader));
	if (!reader)
		return err_set(e, ERR_NO_MEMORY, "no memory for a reader");
	reader->fd = fd_steal(&fd);
	reader->at = from;
	reader->end = length < size - from ? from + length : size;
	*ret = &reader->base;
	*ret_size = size;
	return 0;
}

static int file_read(struct file_reader *r, void *dst, size_t n, size_t *ret_n, struct err *e)
{
	const uint64_t left = r->end - r->at;
	ssize_t got = fd_pread_full(r->fd, dst, n < left ? n : (size_t)left, (off_t)r->at);

	if (got < 0)
		return err_errno(e, errno, "pread");
	if (got == 0 && n > 0 && left > 0)
		return err_set(e, ERR_IO, "the blob became shorter while it was read");
	r->at += (uint64_t)got;
	*ret_n = (size_t)got;
	return 0;
}

int blob_read_open(struct blobs *b, struct str name, uint64_t from, uint64_t length, struct blob_reader **ret, uint64_t *ret_size,
		   struct err *e)
{
	int r = check_name(name, e);

	if (r < 0)
		return r;
	return (b->methods->read_open ? b->methods->read_open : file_read_open)(b, name, from, length, ret, ret_size, e);
}

int blob_read(struct blob_reader *r, void *dst, size_t n, size_t *ret_n, struct err *e)
{
	return r->store ? r->store->methods->read(r, dst, n, ret_n, e) : file_read((struct file_reader *)r, dst, n, ret_n, e);
}

int blob_read_wait(struct blob_reader *r, struct err *e)
{
	return r->store ? r->store->methods->read_wait(r, e) : 0;
}

bool blob_read_ready(struct blob_reader *r)
{
	return !r->store || r->store->methods->read_ready(r);
}

bool blobs_are_files(const struct blobs *b)
{
	while (b->inner)
		b = b->inner;
	return !b->methods->read_open;
}

void blob_read_close(struct blob_reader *r)
{
	if (r && r->store) {
		r->store->methods->read_close(r);
	} else if (r) {
		fd_close(&((struct file_reader *)r)->fd);
		free(r);
	}
}

int blob_remove(struct blobs *b, struct str name, struct err *e)
{
	int r = check_name(name, e);

	if (r == 0)
		r = check_writable(b, e);
	return r < 0 ? r : b->methods->remove(b, name, e);
}

int blobs_visit(struct blobs *b, int (*visit)(void *arg, struct str name, uint64_t size), void *arg, struct err *e)
{
	return b->methods->visit(b, visit, arg, e);
}

struct some {
	struct str begin;
	int (*visit)(void *arg, struct str name, uint64_t size);
	void *arg;
};

static int visit_if_some(void *arg, struct str name, uint64_t size)
{
	const struct some *s = arg;

	return str_starts(name, s->begin) ? s->visit(s->arg, name, size) : 0;
}

int blobs_visit_some(struct blobs *b, struct str begin, int (*visit)(void *arg, struct str name, uint64_t size), void *arg, struct err *e)
{
	struct some some = {begin, visit, arg};

	while (b->inner)
		b = b->inner;
	return b->methods->visit_some ? b->methods->visit_some(b, begin, visit, arg, e) : b->methods->visit(b, visit_if_some, &some, e);
}

int blobs_give_up(struct blobs *b, enum blob_claim (*claim)(void *arg, struct str name), void *arg, struct err *e)
{
	while (b->inner)
		b = b->inner;
	return b->methods->give_up ? b->methods->give_up(b, claim, arg, e) : 0;
}

int blobs_foreign(struct blobs *b, void (*tell)(void *arg, struct str path), void *arg, struct err *e)
{
	while (b->inner)
		b = b->inner;
	return b->methods->foreign ? b->methods->foreign(b, tell, arg, e) : 0;
}

static int probe_by_writing(struct blobs *b, struct err *e)
{
	char text[BLOB_NAME_MAX + 1];
	struct blob_writer *w;
	struct str name;
	int r;

	/* The one name that may come again, after a crash in the middle of a probe: nothing ever refers to it. */
	snprintf(text, sizeof(text), PROBE_PREFIX "%u", atomic_fetch_add(&b->probes, 1));
	name = str_of(text);
	r = blob_remove(b, name, e);
	if (r == 0)
		r = blob_create(b, name, sizeof(PROBE_TEXT) - 1, &w, e);
	if (r != 0)
		return r;
	r = blob_append(w, PROBE_TEXT, sizeof(PROBE_TEXT) - 1, e);
	if (r < 0) {
		blob_abandon(w);
		return r;
	}
	r = blob_commit(w, e);
	return r < 0 ? r : blob_remove(b, name, e);
}

int blobs_probe(struct blobs *b, struct err *e)
{
	struct blobs *real = b;

	while (real->inner)
		real = real->inner;
	return real->methods->probe ? real->methods->probe(real, e) : probe_by_writing(b, e);
}

void blobs_interrupt(struct blobs *b)
{
	while (b->inner)
		b = b->inner;
	if (b->methods->interrupt)
		b->methods->interrupt(b);
}
