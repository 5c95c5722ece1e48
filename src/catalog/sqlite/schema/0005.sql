-- Schema 5: webhooks, and what they are told. Numbers of events and states: src/model/webhook.h.

-- A deleted one keeps its row, without secrets, until its deliveries are purged.
CREATE TABLE webhook (
	number INTEGER PRIMARY KEY AUTOINCREMENT,
	id BLOB NOT NULL UNIQUE,
	owner TEXT NOT NULL,
	url TEXT NOT NULL,
	events INTEGER NOT NULL, -- bits
	ops TEXT NOT NULL,
	description TEXT NOT NULL,
	secret BLOB,
	previous BLOB,
	previous_until INTEGER,
	created_at INTEGER NOT NULL,
	failing_since INTEGER,
	disabled_at INTEGER,
	off INTEGER NOT NULL,
	deleted_at INTEGER,
	waiting INTEGER NOT NULL -- deliveries with state 0
) STRICT;
CREATE INDEX webhook_owner ON webhook (owner) WHERE deleted_at IS NULL;
CREATE INDEX webhook_due ON webhook (number) WHERE waiting > 0 AND deleted_at IS NULL AND disabled_at IS NULL;
CREATE INDEX webhook_deleted ON webhook (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX webhook_off ON webhook (disabled_at) WHERE disabled_at IS NOT NULL;

-- One row for each end of a job that a webhook is told of, written by the transaction that ended it.
CREATE TABLE delivery (
	number INTEGER PRIMARY KEY AUTOINCREMENT,
	id BLOB NOT NULL UNIQUE,
	webhook INTEGER NOT NULL,
	event INTEGER NOT NULL,
	job BLOB,
	payload TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	state INTEGER NOT NULL,
	tries INTEGER NOT NULL,
	due_at INTEGER NOT NULL,
	ended_at INTEGER
) STRICT;
CREATE INDEX delivery_webhook ON delivery (webhook);
CREATE INDEX delivery_due ON delivery (webhook, due_at) WHERE state = 0;
CREATE INDEX delivery_failed ON delivery (webhook, created_at) WHERE state = 2;
CREATE INDEX delivery_ended ON delivery (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE attempt (
	delivery INTEGER NOT NULL,
	n INTEGER NOT NULL,
	at INTEGER NOT NULL,
	duration_ms INTEGER NOT NULL,
	status INTEGER NOT NULL,
	error TEXT,
	PRIMARY KEY (delivery, n)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 5;
