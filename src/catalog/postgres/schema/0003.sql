-- Schema 3: what a writing connection committed last, so that whoever loses it in a commit finds out. A transaction's number does not tell: a server that crashes gives those anew
-- whose records it had not written yet.
CREATE TABLE batch (
	link bigint PRIMARY KEY, -- drawn by lot for each connection
	transaction bigint NOT NULL,
	at bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
