/* Every SQL statement of the writing connection, once each. No include guard: included with W_ROW defined to what the place needs. Partial indexes serve only where their
 * condition stands here literally. Those that take arrays do what a whole batch asks for, with one row an element. */

/* ---- the batch ---- */
W_ROW(BEGIN, "BEGIN")
W_ROW(COMMIT, "COMMIT")
W_ROW(ROLLBACK, "ROLLBACK")
W_ROW(SAVEPOINT, "SAVEPOINT change")
W_ROW(UNDO, "ROLLBACK TO change")
W_ROW(RELEASE, "RELEASE change")
/* The catalogue's own locks, named by the table `file` so that several schemas of one database do not wait for each other (docs/adr/0037). */
W_ROW(LOCK_SHARED, "SELECT pg_advisory_xact_lock_shared('file'::regclass::oid::int, 1)")
W_ROW(LOCK_ALONE, "SELECT pg_advisory_xact_lock('file'::regclass::oid::int, 1)")
W_ROW(LOCK_ORDER, "SELECT pg_advisory_xact_lock('file'::regclass::oid::int, 2)")
/* The transaction's number, by which its end is found out if the connection is lost; whether there are webhooks, and quotas of an account's own; row numbers for ?1 files and ?2 jobs. */
W_ROW(NUMBERS, "SELECT txid_current(), EXISTS (SELECT 1 FROM webhook WHERE deleted_at IS NULL AND disabled_at IS NULL), " QUOTAS_ANY ","
	       " CASE WHEN i <= $1 THEN nextval('file_number_seq') END, CASE WHEN i <= $2 THEN nextval('job_number_seq') END"
	       " FROM generate_series(1, greatest($1, $2, 1)) AS i")
W_ROW(BATCH,
      "INSERT INTO batch (link, transaction) VALUES ($1, $2) ON CONFLICT (link) DO UPDATE SET transaction = excluded.transaction, at = excluded.at")
/* A transaction holds a lock on its number until others see what it did; its number is there in 32 bits. A standby knows neither, and may be behind. */
W_ROW(UNDER_WAY,
      "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND granted AND transactionid = ($1::text::xid8)::xid),"
      " pg_is_in_recovery()")
W_ROW(OUTCOME, "SELECT EXISTS (SELECT 1 FROM batch WHERE link = $1 AND transaction = $2)")
W_ROW(PURGE_BATCHES, "DELETE FROM batch WHERE at < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $1")
W_ROW(SLOT, "SELECT s::bigint FROM generate_series(0, 999) AS s WHERE pg_try_advisory_lock('tally'::regclass::oid::int, s) LIMIT 1")
W_ROW(TALLY_ADD,
      "INSERT INTO tally AS t VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (slot) DO UPDATE SET files = t.files + excluded.files,"
      " file_bytes = t.file_bytes + excluded.file_bytes, waiting = t.waiting + excluded.waiting, running = t.running + excluded.running,"
      " succeeded = t.succeeded + excluded.succeeded, failed = t.failed + excluded.failed, cancelled = t.cancelled + excluded.cancelled,"
      " quarantined = t.quarantined + excluded.quarantined")
W_ROW(LANE_TALLY_ADD,
      "INSERT INTO lane_tally AS t SELECT lane, $2, waiting, running FROM unnest($1, $3, $4) AS x (lane, waiting, running)"
      " ON CONFLICT (lane, slot) DO UPDATE SET waiting = t.waiting + excluded.waiting, running = t.running + excluded.running")
W_ROW(WAITING, "SELECT coalesce(sum(waiting), 0)::bigint FROM tally")
W_ROW(WAITING_OF_OWNER,
      "SELECT coalesce(sum(t.waiting), 0)::bigint FROM lane AS l JOIN lane_tally AS t ON t.lane = l.number WHERE l.owner = $1")
/* By the accounts whose ids the owners are. */
W_ROW(QUOTAS, "SELECT x.n, " QUOTA_COLUMNS " FROM unnest($1) WITH ORDINALITY AS x (id, n) JOIN account AS a ON a.id = x.id")
W_ROW(QUOTAS_ANY, "SELECT " QUOTAS_ANY)
W_ROW(PROBE, "UPDATE meta SET value = value + 1 WHERE key = 'probe'")

/* ---- lanes ---- */
W_ROW(LANES_ADD,
      "INSERT INTO lane (number, owner, op) SELECT (SELECT coalesce(max(number), 0) FROM lane) + row_number() OVER (), x.owner, x.op"
      " FROM (SELECT DISTINCT u.owner, u.op FROM unnest($1, $2) AS u (owner, op)"
      " WHERE NOT EXISTS (SELECT 1 FROM lane AS l WHERE l.owner = u.owner AND l.op = u.op)) AS x")
W_ROW(LANES_OF,
      "SELECT DISTINCT l.number, l.owner, l.op FROM unnest($1, $2) AS u (owner, op) JOIN lane AS l ON l.owner = u.owner AND l.op = u.op")
