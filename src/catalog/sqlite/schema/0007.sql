-- Schema 7: whose turn it is. The waiting jobs of one owner for one op are a lane (src/catalog/lanes.h).

CREATE TABLE lane (
	number INTEGER PRIMARY KEY,
	owner TEXT NOT NULL,
	op TEXT NOT NULL,
	UNIQUE (owner, op)
) STRICT;
INSERT INTO lane (owner, op)
SELECT DISTINCT f.owner, j.op FROM task AS t JOIN job AS j ON j.number = t.job JOIN file AS f ON f.number = j.file;

ALTER TABLE task ADD COLUMN lane INTEGER NOT NULL DEFAULT 0;
UPDATE task SET lane = (SELECT l.number FROM job AS j JOIN file AS f ON f.number = j.file JOIN lane AS l ON l.owner = f.owner AND l.op = j.op WHERE j.number = task.job);

-- How often in a row the store did not take what the job made.
ALTER TABLE task ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;

DROP INDEX task_ready;
CREATE INDEX task_ready ON task (lane, priority, run_at) WHERE state = 0;

PRAGMA user_version = 7;
