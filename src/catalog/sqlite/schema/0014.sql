-- Who the workers are: for those who watch, and for what nodes must know of each other.
ALTER TABLE worker ADD COLUMN host TEXT NOT NULL DEFAULT '';
ALTER TABLE worker ADD COLUMN labels TEXT NOT NULL DEFAULT '';
ALTER TABLE worker ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE worker ADD COLUMN beat_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE worker ADD COLUMN uploads_since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE worker ADD COLUMN draining INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 14;
