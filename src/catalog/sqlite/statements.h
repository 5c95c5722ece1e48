/* Every SQL statement that is used while running, once each: W_ROW on the writing connection, R_ROW on the reading ones. No include guard:
 * included with W_ROW and R_ROW defined to what the place needs, behind catalog/tables.h for the columns. Partial indexes serve only where their condition stands here literally. */

#define ENDING_COLUMNS "job, state, attempt, losses, fence, run_at, started_at, finished_at, error, detail, result, cached, outputs"
/* The same work, done through the queue: ?1 key, ?2 op, ?3 version, ?4 params, ?5 SHA-256 of the input, ?6 owner */
#define ARTIFACT_FROM                                                                                                                                             \
	" FROM artifact AS a CROSS JOIN job AS j ON j.number = a.job CROSS JOIN file AS f ON f.number = j.file"                                                   \
	" CROSS JOIN result AS r ON r.job = j.number"                                                                                                             \
	" WHERE a.key = ?1 AND r.state = 2 AND r.expired_at IS NULL AND j.op = ?2 AND j.version = ?3 AND j.params = ?4 AND f.owner = ?6 AND f.deleted_at IS NULL" \
	" AND " INPUT_SHA256 " = ?5" WHOLE

#define ACCOUNT_COLUMNS                                                                                                                    \
	"a.number, a.id, a.email, a.name, a.password, a.role, a.created_at, a.changed_at, a.disabled_at, a.files_max, a.bytes_max, a.jobs_max"

#define SCRUB_KEYS " WHERE key IN ('scrub_kind', 'scrub_number', 'scrub_n', 'scrub_began_at', 'scrub_whole')"

#define AUDIT_HEAD_SQL "SELECT seq, hash, file, size FROM audit_head WHERE only = 1"

/* ---- the batch ---- */
W_ROW(BEGIN, "BEGIN IMMEDIATE")
W_ROW(COMMIT, "COMMIT")
W_ROW(ROLLBACK, "ROLLBACK")
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
W_ROW(FILE_FIND, "SELECT number, owner, size, sha256, location, deleted_at, expires_at FROM file WHERE id = ?1")
W_ROW(FILE_PATCH, "UPDATE file SET name = coalesce(?2, name), labels = coalesce(?3, labels),"
		  " expires_at = CASE WHEN ?4 THEN ?5 ELSE expires_at END WHERE number = ?1")
W_ROW(FILE_COMING, "UPDATE file SET import = ?2 WHERE number = ?1")
W_ROW(FILE_CAME, "UPDATE file SET location = 4, size = ?2, type = ?3, sha256 = ?4 WHERE import = ?1")
W_ROW(FILE_DELETE, "UPDATE file SET deleted_at = ?2 WHERE number = ?1")
W_ROW(USAGE_ADD, "INSERT INTO usage (owner, files, bytes) VALUES (?1, 1, ?2)"
		 " ON CONFLICT (owner) DO UPDATE SET files = files + 1, bytes = bytes + excluded.bytes")
W_ROW(USAGE_SUB, "UPDATE usage SET files = files - 1, bytes = bytes - ?2 WHERE owner = ?1")
W_ROW(USAGE_CAME, "UPDATE usage SET bytes = bytes + ?2 WHERE owner = (SELECT owner FROM file WHERE import = ?1)")
W_ROW(USAGE_FORGET, "DELETE FROM usage WHERE owner = ?1 AND files = 0")
W_ROW(USAGE, "SELECT files, bytes FROM usage WHERE owner = ?1")
R_ROW(USAGE, "SELECT files, bytes FROM usage WHERE owner = ?1")
R_ROW(IMPORT_COUNTS,
      "SELECT coalesce((SELECT files FROM usage WHERE owner = ?1), 0), count(*), count(t.job) FROM file AS f INDEXED BY file_coming"
      " LEFT JOIN task AS t ON t.job = f.import WHERE f.owner = ?1 AND f.location = 3 AND f.deleted_at IS NULL")
W_ROW(QUOTAS, "SELECT files_max, bytes_max, jobs_max FROM account WHERE id = ?1")
R_ROW(QUOTAS, "SELECT files_max, bytes_max, jobs_max FROM account WHERE id = ?1")
W_ROW(DOOM, "INSERT OR IGNORE INTO doomed (blob, doomed_at) VALUES (?1, ?2)")
W_ROW(DOOM_DONE, "DELETE FROM doomed WHERE blob = ?1")
W_ROW(IDEMPOTENCY_FIND, "SELECT number, fingerprint, file, created_at FROM idempotency WHERE owner = ?1 AND key = ?2")
W_ROW(IDEMPOTENCY_ADD, "INSERT INTO idempotency (owner, key, fingerprint, file, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")
W_ROW(IDEMPOTENCY_DELETE, "DELETE FROM idempotency WHERE number = ?1")

/* ---- jobs ---- */
W_ROW(JOB_ADD,
      "INSERT INTO job (id, file, op, version, params, priority, max_attempts, created_at, after) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")
W_ROW(TASK_ADD,
      "INSERT INTO task (job, priority, run_at, state, attempt, losses, fence, cancel, error, lane) VALUES (?1, ?2, ?3, 0, 0, 0, ?4, 0, 0, ?5)")
