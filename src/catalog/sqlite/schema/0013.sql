-- Schema 13: quotas of an account's own.

-- NULL: as the configuration says. 0: no limit.
ALTER TABLE account ADD COLUMN files_max INTEGER;
ALTER TABLE account ADD COLUMN bytes_max INTEGER;
ALTER TABLE account ADD COLUMN jobs_max INTEGER;

PRAGMA user_version = 13;
