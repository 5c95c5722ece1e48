/* Files that come to the object storage by signed addresses, past this server (docs/adr/0041-arrivals.md).
 *
 * An address leads to a name of its own, an arrival's, to which no row refers. Whoever has it can write there as long as it is good, also again and also after the file was taken; so the
 * file gets a name of its own too. Taken is what was read: the bytes go through the digests that every upload goes through, and are copied within the store, as those that were read or
 * not at all. From there on it is an upload like others: one change adds the file, its jobs, and the mark that the address was used.
 *
 *	pool thread: read ──► digests ──► copy ──► committer: file, jobs, mark ──► done() ──► the arrival goes
 *	     └─ refused ────────┴───────────┴─────────────┴──────────────────────► done()
 */
#ifndef FILEMILL_ENGINE_ARRIVAL_H
#define FILEMILL_ENGINE_ARRIVAL_H

#include "engine/engine.h"

#define ARRIVAL_TAKEN_MS (60LL * 60 * 1000) /* from when the address was made: later it is not taken … */
#define ARRIVAL_KEPT_MS (2 * ARRIVAL_TAKEN_MS) /* … and then it is swept; the mark of its use is kept as long */

/* The blobs are where addresses are given out, and for so many bytes. */
bool engine_gives_addresses(const struct engine *g, uint64_t size);

struct engine_address {
	struct uuid id; /* in: its own, made now */
	struct str owner, name, type; /* in */
	uint64_t size; /* in: bytes that are to come, no more and no fewer */
	int64_t expires_ms; /* in: from now */
	struct buf url, meta_name; /* out: meta_name is to be sent as ENGINE_ADDRESS_NAME; released by the caller, also after a failure */
	/* out: what is to be sent too */
	bool if_none_match; /* `If-None-Match: *` */
	const char *guard; /* a field with ENGINE_ADDRESS_GUARD_VALUE; NULL = none; a constant */
};
#define ENGINE_ADDRESS_NAME "x-amz-meta-name"
#define ENGINE_ADDRESS_GUARD_VALUE "none"
/* May ask the object storage: pool threads only. ERR_NOT_IMPLEMENTED: this one's addresses cannot be given to everybody. */
[[nodiscard]] int engine_address(struct engine *g, struct engine_address *a, struct err *e);

/* What came by an address of this owner's. In the arena. Pool threads only. ERR_NOT_FOUND. */
struct engine_arrived {
	uint64_t size;
	struct str name, type;
};
[[nodiscard]] int engine_arrived(struct engine *g, struct str owner, struct uuid address, struct arena *a, struct engine_arrived *ret,
				 struct err *e);

/* Lives until done() was called: once, from engine_take_arrival() itself or another thread; it must not block. */
struct engine_arrival {
	struct uuid address; /* in */
	struct intake_spec
		spec; /* in: as of an upload, with its length and the mark; on_room and arg are the engine's. Texts are valid until done() */
	/* in: asked when all was read, whether whoever asked may still; NULL = yes. May block */
	int (*still)(struct engine_arrival *a, struct err *e);
	/* in: ERR_NOT_FOUND: there is none, or none any more; ERR_USED; ERR_CONFLICT: it was changed while it was read; ERR_OVERLOADED… */
	void (*done)(struct engine_arrival *a, const struct intake_result *result);
};
void engine_take_arrival(struct engine *g, struct engine_arrival *a);

#endif
