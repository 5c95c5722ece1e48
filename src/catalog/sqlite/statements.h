/* Every SQL statement that is used while running, once each: W_ROW on the writing connection, R_ROW on the reading ones. No include guard:
 * included with W_ROW and R_ROW defined to what the place needs. Partial indexes serve only where their condition stands here literally. */

#define JOB_COLUMNS                                                                                                                        \
	"j.number, j.id, j.file, j.op, j.version, j.params, j.priority, j.max_attempts, j.created_at,"                                     \
	" r.state, r.attempt, r.losses, r.fence, r.run_at, r.started_at, r.finished_at, r.error, r.detail, r.result, r.cached,"            \
	" t.state, t.attempt, t.losses, t.fence, t.run_at, t.started_at, t.error, t.detail"
#define JOB_FROM " FROM job AS j LEFT JOIN result AS r ON r.job = j.number LEFT JOIN task AS t ON t.job = j.number "
#define FILE_COLUMNS                                                                                                                       \
	"f.number, f.id, f.owner, f.name, f.size, f.type, f.sha256, f.labels, f.location, f.created_at, f.expires_at, f.deleted_at"
#define TASK_COLUMNS "t.state, t.attempt, t.losses, t.fence, t.run_at, t.worker, t.started_at, t.cancel"
#define ENDING_COLUMNS "(job, state, attempt, losses, fence, run_at, started_at, finished_at, error, detail, result, cached)"

/* ---- the batch ---- */
W_ROW(BEGIN, "BEGIN IMMEDIATE")
W_ROW(COMMIT, "COMMIT")
W_ROW(SAVEPOINT, "SAVEPOINT change")
W_ROW(UNDO, "ROLLBACK TO change")
W_ROW(RELEASE, "RELEASE change")
W_ROW(TALLY_READ, "SELECT files, file_bytes, waiting, running, succeeded, failed, cancelled, quarantined FROM tally WHERE only = 1")
W_ROW(TALLY_WRITE, "UPDATE tally SET files = ?1, file_bytes = ?2, waiting = ?3, running = ?4,"
		   " succeeded = ?5, failed = ?6, cancelled = ?7, quarantined = ?8 WHERE only = 1")
W_ROW(PROBE, "UPDATE meta SET value = value + 1 WHERE key = 'probe'")

/* ---- files ---- */
W_ROW(FILE_ADD, "INSERT INTO file (id, owner, name, size, type, sha256, labels, location, created_at, expires_at)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")
W_ROW(BLOB_ADD, "INSERT INTO blob (file, bytes) VALUES (?1, ?2)")
W_ROW(BLOB_DELETE, "DELETE FROM blob WHERE file = ?1")
W_ROW(FILE_FIND, "SELECT number, owner, size, sha256, location, deleted_at FROM file WHERE id = ?1")
W_ROW(FILE_PATCH, "UPDATE file SET name = coalesce(?2, name), labels = coalesce(?3, labels),"
		  " expires_at = CASE WHEN ?4 THEN ?5 ELSE expires_at END WHERE number = ?1")
W_ROW(FILE_DELETE, "UPDATE file SET deleted_at = ?2 WHERE number = ?1")
W_ROW(DOOM, "INSERT INTO doomed (file, doomed_at) VALUES (?1, ?2)")
W_ROW(DOOM_DONE, "DELETE FROM doomed WHERE file = (SELECT number FROM file WHERE id = ?1)")
W_ROW(IDEMPOTENCY_FIND, "SELECT number, fingerprint, file, created_at FROM idempotency WHERE owner = ?1 AND key = ?2")
W_ROW(IDEMPOTENCY_ADD, "INSERT INTO idempotency (owner, key, fingerprint, file, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")
W_ROW(IDEMPOTENCY_DELETE, "DELETE FROM idempotency WHERE number = ?1")

/* ---- jobs ---- */
W_ROW(JOB_ADD,
      "INSERT INTO job (id, file, op, version, params, priority, max_attempts, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")
W_ROW(TASK_ADD,
      "INSERT INTO task (job, priority, run_at, state, attempt, losses, fence, cancel, error) VALUES (?1, ?2, ?3, 0, 0, 0, ?4, 0, 0)")
W_ROW(TASK_DELETE, "DELETE FROM task WHERE job = ?1")
W_ROW(TASK_CANCEL, "UPDATE task SET cancel = 1 WHERE job = ?1")
W_ROW(TASK_CLAIM,
      "UPDATE task SET state = 1, attempt = attempt + 1, fence = fence + 1, worker = ?2, started_at = ?3, error = 0, detail = NULL WHERE job = ?1")