W_ROW(TASK_DELETE, "DELETE FROM task WHERE job = ?1")
W_ROW(TASK_CANCEL, "UPDATE task SET cancel = 1 WHERE job = ?1")
W_ROW(TASK_CLAIM,
      "UPDATE task SET state = 1, attempt = attempt + 1, fence = fence + 1, worker = ?2, started_at = ?3, error = 0, detail = NULL WHERE job = ?1")
W_ROW(TASK_BACK,
      "UPDATE task SET state = 0, run_at = ?2, attempt = ?3, losses = ?4, fence = ?5, worker = NULL, started_at = NULL, error = ?6, detail = ?7,"
      " refused = ?8 WHERE job = ?1")
W_ROW(TASKS_OF_FILE, "SELECT t.job, " TASK_COLUMNS " FROM job AS j CROSS JOIN task AS t ON t.job = j.number"
		     " WHERE j.file = ?1 AND j.number > ?2 ORDER BY j.number LIMIT ?3")
W_ROW(TASKS_READY, "SELECT t.run_at, t.job FROM task AS t WHERE t.state = 0 AND t.lane = ?1 AND t.priority = ?2 AND t.run_at <= ?3"
		   " ORDER BY t.run_at, t.job LIMIT ?4")
W_ROW(TASK_READY,
      "SELECT t.job, t.attempt, t.losses, t.fence, t.run_at, j.id, j.op, j.version, j.params, j.max_attempts, j.created_at,"
      " f.number, f.id, f.owner, f.size, f.location, f.sha256, f.name, f.type, j.after, " FILE_DAMAGE ", t.refused, " IMPORTED_BLOB
      " FROM task AS t CROSS JOIN job AS j ON j.number = t.job CROSS JOIN file AS f ON f.number = j.file WHERE t.job = ?1")
W_ROW(LANE_HEAD, "SELECT min(run_at) FROM task WHERE state = 0 AND lane = ?1 AND priority = ?2")
W_ROW(LANE_ADD, "INSERT INTO lane (number, owner, op) VALUES (?1, ?2, ?3)")
W_ROW(JOB_LANE, "SELECT f.owner, j.op FROM job AS j CROSS JOIN file AS f ON f.number = j.file WHERE j.number = ?1")
W_ROW(TASKS_LOST, "SELECT t.job, " TASK_COLUMNS " FROM worker AS w CROSS JOIN task AS t ON t.worker = w.number AND t.state = 1"
		  " WHERE w.expires_at <= ?1 LIMIT ?2")
W_ROW(TASKS_RUNNING, "SELECT t.job, " TASK_COLUMNS " FROM task AS t WHERE t.state = 1 AND t.worker > 0 LIMIT ?1")
W_ROW(JOB_FIND,
      "SELECT j.number, j.op, j.version, j.params, j.priority, f.id, f.owner, " INPUT_SHA256
      ", f.deleted_at, r.state, r.fence, " TASK_COLUMNS ", j.after, r.expired_at, f.import"
      " FROM job AS j CROSS JOIN file AS f ON f.number = j.file LEFT JOIN result AS r ON r.job = j.number LEFT JOIN task AS t ON t.job = j.number"
      " WHERE j.id = ?1")
W_ROW(FILE_JOB_COUNT, "SELECT count(*) FROM job WHERE file = ?1")
W_ROW(RESULT_ADD, "INSERT INTO result (" ENDING_COLUMNS ", expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"
		  " CASE WHEN NOT EXISTS (SELECT 1 FROM file WHERE import = ?1) THEN ?14 END)")
