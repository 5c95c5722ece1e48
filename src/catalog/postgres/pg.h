/* The inside of the PostgreSQL catalogue, shared by the files of this folder. libpq-fe.h is included nowhere else.
 *
 * One connection writes, used by the thread that calls catalog_apply() and catalog_idle(); readers take connections from a pool. Every connection is in pipeline mode: pg_send()
 * queues a statement whose answer nobody waits for, pg_ask() sends one, waits for all that was queued and gives its rows. Statements stand in statements_write.h and
 * statements_read.h; each is prepared when a connection uses it for the first time. Everything goes to and fro in binary form.
 *
 * Columns are bigint, text, bytea, uuid or boolean and nothing else, so that a reader function fits; count(*) is bigint, sum() of bigint has to be cast. */
#ifndef FILEMILL_CATALOG_POSTGRES_PG_H
#define FILEMILL_CATALOG_POSTGRES_PG_H

#include "base/compiler.h"
#include "catalog/catalog_impl.h"
#include "catalog/lanes.h"
#include "catalog/tables.h"

#include <libpq-fe.h>
#include <pthread.h>

enum pg_stmt {
#define W_ROW(id, sql) W_##id,
#define R_ROW(id, sql)
#include "catalog/postgres/statements_write.h"
#undef W_ROW
#undef R_ROW
#define W_ROW(id, sql)
#define R_ROW(id, sql) R_##id,
#include "catalog/postgres/statements_read.h"
#undef W_ROW
#undef R_ROW
	PG_STMTS
};

#define PG_STATEMENT_MS 30000 /* one statement; the server ends it */
#define PG_LOCK_MS 10000 /* waiting for a lock */
#define PG_IDLE_MS 10000 /* a transaction whose node says nothing more */
#define PG_ANSWER_MS 40000 /* what a node waits for the server before it takes the connection for dead */
#define PG_SOON_MS 10000 /* the same for a row or two by an index, of those who cannot wait so long */
#define PG_TRY_MS 10000 /* a batch that others undid, or that found no connection */
#define PG_READERS_MAX 8

/* ---- args.c: parameters ---- */

#define PG_ARGS_MAX 24
/* Built in order; values are borrowed until the statement was sent. The types are part of the statement: call it always with the same. */
struct pg_args {
	int n;
	Oid types[PG_ARGS_MAX];
	const char *values[PG_ARGS_MAX];
	int lengths[PG_ARGS_MAX], formats[PG_ARGS_MAX];
	char numbers[PG_ARGS_MAX][8];
};
void arg_int(struct pg_args *a, int64_t v);
void arg_time(struct pg_args *a, int64_t unix_ms); /* 0 = NULL */
void arg_bool(struct pg_args *a, bool v);
void arg_null_bool(struct pg_args *a);
void arg_null_int(struct pg_args *a);
void arg_str(struct pg_args *a, struct str v); /* p NULL = NULL */
void arg_uuid(struct pg_args *a, const struct uuid *v); /* borrowed; NULL = NULL */
void arg_bytes(struct pg_args *a, const void *p, size_t n);
void arg_null_bytes(struct pg_args *a);

/* An array parameter, built element by element. */
enum pg_type { PG_INT, PG_BOOL, PG_TEXT, PG_UUID, PG_BYTES };
struct pg_array {
	enum pg_type type;
	int n;
	bool has_null;
	struct buf b;
};
#define PG_ARRAY(t) ((struct pg_array){.type = (t)})
void array_release(struct pg_array *a);
void array_reset(struct pg_array *a); /* empties and keeps the memory */
void array_int(struct pg_array *a, int64_t v);
void array_time(struct pg_array *a, int64_t unix_ms); /* 0 = NULL */
void array_bool(struct pg_array *a, bool v);
void array_str(struct pg_array *a, struct str v); /* p NULL = NULL */
void array_uuid(struct pg_array *a, struct uuid v);
void array_bytes(struct pg_array *a, const void *p, size_t n);
void arg_array(struct pg_args *a, struct pg_array *v); /* borrowed. No memory while it was built: pg_send() fails with ERR_NO_MEMORY */

/* ---- args.c: rows ---- */