W_ROW(TASK_BACK,
      "UPDATE task SET state = 0, run_at = ?2, attempt = ?3, losses = ?4, fence = ?5, worker = NULL, started_at = NULL, error = ?6, detail = ?7"
      " WHERE job = ?1")
W_ROW(TASKS_OF_FILE, "SELECT t.job, " TASK_COLUMNS " FROM job AS j CROSS JOIN task AS t ON t.job = j.number"
		     " WHERE j.file = ?1 AND j.number > ?2 ORDER BY j.number LIMIT ?3")
W_ROW(TASKS_READY, "SELECT t.job, t.attempt, t.losses, t.fence, t.run_at, j.id, j.op, j.version, j.params, j.max_attempts, j.created_at,"
		   " f.number, f.id, f.owner, f.size, f.location, f.sha256"
		   " FROM task AS t CROSS JOIN job AS j ON j.number = t.job CROSS JOIN file AS f ON f.number = j.file"
		   " WHERE t.state = 0 AND t.priority = ?1 AND t.run_at <= ?2 ORDER BY t.run_at, t.job LIMIT ?3")
W_ROW(TASKS_LOST, "SELECT t.job, " TASK_COLUMNS " FROM worker AS w CROSS JOIN task AS t ON t.worker = w.number AND t.state = 1"
		  " WHERE w.expires_at <= ?1 LIMIT ?2")
W_ROW(TASKS_RUNNING, "SELECT t.job, " TASK_COLUMNS " FROM task AS t WHERE t.state = 1 AND t.worker > 0 LIMIT ?1")
W_ROW(JOB_FIND,
      "SELECT j.number, j.op, j.version, j.params, j.priority, f.id, f.owner, f.sha256, f.deleted_at, r.state, r.fence, " TASK_COLUMNS
      " FROM job AS j CROSS JOIN file AS f ON f.number = j.file LEFT JOIN result AS r ON r.job = j.number LEFT JOIN task AS t ON t.job = j.number"
      " WHERE j.id = ?1")
W_ROW(FILE_JOB_COUNT, "SELECT count(*) FROM job WHERE file = ?1")
W_ROW(RESULT_ADD, "INSERT INTO result " ENDING_COLUMNS " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")
W_ROW(RESULT_DELETE, "DELETE FROM result WHERE job = ?1")
W_ROW(OUTBOX_ADD, "INSERT INTO outbox " ENDING_COLUMNS " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")
W_ROW(OUTBOX_DONE, "DELETE FROM outbox WHERE seq <= ?1")
W_ROW(DONE_ON_FILE, "SELECT r.result FROM job AS j CROSS JOIN result AS r ON r.job = j.number"
		    " WHERE j.file = ?1 AND r.state = 2 AND j.op = ?2 AND j.version = ?3 AND j.params = ?4 LIMIT 1")
W_ROW(DONE_ELSEWHERE,
      "SELECT r.result FROM artifact AS a CROSS JOIN job AS j ON j.number = a.job CROSS JOIN file AS f ON f.number = j.file"
      " CROSS JOIN result AS r ON r.job = j.number"
      " WHERE a.key = ?1 AND r.state = 2 AND j.op = ?2 AND j.version = ?3 AND j.params = ?4 AND f.sha256 = ?5 AND f.owner = ?6"
      " AND f.deleted_at IS NULL")
W_ROW(ARTIFACT_ADD, "INSERT OR REPLACE INTO artifact (key, job) VALUES (?1, ?2)")
W_ROW(ARTIFACT_DELETE, "DELETE FROM artifact WHERE key = ?1 AND job = ?2")

/* ---- workers ---- */
W_ROW(WORKER_FIND, "SELECT number FROM worker WHERE id = ?1 AND expires_at > ?2")
W_ROW(WORKER_NUMBER, "SELECT number FROM worker WHERE id = ?1")
W_ROW(WORKER_ADD, "INSERT INTO worker (id, expires_at) VALUES (?1, ?2)")
W_ROW(WORKER_LEASE, "UPDATE worker SET expires_at = ?2 WHERE number = ?1")

/* ---- purging ---- */
W_ROW(PURGE_IDEMPOTENCY,
      "DELETE FROM idempotency WHERE number IN (SELECT number FROM idempotency WHERE created_at < ?1 ORDER BY created_at LIMIT ?2)")
