-- Schema 1. Times are Unix milliseconds; NULL = not yet, or never. Rows of different tables are tied by row numbers, not by UUIDs.
-- Numbers of states and locations: src/model/model.h.

PRAGMA application_id = 0x464d494c; -- "FMIL"

-- What was received. A deleted file's row stays as its tombstone until it is purged.
CREATE TABLE file (
	number INTEGER PRIMARY KEY AUTOINCREMENT,
	id BLOB NOT NULL UNIQUE,
	owner TEXT NOT NULL,
	name TEXT NOT NULL,
	size INTEGER NOT NULL,
	type TEXT NOT NULL,
	sha256 BLOB NOT NULL,
	labels TEXT NOT NULL,
	location INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER,
	deleted_at INTEGER
) STRICT;
CREATE INDEX file_owner ON file (owner);
CREATE INDEX file_expires ON file (expires_at) WHERE expires_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX file_deleted ON file (deleted_at) WHERE deleted_at IS NOT NULL;

-- Inline bytes, apart from what is read to answer for a file.
CREATE TABLE blob (
	file INTEGER PRIMARY KEY,
	bytes BLOB NOT NULL
) STRICT;

-- What is to be done; never changes.
CREATE TABLE job (
	number INTEGER PRIMARY KEY AUTOINCREMENT,
	id BLOB NOT NULL UNIQUE,
	file INTEGER NOT NULL,
	op TEXT NOT NULL,
	version INTEGER NOT NULL,
	params TEXT NOT NULL,
	priority INTEGER NOT NULL,
	max_attempts INTEGER NOT NULL,
	created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX job_file ON job (file);

-- Hot: one row for each job that is not final, none for the others.
CREATE TABLE task (
	job INTEGER PRIMARY KEY,
	priority INTEGER NOT NULL,
	run_at INTEGER NOT NULL,
	state INTEGER NOT NULL,
	attempt INTEGER NOT NULL,
	losses INTEGER NOT NULL,
	fence INTEGER NOT NULL,
	worker INTEGER,
	started_at INTEGER,
	cancel INTEGER NOT NULL,
	error INTEGER NOT NULL,
	detail TEXT
) STRICT;
-- The row number of the task, that is its age, is the index's last column by itself.
CREATE INDEX task_ready ON task (priority, run_at) WHERE state = 0;
CREATE INDEX task_worker ON task (worker) WHERE state = 1;

-- One row for each final job.
CREATE TABLE result (
	job INTEGER PRIMARY KEY,
	state INTEGER NOT NULL,
	attempt INTEGER NOT NULL,
	losses INTEGER NOT NULL,
	fence INTEGER NOT NULL,
	run_at INTEGER NOT NULL,
	started_at INTEGER,
	finished_at INTEGER NOT NULL,
	error INTEGER NOT NULL,
	detail TEXT,
	result TEXT,
	cached INTEGER NOT NULL
) STRICT;

-- One row for each worker incarnation.
CREATE TABLE worker (
	number INTEGER PRIMARY KEY AUTOINCREMENT,
	id BLOB NOT NULL UNIQUE,
	expires_at INTEGER NOT NULL
) STRICT;

-- Work that need not be done twice: a hash over owner, op, version, params and the input's SHA-256 leads to the job that did it.
-- The hash only finds the row; whether it is the same work is read from the job and its file.
CREATE TABLE artifact (
	key INTEGER PRIMARY KEY,
	job INTEGER NOT NULL
) STRICT;

CREATE TABLE idempotency (
	number INTEGER PRIMARY KEY,
	owner TEXT NOT NULL,
	key TEXT NOT NULL,
	fingerprint BLOB NOT NULL,
	file BLOB NOT NULL,
	created_at INTEGER NOT NULL,
	UNIQUE (owner, key)
) STRICT;
CREATE INDEX idempotency_age ON idempotency (created_at);

-- How each job ended, until it was told to whoever wants to know; a copy, because a job may be retried before that.
CREATE TABLE outbox (
	seq INTEGER PRIMARY KEY AUTOINCREMENT,
	job INTEGER NOT NULL,
	state INTEGER NOT NULL,
	attempt INTEGER NOT NULL,
	losses INTEGER NOT NULL,
	fence INTEGER NOT NULL,
	run_at INTEGER NOT NULL,
	started_at INTEGER,
	finished_at INTEGER NOT NULL,
	error INTEGER NOT NULL,
	detail TEXT,
	result TEXT,
	cached INTEGER NOT NULL
) STRICT;

-- Stored blobs whose bytes still have to go.
CREATE TABLE doomed (
	file INTEGER PRIMARY KEY,
	doomed_at INTEGER NOT NULL
) STRICT;

-- One row, kept in step with the tables by every transaction, so that nobody has to count them.
CREATE TABLE tally (
	only INTEGER PRIMARY KEY CHECK (only = 1),
	files INTEGER NOT NULL,
	file_bytes INTEGER NOT NULL,
	waiting INTEGER NOT NULL,
	running INTEGER NOT NULL,
	succeeded INTEGER NOT NULL,
	failed INTEGER NOT NULL,
	cancelled INTEGER NOT NULL,
	quarantined INTEGER NOT NULL
) STRICT;
INSERT INTO tally VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0);

CREATE TABLE meta (
	key TEXT PRIMARY KEY,
	value ANY
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('probe', 0);

-- For people who query the database: one row for each md5 job.
CREATE VIEW md5_tasks (task_id, status, result) AS
SELECT j.number,
	CASE WHEN r.job IS NULL THEN 'PENDING' WHEN r.state = 2 THEN 'SUCCESS' ELSE 'ERROR' END,
	CASE WHEN r.state = 2 THEN json_extract(r.result, '$.md5') ELSE r.detail END
FROM job AS j LEFT JOIN result AS r ON r.job = j.number
WHERE j.op = 'md5';

PRAGMA user_version = 1;
