-- Schema 11: what each owner has stored, for quotas.

-- A row for each owner of files that are not deleted; kept with each change of them.
CREATE TABLE usage (
	owner TEXT NOT NULL PRIMARY KEY,
	files INTEGER NOT NULL,
	bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO usage SELECT owner, count(*), sum(size) FROM file WHERE deleted_at IS NULL GROUP BY owner;

PRAGMA user_version = 11;
