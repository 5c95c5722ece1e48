-- Schema 9: people and what they show (src/catalog/accounts.h); what may happen once only.

CREATE TABLE account (
	number INTEGER PRIMARY KEY AUTOINCREMENT,
	id BLOB NOT NULL UNIQUE,
	email TEXT NOT NULL UNIQUE, -- as model/account.h cleans it
	name TEXT NOT NULL,
	password TEXT NOT NULL, -- text of the Argon2id hash; '' = none
	role INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	changed_at INTEGER NOT NULL, -- of the password
	disabled_at INTEGER
) STRICT;
CREATE INDEX account_role ON account (role) WHERE disabled_at IS NULL;

CREATE TABLE session (
	hash BLOB NOT NULL PRIMARY KEY, -- SHA-256 of the token
	id BLOB NOT NULL,
	account INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	used_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_account ON session (account, used_at);
CREATE INDEX session_expires ON session (expires_at);

CREATE TABLE api_key (
	number INTEGER PRIMARY KEY AUTOINCREMENT,
	id BLOB NOT NULL UNIQUE,
	account INTEGER NOT NULL,
	name TEXT NOT NULL,
	hash BLOB NOT NULL UNIQUE, -- SHA-256 of the key
	scopes INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER,
	revoked_at INTEGER
) STRICT;
CREATE INDEX api_key_account ON api_key (account);
CREATE INDEX api_key_over ON api_key (coalesce(revoked_at, expires_at));

-- The server's own secrets: the newest signs, all verify.
CREATE TABLE secret (
	number INTEGER PRIMARY KEY AUTOINCREMENT,
	bytes BLOB NOT NULL,
	created_at INTEGER NOT NULL
) STRICT;

-- Keys that are used up: SHA-256 of what may happen once only. NULL = for ever.
CREATE TABLE once (
	key BLOB NOT NULL PRIMARY KEY,
	expires_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX once_expires ON once (expires_at) WHERE expires_at IS NOT NULL;

PRAGMA user_version = 9;