W_ROW(LANES_ABOVE, "SELECT number, owner, op FROM lane WHERE number > $1 ORDER BY number")
W_ROW(LANE_HEADS, "SELECT lane, priority, run_at FROM lane_head")
W_ROW(LANE_COUNTS, "SELECT lane, sum(waiting)::bigint, sum(running)::bigint FROM lane_tally GROUP BY lane ORDER BY lane")

W_ROW(LANE_HEADS_OF,
      "SELECT l.lane, (SELECT t.run_at FROM task AS t WHERE t.state = 0 AND t.lane = l.lane AND t.priority = $2 ORDER BY t.run_at, t.job LIMIT 1)"
      " FROM unnest($1) AS l (lane)")
W_ROW(LOCK_CLAIMS, "SELECT pg_advisory_xact_lock('file'::regclass::oid::int, 3)")

/* ---- files ---- */
W_ROW(FILES_ADD, "INSERT INTO file (number, id, owner, name, size, type, sha256, labels, location, created_at, expires_at, import)"
		 " SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)")
/* The least n of an id, of a job or a file, that is there already or comes a second time. */
W_ROW(IDS_TAKEN,
      "SELECT min(y.n) FROM (SELECT x.n, x.job, x.id, row_number() OVER (PARTITION BY x.job, x.id ORDER BY x.n) AS nth FROM unnest($1, $2, $3)"
      " AS x (n, job, id)) AS y WHERE y.nth > 1 OR CASE WHEN y.job THEN EXISTS (SELECT 1 FROM job AS j WHERE j.id = y.id)"
      " ELSE EXISTS (SELECT 1 FROM file AS f WHERE f.id = y.id) END")
W_ROW(BLOBS_ADD, "INSERT INTO blob (file, bytes) SELECT * FROM unnest($1, $2)")
W_ROW(BLOB_DELETE, "DELETE FROM blob WHERE file = $1")
/* Locked, so that two who add jobs to one file count in turn. */
W_ROW(FILE_FIND, "SELECT number, owner, size, sha256, location, deleted_at, expires_at FROM file WHERE id = $1 FOR NO KEY UPDATE")
W_ROW(FILE_PATCH,
      "UPDATE file SET name = coalesce($2, name), labels = coalesce($3, labels), expires_at = CASE WHEN $4 THEN $5 ELSE expires_at END WHERE number = $1")
W_ROW(FILE_CAME, "UPDATE file SET location = 4, size = $2, type = $3, sha256 = $4 WHERE import = $1")
W_ROW(FILE_DELETE, "UPDATE file SET deleted_at = $2 WHERE number = $1")
W_ROW(USAGE_ADD,
      "INSERT INTO usage AS u SELECT x.owner, x.files, x.bytes FROM unnest($1, $2, $3) AS x (owner, files, bytes) ORDER BY x.owner"
      " ON CONFLICT (owner) DO UPDATE SET files = u.files + excluded.files, bytes = u.bytes + excluded.bytes")
W_ROW(USAGE_FORGET, "DELETE FROM usage WHERE owner = ANY ($1) AND files = 0")
W_ROW(USAGE_BEGIN, "INSERT INTO usage SELECT x, 0, 0 FROM unnest($1) AS x ORDER BY x ON CONFLICT (owner) DO NOTHING")
W_ROW(USAGE_LOCK, "SELECT owner, files, bytes FROM usage WHERE owner = ANY ($1) ORDER BY owner FOR UPDATE")
W_ROW(DOOM,
      "INSERT INTO doomed (blob, doomed_at) SELECT $1, $2 WHERE NOT EXISTS (SELECT 1 FROM output WHERE blob = $1) ON CONFLICT (blob) DO UPDATE SET doomed_at = doomed.doomed_at")
W_ROW(DOOM_DONE, "DELETE FROM doomed WHERE blob = $1")
W_ROW(IDEMPOTENCY_FIND, "SELECT x.n, i.number, i.fingerprint, i.file, i.created_at FROM unnest($1, $2) WITH ORDINALITY AS x (owner, key, n)"
			" JOIN idempotency AS i ON i.owner = x.owner AND i.key = x.key")
W_ROW(IDEMPOTENCY_ADD, "INSERT INTO idempotency (owner, key, fingerprint, file, created_at) SELECT * FROM unnest($1, $2, $3, $4, $5)")
W_ROW(IDEMPOTENCY_DELETE, "DELETE FROM idempotency WHERE number = $1")

