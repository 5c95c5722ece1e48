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
/* Takes nothing more, gives what is under way a moment, and ends the rest: its deliveries stay due. Before the committer ends. */
void webhooks_stop(struct engine *g);

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
	bool slow; /* the receiver as a whole has trouble: the others wait too */
	char error[ATTEMPT_ERROR_MAX + 1]; /* "" when it was delivered */
};
/* tries: attempts there were, with this one; random: any 64 bits, for the jitter. */
void webhook_judge(struct webhook_verdict *ret, const struct webhook_answer *a, const struct engine_webhooks *config, uint32_t tries,
		   uint64_t random);

#endif
