-- Schema 2: several nodes. Who they are, for those who watch and for each other; what one of them does for all; and what batches mean to the others.
ALTER TABLE worker ADD COLUMN host text NOT NULL DEFAULT '', ADD COLUMN labels text NOT NULL DEFAULT '', ADD COLUMN since bigint NOT NULL DEFAULT 0,
	ADD COLUMN beat_at bigint NOT NULL DEFAULT 0, ADD COLUMN uploads_since bigint NOT NULL DEFAULT 0, ADD COLUMN draining boolean NOT NULL DEFAULT false;

-- Who does what is done by one for all; as long as its lease.
CREATE TABLE duty (
	duty bigint PRIMARY KEY,
	worker bigint NOT NULL
);

-- What a batch brought that others want to hear of, by the number of its transaction: src/catalog/news.c. A row lives for a minute or two.
CREATE TABLE news (
	transaction bigint PRIMARY KEY,
	maker bigint NOT NULL,
	at bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
	body bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
