/* The newest events, in memory, bounded by number and by bytes. Not guarded: events.c holds its lock. */
#ifndef FILEMILL_ENGINE_EVENT_RING_H
#define FILEMILL_ENGINE_EVENT_RING_H

#include "base/buf.h"
#include "base/str.h"
#include "base/uuid.h"
#include "model/model.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One event as it goes to every reader (WHATWG HTML §9.2.6); never changed once it is in the ring. */
struct event {
	_Atomic unsigned refs;
	uint64_t seq; /* 1… within this life of the server */
	struct uuid file;
	size_t n_owner, n_text;
	char owner[OWNER_MAX];
	char text[]; /* n_text bytes */
};

struct event_ring {
	struct event **slots; /* seq modulo cap */
	uint32_t cap;
	uint64_t first, next; /* those in it are first … next - 1; what is before first is gone */
	size_t bytes, bytes_max;
};

/* False: no memory. */
bool event_ring_init(struct event_ring *r, uint32_t cap, size_t bytes_max);
void event_ring_release(struct event_ring *r);
/* Renders an event with the id `<life>-<next>`; line ends in data, which JSON has between its tokens only, become spaces. NULL: no memory. */
struct event *event_new(const struct event_ring *r, int64_t life, const char *name, struct str owner, struct uuid file, struct str data);
void event_unref(struct event *e); /* NULL is fine; any thread */
/* Takes it; the oldest go. It was rendered for this place. */
void event_ring_put(struct event_ring *r, struct event *e);
/* Forgets everything, and that something may have been missed here: nobody can resume from before. */
void event_ring_forget(struct event_ring *r);
/* The first event from number *seq on for this owner (and file, unless zero), with a reference for the caller; *seq becomes the number after it. NULL: none; *seq is
 * the end. Not for a *seq before first. */
struct event *event_ring_find(struct event_ring *r, uint64_t *seq, struct str owner, struct uuid file);
bool event_is_for(const struct event *e, struct str owner, struct uuid file);
/* Where a reader goes on that has seen the event of this id; false: it is not one of this life, or some that came after it are gone. */
bool event_ring_resume(const struct event_ring *r, int64_t life, struct str id, uint64_t *ret_seq);

#endif
