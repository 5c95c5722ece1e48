-- Schema 8, beside programs of 7 and later: in whose data directory the last line of the audit log stands. An older program leaves it as it is, and takes a log that it does not find for broken.
ALTER TABLE audit_head ADD COLUMN home uuid;