/* What a statement answered. */
struct pg_rows {
	PGresult *r;
	int n;
	int at; /* columns are counted from here on */
};
void pg_rows_release(struct pg_rows *r);
bool pg_col_null(const struct pg_rows *r, int row, int col);
int64_t pg_col_int(const struct pg_rows *r, int row, int col); /* 0 for NULL */
bool pg_col_bool(const struct pg_rows *r, int row, int col); /* false for NULL */
struct str pg_col_str(const struct pg_rows *r, int row, int col); /* borrowed from the rows; p NULL = NULL. Also of bytea */
struct str pg_col_copy(const struct pg_rows *r, int row, int col, struct arena *a, bool *oom);
struct uuid pg_col_uuid(const struct pg_rows *r, int row, int col); /* zero for NULL */
void pg_col_sha256(const struct pg_rows *r, int row, int col, uint8_t dst[32]); /* zero for NULL */
uint64_t pg_changed(const struct pg_rows *r); /* rows that an INSERT, UPDATE or DELETE touched */

/* ---- connect.c ---- */

int64_t pg_now_ms(void); /* CLOCK_MONOTONIC */
/* One that stands, or NULL: ERR_CATALOG_UNAVAILABLE in libpq's words, ERR_NO_MEMORY. Blocks for as long as the connection string gives each address, and longer where names are looked up. `told` gets
 * every notice, from the first one on, in the thread that uses the connection. */
PGconn *pg_connect(const char *conninfo, PQnoticeReceiver told, void *arg, struct err *e);

/* ---- link.c: a connection ---- */

/* A statement and its answer. */
struct pg_question {
	enum pg_stmt stmt;
	struct pg_args *args; /* NULL = none */
	size_t if_at_most; /* of pg_read_all(): 0 = it is asked always; else only where the one before gave at most so many different numbers in its first column */
	struct pg_rows rows;
};
void pg_questions_release(struct pg_question *questions, size_t n);

enum pg_failure {
	PG_FINE,
	PG_CONSTRAINT, /* a unique index said no */
	PG_AGAIN, /* a deadlock or the like: the same transaction may succeed at once */
	PG_LOST, /* the connection is gone; what was not committed is undone */
	PG_FAILED,
};

struct pg_link {
	struct pg *pg;
	PGconn *conn; /* NULL: there is none now */
	bool prepared[PG_STMTS];
	int expected; /* results that were not read yet, preparations among them */
	struct buf queue; /* of what kind each is */
	size_t at; /* bytes of it that are dealt with */
	enum pg_failure failure; /* the first one since pg_fresh() */
	struct err err; /* its code and text */
	bool silent; /* nothing was heard for as long as an answer may take, since pg_fresh() */
	int answer_ms; /* what an answer may take; 0 = PG_ANSWER_MS */
	struct pg_link *next; /* in the pool's free list */
};

extern const char pg_session_setup[]; /* how every connection plans and commits */
/* Connects if there is no connection, and sets the timeouts. Not while others hold the pool's lock: it blocks. */
int link_open(struct pg_link *l, struct err *e);
void link_close(struct pg_link *l);
/* Is there a connection, as far as we know? */
bool link_up(const struct pg_link *l);
/* Closes an idle connection that the server has ended meanwhile; on one that holds nothing has arrived. */
void link_look(struct pg_link *l);
/* Forgets the last failure. */
void pg_fresh(struct pg_link *l);
/* All of these return 0 or the code of l->err; after a failure they do nothing more until pg_fresh(). */
int pg_send(struct pg_link *l, enum pg_stmt s, struct pg_args *a); /* a NULL = no parameters */
int pg_ask(struct pg_link *l, enum pg_stmt s, struct pg_args *a, struct pg_rows *ret);
/* With one round trip; each sees what was committed when its turn came. */
int pg_ask_all(struct pg_link *l, struct pg_question *questions, size_t n);
int pg_settle(struct pg_link *l); /* waits for all that was sent */
/* Text that is no prepared statement, several ones separated by semicolons: opening and migrations. */
int pg_run_text(struct pg_link *l, const char *sql);
/* Sets the failure from a result, or from the connection where r is NULL. */
int pg_fail(struct pg_link *l, const PGresult *r);
int pg_fail_with(struct pg_link *l, int code, const char *what);
int pg_no_memory(struct pg_link *l);

/* ---- row.c: what several statements read ---- */

