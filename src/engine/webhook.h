/* The sender of webhooks, inside the engine: takes what is due from the catalogue and sends it. */
#ifndef FILEMILL_ENGINE_WEBHOOK_H
#define FILEMILL_ENGINE_WEBHOOK_H

#include "engine/engine_impl.h"
#include "net/client.h"

/* ---- webhook.c ---- */
/* NULL when the configuration has no client: then nothing is sent. */
[[nodiscard]] int webhooks_new(struct webhooks **ret, struct engine *g, struct err *e);
void webhooks_free(struct webhooks *w); /* after the committer has ended; NULL is fine */
[[nodiscard]] int webhooks_start(struct engine *g, struct err *e);
void webhooks_kick(struct engine *g); /* there are new deliveries; any thread */
/* Somebody did something about this one by hand, so its receiver may be well again: what rests there is tried at once. Any thread. */
void webhooks_anew(struct engine *g, struct uuid webhook);
/* Takes nothing more, gives what is under way a moment, and ends the rest: its deliveries stay due. Before the committer ends. */
void webhooks_stop(struct engine *g);

/* ---- webhook_rest.c: the receivers of which something is under way, or that are in trouble. No threads, no clock. ---- */
struct endpoint {
	int64_t webhook; /* row number */
	struct uuid id;
	unsigned under_way;
	int64_t rest_ms; /* how long it rested last; 0 = it is well */
	int64_t resting_until; /* monotonic ms */
};

/* All zero at the start. Places move with each note and forget. */
struct endpoints {
	struct endpoint *list;
	size_t n, cap;
};
void endpoints_release(struct endpoints *all);
struct endpoint *endpoint_find(const struct endpoints *all, int64_t webhook);
struct endpoint *endpoint_note(struct endpoints *all, int64_t webhook, struct uuid id); /* finds or adds; NULL: no memory */
void endpoint_forget(struct endpoints *all, struct endpoint *x); /* unless something is under way, or it is in trouble */
void endpoints_forget_idle(struct endpoints *all, int64_t now); /* those that rested long ago: their webhooks may be gone */
/* How many more requests it may get at once: `most` when it is well, one while it is in trouble. */
unsigned endpoint_room(const struct endpoints *all, int64_t webhook, unsigned most);
/* A request that was sent at `began` met trouble: it rests, twice as long each time, or as long as it asked (0 = it did not). What was sent before the rest began
 * is told by the same trouble, and can only ask for more. */
void endpoint_rest(struct endpoint *x, const struct engine_webhooks *config, int64_t began, int64_t now, int64_t asked_ms);
void endpoints_end_rests(struct endpoints *all, const struct uuid *id); /* of this one, NULL = of all */

/* ---- webhook_message.c: one delivery as a request, and what an answer means. No state, no threads. ---- */

/* Headers of Standard Webhooks 1.0.0: two signatures while the secret is being rotated. */
#define WEBHOOK_SIGNATURE_MAX (3 + 44) /* v1, and base64 of 32 bytes */
struct webhook_headers {
	char id[UUID_TEXT_LEN + 1], timestamp[24], signature[2 * WEBHOOK_SIGNATURE_MAX + 2];
};
[[nodiscard]] int webhook_headers(struct webhook_headers *ret, const struct webhook *w, const struct delivery *d, int64_t now_ms,
				  struct err *e);

struct webhook_answer {
	int code, status; /* as of struct net_result */
	int64_t retry_after_s; /* -1: nothing was said */
	const char *detail;
};

struct webhook_verdict {
	enum delivery_state state;
	enum webhook_off off; /* the receiver is gone for good */
	int64_t wait_ms; /* WAITING: until the next attempt */
	int64_t asked_ms; /* what the receiver asked for itself, 0 = nothing; the pauses of one delivery are longer when it failed often */
	bool slow; /* the receiver as a whole has trouble: the others wait too */
	char error[ATTEMPT_ERROR_MAX + 1]; /* "" when it was delivered */
};
/* tries: attempts there were, with this one; random: any 64 bits, for the jitter. */
void webhook_judge(struct webhook_verdict *ret, const struct webhook_answer *a, const struct engine_webhooks *config, uint32_t tries,
		   uint64_t random);

#endif
