/* What the catalogues that keep their rows in tables of SQL share: how tables and columns are named, in which order they are read, and what becomes of a job. */
#ifndef FILEMILL_CATALOG_TABLES_H
#define FILEMILL_CATALOG_TABLES_H

#include "catalog/catalog_impl.h"

/* ---- lists of columns, in the order that the reader functions in row.c know ---- */

#define JOB_COLUMNS                                                                                                                        \
	"j.number, j.id, j.file, j.op, j.version, j.params, j.priority, j.max_attempts, j.created_at,"                                     \
	" r.state, r.attempt, r.losses, r.fence, r.run_at, r.started_at, r.finished_at, r.error, r.detail, r.result, r.cached,"            \
	" t.state, t.attempt, t.losses, t.fence, t.run_at, t.started_at, t.error, t.detail,"                                               \
	" CASE WHEN j.after IS NOT NULL THEN (SELECT p.id FROM job AS p WHERE p.number = j.after) END, r.outputs, r.expires_at, r.expired_at"
#define JOB_FROM " FROM job AS j LEFT JOIN result AS r ON r.job = j.number LEFT JOIN task AS t ON t.job = j.number "
/* Of an imported file's bytes, which are the first output of its import: their blob, and whether they are known to be damaged. */
#define IMPORTED_BLOB "CASE WHEN f.location = 4 THEN (SELECT i.blob FROM output AS i WHERE i.job = f.import AND i.n = 0) END"
#define FILE_DAMAGE                                                                                                                        \
	"CASE WHEN f.location = 4 THEN (SELECT i.damaged_at FROM output AS i WHERE i.job = f.import AND i.n = 0) ELSE f.damaged_at END"
#define FILE_COLUMNS                                                                                                                       \
	"f.number, f.id, f.owner, f.name, f.size, f.type, f.sha256, f.labels, f.location, f.created_at, f.expires_at, f.deleted_at,"       \
	" " FILE_DAMAGE ", " IMPORTED_BLOB
#define TASK_COLUMNS "t.state, t.attempt, t.losses, t.fence, t.run_at, t.worker, t.started_at, t.cancel, t.lane, t.priority, t.refused"
#define OUTPUT_COLUMNS "o.name, o.type, o.size, o.sha256, o.blob, o.damaged_at"
/* The bytes job j of file f works on, and job d of file g, by their SHA-256; NULL when they are not there. */
#define INPUT_SHA256 "CASE WHEN j.after IS NULL THEN f.sha256 ELSE (SELECT i.sha256 FROM output AS i WHERE i.job = j.after AND i.n = 0) END"
#define OTHER_SHA256 "CASE WHEN d.after IS NULL THEN g.sha256 ELSE (SELECT i.sha256 FROM output AS i WHERE i.job = d.after AND i.n = 0) END"
/* Neither what job j of file f worked on nor what it made is known to be damaged. */
#define WHOLE                                                                                                                              \
	" AND f.damaged_at IS NULL"                                                                                                        \
	" AND NOT EXISTS (SELECT 1 FROM output AS x WHERE x.job IN (j.number, j.after, f.import) AND x.damaged_at IS NOT NULL)"

#define WEBHOOK_COLUMNS                                                                                                                    \
	"w.number, w.id, w.owner, w.url, w.events, w.ops, w.description, w.secret, w.previous, w.previous_until, w.created_at,"            \
	" w.failing_since, w.disabled_at, w.off, w.waiting"
#define DELIVERY_COLUMNS "d.number, d.id, w.id, d.webhook, d.event, d.job, d.state, d.tries, d.created_at, d.due_at, d.ended_at"
#define SESSION_COLUMNS "s.hash, s.id, s.created_at, s.used_at, s.expires_at"
#define KEY_COLUMNS "k.number, k.id, k.name, k.hash, k.scopes, k.created_at, k.expires_at, k.revoked_at"

/* Places in JOB_COLUMNS with the file's id, owner and deletion behind it, in FILE_COLUMNS, and behind OUTPUT_COLUMNS. */
enum {
	JOB_AFTER = 28,
	JOB_OUTPUTS,
	JOB_EXPIRES,
	JOB_EXPIRED,
	JOB_FILE_ID,
	JOB_FILE_OWNER,
	JOB_FILE_DELETED,
	JOB_SEQ,
	FILE_OWNER = 2,
	FILE_NAME = 3,
	FILE_SHA256 = 6,
	FILE_LABELS = 7,
	FILE_DELETED = 11,
	FILE_DAMAGED = 12,
	FILE_BLOB = 13,
	OUTPUT_JOB = 6
};

/* ---- a job that has not ended ---- */

/* A row of task while it is worked on. */
struct task {
	int64_t job;
	enum job_state state;
	uint32_t attempt, losses, refused, priority;
	int64_t fence, run_at, worker, started_at, lane;
	int64_t read_fence; /* as it stands in the table, for who has to ask whether it still does: PostgreSQL */
	bool cancel;
};

/* How a job ended. */
struct ending {
	enum job_state state;
	int error;
	struct str detail, result;
	const struct output *outputs;
	size_t n_outputs;
	int64_t finished_at;
	bool cached;
};
struct ending ending_cancelled(int64_t now); /* by whoever asked for it */

/* Its worker gives it back, or it is tried again: the task as it waits. */
void task_given_back(struct task *t, const struct change_finish *f);
/* Its worker is gone. True: it waits again. False: it ends so, as cancelled where that was wanted, set aside where it took its third worker along. Counts it in *r. */
bool task_taken_back(struct task *t, struct change_reclaim *r, struct ending *ret_end);

/* ---- what a job works on ---- */

struct job_input {
	bool held; /* the job before it has not ended yet */
	uint8_t sha256[32]; /* else, as far as it is there */
};
/* The job before it is one of the same change. Refuses the change and returns 0 where that has no output for it. */
int job_input_from_list(struct change *ch, const struct job *before, const struct job *job, struct job_input *ret);

#endif
