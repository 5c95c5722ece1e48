/* The part of the catalogue that keeps webhooks and what they are told; catalog.h includes it.
 *
 * Every change that makes a job final (a finish, a cancel, a delete, a quarantine, the end of a chain, a job that is born final) writes one delivery for each of the owner's webhooks
 * that wants to hear of it, in the same transaction: what is committed will be told, what was rolled back never is. The body is written then, too: a job that is tried again, deleted
 * or purged afterwards changes nothing of what is told of its end. Owners without a webhook pay one comparison a job. */
#ifndef FILEMILL_CATALOG_WEBHOOKS_H
#define FILEMILL_CATALOG_WEBHOOKS_H

#include "base/arena.h"
#include "base/err.h"
#include "model/webhook.h"

struct catalog;

/* ---- changes ---- */

struct change_add_webhook {
	struct webhook *webhook; /* in: id, owner, url, events, ops, description, secret, created_at; out: number */
	uint32_t
		max; /* in: webhooks the owner may have, 1…WEBHOOKS_AN_OWNER_MAX. ERR_LIMIT_REACHED (limit filled in), ERR_CONFLICT: the id is taken */
};

struct change_patch_webhook {
	struct uuid id;
	struct str owner;
	struct str url, description, ops; /* p NULL = keep. Another url is another receiver: nothing has failed */
	uint32_t events; /* 0 = keep */
	bool set_enabled, enabled; /* switched on it begins anew: what waits is sent, and nothing has failed */
	int64_t now;
	/* ERR_WEBHOOK_NOT_FOUND */
};

/* The secret becomes the previous one, a new one takes its place. */
struct change_rotate_webhook {
	struct uuid id;
	struct str owner;
	struct webhook_secret secret;
	int64_t previous_until; /* until then the one that was signs too */
	/* ERR_WEBHOOK_NOT_FOUND */
};

/* Its secrets are wiped and nothing is found of it any more; its deliveries go with the next purges, a bounded number each. */
struct change_delete_webhook {
	struct uuid id;
	struct str owner;
	int64_t now;
	/* ERR_WEBHOOK_NOT_FOUND */
};

/* A delivery that no job's end caused. */
struct change_add_ping {
	struct uuid webhook;
	struct str owner;
	struct uuid id; /* the delivery's */
	struct str payload;
	int64_t now;
	/* ERR_WEBHOOK_NOT_FOUND; ERR_CONFLICT: the webhook is off */
};

/* What became of an attempt to deliver. */
struct change_attempt {
	int64_t delivery; /* row number */
	struct str
		url; /* where it went, p NULL = where the webhook's are sent now. What another address answered says nothing of the webhook; of the delivery it does,
			   but that such a receiver is gone: then it is due again at once */
	struct delivery_attempt attempt;
	enum delivery_state state; /* DELIVERED; WAITING: again at due_at; FAILED: no more */
	int64_t due_at;
	enum webhook_off off; /* in: the receiver asked for this; out: why the webhook was switched off by this, WEBHOOK_ON = it was not */
	int64_t failing_before; /* in: a webhook that has been failing since before this is switched off; 0 = none is */
	/* ERR_STALE: it does not wait any more, or went with its webhook */
};

/* Again from the first attempt on, with the same id: one delivery, or those that failed and were made at `since` or later, the oldest first. */
struct change_replay {
	struct uuid webhook;
	struct str owner;
	struct uuid delivery; /* zero = all that failed */
	int64_t since;
	int64_t now;
	uint32_t max; /* at most so many with one change */
	uint32_t replayed; /* out; fewer than max: there are no more */
	/* ERR_WEBHOOK_NOT_FOUND, ERR_DELIVERY_NOT_FOUND; ERR_CONFLICT: the webhook is off */
};

/* ---- reads ---- */

/* ERR_WEBHOOK_NOT_FOUND (also another owner's). Secrets included: they are the caller's to keep to itself. */
[[nodiscard]] int catalog_webhook(struct catalog *c, struct uuid id, struct str owner, struct arena *a, struct webhook *ret, struct err *e);
[[nodiscard]] int catalog_list_webhooks(struct catalog *c, struct str owner, struct page page, struct arena *a, struct webhook **ret,
					size_t *ret_n, int64_t *ret_next, struct err *e);
/* With payload and attempts. ERR_WEBHOOK_NOT_FOUND, ERR_DELIVERY_NOT_FOUND. */
[[nodiscard]] int catalog_delivery(struct catalog *c, struct uuid webhook, struct str owner, struct uuid id, struct arena *a,
				   struct delivery *ret, struct err *e);
/* With attempts, without payloads; state -1 = any. Pages as with catalog_list_files(). */
[[nodiscard]] int catalog_list_deliveries(struct catalog *c, struct uuid webhook, struct str owner, int state, struct page page,
					  struct arena *a, struct delivery **ret, size_t *ret_n, int64_t *ret_next, struct err *e);

/* A webhook that is on and has deliveries waiting. */
struct due_webhook {
	struct webhook webhook;
	int64_t due_at; /* of the first one */
};
/* By number from after `after` on, at most max. */
[[nodiscard]] int catalog_due_webhooks(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct due_webhook **ret,
				       size_t *ret_n, struct err *e);
/* A webhook's deliveries that are due, the longest due first, with payloads, without attempts. */
[[nodiscard]] int catalog_due_deliveries(struct catalog *c, int64_t webhook_number, int64_t now, uint32_t max, struct arena *a,
					 struct delivery **ret, size_t *ret_n, struct err *e);

struct webhook_stats {
	uint64_t webhooks, disabled;
	uint64_t waiting; /* deliveries of webhooks that are on */
	int64_t oldest_due_at; /* of those; 0 = none waits */
};
[[nodiscard]] int catalog_webhook_stats(struct catalog *c, struct webhook_stats *ret, struct err *e);

/* How many deliveries the last catalog_apply() wrote or made due: whether somebody should be woken. The committer's thread only. */
size_t catalog_new_deliveries(const struct catalog *c);

#endif
