/* Lists of columns that statements for reading and for writing share; the reader functions in row.c know their places. */
#ifndef FILEMILL_CATALOG_POSTGRES_COLUMNS_H
#define FILEMILL_CATALOG_POSTGRES_COLUMNS_H

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
/* The same work, done through the queue: $1 key, $2 op, $3 version, $4 params, $5 SHA-256 of the input, $6 owner. The owner is no way to the file: he may have a million. */
#define ARTIFACT_FROM                                                                                                                          \
	" FROM artifact AS a JOIN job AS j ON j.number = a.job JOIN file AS f ON f.number = j.file JOIN result AS r ON r.job = j.number"       \
	" WHERE a.key = $1 AND r.state = 2 AND r.expired_at IS NULL AND j.op = $2 AND j.version = $3 AND j.params = $4 AND f.owner || '' = $6" \
	" AND f.deleted_at IS NULL AND " INPUT_SHA256 " = $5" WHOLE

#define WEBHOOK_COLUMNS                                                                                                                    \
	"w.number, w.id, w.owner, w.url, w.events, w.ops, w.description, w.secret, w.previous, w.previous_until, w.created_at,"            \
	" w.failing_since, w.disabled_at, w.off, w.waiting"
#define DELIVERY_COLUMNS "d.number, d.id, w.id, d.webhook, d.event, d.job, d.state, d.tries, d.created_at, d.due_at, d.ended_at"
#define QUOTA_COLUMNS "a.files_max, a.bytes_max, a.jobs_max"
#define ACCOUNT_COLUMNS "a.number, a.id, a.email, a.name, a.password, a.role, a.created_at, a.changed_at, a.disabled_at, " QUOTA_COLUMNS
/* Whether any account has quotas of its own, by the index account_quotas. */
#define QUOTAS_ANY "EXISTS (SELECT 1 FROM account WHERE coalesce(files_max, bytes_max, jobs_max) IS NOT NULL)"
#define SESSION_COLUMNS "s.hash, s.id, s.created_at, s.used_at, s.expires_at"
#define KEY_COLUMNS "k.number, k.id, k.name, k.hash, k.scopes, k.created_at, k.expires_at, k.revoked_at"

#endif
