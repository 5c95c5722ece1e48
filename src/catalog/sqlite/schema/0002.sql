-- Schema 2: jobs that come after other jobs, what jobs made, doomed blobs by their names.

-- The job whose first output this one works on: a lower number of the same file. NULL = it works on the file itself.
ALTER TABLE job ADD COLUMN after INTEGER;
CREATE INDEX job_after ON job (after) WHERE after IS NOT NULL;

-- How many rows of output the job had when it ended, so that most reads need not look for any.
ALTER TABLE result ADD COLUMN outputs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN outputs INTEGER NOT NULL DEFAULT 0;

-- What jobs made, while their file is there. A row is a reference to its blob; several may refer to the same one.
CREATE TABLE output (
	job INTEGER NOT NULL,
	n INTEGER NOT NULL,
	name TEXT NOT NULL,
	type TEXT NOT NULL,
	size INTEGER NOT NULL,
	sha256 BLOB NOT NULL,
	blob TEXT NOT NULL,
	PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX output_blob ON output (blob);

-- Stored blobs whose bytes still have to go, by their names in the store. Until now only files had blobs: `<owner>/<last two digits of the id>/<id>`.
ALTER TABLE doomed RENAME TO doomed_files;
CREATE TABLE doomed (
	blob TEXT PRIMARY KEY,
	doomed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO doomed (blob, doomed_at)
SELECT owner || '/' || substr(hex, 31) || '/' || substr(hex, 1, 8) || '-' || substr(hex, 9, 4) || '-' || substr(hex, 13, 4) || '-'
	|| substr(hex, 17, 4) || '-' || substr(hex, 21), doomed_at
FROM (SELECT f.owner AS owner, lower(hex(f.id)) AS hex, d.doomed_at AS doomed_at FROM doomed_files AS d JOIN file AS f ON f.number = d.file);
DROP TABLE doomed_files;

-- A deleted file's work is forgotten when it is deleted, no longer when its tombstone goes.
DELETE FROM artifact WHERE job IN (SELECT j.number FROM file AS f JOIN job AS j ON j.file = f.number WHERE f.deleted_at IS NOT NULL);

PRAGMA user_version = 2;
