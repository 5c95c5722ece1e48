/* Who was let in to read figures (HTTP_WATCHER) while the catalogue answered is let in while it does not: then they are wanted most. Only where reads are not local; elsewhere whoever comes is looked up.
 *
 * What is remembered holds until something happened by which a key may no longer hold, on whatever node, as far as this one was told, or the key's time is over: as an event stream of it would go on. So it
 * is as stale as news are: NEWS_MS where the database answers, as long as it does not else. Sessions are not remembered, since those end by not being used, too. */
#ifndef FILEMILL_FRONT_WATCHERS_H
#define FILEMILL_FRONT_WATCHERS_H

#include "front/caller.h"

#include <pthread.h>

#define WATCHERS_MAX 8 /* keys; who came last takes the place of who was remembered first */

struct watchers {
	pthread_mutex_t lock; /* guards what follows */
	bool open; /* there were no accounts at open_seen, so anybody may */
	uint64_t open_seen; /* engine_people_changes() before that was looked up */
	unsigned next;
	struct watcher {
		bool set;
		uint8_t hash[SECRET_HASH]; /* of the key's secret */
		struct uuid account, credential;
		enum role role;
		uint32_t scopes;
		int64_t expires_at;
		uint64_t seen; /* engine_key_changes() before it was looked up */
	} list[WATCHERS_MAX];
};

void watchers_init(struct watchers *w);
void watchers_release(struct watchers *w);

/* Before somebody is looked up who may be remembered then. */
struct watchers_seen {
	uint64_t people, keys;
};
struct watchers_seen watchers_now(const struct http_request *r);
/* Any thread. The caller was let in by what was looked up after `seen`. */
void watchers_remember(struct http_request *r, const struct caller *c, struct watchers_seen seen);
/* Any thread, never waits. NULL: the catalogue has to be asked. In the request's arena; without `who`. */
const struct caller *watchers_find(struct http_request *r);

#endif
