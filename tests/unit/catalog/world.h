/* What the catalogue's tests share: a world with one catalogue in it, rows to put there, and short ways to ask. */
#ifndef FILEMILL_TESTS_CATALOG_WORLD_H
#define FILEMILL_TESTS_CATALOG_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "catalog/catalog.h"

#define NOW INT64_C(1800000000000)
#define OWNER STR(OWNER_PUBLIC)
#define DIR_MAX 64

struct world;

/* How a kind of catalogue is made and looked into. */
struct world_kind {
	int (*open)(struct world *w); /* as the catalogue's own function; again, after it was closed */
	void (*empty)(struct world *w); /* nothing is stored; the catalogue is closed */
	int64_t (*sql)(const struct world *w, const char *sql);
	void (*check)(struct world *w); /* what must hold whatever was done; the catalogue is closed */
	void (*end)(struct world *w);
};

struct world {
	struct catalog *c;
	const struct world_kind *kind;
	bool lasting; /* what was written is there when the catalogue is opened again */
	struct catalog_options options;
	char dir[DIR_MAX]; /* of the SQLite catalogue; "" for others */
	struct arena arena; /* for what is read */
	struct err err;
	unsigned descriptors; /* open before the world was made */
};

/* cmocka's set-up and tear-down; *state becomes the world. Tearing down checks a SQLite catalogue through and through. */
int world_memory(void **state);
int world_sqlite(void **state);
int world_begin(void **state, const struct world_kind *kind, bool lasting); /* for other kinds */
int world_end(void **state);
void world_reopen(struct world *w); /* closes and opens the catalogue again */
void world_restart(struct world *w, struct catalog_options options); /* an empty one with other options */
/* Runs SQL on the world's database and returns the first value, 0 when there is none. */
int64_t world_sql(const struct world *w, const char *sql);
/* In the place of the world's catalogue, one of schema 1 as the program left it that knew no other; the world is closed. OLD_OWNER has all in it. */
#define OLD_OWNER "0190d2a6-0000-7000-8000-000000000001"
void world_old(struct world *w);
void world_check_database(const struct world *w);
/* The rules that tables of every kind follow, by SQL that every kind understands. */
void world_check_rules(const struct world *w);
void temp_dir(char dir[DIR_MAX]);
void remove_dir(const char *dir);
unsigned open_descriptors(void);

struct uuid test_id(unsigned n);

/* A file to be added: id test_id(n), inline bytes "bytes of n", its own SHA-256; jobs have the ids test_id(n * 100 + 1) and on. */
struct built {
	struct change change;
	struct file file;
	struct job jobs[OPS_MAX];
	char name[32], bytes[32];
	unsigned n;
};
void build_file(struct built *b, unsigned n);
struct job *build_job(struct built *b, const char *op); /* queued */
struct job *build_after(struct built *b, const char *op, const struct job *before); /* queued, after a job of the same file */
struct job *build_fused(struct built *b, const char *op, const char *result); /* succeeded */
#define BLOB_MAX 100
struct str blob_of(unsigned n, char dst[BLOB_MAX]); /* the blob of a stored file of the public owner */
unsigned job_id(unsigned file, unsigned job); /* test_id() argument of a built file's job, from 0 */

/* Applies one change, which must not fail as a batch; returns its code. */
int apply1(struct world *w, struct change *ch);
/* The same for what must succeed. */
void must_apply(struct world *w, struct change *ch);
void add_file(struct world *w, unsigned n); /* without jobs */
void add_file_with_job(struct world *w, unsigned n, const char *op); /* one queued job */
struct uuid first_beat(struct world *w, unsigned n, int64_t expires_at); /* worker test_id(n) */
struct change_claim claim(struct world *w, struct uuid worker, uint32_t max, int64_t now);
int finish(struct world *w, const struct job *job, struct uuid worker, enum job_state state);
/* SUCCEEDED at NOW + 20 with outputs, whose blobs are output_blob(name, n); *ret_ready may be NULL. */
int finish_with_outputs(struct world *w, const struct job *job, struct uuid worker, size_t n, uint32_t *ret_ready);
/* SUCCEEDED because another job did the work. */
int finish_same_as(struct world *w, const struct job *job, struct uuid worker, struct uuid other);
struct str output_blob(struct uuid job, int64_t fence, unsigned n, char dst[BLOB_MAX]);
bool referenced(struct world *w, struct str blob);
bool doomed(struct world *w, struct str blob); /* fails when it stands there twice */
size_t doomed_count(struct world *w);
int delete_file(struct world *w, unsigned n);
int cancel_job(struct world *w, unsigned id, bool *ret_was_running);
int retry_job(struct world *w, unsigned id);
struct change_reclaim reclaim(struct world *w, int64_t now, bool all);
int purge(struct world *w, int64_t before, uint32_t max); /* everything older than that */

/* A job for ADD_JOBS: test_id(id) on file test_id(file). */
struct job new_job(unsigned id, unsigned file, const char *op);
int add_jobs(struct world *w, struct job *jobs, size_t n, size_t *ret_failed);
/* The same bytes as file `as` has, and jobs to be built yet. */
void build_same_bytes(struct built *b, unsigned n, unsigned as);

struct file read_file(struct world *w, unsigned n);
int file_code(struct world *w, unsigned n);
struct job read_job(struct world *w, unsigned id);
int job_code(struct world *w, unsigned id);
struct catalog_stats stats(struct world *w, int64_t now);

#define assert_str(s, text) assert_true(str_eq((s), str_of(text)))
#define assert_id(id, n) assert_true(uuid_eq((id), test_id(n)))

/* The contract, in parts; each ends with a row without a function. */
struct named_test {
	const char *name;
	void (*run)(void **state);
};
#define NAMED(fn)                                                                                                                          \
	{                                                                                                                                  \
#fn, fn                                                                                                                    \
	}
extern const struct named_test contract_files[], contract_jobs[], contract_queue[], contract_lists[], contract_outputs[], contract_chains[],
	contract_stored[], contract_ends[], contract_recurring[], contract_webhooks[], contract_deliveries[], contract_audit[],
	contract_several[], contract_holds[], contract_turns[], contract_expiry[], contract_once[], contract_accounts[], contract_keys[],
	contract_watch[], contract_imports[], contract_quotas[];

#endif
