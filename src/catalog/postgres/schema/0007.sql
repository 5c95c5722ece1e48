-- Schema 7: backups under way: as long as one lives, no node removes bytes. A program that does not know would, so none of an older schema may go on. Times are milliseconds since 1970 by this server's clock, so that all nodes judge them alike.
CREATE TABLE hold (
	id uuid PRIMARY KEY, -- drawn by the backup
	holder text NOT NULL, -- for who looks
	since bigint NOT NULL,
	expires_at bigint NOT NULL -- later with each time that the backup says it goes on
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