/* From JOB_COLUMNS and FILE_COLUMNS; false: no memory. */
bool pg_row_job(const struct pg_rows *r, int row, struct arena *a, struct job *ret); /* outputs: their number only */
bool pg_row_file(const struct pg_rows *r, int row, struct arena *a, struct file *ret);
struct quotas pg_row_quotas(const struct pg_rows *r, int row, int first_column); /* QUOTA_COLUMNS */
bool pg_row_output(const struct pg_rows *r, int row, struct arena *a, struct output *ret); /* OUTPUT_COLUMNS */
/* What job number `job` made, by statement s (OUTPUTS of either kind: the job, and at most how many); *n is how many it had when it ended, and becomes how many are there. */
int pg_rows_outputs(struct pg_link *l, enum pg_stmt s, int64_t job, struct arena *a, struct output **ret, size_t *n);

/* ---- the catalogue ---- */

struct pg_pool {
	pthread_mutex_t lock; /* guards what follows; never held over I/O */
	pthread_cond_t changed; /* on CLOCK_MONOTONIC */
	struct pg_link *free;
	unsigned open; /* handed out or free */
};

struct pg_news; /* how far news were read */
struct pg_writes; /* what a batch gathers (write.h) */

struct pg {
	struct catalog base;
	char *conninfo;
	int statement_ms; /* of connections that are made from now on: PG_STATEMENT_MS but in tests */
	bool opened; /* what goes wrong later may be told to clients */
	int try_ms; /* how long a batch is tried again: PG_TRY_MS but in tests */
	struct pg_pool pool;

	/* the writer's, one thread */
	struct pg_link link;
	struct pg_writes *writes;
	struct lanes lanes; /* whose turn it was; counts and heads are read anew for each claim */
	struct arena scratch; /* emptied by the next batch */
	int64_t slot; /* of this connection in tally and lane_tally */

	struct pg_news *news; /* news.c */
	int64_t maker; /* who wrote a batch's news */

	atomic_uint lost; /* connections, how many so far */
	_Atomic uint32_t rates_told; /* calls of pg_share_rates() */
	_Atomic uint64_t accounts; /* as the last batch or look left it: 0 is looked up anew, more stays more */
};

/* ---- pool.c ---- */
int pool_init(struct pg *q);
void pool_release(struct pg *q);
/* A connection for one thread, which is up and has no failure. Waits for a free one for a while, then ERR_CATALOG_UNAVAILABLE. */
int pg_reader_get(struct pg *q, struct pg_link **ret, struct err *e);
void pg_reader_put(struct pg *q, struct pg_link *r);
/* Several statements on one snapshot: between these two. */
int pg_reader_begin(struct pg_link *r);
int pg_reader_end(struct pg_link *r);
/* Copies r->err to e, puts the connection back and returns the code; 0 when nothing failed. */
int pg_reader_done(struct pg *q, struct pg_link *r, struct err *e);

/* ---- open.c, migrate.c ---- */
/* Without a connection; pg_free() takes it back. NULL: no memory. */
struct pg *pg_new(const char *conninfo, const struct catalog_options *options);
int pg_migrate(struct pg_link *l, bool keep, struct err *e);
/* The schema's version, 0 = there is none yet, more than pg_schema_latest only where this program may go on beside it; or the code of l->err. The connection is not to be used any more. */
int pg_schema_version(struct pg_link *l, int64_t *ret);
/* Where there is no schema yet: ERR_STORAGE_READONLY = its user may not make it. */
int pg_schema_may_begin(struct pg_link *l);
/* Whether it is the very one that this program works on. ERR_SCHEMA_NEWER, ERR_SCHEMA_OLDER. */
int pg_schema_fits(int64_t version, struct err *e);
extern const struct catalog_ops pg_ops; /* ops.c */
void pg_free(struct catalog *c);

/* ---- news.c ---- */
#define BATCH_KEPT_MS INT64_C(86400000) /* much longer than anybody asks what became of a batch */
#define NEWS_KEPT_MS 120000
struct pg_news *news_new(void); /* NULL: no memory */
void news_free(struct pg_news *v);
int pgw_news(struct pg *q, struct change *const *changes, size_t n); /* of the batch that is about to be committed */
int pg_news(struct catalog *c, struct news_list *to, bool *ret_whole, struct err *e);

/* ---- apply.c ---- */
int pg_take_slot(struct pg *q); /* for a new connection; 0 or the code of q->link.err */
struct pg_writes *writes_new(void); /* NULL: no memory */
void writes_free(struct pg_writes *w);
int pg_apply(struct catalog *c, struct change *const *changes, size_t n, struct err *e);
void pg_idle(struct catalog *c);

#endif
