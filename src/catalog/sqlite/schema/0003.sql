-- Schema 3: what is known to be damaged, and how far the scrub has come.

-- When the stored bytes were found not to be those that were acknowledged. NULL = never.
ALTER TABLE file ADD COLUMN damaged_at INTEGER;
CREATE INDEX file_damaged ON file (damaged_at) WHERE damaged_at IS NOT NULL;
ALTER TABLE output ADD COLUMN damaged_at INTEGER;
CREATE INDEX output_damaged ON output (damaged_at) WHERE damaged_at IS NOT NULL;

-- The file, or output, that the scrub looked at last, when its round began, and whether it has ended.
INSERT INTO meta VALUES ('scrub_kind', 0), ('scrub_number', 0), ('scrub_n', 0), ('scrub_began_at', 0), ('scrub_whole', 0);

PRAGMA user_version = 3;
