/* The part of the catalogue that is about several nodes on one; catalog.h includes it. A catalogue that is not shared has one node: it holds every duty, and there is no news. */
#ifndef FILEMILL_CATALOG_NODES_H
#define FILEMILL_CATALOG_NODES_H

#include "base/arena.h"
#include "base/err.h"
#include "model/model.h"

struct catalog;
struct change;

/* What one of the nodes does for all. */
enum duty {
	DUTY_TIDY, /* what expires, what is doomed, the sweep */
	DUTY_SCRUB,
	DUTY_RECURRING,
	DUTY_WEBHOOKS,
	DUTY_OUTBOX,
	DUTY_AUDIT,
	DUTIES
};
#define DUTIES_ALL ((1u << DUTIES) - 1)

#define NODE_HOST_MAX 64 /* bytes */
#define NODE_LABELS_MAX 255

/* First beat registers the worker incarnation: ERR_SCHEMA_NEWER when the schema went on meanwhile to one that this program does not know. Later ones: ERR_STALE when the lease was already lost. */
struct change_beat {
	struct uuid worker;
	int64_t now, expires_at;
	bool first;
	bool leaving; /* ends the lease: its jobs become reclaimable at once, its duties free */
	struct uuid home; /* the data directory; zero: not told */
	/* What the node is; kept from the first beat on. p NULL = not told. */
	struct str host, labels;
	bool draining; /* it claims no more */
	int64_t uploads_since; /* no upload that is under way there, and none that begins later, has an id of a time before this; 0 = not told */
	unsigned
		wants; /* duties, by bits 1 << enum duty: those that nobody holds who is alive become its own, and stay so as long as it lives */
	unsigned holds; /* out: of all duties those it holds now; valid as long as its lease */
	int64_t clock_at; /* out: Unix ms by the clock that all nodes share; 0 = there is none */
};

/* A node, until some time after its lease is over. */
struct worker_row {
	struct uuid id;
	int64_t expires_at; /* of its lease */
	uint64_t running; /* jobs it holds */
	struct str host, labels; /* empty: not told */
	int64_t since, beat_at; /* its first beat and the last one; 0 = not known */
	int64_t uploads_since;
	bool draining;
};
/* The newest first, at most max. */
[[nodiscard]] int catalog_workers(struct catalog *c, uint32_t max, struct arena *a, struct worker_row **ret, size_t *ret_n, struct err *e);

/* Whether other nodes may work on it too. */
bool catalog_shared(const struct catalog *c);

/* ---- what other nodes committed ---- */
struct ended { /* a job that became final */
	size_t change; /* place of the change in the batch; in news: 0 */
	int64_t job; /* row number */
	int64_t fence, finished_at; /* which of its ends it is: a job that is tried again may end again */
	enum job_state state;
};

enum news_kind {
	NEWS_WORK = 1, /* there may be a job to claim that could not be claimed before */
	NEWS_ROOM, /* an attempt ended, so that a limit may let another one run */
	NEWS_ENDED, /* end */
	NEWS_FINAL, /* id: a job of this file became final */
	NEWS_FINALS, /* jobs of whatever files did */
	NEWS_STORED, /* id: of a file */
	NEWS_DELETED, /* id: of a file; owner */
	NEWS_CANCEL, /* id: of a job that runs, wherever */
	NEWS_PEOPLE, /* somebody may no longer come, whatever he shows */
	NEWS_DELIVERIES, /* something is due to webhooks */
	NEWS_WEBHOOK, /* id: somebody changed it by hand */
	NEWS_DOOMED, /* bytes have to go */
	NEWS_AUDIT, /* there are entries */
	NEWS_SESSIONS, /* a session may be over; or there is a first account, so that nobody comes without showing something */
	NEWS_KINDS
};
struct news {
	enum news_kind kind;
	struct uuid id;
	struct str owner;
	struct ended end;
};
/* What batches of other nodes brought since the call before, each batch once, and in an order in which nothing comes before what it followed. *ret_whole false: some may be missing, as at the
 * first call; whatever news could say may be so. Batches are remembered for a minute at least. One thread. */
[[nodiscard]] int catalog_news(struct catalog *c, struct arena *a, struct news **ret, size_t *ret_n, bool *ret_whole, struct err *e);

/* Whose the bytes are that this catalogue refers to: who is the first to ask is remembered, and everybody is told of him. Who asks as
 * nobody (zero) is not remembered, and told zero where nobody was. Of a catalogue that nobody shares: who asks. */
[[nodiscard]] int catalog_store(struct catalog *c, struct uuid mine, struct uuid *ret, struct err *e);

/* The earliest time (Unix ms) in the id of a file that another node than `self` (zero: none is) may be about to refer to: of uploads that are under way there, or begin from now on. It
 * counts those that are lost and not forgotten, which may go on. Bytes of earlier ids to which no row refers never come. INT64_MAX where nobody shares it; INT64_MIN: it cannot be told. */
[[nodiscard]] int catalog_uploads_since(struct catalog *c, int64_t now, struct uuid self, int64_t *ret, struct err *e);

/* Whether a job runs now with this fence, on whichever node. */
[[nodiscard]] int catalog_attempt_runs(struct catalog *c, struct uuid job, int64_t fence, bool *ret, struct err *e);

/* ---- backups that hold the bytes, of a catalogue that nodes share ---- */
/* Once it was answered, no node removes bytes that a later snapshot refers to, until lease_ms after the last call with this id; 0 ends it. Of a catalogue that nobody shares: nothing is done,
 * the data directory's lock is enough. `holder` is for people. ERR_CATALOG_UNAVAILABLE. */
[[nodiscard]] int catalog_hold(struct catalog *c, struct uuid id, struct str holder, int64_t lease_ms, struct err *e);
enum held {
	HELD_NOT,
	HELD_TOO_LONG, /* by such alone as began limit_ms ago or earlier: nobody waits for them any more */
	HELD,
};
/* Asked after it was known that no row refers to the bytes in question. */
[[nodiscard]] int catalog_held(struct catalog *c, int64_t limit_ms, enum held *ret, struct err *e);

/* ---- of a change that was committed ---- */
bool change_brings_work(const struct change *c); /* NEWS_WORK */
bool change_dooms(const struct change *c); /* NEWS_DOOMED */

#endif
