/* The lock of a backup that died goes with its process. One that lives but does not end, stopped or on a disk that hangs, is waited for up to the limit; then bytes go
 * again, and that backup finds them missing and says so. A backup that begins within the second in which another ends shares its time. */
#include "app/hold.h"
#include "rt/env.h"
#include "rt/log.h"

bool hold_stands(void *arg)
{
	struct hold *h = arg;
	int64_t now = env_real.mono_ms(&env_real);

	/* What was moved may have the same store as before, and what is there now is known to the other catalogue alone. */
	if (gate_closed(h->gate))
		return true;

	if (!data_dir_blobs_held(h->data)) {
		if (h->since > 0)
			log_event(LOG_INFO, "backup_hold_ended", LF_INT("ms", now - h->since));
		h->since = 0;
		h->over = false;
		return false;
	}
	if (h->since == 0) {
		h->since = now;
		log_event(LOG_INFO, "backup_hold", LF_INT("limit_ms", h->limit_ms));
	}
	if (now - h->since < h->limit_ms)
		return true;
	if (!h->over)
		log_event(LOG_WARN, "backup_hold_too_long", LF_INT("limit_ms", h->limit_ms));
	h->over = true;
	return false;
}
