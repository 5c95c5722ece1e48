/* Where bytes live. A blob is written once under a name that is never used again, then read any number of times, then removed.
 * Backends: memory, local directory, S3 (blobs/s3/s3.h); wrappers: fault injection. Every backend passes tests/unit/blobs/test_blobs_contract.c.
 *
 * Names: `<owner>/<2 lower-case hex digits>/<id>` with characters [0-9a-zA-Z._-] in owner and id, neither beginning with a dot; blob_name_valid() is asked
 * in front of every backend, which answers ERR_BAD_NAME.
 *
 * The failed-flush rule: once a flush (of a file or directory) reported an error, the store is *sealed*: every later write, flush or
 * removal answers ERR_STORAGE_SEALED until the process restarts, because the kernel may have dropped the dirty pages and say OK next time.
 * Reads go on; so does blob_abandon(), which promises nothing. */
#ifndef FILEMILL_BLOBS_BLOBS_H
#define FILEMILL_BLOBS_BLOBS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"
#include "rt/env.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BLOB_NAME_MAX 160 /* bytes */
#define BLOB_TAG_MAX 128 /* bytes */

struct blobs;
struct digest_set; /* ops.h */
struct blob_writer; /* one blob being written; one thread at a time */
struct blob_reader; /* bytes of one blob, one after the other; one thread at a time */

bool blob_name_valid(struct str name);
/* `<owner>/<last two hex digits of id>/<id>` for an upload; an empty owner is "public"; dst is NUL-terminated. The catalogue tells doomed and referenced
 * blobs of files by the same rule (file_blob_name() in catalog/catalog_impl.h). */
void blob_name_for_file(char dst[BLOB_NAME_MAX + 1], struct str owner, const char *file_id_text);

/* `<owner>/<last two hex digits of the job's id>/<job id>.<fence>.<n>` for output n of an attempt. */
void blob_name_for_output(char dst[BLOB_NAME_MAX + 1], struct str owner, const char *job_id_text, int64_t fence, unsigned n);

/* `<owner>/<last two hex digits of the id>/<id>.arrival` for what somebody else may put there by an address that was given him under this id. No row ever refers to it, for who has the
 * address can change it: its bytes become a file's by blob_create_copy(). */
void blob_name_for_arrival(char dst[BLOB_NAME_MAX + 1], struct str owner, const char *id_text);

/* `filemill/00/line-<16 hex digits>`: the word by which a catalogue knows itself in a bucket (docs/adr/0044-twins.md). The shard is named apart, for whoever looks for others. */
#define BLOB_LINE_SHARD "filemill/00/"
void blob_name_for_line(char dst[BLOB_NAME_MAX + 1], int64_t word);
bool blob_line_parse(int64_t *ret_word, struct str name); /* false: it is none, *ret_word is 0 */

/* The other way round: whose blob a name is. *ret_id is the file's, the job's or the address's id, *ret_fence the attempt's with an output. */
enum blob_of { BLOB_OF_NOBODY, BLOB_OF_FILE, BLOB_OF_OUTPUT, BLOB_OF_PROBE, BLOB_OF_ARRIVAL };
enum blob_of blob_name_parse(struct uuid *ret_id, int64_t *ret_fence, struct str name);

/* ---- life ---- */
void blobs_free(struct blobs *b); /* NULL is fine; all writers must be closed */

/* ---- writing: may block on disk, call from pool threads only ---- */
/* Creates the blob under its final name; ERR_CONFLICT when the name exists, ERR_STORAGE_SEALED, ERR_STORAGE_FULL…. size_hint in bytes, 0 = unknown.
 * Of a name that another process took a store that many share may tell at the commit only. */
[[nodiscard]] int blob_create(struct blobs *b, struct str name, uint64_t size_hint, struct blob_writer **ret, struct err *e);
/* The bytes that a reader reads: those of no other blob, nor those that this one may have later where others can change it. */
struct blob_origin {
	char name[BLOB_NAME_MAX + 1], tag[BLOB_TAG_MAX + 1];
	uint64_t size;
};
/* False where blobs are not copied within the store: their bytes are read and written. */
bool blob_read_origin(const struct blob_reader *r, struct blob_origin *ret);
/* Like blob_create(), of a blob with the bytes of another one in this store: they are appended as they were read, all of them, to be counted, and go nowhere; the commit has the store copy
 * them. ERR_CONFLICT from the commit also when `from` has other bytes by then, or is gone. */
[[nodiscard]] int blob_create_copy(struct blobs *b, struct str name, const struct blob_origin *from, struct blob_writer **ret,
				   struct err *e);
/* Appends; all or an error, after which only blob_abandon() makes sense (a commit fails with the same code). */
[[nodiscard]] int blob_append(struct blob_writer *w, const void *data, size_t n, struct err *e);
/* The same, and updates the set with these bytes: in one pass where the store digests them too. After a failure the set is good for nothing. */
[[nodiscard]] int blob_append_digesting(struct blob_writer *w, const void *data, size_t n, struct digest_set *d, struct err *e);
/* Makes bytes and name durable (file flush, directory flush), closes and frees the writer also on failure.
 * 0 means: the blob is there after a power cut. On failure the name is removed if possible. */
[[nodiscard]] int blob_commit(struct blob_writer *w, struct err *e);
/* Closes, removes the name, frees. Never fails; what it cannot remove the sweep finds. NULL is fine. */
void blob_abandon(struct blob_writer *w);

/* ---- reading: any thread; may block on disk ---- */
/* A read-only descriptor the caller closes, positioned at 0; ERR_NOT_FOUND. Where blobs are no files all bytes are fetched first, into a file without a name: it is for who
 * needs them all, in any order, or hands them on to another process. */
