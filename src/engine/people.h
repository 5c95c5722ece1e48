/* People come in, are added, and change their password: what a password has to be hashed for. That is done on threads for this alone, of which there are few and which give way to all others, so that
 * guessing costs nobody but those who sign in for the first time. How often somebody may guess: auth/throttle.h; besides, of those who wait for a thread only some are of one address, and whoever
 * came in from his address of late goes before all strangers.
 *
 *	HTTP thread: throttle ──► password thread: account, hash ──► committer: session ──► done()
 *	     │ refused                  │ wrong                          │ refused
 *	     └──────────────────────────┴────────────────────────────────┴──────────────► done() */
#ifndef FILEMILL_ENGINE_PEOPLE_H
#define FILEMILL_ENGINE_PEOPLE_H

#include "auth/throttle.h"
#include "auth/token.h"
#include "engine/engine.h"

#define SESSIONS_AN_ACCOUNT_MAX 50 /* a new one ends the one that was used longest ago */

/* One piece of work with a password; the engine's, inside of what follows. */
struct password_work {
	struct pool_task task;
	struct engine *g;
	void (*run)(struct password_work *w);
	struct str address;
	bool known; /* the account came in from there of late: it goes first, and there is room kept for it */
	struct password_work *next, *prev;
};

/* Lives until done() was called: once, from engine_sign_in() itself or another thread; it must not block. Texts are valid until then. Zero what is not set. */
struct engine_sign_in {
	struct str email, password, address; /* in */
	struct audit_by by; /* in */
	struct arena *arena; /* in: for what comes out */
	void (*done)(struct engine_sign_in *s); /* in */

	int code; /* out: ERR_BAD_CREDENTIALS whatever is wrong of email and password, ERR_RATE_LIMITED, ERR_OVERLOADED, ERR_SHUTTING_DOWN, ERR_STORAGE_FULL… */
	struct err err;
	int64_t late_ms; /* out: how long a refusal is to be held back, so that nobody guesses quickly; known before done() */
	struct account account; /* out */
	struct token token; /* out: to be cleared */

	/* the engine's */
	struct password_work work;
	struct throttle_try counted;
	struct change change;
};
void engine_sign_in(struct engine *g, struct engine_sign_in *s);

/* Adds an account; the same rules. */
struct engine_sign_up {
	struct account *account; /* in: email (as typed), name, role; out: all of it. In memory of the caller's */
	struct str password, address; /* in */
	struct audit_by by; /* in */
	struct arena *arena;
	void (*done)(struct engine_sign_up *s); /* in */

	int code; /* out: ERR_INVALID_VALUE with the field, ERR_EMAIL_TAKEN, ERR_OVERLOADED… */
	struct err err;

	struct password_work work; /* the engine's */
	struct change change;
};
void engine_sign_up(struct engine *g, struct engine_sign_up *s);

/* Gives an account a new password, which ends its sessions. The old one is asked for and throttled as at signing in. */
struct engine_new_password {
	struct uuid account; /* in */
	struct str email; /* in: his, for the throttle */
	struct str old, password, address; /* in */
	struct audit_by by; /* in */
	struct arena *arena;
	void (*done)(struct engine_new_password *s); /* in */

	int code; /* out: ERR_BAD_CREDENTIALS: the old one is not right; the others as above */
	struct err err;
	int64_t late_ms; /* out: as above */

	struct password_work work; /* the engine's */
	struct throttle_try counted;
	struct change change;
};
void engine_change_password(struct engine *g, struct engine_new_password *s);

/* Grows whenever a session or key may have ended or an account was changed, before whoever asked for that is answered: what was let in at the same number may still come. Any thread. */
uint64_t engine_people_changes(struct engine *g);

/* The same for keys alone: what comes and goes of sessions does not count. */
uint64_t engine_key_changes(struct engine *g);

/* A session was used: the catalogue knows so to the minute, soon. Any thread; does not wait. */
void engine_session_used(struct engine *g, const struct session *session);

/* ---- the engine's own ---- */
[[nodiscard]] int people_start(struct engine *g, struct err *e);
/* Somebody may no longer come: his sessions, or the keys too. Any thread. */
void people_changed(struct engine *g, bool keys);
void people_stop(struct engine *g); /* finishes what waits; before the committer ends */

#endif
