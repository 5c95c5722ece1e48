-- Schema 10: files whose bytes an import brings.

-- The job that brings the bytes; its first output is them, once it succeeded (location 4; 3 = they are still to come). NULL = they came with the file.
ALTER TABLE file ADD COLUMN import INTEGER;
CREATE INDEX file_import ON file (import) WHERE import IS NOT NULL;

PRAGMA user_version = 10;
