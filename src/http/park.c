/* Parking: a request waits, its connection suspended, for an answer or for http_continue(), which may come from any thread and before
 * or after the worker gets round to suspending.
 *
 * All that threads share is one word. The worker suspends first and then sets PARKED, unless what it waits for is
 * already there; whoever brings it clears PARKED and, only when it was set, resumes. So each suspend is followed by exactly one
 * resume and none is resumed that is not suspended. After its own atomic step a replier does not touch the request again. */
#include "http/http_impl.h"

#include <unistd.h>

enum {
	PARK_CLAIMED = 1, /* somebody fills the reply */
	PARK_REPLIED = 2, /* the reply is filled; never cleared */
	PARK_REPLY = 4, /* parked: a reply wakes */
	PARK_CONTINUE = 8, /* parked: a reply or http_continue() wakes */
	PARK_GO = 16, /* http_continue() or http_stream_wake() came before the worker parked */
	PARK_MORE = 32, /* parked after the reply: http_stream_wake() wakes */
};

#define PARKED (PARK_REPLY | PARK_CONTINUE)

bool park_claim_reply(struct http_request *r)
{
	return !(atomic_fetch_or(&r->park, PARK_CLAIMED) & PARK_CLAIMED);
}

void park_replied(struct http_request *r)
{
	/* Under a sanitizer some of those who answer are held up behind it, as a rule until the request has gone: then it is seen when one of them touches it once more. */
	const bool hold_up = HOLD_UP_US > 0 && r->id[0] % 8 == 0;
	struct MHD_Connection *mhd = r->mhd;
	unsigned old = atomic_load(&r->park);

	while (!atomic_compare_exchange_weak(&r->park, &old, (old | PARK_REPLIED) & ~PARKED))
		;
	if (old & PARKED)
		MHD_resume_connection(mhd);
	if (hold_up && old & PARKED)
		usleep(HOLD_UP_US);
}

bool park_has_reply(const struct http_request *r)
{
	return atomic_load(&r->park) & PARK_REPLIED;
}

bool park_is_parked(const struct http_request *r)
{
	return atomic_load(&r->park) & PARKED;
}

/* True: suspended, the callback comes again. */
static bool park(struct http_request *r, unsigned how, unsigned wakes)
{
	unsigned old = atomic_load(&r->park), new;

	if (old & wakes) {
		atomic_fetch_and(&r->park, ~PARK_GO);
		return false;
	}
	conn_phase(r->conn, CONN_WAITING);
	MHD_suspend_connection(r->mhd);
	do {
		new = old &wakes ? old & ~PARK_GO : old | how;
	} while (!atomic_compare_exchange_weak(&r->park, &old, new));
	if (!(old & wakes))
		return true;
	conn_phase(r->conn, CONN_BODY);
	MHD_resume_connection(r->mhd);
	return true;
}

void park_until_reply(struct http_request *r)
{
	park(r, PARK_REPLY, PARK_REPLIED);
}

bool park_until_continue(struct http_request *r)
{
	return park(r, PARK_CONTINUE, PARK_REPLIED | PARK_GO);
}

void http_continue(struct http_request *r)
{
	struct MHD_Connection *mhd = r->mhd;
	struct conn *c = r->conn;
	unsigned old = atomic_load(&r->park), new;

	do {
		new = old &PARK_CONTINUE ? old & ~PARK_CONTINUE : old | PARK_GO;
	} while (!atomic_compare_exchange_weak(&r->park, &old, new));
	if (!(old & PARK_CONTINUE))
		return;
	conn_phase(c, CONN_BODY); /* from here the client is waited for, not we */
	MHD_resume_connection(mhd);
}

bool park_until_more(struct http_request *r)
{
	unsigned old = atomic_load(&r->park), new;

	if (old & PARK_GO) {
		atomic_fetch_and(&r->park, ~(unsigned)PARK_GO);
		return false;
	}
	conn_phase(r->conn, CONN_WAITING);
	MHD_suspend_connection(r->mhd);
	do {
		new = old &PARK_GO ? old & ~(unsigned)PARK_GO : old | PARK_MORE;
	} while (!atomic_compare_exchange_weak(&r->park, &old, new));
	if (!(old & PARK_GO))
		return true;
	conn_phase(r->conn, CONN_REPLY);
	MHD_resume_connection(r->mhd);
	return true;
}

void http_stream_wake(struct http_request *r)
{
	struct MHD_Connection *mhd = r->mhd;
	unsigned old = atomic_load(&r->park), new;

	do {
		new = old &PARK_MORE ? old & ~(unsigned)PARK_MORE : old | PARK_GO;
	} while (!atomic_compare_exchange_weak(&r->park, &old, new));
	if (!(old & PARK_MORE))
		return;
	conn_phase(r->conn, CONN_REPLY); /* from here the client is waited for, not we */
	MHD_resume_connection(mhd);
}