[[nodiscard]] int blob_open(struct blobs *b, struct str name, int *ret_fd, uint64_t *ret_size, struct err *e);

/* `length` bytes from `from` on, or as many as there are; UINT64_MAX = to the end. For who sends them on: nothing is fetched that is not read, but for what is on its way.
 * ERR_NOT_FOUND; ERR_RANGE_UNSATISFIABLE when there is no byte at `from`, which of an empty blob is only true when `from` or `length` are not those of all. *ret_size is the
 * whole blob's. */
[[nodiscard]] int blob_read_open(struct blobs *b, struct str name, uint64_t from, uint64_t length, struct blob_reader **ret,
				 uint64_t *ret_size, struct err *e);
/* The next bytes, at least one and at most n; 0 at the end. Waits for them. After an error only blob_read_close() makes sense. */
[[nodiscard]] int blob_read(struct blob_reader *r, void *dst, size_t n, size_t *ret_n, struct err *e);
/* Waits until blob_read() would not wait: for who may wait on one thread only. The same errors. */
[[nodiscard]] int blob_read_wait(struct blob_reader *r, struct err *e);
/* blob_read() would not wait. */
bool blob_read_ready(struct blob_reader *r);
void blob_read_close(struct blob_reader *r); /* NULL is fine */
/* Whether blob_open() gives the blob itself and copies nothing. */
bool blobs_are_files(const struct blobs *b);

/* ---- removing and sweeping ---- */
/* Removing what is not there is success. */
[[nodiscard]] int blob_remove(struct blobs *b, struct str name, struct err *e);
/* Calls visit for every name, in no order; visit returns 0 to go on. Blobs created or removed meanwhile may or may not be seen. */
[[nodiscard]] int blobs_visit(struct blobs *b, int (*visit)(void *arg, struct str name, uint64_t size), void *arg, struct err *e);
/* The same of those alone whose names begin so, `<owner>/<2 hex digits>/` and maybe more. In a bucket that is a request for a thousand of them. */
[[nodiscard]] int blobs_visit_some(struct blobs *b, struct str begin, int (*visit)(void *arg, struct str name, uint64_t size), void *arg,
				   struct err *e);

/* What is known of a write that was begun. */
enum blob_claim {
	BLOB_CLAIMED, /* whoever began it may still end it */
	BLOB_ABANDONED,
	BLOB_CLAIM_UNKNOWN,
};

/* Gives up writes that were begun and that nobody ends, where these take room and show nowhere else: uploads in parts of an object storage. `claim` is asked of each by its name, but of
 * those of this process; where it does not know, age decides. Backends where nothing stays behind ask nothing. */
[[nodiscard]] int blobs_give_up(struct blobs *b, enum blob_claim (*claim)(void *arg, struct str name), void *arg, struct err *e);

/* Calls tell for everything among the blobs that is none and that no blob can have left there; path is beneath the store's root and may hold any bytes.
 * Backends where nobody else can put anything tell nothing. */
[[nodiscard]] int blobs_foreign(struct blobs *b, void (*tell)(void *arg, struct str path), void *arg, struct err *e);

/* ---- health ---- */
bool blobs_sealed(const struct blobs *b);
/* Writes, flushes and removes a small probe; for readiness. */
[[nodiscard]] int blobs_probe(struct blobs *b, struct err *e);
/* From here on nobody waits for a store that is elsewhere: calls that do, and those that come, end soon with ERR_SHUTTING_DOWN. What is being written is still abandoned, and told to
 * the store as far as it listens. For the end of a process; any thread. Nothing for stores of this machine. */
void blobs_interrupt(struct blobs *b);

/* ---- backends ---- */
[[nodiscard]] int blobs_memory_new(struct blobs **ret, struct err *e);
/* dir_fd: the blob root beneath the data directory, borrowed for the store's life. Every access is openat beneath it with O_NOFOLLOW; directories 0700, files 0600. */
[[nodiscard]] int blobs_local_new(struct blobs **ret, struct env *env, int dir_fd, struct err *e);
/* How many directories a local store keeps open between uses: at most a third of the descriptors that the process may have now. */
unsigned blobs_local_directories(void);

/* Many blobs at once between local directories, for backups: what these put in is durable only after blobs_local_flush(). Local stores only. */
/* In the place of blob_commit(), without its flushes. */
[[nodiscard]] int blobs_local_settle(struct blob_writer *w, struct err *e);
/* Gives the blob of `from` the same name in `to`: one file with two names, which no store ever changes. ERR_NOT_FOUND, ERR_CONFLICT (there is one of this name), ERR_NOT_IMPLEMENTED
 * where it cannot be done, as between two file systems. */
[[nodiscard]] int blobs_local_link(struct blobs *to, struct blobs *from, struct str name, struct err *e);
/* Flushes the whole file system of the store; a failure seals it. */
[[nodiscard]] int blobs_local_flush(struct blobs *b, struct err *e);

/* A wrapper that fails chosen calls; takes `inner`, borrows `plan`. Calls are counted over create, append, commit, open, remove, visit together.
 * A commit failed with ERR_IO seals the wrapper, as a failed flush would. */
struct blobs_fault_plan {
	/* may be changed while calls come in */
	_Atomic unsigned fail_at; /* 1 = the first call; 0 = none */
	_Atomic bool sticky; /* every call from there on */
	_Atomic int code; /* ERR_… to answer */
	_Atomic unsigned calls; /* out: how many calls were made */
};
[[nodiscard]] int blobs_fault_new(struct blobs **ret, struct blobs *inner, struct blobs_fault_plan *plan, struct err *e);

#endif