/* ---- jobs ---- */
W_ROW(JOBS_ADD, "INSERT INTO job (number, id, file, lane, op, version, params, priority, max_attempts, created_at, after)"
		" SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
W_ROW(TASKS_ADD, "INSERT INTO task (job, lane, priority, run_at, state, attempt, losses, refused, fence, cancel, error)"
		 " SELECT x.job, x.lane, x.priority, x.run_at, 0, 0, 0, 0, x.fence, false, 0"
		 " FROM unnest($1, $2, $3, $4, $5) AS x (job, lane, priority, run_at, fence)")
/* Only as they were read: where a row is another's by now the division fails, and the batch is done again (link.c). So nobody has to wait for the count. */
W_ROW(TASKS_END, "WITH gone AS (DELETE FROM task AS t USING unnest($1, $2, $3, $4) AS x (job, state, fence, worker)"
		 " WHERE t.job = x.job AND t.state = x.state AND t.fence = x.fence AND t.worker IS NOT DISTINCT FROM x.worker RETURNING 1)"
		 " SELECT 1 / (count(*) = cardinality($1))::int FROM gone")
W_ROW(TASK_CANCEL, "UPDATE task SET cancel = true WHERE job = $1")
W_ROW(TASK_BACK,
      "UPDATE task SET state = 0, run_at = $2, attempt = $3, losses = $4, fence = $5, worker = NULL, started_at = NULL, error = $6, detail = $7,"
      " refused = $8 WHERE job = $1 AND state = 1 AND fence = $9")
W_ROW(TASKS_OF_FILE, "SELECT t.job, " TASK_COLUMNS " FROM job AS j JOIN task AS t ON t.job = j.number WHERE j.file = $1 ORDER BY j.number")
/* The claim. The rows are picked and locked first, once (MATERIALIZED), in the order of the index and past those that somebody else is taking; only then they are changed. */
W_ROW(TASKS_CLAIM,
      "WITH picked AS MATERIALIZED (SELECT t.job, t.run_at FROM unnest($1, $2) AS l (lane, most) CROSS JOIN LATERAL"
      " (SELECT c.job, c.run_at FROM task AS c WHERE c.state = 0 AND c.lane = l.lane AND c.priority = $3 AND c.run_at <= $4"
      " ORDER BY c.run_at, c.job LIMIT l.most FOR UPDATE SKIP LOCKED) AS t ORDER BY t.run_at, t.job LIMIT $5),"
      " taken AS (UPDATE task AS t SET state = 1, attempt = t.attempt + 1, fence = t.fence + 1, worker = $6, started_at = $4, error = 0, detail = NULL"
      " FROM picked AS p WHERE t.job = p.job AND t.state = 0 RETURNING t.job, t.lane, t.attempt, t.losses, t.fence, t.run_at, t.refused)"
      " SELECT t.job, t.attempt, t.losses, t.fence, t.run_at, j.id, j.op, j.version, j.params, j.max_attempts, j.created_at,"
      " f.number, f.id, f.owner, f.size, f.location, f.sha256, f.name, f.type, j.after, " FILE_DAMAGE ", t.refused, " IMPORTED_BLOB
      ", t.lane,"
      " " OUTPUT_COLUMNS ", b.id"
      " FROM taken AS t JOIN job AS j ON j.number = t.job JOIN file AS f ON f.number = j.file"
      " LEFT JOIN job AS b ON b.number = j.after LEFT JOIN output AS o ON o.job = j.after AND o.n = 0 ORDER BY t.run_at, t.job")
W_ROW(TASKS_LOST, "SELECT t.job, " TASK_COLUMNS
		  " FROM worker AS w JOIN task AS t ON t.worker = w.number AND t.state = 1 WHERE w.expires_at <= $1 LIMIT $2")
W_ROW(TASKS_RUNNING, "SELECT t.job, " TASK_COLUMNS " FROM task AS t WHERE t.state = 1 AND t.worker > 0 LIMIT $1")
/* The jobs that are to end, in the order of the list, with their tasks where the attempt is the one that holds them. */
W_ROW(JOBS_FINISHING,
      "SELECT x.n, j.number, j.op, j.version, j.params, f.owner, f.id, " INPUT_SHA256 ", f.import, " TASK_COLUMNS
      ", EXISTS (SELECT 1 FROM job AS k WHERE k.after = j.number)"
      " FROM unnest($1, $2, $3) WITH ORDINALITY AS x (id, fence, worker, n) JOIN job AS j ON j.id = x.id JOIN file AS f ON f.number = j.file"
      " LEFT JOIN worker AS w ON w.id = x.worker LEFT JOIN task AS t ON t.job = j.number AND t.state = 1 AND t.fence = x.fence AND t.worker = w.number"
      " ORDER BY x.n")
W_ROW(JOB_FIND,
      "SELECT j.number, j.op, j.version, j.params, j.priority, f.id, f.owner, f.deleted_at, r.state, r.fence, " TASK_COLUMNS
      ", j.after, r.expired_at, j.lane FROM job AS j JOIN file AS f ON f.number = j.file LEFT JOIN result AS r ON r.job = j.number"
      " LEFT JOIN task AS t ON t.job = j.number WHERE j.id = $1")
W_ROW(FILE_JOB_COUNT, "SELECT count(*) FROM job WHERE file = $1")
W_ROW(RESULTS_ADD,
      "INSERT INTO result (job, state, attempt, losses, fence, run_at, started_at, finished_at, error, detail, result, cached, outputs, expires_at)"
      " SELECT x.job, x.state, x.attempt, x.losses, x.fence, x.run_at, x.started_at, x.finished_at, x.error, x.detail, x.result, x.cached, x.outputs,"
      " CASE WHEN x.expires_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM file AS f WHERE f.import = x.job) THEN x.expires_at END"
      " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS x (job, state, attempt, losses, fence, run_at, started_at,"
      " finished_at, error, detail, result, cached, outputs, expires_at)")
W_ROW(RESULT_DELETE, "DELETE FROM result WHERE job = $1")
W_ROW(OUTBOX_ADD,
      "INSERT INTO outbox (job, state, attempt, losses, fence, run_at, started_at, finished_at, error, detail, result, cached, outputs)"
      " SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)")
W_ROW(OUTBOX_DONE, "DELETE FROM outbox WHERE seq <= $1")
W_ROW(DONE_ON_FILE,
      "SELECT j.number, r.result, r.outputs FROM file AS f JOIN job AS j ON j.file = f.number JOIN result AS r ON r.job = j.number"
      " WHERE f.number = $1 AND r.state = 2 AND r.expired_at IS NULL AND j.op = $2 AND j.version = $3 AND j.params = $4 AND j.after IS NULL" WHOLE
      " LIMIT 1")
W_ROW(DONE_ELSEWHERE,
      "SELECT x.n, j.number, r.result, r.outputs FROM unnest($1, $2, $3, $4, $5, $6) WITH ORDINALITY AS x (key, op, version, params, sha256, owner, n)"
      " JOIN artifact AS a ON a.key = x.key JOIN job AS j ON j.number = a.job JOIN file AS f ON f.number = j.file JOIN result AS r ON r.job = j.number"
      " WHERE r.state = 2 AND r.expired_at IS NULL AND j.op = x.op AND j.version = x.version AND j.params = x.params AND f.owner = x.owner"
      " AND f.deleted_at IS NULL AND " INPUT_SHA256 " = x.sha256" WHOLE)
/* Did the job of id ?1 do the work of job number ?2? */
W_ROW(SAME_WORK,
      "SELECT d.number, r.result, r.outputs FROM job AS d JOIN file AS g ON g.number = d.file JOIN result AS r ON r.job = d.number"
      " CROSS JOIN job AS j JOIN file AS f ON f.number = j.file"
      " WHERE d.id = $1 AND j.number = $2 AND r.state = 2 AND r.expired_at IS NULL AND g.deleted_at IS NULL AND g.owner = f.owner"
      " AND d.op = j.op AND d.version = j.version AND d.params = j.params AND " OTHER_SHA256 " = " INPUT_SHA256 " AND g.damaged_at IS NULL"
      " AND NOT EXISTS (SELECT 1 FROM output AS x WHERE x.job IN (d.number, d.after, g.import) AND x.damaged_at IS NOT NULL)")
W_ROW(ARTIFACTS_ADD,
      "INSERT INTO artifact (key, job) SELECT x.key, max(x.job) FROM unnest($1, $2) AS x (key, job) GROUP BY x.key ORDER BY x.key"
      " ON CONFLICT (key) DO UPDATE SET job = excluded.job")
W_ROW(ARTIFACT_DELETE, "DELETE FROM artifact WHERE key = $1 AND job = $2")
W_ROW(WORK_OF_FILE, "SELECT j.number, j.op, j.version, j.params, " INPUT_SHA256 ", f.owner"
		    " FROM file AS f JOIN job AS j ON j.file = f.number JOIN result AS r ON r.job = j.number"
		    " WHERE f.number = $1 AND r.state = 2 AND r.expired_at IS NULL")

/* ---- outputs ---- */
W_ROW(OUTPUTS_ADD, "INSERT INTO output (job, n, name, type, size, sha256, blob) SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)")
W_ROW(OUTPUTS, "SELECT " OUTPUT_COLUMNS " FROM output AS o WHERE o.job = $1 ORDER BY o.n LIMIT $2")
W_ROW(OUTPUT_USED, "SELECT 1::bigint FROM output WHERE blob = $1 LIMIT 1")
W_ROW(OUTPUTS_DELETE, "DELETE FROM output WHERE job IN (SELECT number FROM job WHERE file = $1) RETURNING blob")
W_ROW(OUTPUTS_OF_JOB_DELETE, "DELETE FROM output WHERE job = $1 RETURNING blob")

/* ---- expiry ---- */
/* The next result whose time has come; until when jobs after it are told that it is needed for (?2 while they have not ended; NULL: there are none); what leads to its work. */
W_ROW(EXPIRING,
      "SELECT r.job,"
      " (SELECT max(coalesce(x.expires_at, $2)) FROM job AS k LEFT JOIN result AS x ON x.job = k.number WHERE k.after = r.job AND x.expired_at IS NULL),"
      " r.state, j.op, j.version, j.params, " INPUT_SHA256 ", f.owner"
      " FROM result AS r JOIN job AS j ON j.number = r.job JOIN file AS f ON f.number = j.file"
      " WHERE r.expires_at IS NOT NULL AND r.expired_at IS NULL AND r.expires_at <= $1 ORDER BY r.expires_at LIMIT 1")
W_ROW(EXPIRE, "UPDATE result SET expired_at = $2, detail = NULL, result = NULL, outputs = 0 WHERE job = $1")
W_ROW(EXPIRE_LATER, "UPDATE result SET expires_at = $2 WHERE job = $1")

/* ---- damage, scrub, recurring ---- */
W_ROW(FILE_MARK, "UPDATE file SET damaged_at = $2 WHERE id = $1 AND deleted_at IS NULL AND (damaged_at IS NULL) <> ($2 IS NULL)")
W_ROW(OUTPUT_MARK, "UPDATE output SET damaged_at = $2 WHERE blob = $1 AND (damaged_at IS NULL) <> ($2 IS NULL)")
W_ROW(SCRUB_WRITE,
      "UPDATE meta SET value = CASE key WHEN 'scrub_kind' THEN $1 WHEN 'scrub_number' THEN $2 WHEN 'scrub_n' THEN $3 WHEN 'scrub_began_at' THEN $4"
      " ELSE $5 END WHERE key IN ('scrub_kind', 'scrub_number', 'scrub_n', 'scrub_began_at', 'scrub_whole')")
W_ROW(RECURRING_FIND, "SELECT due_at, before FROM recurring WHERE name = $1")
W_ROW(RECURRING_PUT, "INSERT INTO recurring (name, schedule, due_at, since, upto, before) VALUES ($1, $2, $3, $4, $5, $6)"
		     " ON CONFLICT (name) DO UPDATE SET schedule = $2, due_at = $3, since = $4, upto = $5, before = $6")
W_ROW(RECURRING_FORGET, "DELETE FROM recurring WHERE name = $1")
W_ROW(LINE_ROWS, "INSERT INTO meta (key, value) VALUES ('line_word', 0), ('line_next', 0), ('line_sole', 0) ON CONFLICT DO NOTHING")
W_ROW(LINE_SET, "UPDATE meta SET value = $3 WHERE key = $1 AND value = $2")
W_ROW(LINE_WORD, "UPDATE meta SET value = $1 WHERE key = 'line_word'")

/* ---- chains ---- */
W_ROW(JOB_NUMBER, "SELECT number FROM job WHERE id = $1")
W_ROW(JOB_BEFORE, "SELECT j.file, f.owner, r.state, r.outputs, t.cancel, o.sha256, r.expired_at"
		  " FROM job AS j JOIN file AS f ON f.number = j.file LEFT JOIN result AS r ON r.job = j.number"
		  " LEFT JOIN task AS t ON t.job = j.number LEFT JOIN output AS o ON o.job = j.number AND o.n = 0 WHERE j.id = $1")
W_ROW(RESULT_OUTPUTS, "SELECT outputs FROM result WHERE job = $1 AND state = 2")
W_ROW(TASK_AFTER, "SELECT t.job, " TASK_COLUMNS
		  " FROM job AS j JOIN task AS t ON t.job = j.number WHERE j.after = $1 AND t.state = 0 ORDER BY j.number LIMIT 1")
W_ROW(TASKS_RELEASE, "UPDATE task SET run_at = $2 WHERE job IN (SELECT number FROM job WHERE after = $1) AND state = 0")
W_ROW(FAILED_AFTER, "SELECT j.number, j.lane, j.priority, r.fence FROM job AS j JOIN result AS r ON r.job = j.number"
		    " WHERE j.after = $1 AND r.error = $2 AND r.expired_at IS NULL ORDER BY j.number LIMIT 1")

/* ---- webhooks ---- */
W_ROW(WEBHOOK_ADD, "INSERT INTO webhook (id, owner, url, events, ops, description, secret, created_at, off, waiting)"
		   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0) RETURNING number")
W_ROW(WEBHOOK_COUNT, "SELECT count(*) FROM webhook WHERE owner = $1 AND deleted_at IS NULL")
W_ROW(WEBHOOK_FIND, "SELECT number, owner, disabled_at FROM webhook WHERE id = $1 AND deleted_at IS NULL")
W_ROW(WEBHOOK_PATCH,
      "UPDATE webhook SET url = coalesce($2, url), description = coalesce($3, description), ops = coalesce($4, ops),"
      " events = coalesce($5, events), failing_since = CASE WHEN $2 <> url THEN NULL ELSE failing_since END WHERE number = $1")
W_ROW(WEBHOOK_SWITCH,
      "UPDATE webhook SET disabled_at = $2, off = $3, failing_since = CASE WHEN $2 IS NULL THEN NULL ELSE failing_since END WHERE number = $1")
W_ROW(WEBHOOK_ROTATE, "UPDATE webhook SET previous = secret, previous_until = $3, secret = $2 WHERE number = $1")
W_ROW(WEBHOOK_DELETE, "UPDATE webhook SET deleted_at = $2, secret = NULL, previous = NULL, url = '', description = '' WHERE number = $1")
W_ROW(WEBHOOK_WAITING, "UPDATE webhook SET waiting = waiting + $2 WHERE number = $1")
W_ROW(WEBHOOK_FAILING, "UPDATE webhook SET failing_since = CASE WHEN $2 IS NULL THEN NULL ELSE coalesce(failing_since, $2) END"
		       " WHERE number = $1 AND (failing_since IS NULL) <> ($2 IS NULL)")
W_ROW(WEBHOOKS_OF_JOB,
      "SELECT w.number, w.id, w.events, w.ops FROM job AS j JOIN file AS f ON f.number = j.file JOIN webhook AS w ON w.owner = f.owner"
      " WHERE j.number = $1 AND w.deleted_at IS NULL AND w.disabled_at IS NULL ORDER BY w.number LIMIT $2")
W_ROW(ENDED_JOB, "SELECT " JOB_COLUMNS ", f.id" JOB_FROM "JOIN file AS f ON f.number = j.file WHERE j.number = $1")
W_ROW(DELIVERY_ADD,
      "WITH d AS (INSERT INTO delivery (id, webhook, event, job, payload, created_at, state, tries, due_at) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $6)"
      " ON CONFLICT (id) DO NOTHING RETURNING webhook) UPDATE webhook AS w SET waiting = w.waiting + 1 FROM d WHERE w.number = d.webhook")
W_ROW(DELIVERY_FIND,
      "SELECT d.webhook, d.tries, w.failing_since, w.disabled_at, w.url <> $2 FROM delivery AS d JOIN webhook AS w ON w.number = d.webhook"
      " WHERE d.number = $1 AND d.state = 0 AND w.deleted_at IS NULL FOR NO KEY UPDATE OF w, d")
W_ROW(DELIVERY_MOVE, "UPDATE delivery SET state = $2, tries = $3, due_at = $4, ended_at = $5 WHERE number = $1")
W_ROW(DELIVERY_BY_ID, "SELECT number, state FROM delivery WHERE id = $1 AND webhook = $2")
W_ROW(DELIVERIES_FAILED,
      "SELECT number FROM delivery WHERE webhook = $1 AND state = 2 AND created_at >= $2 ORDER BY created_at, number LIMIT $3")
W_ROW(ATTEMPT_ADD, "INSERT INTO attempt (delivery, n, at, duration_ms, status, error)"
		   " SELECT $1, coalesce(max(n), 0) + 1, $2, $3, $4, $5 FROM attempt WHERE delivery = $1")
W_ROW(ATTEMPTS_CUT, "DELETE FROM attempt WHERE delivery = $1 AND n <= (SELECT max(n) FROM attempt WHERE delivery = $1) - $2")

/* ---- accounts, sessions, keys ---- */
W_ROW(ACCOUNTS, "SELECT count(*) FROM account")
W_ROW(ACCOUNT_FIND, "SELECT number, role, disabled_at, changed_at FROM account WHERE id = $1")
W_ROW(ACCOUNT_EMAIL, "SELECT number FROM account WHERE email = $1")
W_ROW(ACCOUNT_ADD,
      "INSERT INTO account (id, email, name, password, role, created_at, changed_at) VALUES ($1, $2, $3, $4, $5, $6, $6) RETURNING number")
W_ROW(ACCOUNT_PATCH,
      "UPDATE account SET email = coalesce($2, email), name = coalesce($3, name), password = coalesce($4, password),"
      " changed_at = CASE WHEN $4 IS NULL THEN changed_at ELSE $5 END, role = coalesce($6, role),"
      " disabled_at = CASE $7 WHEN false THEN NULL WHEN true THEN coalesce(disabled_at, $5) ELSE disabled_at END,"
      " files_max = CASE WHEN ($8 & 1) <> 0 THEN $9 ELSE files_max END, bytes_max = CASE WHEN ($8 & 2) <> 0 THEN $10 ELSE bytes_max END,"
      " jobs_max = CASE WHEN ($8 & 4) <> 0 THEN $11 ELSE jobs_max END WHERE number = $1")
W_ROW(ACCOUNT_DELETE, "DELETE FROM account WHERE number = $1")
W_ROW(OTHER_ADMIN, "SELECT 1::bigint FROM account WHERE role = 2 AND disabled_at IS NULL AND number <> $1 LIMIT 1")
W_ROW(SESSION_ADD, "INSERT INTO session (hash, id, account, created_at, used_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)")
/* Room for one more of ?2. */
W_ROW(SESSIONS_CUT, "DELETE FROM session WHERE hash IN (SELECT hash FROM session WHERE account = $1 ORDER BY used_at"
		    " LIMIT greatest(0, (SELECT count(*) FROM session WHERE account = $1) - $2 + 1))")
W_ROW(SESSION_END, "DELETE FROM session WHERE hash = $1")
W_ROW(SESSIONS_END, "DELETE FROM session WHERE account = $1")
W_ROW(SESSION_TOUCH, "UPDATE session SET used_at = $2 WHERE hash = $1 AND used_at < $2")
W_ROW(KEY_ADD,
      "INSERT INTO api_key (id, account, name, hash, scopes, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING number")
W_ROW(KEY_COUNT, "SELECT count(*) FROM api_key WHERE account = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)")
W_ROW(KEY_FIND, "SELECT k.number, a.id, k.revoked_at FROM api_key AS k JOIN account AS a ON a.number = k.account WHERE k.id = $1")
W_ROW(KEY_REVOKE, "UPDATE api_key SET revoked_at = $2 WHERE number = $1")
W_ROW(KEYS_DELETE, "DELETE FROM api_key WHERE account = $1")

/* ---- once-keys, secrets, audit ---- */
W_ROW(ONCE_FIND, "SELECT 1::bigint FROM once WHERE key = $1")
W_ROW(ONCE_ADD, "INSERT INTO once (key, expires_at) VALUES ($1, $2)")
W_ROW(SECRET_ANY, "SELECT 1::bigint FROM secret LIMIT 1")
W_ROW(SECRET_ADD, "INSERT INTO secret (bytes, created_at) VALUES ($1, $2)")
W_ROW(SECRETS_CUT, "DELETE FROM secret WHERE number NOT IN (SELECT number FROM secret ORDER BY number DESC LIMIT $1)")
#define AUDIT_LAST "SELECT greatest(h.seq, (SELECT max(seq) FROM audit)) AS seq FROM audit_head AS h WHERE h.one = 1"
W_ROW(AUDIT_ADD, "INSERT INTO audit (seq, entry) SELECT (" AUDIT_LAST ") + x.n, x.entry FROM unnest($1) WITH ORDINALITY AS x (entry, n)")
W_ROW(AUDIT_LAST, AUDIT_LAST)
#undef AUDIT_LAST
W_ROW(AUDIT_DONE, "DELETE FROM audit WHERE seq <= $1")
W_ROW(AUDIT_HEAD_WRITE,
      "UPDATE audit_head SET seq = $1, hash = $2, file = $3, size = $4, home = $5 WHERE one = 1 AND seq = $6 AND home IS NOT DISTINCT FROM $7"
      " RETURNING 1::bigint")

/* ---- workers ---- */
W_ROW(CLOCK, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
/* Against who brings the schema forward (migrate.c), and taken before anything else, as he does: of two that wait for each other one would be ended. */
W_ROW(LOCK_SCHEMA, "SELECT pg_advisory_xact_lock_shared(hashtextextended('filemill schema ' || current_schema(), 0))")
W_ROW(SCHEMA, "SELECT max(version), max(coalesce((to_jsonb(v) ->> 'beside')::bigint, version)) FROM schema_version AS v")
W_ROW(WORKER_FIND, "SELECT number FROM worker WHERE id = $1 AND expires_at > $2 FOR UPDATE")
W_ROW(WORKER_NUMBER, "SELECT number FROM worker WHERE id = $1")
W_ROW(WORKERS_DEAD, "UPDATE worker SET expires_at = least(expires_at, $2), uploads_since = 9223372036854775807 WHERE home = $1")
W_ROW(WORKER_ADD,
      "INSERT INTO worker (id, expires_at, beat_at, draining, uploads_since, host, labels, since, home) VALUES ($1, $2, $3, $4, $5, $6, $7, $3, $8)"
      " RETURNING number")
W_ROW(WORKER_LEASE, "UPDATE worker SET expires_at = $2, beat_at = $3, draining = $4, uploads_since = $5 WHERE number = $1")
/* Duties are given under a lock of their own, so that each sees what the one before it took, and that its lease lives. */
W_ROW(LOCK_DUTIES, "SELECT pg_advisory_xact_lock('file'::regclass::oid::int, 4)")
W_ROW(DUTIES_FREE, "SELECT 1 FROM unnest($1) AS x WHERE NOT EXISTS (SELECT 1 FROM duty AS d JOIN worker AS w ON w.number = d.worker"
		   " WHERE d.duty = x AND w.expires_at > $2) LIMIT 1")
W_ROW(DUTIES_TAKE,
      "INSERT INTO duty AS d SELECT x, $1 FROM unnest($2) AS x ON CONFLICT (duty) DO UPDATE SET worker = excluded.worker"
      " WHERE d.worker <> excluded.worker AND NOT EXISTS (SELECT 1 FROM worker AS w WHERE w.number = d.worker AND w.expires_at > $3)")
W_ROW(DUTIES_HELD, "SELECT duty FROM duty WHERE worker = $1")

/* ---- news ---- */
W_ROW(NEWS_ADD, "INSERT INTO news (transaction, maker, body) VALUES ($1, $2, $3)")
W_ROW(PURGE_NEWS,
      "DELETE FROM news WHERE transaction IN (SELECT transaction FROM news WHERE at < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $1"
      " ORDER BY transaction LIMIT $2)")

/* ---- purging ---- */
W_ROW(PURGE_IDEMPOTENCY,
      "DELETE FROM idempotency WHERE number IN (SELECT number FROM idempotency WHERE created_at < $1 ORDER BY created_at LIMIT $2)")
W_ROW(PURGE_WORKERS, "DELETE FROM worker WHERE number IN (SELECT w.number FROM worker AS w WHERE w.expires_at < $1"
		     " AND NOT EXISTS (SELECT 1 FROM task AS t WHERE t.state = 1 AND t.worker = w.number) LIMIT $2)")
/* A tombstone stays while a job of it still runs. */
W_ROW(PURGE_TOMBSTONES,
      "WITH f AS MATERIALIZED (SELECT f.number FROM file AS f WHERE f.deleted_at IS NOT NULL AND f.deleted_at < $1"
      " AND NOT EXISTS (SELECT 1 FROM job AS j JOIN task AS t ON t.job = j.number WHERE j.file = f.number) ORDER BY f.deleted_at LIMIT $2),"
      " j AS MATERIALIZED (SELECT j.number FROM f JOIN job AS j ON j.file = f.number),"
      " r AS (DELETE FROM result WHERE job IN (SELECT number FROM j)), k AS (DELETE FROM job WHERE number IN (SELECT number FROM j))"
      " DELETE FROM file WHERE number IN (SELECT number FROM f)")
/* Those that come after it are purged before it: a chain takes several rounds. */
W_ROW(PURGE_EXPIRED, "WITH x AS MATERIALIZED (SELECT r.job FROM result AS r WHERE r.expired_at IS NOT NULL AND r.expired_at < $1"
		     " AND NOT EXISTS (SELECT 1 FROM job AS k WHERE k.after = r.job) ORDER BY r.expired_at LIMIT $2),"
		     " r AS (DELETE FROM result WHERE job IN (SELECT job FROM x)) DELETE FROM job WHERE number IN (SELECT job FROM x)")
#define DELIVERIES_GO                                                                                                                      \
	" a AS (DELETE FROM attempt WHERE delivery IN (SELECT number FROM d)), w AS (UPDATE webhook AS w SET waiting = w.waiting - g.n"    \
	" FROM (SELECT webhook, count(*) AS n FROM d WHERE state = 0 GROUP BY webhook) AS g WHERE w.number = g.webhook)"                   \
	" DELETE FROM delivery WHERE number IN (SELECT number FROM d)"
W_ROW(PURGE_DELIVERIES,
      "WITH d AS MATERIALIZED (SELECT number, webhook, state FROM delivery WHERE ended_at IS NOT NULL AND ended_at < $1 ORDER BY ended_at LIMIT $2)," DELIVERIES_GO)
W_ROW(PURGE_DELIVERIES_OF_DELETED,
      "WITH d AS MATERIALIZED (SELECT d.number, d.webhook, d.state FROM webhook AS w JOIN delivery AS d ON d.webhook = w.number"
      " WHERE w.deleted_at IS NOT NULL AND $1 IS NOT NULL LIMIT $2)," DELIVERIES_GO)
W_ROW(PURGE_DELIVERIES_OF_OFF,
      "WITH d AS MATERIALIZED (SELECT d.number, d.webhook, d.state FROM webhook AS w JOIN delivery AS d ON d.webhook = w.number AND d.state = 0"
      " WHERE w.disabled_at IS NOT NULL AND w.disabled_at < $1 LIMIT $2)," DELIVERIES_GO)
#undef DELIVERIES_GO
W_ROW(WEBHOOKS_PURGE,
      "DELETE FROM webhook AS w WHERE w.deleted_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM delivery AS d WHERE d.webhook = w.number)")
W_ROW(PURGE_SESSIONS, "DELETE FROM session WHERE hash IN (SELECT hash FROM session WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)")
W_ROW(PURGE_KEYS, "DELETE FROM api_key WHERE number IN (SELECT number FROM api_key WHERE coalesce(revoked_at, expires_at) < $1 LIMIT $2)")
W_ROW(PURGE_ONCE, "DELETE FROM once WHERE key IN (SELECT key FROM once WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)")