W_ROW(PURGE_WORKERS, "DELETE FROM worker WHERE number IN (SELECT w.number FROM worker AS w WHERE w.expires_at < ?1"
		     " AND NOT EXISTS (SELECT 1 FROM task AS t WHERE t.state = 1 AND t.worker = w.number) LIMIT ?2)")
/* A tombstone stays while its blob's bytes still have to go, and while a job of it still runs. */
W_ROW(TOMBSTONES, "SELECT f.number, f.owner, f.sha256 FROM file AS f WHERE f.deleted_at IS NOT NULL AND f.deleted_at < ?1"
		  " AND NOT EXISTS (SELECT 1 FROM doomed AS d WHERE d.file = f.number)"
		  " AND NOT EXISTS (SELECT 1 FROM job AS j JOIN task AS t ON t.job = j.number WHERE j.file = f.number)"
		  " ORDER BY f.deleted_at LIMIT ?2")
W_ROW(JOBS_OF_FILE, "SELECT number, op, version, params FROM job WHERE file = ?1")
W_ROW(JOB_DELETE, "DELETE FROM job WHERE number = ?1")
W_ROW(FILE_PURGE, "DELETE FROM file WHERE number = ?1")

/* ---- point reads ---- */
R_ROW(PIN, "SELECT value FROM meta WHERE key = 'probe'")
R_ROW(FILE_BY_ID, "SELECT " FILE_COLUMNS " FROM file AS f WHERE f.id = ?1")
R_ROW(FILE_BY_NUMBER, "SELECT " FILE_COLUMNS " FROM file AS f WHERE f.number = ?1")
R_ROW(JOBS_OF_FILE, "SELECT " JOB_COLUMNS JOB_FROM "WHERE j.file = ?1 ORDER BY j.number")
R_ROW(JOB_BY_ID, "SELECT " JOB_COLUMNS ", f.id, f.owner, f.deleted_at" JOB_FROM "JOIN file AS f ON f.number = j.file WHERE j.id = ?1")
R_ROW(JOB_BY_NUMBER,
      "SELECT " JOB_COLUMNS ", f.id, f.owner, f.deleted_at" JOB_FROM "JOIN file AS f ON f.number = j.file WHERE j.number = ?1")
R_ROW(BYTES, "SELECT b.bytes FROM file AS f CROSS JOIN blob AS b ON b.file = f.number WHERE f.id = ?1")
R_ROW(REFERENCED, "SELECT 1 FROM file WHERE id = ?1 AND owner = ?2 AND deleted_at IS NULL AND location <> 0")
R_ROW(READY_AT, "SELECT min(run_at) FROM task WHERE state = 0 AND priority = ?1")

/* ---- lists ---- */
R_ROW(FILES, "SELECT " FILE_COLUMNS " FROM file AS f WHERE f.owner = ?1 AND f.number < ?2 AND f.deleted_at IS NULL ORDER BY f.number DESC")
R_ROW(JOBS, "SELECT " JOB_COLUMNS ", f.id, f.owner, f.deleted_at" JOB_FROM
	    "CROSS JOIN file AS f ON f.number = j.file WHERE j.number < ?1 ORDER BY j.number DESC")
R_ROW(JOBS_BY_FILE, "SELECT " JOB_COLUMNS ", f.id, f.owner, f.deleted_at" JOB_FROM "CROSS JOIN file AS f ON f.number = j.file"
		    " WHERE j.number < ?1 AND j.file = (SELECT number FROM file WHERE id = ?2) ORDER BY j.number DESC")
R_ROW(DOOMED, "SELECT f.id, f.owner FROM doomed AS d JOIN file AS f ON f.number = d.file ORDER BY d.file LIMIT ?1")
R_ROW(EXPIRED,
      "SELECT id, owner FROM file WHERE expires_at IS NOT NULL AND deleted_at IS NULL AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2")
R_ROW(OUTBOX, "SELECT j.number, j.id, j.file, j.op, j.version, j.params, j.priority, j.max_attempts, j.created_at,"
	      " r.state, r.attempt, r.losses, r.fence, r.run_at, r.started_at, r.finished_at, r.error, r.detail, r.result, r.cached,"
	      " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, f.id, f.owner, f.deleted_at, r.seq"
	      " FROM outbox AS r CROSS JOIN job AS j ON j.number = r.job CROSS JOIN file AS f ON f.number = j.file"
	      " WHERE r.seq > ?1 ORDER BY r.seq LIMIT ?2")

#undef JOB_COLUMNS
#undef JOB_FROM
#undef FILE_COLUMNS
#undef TASK_COLUMNS
#undef ENDING_COLUMNS
