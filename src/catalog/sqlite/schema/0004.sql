-- Schema 4: where the configuration's recurring entries stand (src/catalog/catalog.h, struct recurring_state).
CREATE TABLE recurring (
	name TEXT PRIMARY KEY,
	schedule TEXT NOT NULL, -- expression and zone by which due_at was counted
	due_at INTEGER NOT NULL, -- the due time that was begun last; before the first one, since when it is counted
	since INTEGER NOT NULL, -- of the run: its files have higher numbers than this,
	upto INTEGER NOT NULL, -- and none higher than this;
	before INTEGER NOT NULL -- those from this number up are dealt with; since + 1 = all are
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 4;