W_ROW(RESULT_DELETE, "DELETE FROM result WHERE job = ?1")
W_ROW(OUTBOX_ADD, "INSERT INTO outbox (" ENDING_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")
W_ROW(OUTBOX_DONE, "DELETE FROM outbox WHERE seq <= ?1")
W_ROW(AUDIT_ADD, "INSERT INTO audit (seq, entry) VALUES (?1, ?2)")
W_ROW(AUDIT_LAST, "SELECT max(seq, coalesce((SELECT max(seq) FROM audit), 0)) FROM audit_head WHERE only = 1")
W_ROW(AUDIT_DONE, "DELETE FROM audit WHERE seq <= ?1")
W_ROW(AUDIT_HEAD_WRITE, "UPDATE audit_head SET seq = ?1, hash = ?2, file = ?3, size = ?4 WHERE only = 1 AND seq = ?5")
W_ROW(DONE_ON_FILE,
      "SELECT j.number, r.result, r.outputs"
      " FROM file AS f CROSS JOIN job AS j ON j.file = f.number CROSS JOIN result AS r ON r.job = j.number"
      " WHERE f.number = ?1 AND r.state = 2 AND r.expired_at IS NULL AND j.op = ?2 AND j.version = ?3 AND j.params = ?4 AND j.after IS NULL" WHOLE
      " LIMIT 1")
W_ROW(DONE_ELSEWHERE, "SELECT j.number, r.result, r.outputs" ARTIFACT_FROM)
/* Did the job of id ?1 do the work of job number ?2? */
W_ROW(SAME_WORK,
      "SELECT d.number, r.result, r.outputs"
      " FROM job AS d CROSS JOIN file AS g ON g.number = d.file CROSS JOIN result AS r ON r.job = d.number"
      " CROSS JOIN job AS j ON j.number = ?2 CROSS JOIN file AS f ON f.number = j.file"
      " WHERE d.id = ?1 AND r.state = 2 AND r.expired_at IS NULL AND g.deleted_at IS NULL AND g.owner = f.owner"
      " AND d.op = j.op AND d.version = j.version AND d.params = j.params AND " OTHER_SHA256 " = " INPUT_SHA256 " AND g.damaged_at IS NULL"
      " AND NOT EXISTS (SELECT 1 FROM output AS x WHERE x.job IN (d.number, d.after, g.import) AND x.damaged_at IS NOT NULL)")
W_ROW(ARTIFACT_ADD, "INSERT OR REPLACE INTO artifact (key, job) VALUES (?1, ?2)")
W_ROW(ARTIFACT_DELETE, "DELETE FROM artifact WHERE key = ?1 AND job = ?2")
W_ROW(WORK_OF_FILE, "SELECT j.number, j.op, j.version, j.params, " INPUT_SHA256 ", f.owner"
		    " FROM file AS f CROSS JOIN job AS j ON j.file = f.number CROSS JOIN result AS r ON r.job = j.number"
		    " WHERE f.number = ?1 AND r.state = 2 AND r.expired_at IS NULL")

/* ---- outputs ---- */
W_ROW(OUTPUT_ADD, "INSERT INTO output (job, n, name, type, size, sha256, blob) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
W_ROW(OUTPUTS, "SELECT " OUTPUT_COLUMNS " FROM output AS o WHERE o.job = ?1 ORDER BY o.n LIMIT ?2")
W_ROW(OUTPUT_FIRST,
      "SELECT " OUTPUT_COLUMNS ", p.id FROM job AS p CROSS JOIN output AS o ON o.job = p.number AND o.n = 0 WHERE p.number = ?1")
W_ROW(OUTPUT_USED, "SELECT 1 FROM output WHERE blob = ?1 LIMIT 1")
W_ROW(OUTPUTS_DELETE, "DELETE FROM output WHERE job IN (SELECT number FROM job WHERE file = ?1) RETURNING blob")

W_ROW(OUTPUTS_OF_JOB_DELETE, "DELETE FROM output WHERE job = ?1 RETURNING blob")

/* ---- expiry ---- */
/* The next result whose time has come; until when jobs after it are told that it is needed for (?2 while they have not ended; NULL: there are none); what leads to its work. */
W_ROW(EXPIRING, "SELECT r.job,"
		" (SELECT max(coalesce(x.expires_at, ?2)) FROM job AS k LEFT JOIN result AS x ON x.job = k.number"
		" WHERE k.after = r.job AND x.expired_at IS NULL),"
		" r.state, j.op, j.version, j.params, " INPUT_SHA256 ", f.owner"
		" FROM result AS r CROSS JOIN job AS j ON j.number = r.job CROSS JOIN file AS f ON f.number = j.file"
		" WHERE r.expires_at IS NOT NULL AND r.expired_at IS NULL AND r.expires_at <= ?1 ORDER BY r.expires_at LIMIT 1")
W_ROW(EXPIRE, "UPDATE result SET expired_at = ?2, detail = NULL, result = NULL, outputs = 0 WHERE job = ?1")
W_ROW(EXPIRE_LATER, "UPDATE result SET expires_at = ?2 WHERE job = ?1")
/* Those that come after it are purged before it. */
W_ROW(EXPIRED_BEFORE, "SELECT r.job FROM result AS r WHERE r.expired_at IS NOT NULL AND r.expired_at < ?1"
		      " AND NOT EXISTS (SELECT 1 FROM job AS k WHERE k.after = r.job) ORDER BY r.expired_at LIMIT 1")
W_ROW(JOB_DELETE, "DELETE FROM job WHERE number = ?1")

/* ---- damage ---- */
W_ROW(FILE_MARK, "UPDATE file SET damaged_at = ?2 WHERE id = ?1 AND deleted_at IS NULL AND (damaged_at IS NULL) <> (?2 IS NULL)")
W_ROW(OUTPUT_MARK, "UPDATE output SET damaged_at = ?2 WHERE blob = ?1 AND (damaged_at IS NULL) <> (?2 IS NULL)")
W_ROW(RECURRING_FIND, "SELECT due_at, before FROM recurring WHERE name = ?1")
W_ROW(RECURRING_PUT, "INSERT INTO recurring (name, schedule, due_at, since, upto, before) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
		     " ON CONFLICT (name) DO UPDATE SET schedule = ?2, due_at = ?3, since = ?4, upto = ?5, before = ?6")
W_ROW(RECURRING_FORGET, "DELETE FROM recurring WHERE name = ?1")
W_ROW(SCRUB_WRITE, "UPDATE meta SET value = CASE key WHEN 'scrub_kind' THEN ?1 WHEN 'scrub_number' THEN ?2 WHEN 'scrub_n' THEN ?3"
		   " WHEN 'scrub_began_at' THEN ?4 ELSE ?5 END" SCRUB_KEYS)
W_ROW(LINE_ROW, "INSERT OR IGNORE INTO meta (key, value) VALUES (?1, 0)")
W_ROW(LINE_SET, "UPDATE meta SET value = ?3 WHERE key = ?1 AND value = ?2")
W_ROW(LINE_WORD, "UPDATE meta SET value = ?1 WHERE key = 'line_word'")

/* ---- chains ---- */
W_ROW(JOB_NUMBER, "SELECT number FROM job WHERE id = ?1")
W_ROW(JOB_BEFORE, "SELECT j.file, f.owner, r.state, r.outputs, t.cancel, o.sha256, r.expired_at"
		  " FROM job AS j CROSS JOIN file AS f ON f.number = j.file LEFT JOIN result AS r ON r.job = j.number"
		  " LEFT JOIN task AS t ON t.job = j.number LEFT JOIN output AS o ON o.job = j.number AND o.n = 0 WHERE j.id = ?1")
W_ROW(RESULT_OUTPUTS, "SELECT outputs FROM result WHERE job = ?1 AND state = 2")
W_ROW(TASK_AFTER, "SELECT t.job, " TASK_COLUMNS " FROM job AS j CROSS JOIN task AS t ON t.job = j.number"
		  " WHERE j.after = ?1 AND t.state = 0 ORDER BY j.number LIMIT 1")
W_ROW(TASKS_RELEASE,
      "UPDATE task SET run_at = ?2 WHERE job IN (SELECT number FROM job WHERE after = ?1) AND state = 0 RETURNING lane, priority")
W_ROW(FAILED_AFTER, "SELECT j.number, j.priority, r.fence FROM job AS j CROSS JOIN result AS r ON r.job = j.number"
		    " WHERE j.after = ?1 AND r.error = ?2 AND r.expired_at IS NULL ORDER BY j.number LIMIT 1")

/* ---- webhooks ---- */
W_ROW(WEBHOOKS_ON, "SELECT count(*) FROM webhook AS w NOT INDEXED WHERE w.deleted_at IS NULL AND w.disabled_at IS NULL")
W_ROW(WEBHOOK_ADD, "INSERT INTO webhook (id, owner, url, events, ops, description, secret, created_at, off, waiting)"
		   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0)")
W_ROW(WEBHOOK_COUNT, "SELECT count(*) FROM webhook WHERE owner = ?1 AND deleted_at IS NULL")
W_ROW(WEBHOOK_FIND, "SELECT number, owner, disabled_at FROM webhook WHERE id = ?1 AND deleted_at IS NULL")
W_ROW(WEBHOOK_PATCH,
      "UPDATE webhook SET url = coalesce(?2, url), description = coalesce(?3, description), ops = coalesce(?4, ops),"
      " events = coalesce(?5, events), failing_since = CASE WHEN ?2 <> url THEN NULL ELSE failing_since END WHERE number = ?1")
W_ROW(WEBHOOK_SWITCH,
      "UPDATE webhook SET disabled_at = ?2, off = ?3, failing_since = CASE WHEN ?2 IS NULL THEN NULL ELSE failing_since END WHERE number = ?1")
W_ROW(WEBHOOK_ROTATE, "UPDATE webhook SET previous = secret, previous_until = ?3, secret = ?2 WHERE number = ?1")
W_ROW(WEBHOOK_DELETE, "UPDATE webhook SET deleted_at = ?2, secret = NULL, previous = NULL, url = '', description = '' WHERE number = ?1")
W_ROW(WEBHOOK_WAITING, "UPDATE webhook SET waiting = waiting + ?2 WHERE number = ?1")
W_ROW(WEBHOOK_FAILING, "UPDATE webhook SET failing_since = CASE WHEN ?2 IS NULL THEN NULL ELSE coalesce(failing_since, ?2) END"
		       " WHERE number = ?1 AND (failing_since IS NULL) <> (?2 IS NULL)")
W_ROW(WEBHOOKS_OF_JOB, "SELECT w.number, w.id, w.events, w.ops"
		       " FROM job AS j CROSS JOIN file AS f ON f.number = j.file CROSS JOIN webhook AS w ON w.owner = f.owner"
		       " WHERE j.number = ?1 AND w.deleted_at IS NULL AND w.disabled_at IS NULL ORDER BY w.number LIMIT ?2")
W_ROW(ENDED_JOB, "SELECT " JOB_COLUMNS ", f.id" JOB_FROM "CROSS JOIN file AS f ON f.number = j.file WHERE j.number = ?1")
W_ROW(DELIVERY_ADD, "INSERT OR IGNORE INTO delivery (id, webhook, event, job, payload, created_at, state, tries, due_at)"
		    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?6)")
W_ROW(DELIVERY_FIND,
      "SELECT d.webhook, d.tries, w.failing_since, w.disabled_at, w.url <> ?2 FROM delivery AS d CROSS JOIN webhook AS w ON w.number = d.webhook"
      " WHERE d.number = ?1 AND d.state = 0 AND w.deleted_at IS NULL")
W_ROW(DELIVERY_MOVE, "UPDATE delivery SET state = ?2, tries = ?3, due_at = ?4, ended_at = ?5 WHERE number = ?1")
W_ROW(DELIVERY_BY_ID, "SELECT number, state FROM delivery WHERE id = ?1 AND webhook = ?2")
W_ROW(DELIVERIES_FAILED,
      "SELECT number FROM delivery WHERE webhook = ?1 AND state = 2 AND created_at >= ?2 ORDER BY created_at, number LIMIT ?3")
W_ROW(ATTEMPT_ADD, "INSERT INTO attempt (delivery, n, at, duration_ms, status, error)"
		   " SELECT ?1, coalesce(max(n), 0) + 1, ?2, ?3, ?4, ?5 FROM attempt WHERE delivery = ?1")
W_ROW(ATTEMPTS_CUT, "DELETE FROM attempt WHERE delivery = ?1 AND n <= (SELECT max(n) FROM attempt WHERE delivery = ?1) - ?2")

/* ---- accounts, sessions, keys ---- */
/* Once, when the catalogue is opened. */
W_ROW(ACCOUNTS, "SELECT count(*) FROM account NOT INDEXED")
W_ROW(QUOTAS_ANY, "SELECT 1 FROM account WHERE coalesce(files_max, bytes_max, jobs_max) IS NOT NULL LIMIT 1")
W_ROW(ACCOUNT_FIND, "SELECT number, role, disabled_at, changed_at FROM account WHERE id = ?1")
W_ROW(ACCOUNT_EMAIL, "SELECT number FROM account WHERE email = ?1")
W_ROW(ACCOUNT_ADD, "INSERT INTO account (id, email, name, password, role, created_at, changed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)")
W_ROW(ACCOUNT_PATCH, "UPDATE account SET email = coalesce(?2, email), name = coalesce(?3, name), password = coalesce(?4, password),"
		     " changed_at = CASE WHEN ?4 IS NULL THEN changed_at ELSE ?5 END, role = coalesce(?6, role),"
		     " disabled_at = CASE ?7 WHEN 0 THEN NULL WHEN 1 THEN coalesce(disabled_at, ?5) ELSE disabled_at END,"
		     " files_max = CASE WHEN ?8 & 1 THEN ?9 ELSE files_max END, bytes_max = CASE WHEN ?8 & 2 THEN ?10 ELSE bytes_max END,"
		     " jobs_max = CASE WHEN ?8 & 4 THEN ?11 ELSE jobs_max END WHERE number = ?1")
W_ROW(ACCOUNT_DELETE, "DELETE FROM account WHERE number = ?1")
W_ROW(OTHER_ADMIN, "SELECT 1 FROM account WHERE role = 2 AND disabled_at IS NULL AND number <> ?1 LIMIT 1")
W_ROW(SESSION_ADD, "INSERT INTO session (hash, id, account, created_at, used_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
/* Room for one more of ?2. */
W_ROW(SESSIONS_CUT, "DELETE FROM session WHERE hash IN (SELECT hash FROM session WHERE account = ?1 ORDER BY used_at"
		    " LIMIT max(0, (SELECT count(*) FROM session WHERE account = ?1) - ?2 + 1))")
W_ROW(SESSION_END, "DELETE FROM session WHERE hash = ?1")
W_ROW(SESSIONS_END, "DELETE FROM session WHERE account = ?1")
W_ROW(SESSION_TOUCH, "UPDATE session SET used_at = ?2 WHERE hash = ?1 AND used_at < ?2")
W_ROW(KEY_ADD, "INSERT INTO api_key (id, account, name, hash, scopes, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
W_ROW(KEY_COUNT, "SELECT count(*) FROM api_key WHERE account = ?1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2)")
W_ROW(KEY_FIND, "SELECT k.number, a.id, k.revoked_at FROM api_key AS k JOIN account AS a ON a.number = k.account WHERE k.id = ?1")
W_ROW(KEY_REVOKE, "UPDATE api_key SET revoked_at = ?2 WHERE number = ?1")
W_ROW(KEYS_DELETE, "DELETE FROM api_key WHERE account = ?1")

/* ---- once-keys, secrets ---- */
W_ROW(ONCE_FIND, "SELECT 1 FROM once WHERE key = ?1")
W_ROW(ONCE_ADD, "INSERT INTO once (key, expires_at) VALUES (?1, ?2)")
W_ROW(SECRET_ANY, "SELECT 1 FROM secret LIMIT 1")
W_ROW(SECRET_ADD, "INSERT INTO secret (bytes, created_at) VALUES (?1, ?2)")
W_ROW(SECRETS_CUT, "DELETE FROM secret WHERE number NOT IN (SELECT number FROM secret ORDER BY number DESC LIMIT ?1)")

/* ---- workers ---- */
W_ROW(WORKER_FIND, "SELECT number FROM worker WHERE id = ?1 AND expires_at > ?2")
W_ROW(WORKER_NUMBER, "SELECT number FROM worker WHERE id = ?1")
W_ROW(WORKER_ADD,
      "INSERT INTO worker (id, expires_at, beat_at, draining, uploads_since, host, labels, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?3)")
W_ROW(WORKER_LEASE, "UPDATE worker SET expires_at = ?2, beat_at = ?3, draining = ?4, uploads_since = ?5 WHERE number = ?1")

/* ---- purging ---- */
W_ROW(PURGE_IDEMPOTENCY,
      "DELETE FROM idempotency WHERE number IN (SELECT number FROM idempotency WHERE created_at < ?1 ORDER BY created_at LIMIT ?2)")
W_ROW(PURGE_WORKERS, "DELETE FROM worker WHERE number IN (SELECT w.number FROM worker AS w WHERE w.expires_at < ?1"
		     " AND NOT EXISTS (SELECT 1 FROM task AS t WHERE t.state = 1 AND t.worker = w.number) LIMIT ?2)")
/* A tombstone stays while a job of it still runs. */
W_ROW(TOMBSTONES, "SELECT f.number FROM file AS f WHERE f.deleted_at IS NOT NULL AND f.deleted_at < ?1"
		  " AND NOT EXISTS (SELECT 1 FROM job AS j JOIN task AS t ON t.job = j.number WHERE j.file = f.number)"
		  " ORDER BY f.deleted_at LIMIT ?2")
W_ROW(RESULTS_PURGE, "DELETE FROM result WHERE job IN (SELECT number FROM job WHERE file = ?1)")
W_ROW(JOBS_PURGE, "DELETE FROM job WHERE file = ?1")
W_ROW(FILE_PURGE, "DELETE FROM file WHERE number = ?1")

W_ROW(DELIVERY_OLD, "SELECT number, webhook, state FROM delivery WHERE ended_at IS NOT NULL AND ended_at < ?1 ORDER BY ended_at LIMIT 1")
W_ROW(DELIVERY_OF_DELETED, "SELECT d.number, d.webhook, d.state FROM webhook AS w CROSS JOIN delivery AS d ON d.webhook = w.number"
			   " WHERE w.deleted_at IS NOT NULL AND ?1 IS NOT NULL LIMIT 1")
W_ROW(DELIVERY_OF_OFF,
      "SELECT d.number, d.webhook, d.state FROM webhook AS w CROSS JOIN delivery AS d ON d.webhook = w.number AND d.state = 0"
      " WHERE w.disabled_at IS NOT NULL AND w.disabled_at < ?1 LIMIT 1")
W_ROW(DELIVERY_DELETE, "DELETE FROM delivery WHERE number = ?1")
W_ROW(ATTEMPTS_DELETE, "DELETE FROM attempt WHERE delivery = ?1")
W_ROW(WEBHOOKS_PURGE, "DELETE FROM webhook WHERE deleted_at IS NOT NULL AND NOT EXISTS"
		      " (SELECT 1 FROM delivery AS d WHERE d.webhook = webhook.number)")

W_ROW(PURGE_SESSIONS, "DELETE FROM session WHERE hash IN (SELECT hash FROM session WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)")
W_ROW(PURGE_KEYS, "DELETE FROM api_key WHERE number IN (SELECT number FROM api_key WHERE coalesce(revoked_at, expires_at) < ?1 LIMIT ?2)")
W_ROW(PURGE_ONCE, "DELETE FROM once WHERE key IN (SELECT key FROM once WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)")

/* ---- point reads ---- */
R_ROW(PIN, "SELECT value FROM meta WHERE key = 'probe'")
R_ROW(FILE_BY_ID, "SELECT " FILE_COLUMNS " FROM file AS f WHERE f.id = ?1")
R_ROW(FILE_BY_NUMBER, "SELECT " FILE_COLUMNS " FROM file AS f WHERE f.number = ?1")
R_ROW(JOBS_OF_FILE, "SELECT " JOB_COLUMNS JOB_FROM "WHERE j.file = ?1 AND r.expired_at IS NULL ORDER BY j.number")
R_ROW(JOB_BY_ID, "SELECT " JOB_COLUMNS ", f.id, f.owner, f.deleted_at" JOB_FROM "JOIN file AS f ON f.number = j.file WHERE j.id = ?1")
R_ROW(JOB_BY_NUMBER,
      "SELECT " JOB_COLUMNS ", f.id, f.owner, f.deleted_at" JOB_FROM "JOIN file AS f ON f.number = j.file WHERE j.number = ?1")
R_ROW(BYTES, "SELECT b.bytes FROM file AS f CROSS JOIN blob AS b ON b.file = f.number WHERE f.id = ?1")
R_ROW(OUTPUTS, "SELECT " OUTPUT_COLUMNS " FROM output AS o WHERE o.job = ?1 ORDER BY o.n LIMIT ?2")
R_ROW(ARTIFACT, "SELECT j.id" ARTIFACT_FROM)
R_ROW(OUTPUT_USED, "SELECT 1 FROM output WHERE blob = ?1 LIMIT 1")
R_ROW(REFERENCED, "SELECT 1 FROM file WHERE id = ?1 AND owner = ?2 AND deleted_at IS NULL AND location IN (1, 2)")
R_ROW(IS_DOOMED, "SELECT 1 FROM doomed WHERE blob = ?1")
R_ROW(STORED_FILES, "SELECT f.number, f.id, f.owner, f.size, f.sha256, f.location, f.damaged_at,"
		    " CASE WHEN f.location = 0 THEN (SELECT length(b.bytes) FROM blob AS b WHERE b.file = f.number) END"
		    " FROM file AS f WHERE f.number > ?1 AND f.deleted_at IS NULL AND f.location < 3 ORDER BY f.number LIMIT ?2")
R_ROW(STORED_OUTPUTS, "SELECT o.job, o.n, j.id, o.size, o.sha256, o.blob, o.damaged_at,"
		      " EXISTS (SELECT 1 FROM output AS p WHERE p.blob = o.blob AND (p.job, p.n) < (o.job, o.n))"
		      " FROM output AS o LEFT JOIN job AS j ON j.number = o.job WHERE (o.job, o.n) > (?1, ?2) ORDER BY o.job, o.n LIMIT ?3")
R_ROW(SCRUB_READ, "SELECT max(CASE key WHEN 'scrub_kind' THEN value END), max(CASE key WHEN 'scrub_number' THEN value END),"
		  " max(CASE key WHEN 'scrub_n' THEN value END), max(CASE key WHEN 'scrub_began_at' THEN value END),"
		  " max(CASE key WHEN 'scrub_whole' THEN value END) FROM meta" SCRUB_KEYS)
R_ROW(LINE, "SELECT max(CASE key WHEN 'line_word' THEN value END), max(CASE key WHEN 'line_next' THEN value END),"
	    " max(CASE key WHEN 'line_sole' THEN value END) FROM meta WHERE key IN ('line_word', 'line_next', 'line_sole')")
R_ROW(DAMAGED_FILES, "SELECT count(*) FROM file WHERE damaged_at IS NOT NULL AND deleted_at IS NULL")
R_ROW(DAMAGED_OUTPUTS, "SELECT count(*) FROM output WHERE damaged_at IS NOT NULL")
R_ROW(NEXT_LANE, "SELECT min(lane) FROM task WHERE state = 0 AND lane > ?1")
R_ROW(READY, "SELECT run_at FROM task WHERE state = 0 AND lane = ?1 AND priority = ?2 AND run_at <= ?3 ORDER BY run_at LIMIT ?4")

/* ---- lists ---- */
R_ROW(FILES, "SELECT " FILE_COLUMNS " FROM file AS f WHERE f.owner = ?2 AND f.number < ?1 AND f.deleted_at IS NULL ORDER BY f.number DESC")
R_ROW(FILES_ANY, "SELECT " FILE_COLUMNS " FROM file AS f WHERE f.number < ?1 AND f.deleted_at IS NULL ORDER BY f.number DESC")
R_ROW(JOBS, "SELECT " JOB_COLUMNS ", f.id, f.owner, f.deleted_at" JOB_FROM
	    "CROSS JOIN file AS f ON f.number = j.file WHERE j.number < ?1 ORDER BY j.number DESC")
R_ROW(JOBS_BY_FILE, "SELECT " JOB_COLUMNS ", f.id, f.owner, f.deleted_at" JOB_FROM "CROSS JOIN file AS f ON f.number = j.file"
		    " WHERE j.number < ?1 AND j.file = (SELECT number FROM file WHERE id = ?2) ORDER BY j.number DESC")
R_ROW(DOOMED, "SELECT d.blob FROM doomed AS d WHERE d.blob > ?2 ORDER BY d.blob LIMIT ?1")
R_ROW(EXPIRED,
      "SELECT id, owner FROM file WHERE expires_at IS NOT NULL AND deleted_at IS NULL AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2")
R_ROW(RECURRING, "SELECT name, schedule, due_at, since, upto, before FROM recurring ORDER BY name")
R_ROW(OUTBOX, "SELECT j.number, j.id, j.file, j.op, j.version, j.params, j.priority, j.max_attempts, j.created_at,"
	      " r.state, r.attempt, r.losses, r.fence, r.run_at, r.started_at, r.finished_at, r.error, r.detail, r.result, r.cached,"
	      " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,"
	      " CASE WHEN j.after IS NOT NULL THEN (SELECT p.id FROM job AS p WHERE p.number = j.after) END, r.outputs, NULL, NULL,"
	      " f.id, f.owner, f.deleted_at, r.seq"
	      " FROM outbox AS r CROSS JOIN job AS j ON j.number = r.job CROSS JOIN file AS f ON f.number = j.file"
	      " WHERE r.seq > ?1 ORDER BY r.seq LIMIT ?2")

/* ---- for operators ---- */
R_ROW(LANE_WAITING, "SELECT (SELECT op FROM lane WHERE number = ?1), count(*), coalesce(sum(run_at <= ?2), 0),"
		    " coalesce(sum(run_at = 9223372036854775807), 0) FROM task WHERE state = 0 AND lane = ?1")
R_ROW(RUNNING_OPS, "SELECT j.op FROM worker AS w NOT INDEXED CROSS JOIN task AS t ON t.worker = w.number AND t.state = 1"
		   " CROSS JOIN job AS j ON j.number = t.job LIMIT ?1")
R_ROW(ENDED_OPS,
      "SELECT j.op, r.state FROM result AS r CROSS JOIN job AS j ON j.number = r.job WHERE r.job <= ?1 ORDER BY r.job DESC LIMIT ?2")
R_ROW(WORKERS,
      "SELECT w.id, w.expires_at, (SELECT count(*) FROM task AS t WHERE t.state = 1 AND t.worker = w.number), w.host, w.labels, w.since, w.beat_at,"
      " w.uploads_since, w.draining"
      " FROM worker AS w ORDER BY w.number DESC LIMIT ?1")
R_ROW(DAMAGED_FILE_ROWS,
      "SELECT 0, f.id, 0, f.owner, f.name, f.size, f.damaged_at FROM file AS f"
      " WHERE f.damaged_at IS NOT NULL AND f.damaged_at > 0 AND f.deleted_at IS NULL ORDER BY f.damaged_at DESC LIMIT ?1")
R_ROW(DAMAGED_OUTPUT_ROWS,
      "SELECT 1, j.id, o.n, f.owner, o.name, o.size, o.damaged_at FROM output AS o CROSS JOIN job AS j ON j.number = o.job"
      " CROSS JOIN file AS f ON f.number = j.file WHERE o.damaged_at IS NOT NULL AND o.damaged_at > 0"
      " ORDER BY o.damaged_at DESC LIMIT ?1")

/* ---- webhooks ---- */
R_ROW(WEBHOOK, "SELECT " WEBHOOK_COLUMNS " FROM webhook AS w WHERE w.id = ?1 AND w.deleted_at IS NULL")
R_ROW(WEBHOOKS,
      "SELECT " WEBHOOK_COLUMNS " FROM webhook AS w WHERE w.owner = ?1 AND w.number < ?2 AND w.deleted_at IS NULL ORDER BY w.number DESC")
R_ROW(WEBHOOKS_DUE,
      "SELECT " WEBHOOK_COLUMNS ", (SELECT min(d.due_at) FROM delivery AS d WHERE d.webhook = w.number AND d.state = 0)"
      " FROM webhook AS w INDEXED BY webhook_due WHERE w.number > ?1 AND w.waiting > 0 AND w.deleted_at IS NULL AND w.disabled_at IS NULL"
      " ORDER BY w.number LIMIT ?2")
R_ROW(ACCOUNT, "SELECT " ACCOUNT_COLUMNS " FROM account AS a WHERE a.id = ?1")
R_ROW(ACCOUNT_BY_EMAIL, "SELECT " ACCOUNT_COLUMNS " FROM account AS a WHERE a.email = ?1")
R_ROW(ACCOUNTS, "SELECT " ACCOUNT_COLUMNS " FROM account AS a WHERE a.number < ?1 ORDER BY a.number DESC")
R_ROW(SESSION,
      "SELECT " ACCOUNT_COLUMNS ", " SESSION_COLUMNS " FROM session AS s CROSS JOIN account AS a ON a.number = s.account WHERE s.hash = ?1")
R_ROW(KEY,
      "SELECT " ACCOUNT_COLUMNS ", " KEY_COLUMNS " FROM api_key AS k CROSS JOIN account AS a ON a.number = k.account WHERE k.hash = ?1")
R_ROW(KEY_BY_ID,
      "SELECT " ACCOUNT_COLUMNS ", " KEY_COLUMNS " FROM api_key AS k CROSS JOIN account AS a ON a.number = k.account WHERE k.id = ?1")
R_ROW(KEYS, "SELECT " ACCOUNT_COLUMNS ", " KEY_COLUMNS " FROM account AS a CROSS JOIN api_key AS k ON k.account = a.number"
	    " WHERE a.id = ?1 AND k.number < ?2 ORDER BY k.number DESC")
R_ROW(KEYS_OF_ALL, "SELECT " ACCOUNT_COLUMNS ", " KEY_COLUMNS " FROM api_key AS k CROSS JOIN account AS a ON a.number = k.account"
		   " WHERE k.number < ?2 ORDER BY k.number DESC")
R_ROW(ONCE, "SELECT 1 FROM once WHERE key = ?1")
R_ROW(SECRETS, "SELECT number, bytes, created_at FROM secret ORDER BY number DESC LIMIT ?1")
R_ROW(WEBHOOK_SUMS,
      "SELECT count(*), coalesce(sum(w.disabled_at IS NOT NULL), 0), coalesce(sum(iif(w.disabled_at IS NULL, w.waiting, 0)), 0),"
      " min(iif(w.disabled_at IS NULL, (SELECT min(d.due_at) FROM delivery AS d WHERE d.webhook = w.number AND d.state = 0), NULL))"
      " FROM webhook AS w NOT INDEXED WHERE w.deleted_at IS NULL")
R_ROW(DELIVERY, "SELECT " DELIVERY_COLUMNS ", d.payload FROM delivery AS d CROSS JOIN webhook AS w ON w.number = d.webhook"
		" WHERE d.id = ?1 AND w.id = ?2")
R_ROW(DELIVERIES, "SELECT " DELIVERY_COLUMNS " FROM webhook AS w CROSS JOIN delivery AS d ON d.webhook = w.number"
		  " WHERE w.id = ?1 AND d.number < ?2 ORDER BY d.number DESC")
R_ROW(DELIVERIES_DUE, "SELECT " DELIVERY_COLUMNS ", d.payload FROM webhook AS w CROSS JOIN delivery AS d ON d.webhook = w.number"
		      " WHERE w.number = ?1 AND d.state = 0 AND d.due_at <= ?2 ORDER BY d.due_at, d.number LIMIT ?3")
R_ROW(ATTEMPTS, "SELECT at, duration_ms, status, error FROM attempt WHERE delivery = ?1 ORDER BY n")

#undef ENDING_COLUMNS
#undef ACCOUNT_COLUMNS
#undef SCRUB_KEYS
#undef ARTIFACT_FROM

/* ---- the audit log ---- */
R_ROW(AUDIT, "SELECT seq, entry FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2")
R_ROW(AUDIT_HEAD, AUDIT_HEAD_SQL)
