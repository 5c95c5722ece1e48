-- Schema 6: what the audit log is to say, from the transaction of each act until it stands in the log and is flushed.

CREATE TABLE audit (
	seq INTEGER PRIMARY KEY, -- the log's line; without gaps
	entry TEXT NOT NULL
) STRICT;

-- The last line that was flushed, its hash, the file it stands in (by its first line) and where in it it ends.
CREATE TABLE audit_head (
	only INTEGER PRIMARY KEY CHECK (only = 1),
	seq INTEGER NOT NULL,
	hash BLOB NOT NULL,
	file INTEGER NOT NULL,
	size INTEGER NOT NULL
) STRICT;
INSERT INTO audit_head VALUES (1, 0, zeroblob(32), 1, 0);

PRAGMA user_version = 6;
