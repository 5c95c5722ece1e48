-- Schema 12: which of an owner's files are still to come.

-- Few rows: a file leaves it when its bytes are there, or when it is deleted.
CREATE INDEX file_coming ON file (owner) WHERE location = 3 AND deleted_at IS NULL;

PRAGMA user_version = 12;
