/* The part of the catalogue that operators look at, whoever's things they are; catalog.h includes it. For those who watch: takes time in proportion to what it counts. */
#ifndef FILEMILL_CATALOG_WATCH_H
#define FILEMILL_CATALOG_WATCH_H

#include "base/arena.h"
#include "base/err.h"
#include "model/model.h"

struct catalog;

/* The jobs of one op. Those that wait and run are all counted, those that ended as far as they are among the newest. */
struct queue_row {
	struct str op;
	uint64_t at[JOB_STATES];
	uint64_t ready, held; /* of those that wait: they could run now; they come after a job that has not succeeded yet */
};
#define QUEUE_OPS_MAX 1000 /* ops that are told, more than a configuration can have */
/* By op, in the order of their names; of the final states the newest ended_max (1 … 10,000) jobs are looked at, and *ret_ended says how many there were. */
[[nodiscard]] int catalog_queue(struct catalog *c, int64_t now, uint32_t ended_max, struct arena *a, struct queue_row **ret, size_t *ret_n,
				uint64_t *ret_ended, struct err *e);

/* What is stored and known not to be what was acknowledged: a file, or an output of a job. */
struct damaged_row {
	bool output;
	struct uuid id; /* of the file, or of the output's job */
	uint32_t n; /* of the output */
	struct str owner, name;
	uint64_t size;
	int64_t damaged_at;
};
/* Files, then outputs, found last first; at most max of both together. */
[[nodiscard]] int catalog_damaged(struct catalog *c, uint32_t max, struct arena *a, struct damaged_row **ret, size_t *ret_n, struct err *e);

#endif
