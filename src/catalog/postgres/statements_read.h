/* Every SQL statement of the reading connections, once each. No include guard: included with R_ROW defined to what the place needs. Partial indexes serve only where their
 * condition stands here literally.
 *
 * "The newest of an owner's" are read by the index (owner, number) and by no other: as an equation the planner could as well walk all numbers downward and look whose they are,
 * which is quick on the average and takes for ever for who has few. So the two are compared as one (BELOW), and in the order of both. A subquery that ends in OFFSET 0 is
 * planned by itself.
 *
 * A file is read with its jobs and a job with its outputs by one statement, so that all is of one moment: a row for each output of each job, of each file; what there are none of
 * is NULL. Names are compared by their bytes (COLLATE "C"), whatever order the database has. */

/* Rows of whom, below number `before`. */
#define BELOW(column, whose, before) "(" column ", number) < (" whose ", " before ") AND (" column ", number) > (" whose ", 0)"
#define BELOW_ORDER(column) " ORDER BY " column " DESC, number DESC"

#define FILE_JOBS                                                                                                                          \
	" LEFT JOIN job AS j ON j.file = f.number LEFT JOIN result AS r ON r.job = j.number LEFT JOIN task AS t ON t.job = j.number"       \
	" LEFT JOIN output AS o ON o.job = j.number"
#define FILE_READ "SELECT " FILE_COLUMNS ", " JOB_COLUMNS ", " OUTPUT_COLUMNS
#define FILE_JOBS_ORDER "j.number, o.n"
#define JOB_READ "SELECT " JOB_COLUMNS ", f.id, f.owner, f.deleted_at, " OUTPUT_COLUMNS JOB_FROM "JOIN file AS f ON f.number = j.file"
#define JOB_OUTPUTS_FROM " LEFT JOIN output AS o ON o.job = j.number"

/* What a list looks through: LIST_SCAN_MAX rows from $1 down. */
#define FILES_SCANNED "SELECT * FROM file WHERE " BELOW("owner", "$3", "$1") " AND deleted_at IS NULL" BELOW_ORDER("owner") " LIMIT 50000"
#define FILES_SCANNED_ANY "SELECT * FROM file WHERE number < $1 AND deleted_at IS NULL ORDER BY number DESC LIMIT 50000"
/* $4 name, $5 SHA-256, $6 label, $7 state of a job; NULL = any. */
#define FILE_MATCHES                                                                                                                       \
	" WHERE ($4::text IS NULL OR position($4 IN s.name) > 0) AND ($5::bytea IS NULL OR s.sha256 = $5)"                                 \
	" AND ($6::text IS NULL OR position($6 IN s.labels) > 0) AND ($7::bigint IS NULL OR EXISTS"                                        \
	" (SELECT 1 FROM job AS j LEFT JOIN result AS r ON r.job = j.number LEFT JOIN task AS t ON t.job = j.number"                       \
	" WHERE j.file = s.number AND r.expired_at IS NULL AND coalesce(r.state, t.state) = $7))"
/* $3 owner, $4 state, $5 op; NULL = any. */
#define JOBS_OF_PAGE(scanned)                                                                                                                 \
	"SELECT " JOB_COLUMNS ", f.id, f.owner, f.deleted_at, " OUTPUT_COLUMNS " FROM (SELECT s.number FROM (" scanned                        \
	" LIMIT 50000) AS s JOIN file AS g ON g.number = s.file LEFT JOIN result AS u ON u.job = s.number"                                    \
	" LEFT JOIN task AS v ON v.job = s.number WHERE g.deleted_at IS NULL AND u.expired_at IS NULL AND ($3::text IS NULL OR g.owner = $3)" \
	" AND ($4::bigint IS NULL OR coalesce(u.state, v.state) = $4) AND ($5::text IS NULL OR s.op = $5) ORDER BY s.number DESC LIMIT $2)"   \
	" AS page JOIN job AS j ON j.number = page.number LEFT JOIN result AS r ON r.job = j.number LEFT JOIN task AS t ON t.job = j.number"  \
	" JOIN file AS f ON f.number = j.file" JOB_OUTPUTS_FROM " ORDER BY j.number DESC, o.n"

