/* The lock of a backup that died goes with its process; its row in a shared catalogue is good until it is not renewed. A backup that lives but does not end, stopped or on a disk that hangs, is
 * waited for up to the limit; then bytes go again, and that backup finds them missing and says so. Of a lock it is known since when it was seen, so a backup that begins within the second in
 * which another ends shares its time; of rows it is known when they were made. */
#include "app/hold.h"
#include "rt/env.h"
#include "rt/log.h"

static enum held of_directory(struct hold *h, int64_t now)
{
	if (!data_dir_blobs_held(h->data)) {
		h->since = 0;
		return HELD_NOT;
	}
	if (h->since == 0)
		h->since = now;
	return now - h->since < h->limit_ms ? HELD : HELD_TOO_LONG;
}

static void tell(struct hold *h, enum held state, int64_t now)
{
	if (h->state == HELD_NOT) {
		h->began = now;
		log_event(LOG_INFO, "backup_hold", LF_INT("limit_ms", h->limit_ms));
	}
	if (state == HELD_NOT)
		log_event(LOG_INFO, "backup_hold_ended", LF_INT("ms", now - h->began));
	else if (state == HELD_TOO_LONG)
		log_event(LOG_WARN, "backup_hold_too_long", LF_INT("limit_ms", h->limit_ms));
	h->state = state;
}

bool hold_stands(void *arg)
{
	struct hold *h = arg;
	struct err why = ERR_INIT;
	int64_t now = env_real.mono_ms(&env_real);
	enum held elsewhere;

	/* What was moved may have the same store as before, and what is there now is known to the other catalogue alone. */
	if (gate_closed(h->gate))
		return true;
	/* Who cannot ask cannot know. */
	if (catalog_held(h->catalog, h->limit_ms, &elsewhere, &why) != 0)
		return true;
	enum held here = of_directory(h, now), state = here > elsewhere ? here : elsewhere;
	if (state != h->state)
		tell(h, state, now);
	return state == HELD;
}
