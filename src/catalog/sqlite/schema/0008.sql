-- Schema 8: results that expire.

-- When what a job found and made may go (NULL = with its file), and when it went. An expired job's rows stay as its tombstone.
ALTER TABLE result ADD COLUMN expires_at INTEGER;
ALTER TABLE result ADD COLUMN expired_at INTEGER;
CREATE INDEX result_expires ON result (expires_at) WHERE expires_at IS NOT NULL AND expired_at IS NULL;
CREATE INDEX result_expired ON result (expired_at) WHERE expired_at IS NOT NULL;

DROP VIEW md5_tasks;
CREATE VIEW md5_tasks (task_id, status, result) AS
SELECT j.number,
	CASE WHEN r.job IS NULL THEN 'PENDING' WHEN r.state = 2 THEN 'SUCCESS' ELSE 'ERROR' END,
	CASE WHEN r.state = 2 THEN json_extract(r.result, '$.md5') ELSE r.detail END
FROM job AS j LEFT JOIN result AS r ON r.job = j.number
WHERE j.op = 'md5' AND r.expired_at IS NULL;

PRAGMA user_version = 8;