R_ROW(BEGIN, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
R_ROW(COMMIT, "COMMIT")

/* ---- point reads ---- */
R_ROW(FILE_BY_ID, FILE_READ " FROM file AS f" FILE_JOBS " WHERE f.id = $1 ORDER BY " FILE_JOBS_ORDER)
R_ROW(FILE_BY_NUMBER, FILE_READ " FROM file AS f" FILE_JOBS " WHERE f.number = $1 ORDER BY " FILE_JOBS_ORDER)
R_ROW(JOB_BY_ID, JOB_READ JOB_OUTPUTS_FROM " WHERE j.id = $1 ORDER BY o.n")
R_ROW(JOB_BY_NUMBER, JOB_READ JOB_OUTPUTS_FROM " WHERE j.number = $1 ORDER BY o.n")
R_ROW(BYTES, "SELECT b.bytes FROM file AS f JOIN blob AS b ON b.file = f.number WHERE f.id = $1")
R_ROW(ARTIFACT, "SELECT j.id" ARTIFACT_FROM)
/* $2: the account whose id the owner is, if it is one. */
R_ROW(USAGE, "SELECT u.files, u.bytes, " QUOTA_COLUMNS " FROM (SELECT 1) AS one LEFT JOIN usage AS u ON u.owner = $1"
	     " LEFT JOIN account AS a ON a.id = $2")
R_ROW(IMPORT_COUNTS, "SELECT coalesce((SELECT files FROM usage WHERE owner = $1), 0), count(*), count(t.job) FROM file AS f"
		     " LEFT JOIN task AS t ON t.job = f.import WHERE f.owner = $1 AND f.location = 3 AND f.deleted_at IS NULL")
R_ROW(OUTPUT_USED, "SELECT 1::bigint FROM output WHERE blob = $1 LIMIT 1")
R_ROW(REFERENCED, "SELECT 1::bigint FROM file WHERE id = $1 AND owner || '' = $2 AND deleted_at IS NULL AND location IN (1, 2)")
R_ROW(IS_DOOMED, "SELECT 1::bigint FROM doomed WHERE blob = $1")
R_ROW(ONCE, "SELECT 1::bigint FROM once WHERE key = $1")

/* ---- lists ---- */
R_ROW(FILES, FILE_READ " FROM (SELECT * FROM file WHERE " BELOW("owner", "$3", "$1") " AND deleted_at IS NULL" BELOW_ORDER(
		     "owner") " LIMIT $2) AS f" FILE_JOBS " ORDER BY f.number DESC, " FILE_JOBS_ORDER)
R_ROW(FILES_ANY,
      FILE_READ " FROM (SELECT * FROM file WHERE number < $1 AND deleted_at IS NULL ORDER BY number DESC LIMIT $2) AS f" FILE_JOBS
		" ORDER BY f.number DESC, " FILE_JOBS_ORDER)
R_ROW(FILES_WITH, FILE_READ " FROM (SELECT s.* FROM (" FILES_SCANNED ") AS s" FILE_MATCHES
			    " ORDER BY s.owner DESC, s.number DESC LIMIT $2) AS f" FILE_JOBS " ORDER BY f.number DESC, " FILE_JOBS_ORDER)
R_ROW(FILES_ANY_WITH,
      FILE_READ " FROM (SELECT s.* FROM (" FILES_SCANNED_ANY ") AS s" FILE_MATCHES " AND $3::text IS NULL ORDER BY s.number DESC LIMIT $2)"
		" AS f" FILE_JOBS " ORDER BY f.number DESC, " FILE_JOBS_ORDER)
R_ROW(JOBS, JOBS_OF_PAGE("SELECT number, file, op FROM job WHERE number < $1 ORDER BY number DESC"))
R_ROW(JOBS_BY_FILE, JOBS_OF_PAGE("SELECT number, file, op FROM job WHERE " BELOW("file", "(SELECT h.number FROM file AS h WHERE h.id = $6)",
										 "$1") BELOW_ORDER("file")))
/* The row that a list looked at last when it looked at as many as it may; none: it saw all there are. */
R_ROW(FILES_FLOOR,
      "SELECT number FROM file WHERE " BELOW("owner", "$2", "$1") " AND deleted_at IS NULL" BELOW_ORDER("owner") " OFFSET 49999 LIMIT 1")
R_ROW(FILES_FLOOR_ANY, "SELECT number FROM file WHERE number < $1 AND deleted_at IS NULL ORDER BY number DESC OFFSET 49999 LIMIT 1")
R_ROW(JOBS_FLOOR, "SELECT number FROM job WHERE number < $1 ORDER BY number DESC OFFSET 49999 LIMIT 1")
R_ROW(DOOMED, "SELECT blob FROM doomed WHERE blob > $2 ORDER BY blob LIMIT $1")
R_ROW(EXPIRED,
      "SELECT id, owner FROM file WHERE expires_at IS NOT NULL AND deleted_at IS NULL AND expires_at <= $1 ORDER BY expires_at LIMIT $2")
R_ROW(RECURRING, "SELECT name, schedule, due_at, since, upto, before FROM recurring ORDER BY name COLLATE \"C\"")
R_ROW(OUTBOX, "SELECT j.number, j.id, j.file, j.op, j.version, j.params, j.priority, j.max_attempts, j.created_at,"
	      " r.state, r.attempt, r.losses, r.fence, r.run_at, r.started_at, r.finished_at, r.error, r.detail, r.result, r.cached,"
	      " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,"
	      " CASE WHEN j.after IS NOT NULL THEN (SELECT p.id FROM job AS p WHERE p.number = j.after) END, r.outputs, NULL, NULL,"
	      " f.id, f.owner, f.deleted_at, " OUTPUT_COLUMNS ", r.seq"
	      " FROM (SELECT * FROM outbox WHERE seq > $1 ORDER BY seq LIMIT $2) AS r JOIN job AS j ON j.number = r.job"
	      " JOIN file AS f ON f.number = j.file" JOB_OUTPUTS_FROM " ORDER BY r.seq, o.n")

/* ---- what is stored ---- */
R_ROW(STORED_FILES, "SELECT f.number, f.id, f.owner, f.size, f.sha256, f.location, f.damaged_at,"
		    " CASE WHEN f.location = 0 THEN (SELECT octet_length(b.bytes)::bigint FROM blob AS b WHERE b.file = f.number) END"
		    " FROM file AS f WHERE f.number > $1 AND f.deleted_at IS NULL AND f.location < 3 ORDER BY f.number LIMIT $2")
R_ROW(STORED_OUTPUTS, "SELECT o.job, o.n, j.id, o.size, o.sha256, o.blob, o.damaged_at,"
		      " EXISTS (SELECT 1 FROM output AS p WHERE p.blob = o.blob AND (p.job, p.n) < (o.job, o.n))"
		      " FROM output AS o LEFT JOIN job AS j ON j.number = o.job WHERE (o.job, o.n) > ($1, $2) ORDER BY o.job, o.n LIMIT $3")
R_ROW(SCRUB, "SELECT max(CASE key WHEN 'scrub_kind' THEN value END), max(CASE key WHEN 'scrub_number' THEN value END),"
	     " max(CASE key WHEN 'scrub_n' THEN value END), max(CASE key WHEN 'scrub_began_at' THEN value END),"
	     " max(CASE key WHEN 'scrub_whole' THEN value END) FROM meta"
	     " WHERE key IN ('scrub_kind', 'scrub_number', 'scrub_n', 'scrub_began_at', 'scrub_whole')")
R_ROW(LINE, "SELECT max(CASE key WHEN 'line_word' THEN value END), max(CASE key WHEN 'line_next' THEN value END),"
	    " max(CASE key WHEN 'line_sole' THEN value END) FROM meta WHERE key IN ('line_word', 'line_next', 'line_sole')")
R_ROW(DAMAGED_COUNT, "SELECT (SELECT count(*) FROM file WHERE damaged_at IS NOT NULL AND deleted_at IS NULL)"
		     " + (SELECT count(*) FROM output WHERE damaged_at IS NOT NULL)")
R_ROW(DAMAGED_FILES, "SELECT false, f.id, 0::bigint, f.owner, f.name, f.size, f.damaged_at FROM file AS f"
		     " WHERE f.damaged_at IS NOT NULL AND f.deleted_at IS NULL ORDER BY f.damaged_at DESC LIMIT $1")
R_ROW(DAMAGED_OUTPUTS,
      "SELECT true, j.id, o.n, f.owner, o.name, o.size, o.damaged_at FROM (SELECT * FROM output WHERE damaged_at IS NOT NULL"
      " ORDER BY damaged_at DESC LIMIT $1) AS o JOIN job AS j ON j.number = o.job JOIN file AS f ON f.number = j.file"
      " ORDER BY o.damaged_at DESC")

/* ---- sums, and the queue ---- */
R_ROW(STATS,
      "SELECT sum(files)::bigint, sum(file_bytes)::bigint, sum(waiting)::bigint, sum(running)::bigint, sum(succeeded)::bigint,"
      " sum(failed)::bigint, sum(cancelled)::bigint, sum(quarantined)::bigint, (SELECT min(run_at) FROM lane_head WHERE run_at <= $1) FROM tally")
R_ROW(WAITING, "SELECT sum(waiting)::bigint FROM tally")
R_ROW(NEXT_RUN_AT, "SELECT min(run_at) FROM lane_head")
R_ROW(NEWCOMERS, "SELECT EXISTS (SELECT 1 FROM lane_tally AS y JOIN lane AS l ON l.number = y.lane GROUP BY l.owner"
		 " HAVING sum(y.waiting) > 0 AND sum(y.running) = 0)")
/* $2 lanes are looked into; the oldest of all stands in each row. */
R_ROW(READY, "SELECT h.priority, h.run_at, (SELECT count(*) FROM (SELECT 1 FROM task AS t WHERE t.state = 0 AND t.lane = h.lane"
	     " AND t.priority = h.priority AND t.run_at <= $1 LIMIT 10000) AS c), h.oldest"
	     " FROM (SELECT lane, priority, run_at, min(run_at) OVER () AS oldest, dense_rank() OVER (ORDER BY lane) AS nth FROM lane_head"
	     " WHERE run_at <= $1) AS h WHERE h.nth <= $2")
R_ROW(WAITING_OPS, "SELECT l.op, sum(t.n)::bigint, sum(t.ready)::bigint, sum(t.held)::bigint FROM (SELECT lane, count(*) AS n,"
		   " count(*) FILTER (WHERE run_at <= $1) AS ready, count(*) FILTER (WHERE run_at = 9223372036854775807) AS held"
		   " FROM task WHERE state = 0 GROUP BY lane) AS t JOIN lane AS l ON l.number = t.lane GROUP BY l.op")
R_ROW(RUNNING_OPS, "SELECT l.op, 1::bigint, sum(t.n)::bigint FROM (SELECT lane, count(*) AS n FROM task WHERE state = 1 GROUP BY lane) AS t"
		   " JOIN lane AS l ON l.number = t.lane GROUP BY l.op")
R_ROW(ENDED_OPS, "SELECT j.op, r.state, count(*) FROM (SELECT job, state FROM result ORDER BY job DESC LIMIT $1) AS r"
		 " JOIN job AS j ON j.number = r.job GROUP BY j.op, r.state")
R_ROW(WORKERS, "SELECT w.id, w.expires_at, (SELECT count(*) FROM task AS t WHERE t.state = 1 AND t.worker = w.number), w.host,"
	       " w.labels, w.since, w.beat_at, w.uploads_since, w.draining FROM worker AS w ORDER BY w.number DESC LIMIT $1")

/* The first one stays; the update only makes it a row of the answer. */
R_ROW(STORE, "INSERT INTO store AS s (id) VALUES ($1) ON CONFLICT (one) DO UPDATE SET id = s.id RETURNING s.id")
R_ROW(STORE_KNOWN, "SELECT id FROM store")

/* Backups: $1 its id, $2 who, $3 for how long. Those of dead ones go with the next one. */
#define NOW_MS "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
R_ROW(HOLD, "WITH gone AS (DELETE FROM hold WHERE expires_at <= " NOW_MS " AND id <> $1)"
	    " INSERT INTO hold (id, holder, since, expires_at) VALUES ($1, $2, " NOW_MS ", " NOW_MS " + $3)"
	    " ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at")
R_ROW(HOLD_END, "DELETE FROM hold WHERE id = $1")
R_ROW(HELD, "SELECT max(since) > " NOW_MS " - $1 FROM hold WHERE expires_at > " NOW_MS " HAVING count(*) > 0")

/* These two write, on a reader's connection, what nobody has to find again. $1 keys, $2 what was taken. All of one transaction is at one time; locks are taken in the order of keys. */
#define NOW_NS "(extract(epoch FROM now()) * 1000000)::bigint * 1000"
R_ROW(RATES, "WITH told AS (INSERT INTO rate AS r (key, empty_at) SELECT n.key, " NOW_NS
	     " + n.taken FROM unnest($1::bytea[], $2::bigint[]) AS n (key, taken)"
	     " ORDER BY n.key ON CONFLICT (key) DO UPDATE SET empty_at = greatest(r.empty_at, " NOW_NS ") + excluded.empty_at - " NOW_NS
	     " RETURNING key, empty_at - " NOW_NS " AS debt) SELECT key, debt FROM told ORDER BY key")
R_ROW(RATES_OVER,
      "DELETE FROM rate WHERE key IN (SELECT key FROM rate WHERE empty_at < " NOW_NS " - 60000000000 LIMIT 10000 FOR UPDATE SKIP LOCKED)")

/* A row for each batch from transaction $1 on that can be seen, or one without a batch; with each the oldest transaction that is still under way. One statement sees one moment. */
R_ROW(NEWS,
      "SELECT s.oldest, n.transaction, n.maker, n.body FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest) AS s"
      " LEFT JOIN news AS n ON n.transaction >= coalesce($1, s.oldest) ORDER BY n.transaction LIMIT $2")

/* ---- webhooks ---- */
R_ROW(WEBHOOK, "SELECT " WEBHOOK_COLUMNS " FROM webhook AS w WHERE w.id = $1 AND w.owner || '' = $2 AND coalesce(w.deleted_at, 0) = 0")
R_ROW(WEBHOOKS, "SELECT " WEBHOOK_COLUMNS " FROM webhook AS w WHERE w.owner = $1 AND w.number < $2 AND w.deleted_at IS NULL"
		" ORDER BY w.number + 0 DESC LIMIT $3")
/* By number: an index on what waits would cost each delivery the webhook's HOT update. */
R_ROW(WEBHOOKS_DUE, "SELECT " WEBHOOK_COLUMNS ", (SELECT min(d.due_at) FROM delivery AS d WHERE d.webhook = w.number AND d.state = 0)"
		    " FROM webhook AS w WHERE w.number > $1 AND w.waiting > 0 AND coalesce(w.deleted_at, w.disabled_at) IS NULL"
		    " ORDER BY w.number LIMIT $2")
R_ROW(WEBHOOK_SUMS,
      "SELECT count(*), count(w.disabled_at), coalesce(sum(w.waiting) FILTER (WHERE w.disabled_at IS NULL), 0)::bigint,"
      " min((SELECT min(d.due_at) FROM delivery AS d WHERE d.webhook = w.number AND d.state = 0)) FILTER (WHERE w.disabled_at IS NULL)"
      " FROM webhook AS w WHERE w.deleted_at IS NULL")
/* With their attempts, a row for each. */
R_ROW(DELIVERY, "SELECT " DELIVERY_COLUMNS
		", d.payload, y.at, y.duration_ms, y.status, y.error FROM delivery AS d JOIN webhook AS w ON w.number = d.webhook"
		" LEFT JOIN attempt AS y ON y.delivery = d.number WHERE d.id = $2 AND w.id = $1 ORDER BY y.n")
/* $4: NULL = any state. A page is looked for among LIST_SCAN_MAX rows. */
R_ROW(DELIVERIES,
      "SELECT " DELIVERY_COLUMNS ", NULL, y.at, y.duration_ms, y.status, y.error FROM webhook AS w CROSS JOIN LATERAL (SELECT s.* FROM"
      " (SELECT * FROM delivery WHERE " BELOW("webhook", "w.number", "$2")
	      BELOW_ORDER("webhook") " LIMIT 50000) AS s"
				     " WHERE ($4::bigint IS NULL OR s.state = $4) ORDER BY s.webhook DESC, s.number DESC LIMIT $3) AS d"
				     " LEFT JOIN attempt AS y ON y.delivery = d.number WHERE w.id = $1 ORDER BY d.number DESC, y.n")
R_ROW(DELIVERIES_FLOOR, "SELECT number FROM delivery WHERE " BELOW("webhook", "(SELECT w.number FROM webhook AS w WHERE w.id = $1)", "$2")
				BELOW_ORDER("webhook") " OFFSET 49999 LIMIT 1")
R_ROW(DELIVERIES_DUE,
      "SELECT " DELIVERY_COLUMNS ", d.payload FROM webhook AS w CROSS JOIN LATERAL (SELECT * FROM delivery WHERE webhook = w.number"
      " AND state = 0 AND due_at <= $2 ORDER BY due_at, number LIMIT $3) AS d WHERE w.number = $1 ORDER BY d.due_at, d.number")

/* ---- people and what they show ---- */
R_ROW(ACCOUNT_COUNT, "SELECT count(*) FROM account")
R_ROW(ACCOUNT, "SELECT " ACCOUNT_COLUMNS " FROM account AS a WHERE a.id = $1")
R_ROW(ACCOUNT_BY_EMAIL, "SELECT " ACCOUNT_COLUMNS " FROM account AS a WHERE a.email = $1")
R_ROW(ACCOUNTS, "SELECT " ACCOUNT_COLUMNS " FROM account AS a WHERE a.number < $1 ORDER BY a.number DESC LIMIT $2")
R_ROW(SESSION, "SELECT " ACCOUNT_COLUMNS ", " SESSION_COLUMNS " FROM (SELECT * FROM session WHERE hash = $1 OFFSET 0) AS s"
	       " JOIN account AS a ON a.number = s.account")
R_ROW(KEY, "SELECT " ACCOUNT_COLUMNS ", " KEY_COLUMNS " FROM (SELECT * FROM api_key WHERE hash = $1 OFFSET 0) AS k"
	   " JOIN account AS a ON a.number = k.account")
R_ROW(KEY_BY_ID, "SELECT " ACCOUNT_COLUMNS ", " KEY_COLUMNS " FROM (SELECT * FROM api_key WHERE id = $1 OFFSET 0) AS k"
		 " JOIN account AS a ON a.number = k.account")
R_ROW(KEYS, "SELECT " ACCOUNT_COLUMNS ", " KEY_COLUMNS
	    " FROM account AS a CROSS JOIN LATERAL (SELECT * FROM api_key WHERE " BELOW("account", "a.number", "$1")
		    BELOW_ORDER("account") " LIMIT $2) AS k WHERE a.id = $3 ORDER BY k.number DESC")
R_ROW(KEYS_OF_ALL, "SELECT " ACCOUNT_COLUMNS ", " KEY_COLUMNS " FROM api_key AS k JOIN account AS a ON a.number = k.account"
		   " WHERE k.number < $1 ORDER BY k.number DESC LIMIT $2")
R_ROW(SECRETS, "SELECT number, bytes, created_at FROM secret ORDER BY number DESC LIMIT $1")

/* ---- the audit log ---- */
R_ROW(AUDIT, "SELECT seq, entry FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2")
R_ROW(AUDIT_HEAD, "SELECT seq, hash, file, size, home FROM audit_head WHERE one = 1")

/* ---- what contradicts itself: what it is about (an id, or words) and what is wrong ---- */
/* Each looks at whole tables, so the planner may do as it likes for once, and take its time. */
R_ROW(PATIENTLY, "SELECT set_config('statement_timeout', '3600000', true), set_config('enable_seqscan', 'on', true),"
		 " set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true)")
R_ROW(CHECK_JOB_FILE, "SELECT j.id::text, 'its file, number ' || j.file || ', is not there'"
		      " FROM job AS j LEFT JOIN file AS f ON f.number = j.file WHERE f.number IS NULL")
R_ROW(CHECK_JOB_STATE, "SELECT j.id::text, 'it neither waits nor has it ended' FROM job AS j LEFT JOIN task AS t ON t.job = j.number"
		       " LEFT JOIN result AS r ON r.job = j.number WHERE t.job IS NULL AND r.job IS NULL")
R_ROW(CHECK_JOB_STATES, "SELECT j.id::text, 'it waits although it has ended' FROM task AS t JOIN result AS r ON r.job = t.job"
			" JOIN job AS j ON j.number = t.job")
R_ROW(CHECK_JOB_AFTER, "SELECT j.id::text, 'the job before it, number ' || j.after || ', is not there or is of another file'"
		       " FROM job AS j LEFT JOIN job AS p ON p.number = j.after"
		       " WHERE j.after IS NOT NULL AND (p.number IS NULL OR p.file <> j.file OR p.number >= j.number)")
R_ROW(CHECK_TASK_JOB, "SELECT 'job number ' || t.job, 'it is in the queue, and there is no such job'"
		      " FROM task AS t LEFT JOIN job AS j ON j.number = t.job WHERE j.number IS NULL")
R_ROW(CHECK_TASK_WORKER, "SELECT j.id::text, 'its worker, number ' || coalesce(t.worker::text, 'none') || ', is not there' FROM task AS t"
			 " JOIN job AS j ON j.number = t.job LEFT JOIN worker AS w ON w.number = t.worker"
			 " WHERE t.state = 1 AND w.number IS NULL")
R_ROW(CHECK_RESULT_JOB, "SELECT 'job number ' || r.job, 'it has ended, and there is no such job'"
			" FROM result AS r LEFT JOIN job AS j ON j.number = r.job WHERE j.number IS NULL")
R_ROW(CHECK_OUTPUT_JOB, "SELECT o.blob, 'it is output ' || o.n || ' of job number ' || o.job || ', which is not there or did not succeed'"
			" FROM output AS o LEFT JOIN job AS j ON j.number = o.job LEFT JOIN result AS r ON r.job = j.number AND r.state = 2"
			" WHERE r.job IS NULL")
R_ROW(CHECK_OUTPUTS,
      "SELECT j.id::text, 'it made ' || r.outputs || ' and has ' || count(o.job) FROM result AS r JOIN job AS j ON j.number = r.job"
      " JOIN file AS f ON f.number = j.file LEFT JOIN output AS o ON o.job = r.job WHERE f.deleted_at IS NULL"
      " GROUP BY j.id, r.outputs HAVING r.outputs <> count(o.job)")
R_ROW(CHECK_BYTES,
      "SELECT 'file number ' || b.file, octet_length(b.bytes) || ' bytes, and no file that has them'"
      " FROM blob AS b LEFT JOIN file AS f ON f.number = b.file AND f.deleted_at IS NULL AND f.location = 0 WHERE f.number IS NULL")
R_ROW(CHECK_ARTIFACT,
      "SELECT 'job number ' || a.job, 'its work could be taken over, but it is not there, did not succeed, or its file was deleted'"
      " FROM artifact AS a LEFT JOIN result AS r ON r.job = a.job AND r.state = 2 AND r.expired_at IS NULL LEFT JOIN job AS j ON j.number = a.job"
      " LEFT JOIN file AS f ON f.number = j.file AND f.deleted_at IS NULL WHERE r.job IS NULL OR f.number IS NULL")
R_ROW(CHECK_DOOMED, "SELECT d.blob, 'an output needs it' FROM doomed AS d WHERE EXISTS (SELECT 1 FROM output AS o WHERE o.blob = d.blob)")
/* The name by the rule of blobs/blobs.h. */
R_ROW(CHECK_DOOMED_FILES,
      "SELECT d.blob, 'a file needs it' FROM doomed AS d JOIN file AS f"
      " ON f.owner || '/' || right(f.id::text, 2) || '/' || f.id::text = d.blob WHERE f.deleted_at IS NULL AND f.location IN (1, 2)")
R_ROW(CHECK_TALLY,
      "SELECT s.name, s.kept || ' is kept, ' || s.counted || ' are there' FROM (SELECT 'files' AS name, (SELECT sum(files) FROM tally) AS kept,"
      " (SELECT count(*) FROM file WHERE deleted_at IS NULL) AS counted UNION ALL"
      " SELECT 'file_bytes', (SELECT sum(file_bytes) FROM tally), (SELECT coalesce(sum(size), 0) FROM file WHERE deleted_at IS NULL) UNION ALL"
      " SELECT 'waiting', (SELECT sum(waiting) FROM tally), (SELECT count(*) FROM task WHERE state = 0) UNION ALL"
      " SELECT 'running', (SELECT sum(running) FROM tally), (SELECT count(*) FROM task WHERE state = 1)) AS s"
      " WHERE coalesce(s.kept, 0) <> s.counted")
R_ROW(CHECK_LANES,
      "SELECT 'lane number ' || coalesce(y.lane, t.lane), coalesce(y.waiting, 0) || ' waiting and ' || coalesce(y.running, 0)"
      " || ' running are kept, ' || coalesce(t.waiting, 0) || ' and ' || coalesce(t.running, 0) || ' are there' FROM (SELECT lane,"
      " sum(waiting) AS waiting, sum(running) AS running FROM lane_tally GROUP BY lane) AS y FULL JOIN (SELECT lane,"
      " count(*) FILTER (WHERE state = 0) AS waiting, count(*) FILTER (WHERE state = 1) AS running FROM task GROUP BY lane) AS t"
      " ON t.lane = y.lane WHERE coalesce(y.waiting, 0) <> coalesce(t.waiting, 0) OR coalesce(y.running, 0) <> coalesce(t.running, 0)")
R_ROW(CHECK_USAGE,
      "SELECT 'usage of ' || coalesce(u.owner, c.owner), 'kept are ' || coalesce(u.files, 0) || ' files of ' || coalesce(u.bytes, 0) ||"
      " ' bytes, ' || coalesce(c.files, 0) || ' of ' || coalesce(c.bytes, 0) || ' are there' FROM usage AS u FULL JOIN"
      " (SELECT owner, count(*) AS files, sum(size) AS bytes FROM file WHERE deleted_at IS NULL GROUP BY owner) AS c ON c.owner = u.owner"
      " WHERE coalesce(u.files, 0) <> coalesce(c.files, 0) OR coalesce(u.bytes, 0) <> coalesce(c.bytes, 0)")
/* Ends are counted since the beginning: rows that were purged or tried anew are not there any more. */
R_ROW(CHECK_ENDS,
      "SELECT s.name, s.kept || ' were counted, ' || s.there || ' are there' FROM (SELECT k.name, k.kept,"
      " (SELECT count(*) FROM result AS r WHERE r.state = k.state) AS there FROM (SELECT 'succeeded' AS name, sum(succeeded) AS kept, 2 AS state"
      " FROM tally UNION ALL SELECT 'failed', sum(failed), 3 FROM tally UNION ALL SELECT 'cancelled', sum(cancelled), 4 FROM tally UNION ALL"
      " SELECT 'quarantined', sum(quarantined), 5 FROM tally) AS k) AS s WHERE coalesce(s.kept, 0) < s.there")

#undef BELOW
#undef BELOW_ORDER
#undef FILE_JOBS
#undef FILE_READ
#undef FILE_JOBS_ORDER
#undef JOB_READ
#undef JOB_OUTPUTS_FROM
#undef FILES_SCANNED
#undef FILES_SCANNED_ANY
#undef FILE_MATCHES
#undef JOBS_OF_PAGE
