-- Schema 4: how often somebody did something, counted by all nodes together (src/rt/limiter.h). Nothing is lost when it is: a crash of the server empties it.
CREATE UNLOGGED TABLE rate (
	key bytea PRIMARY KEY,
	empty_at bigint NOT NULL -- nanoseconds since 1970 by this server's clock
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
