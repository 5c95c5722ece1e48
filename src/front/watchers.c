#include "front/watchers.h"
#include "auth/token.h"
#include "engine/people.h"
#include "front/front.h"

#include <string.h>

void watchers_init(struct watchers *w)
{
	*w = (struct watchers){};
	pthread_mutex_init(&w->lock, NULL);
}

void watchers_release(struct watchers *w)
{
	pthread_mutex_destroy(&w->lock);
}

/* The hash of the key that the request shows. */
static bool shown(struct http_request *r, uint8_t ret[SECRET_HASH])
{
	struct str rest, scheme = str_split(http_header(r, "Authorization"), ' ', &rest);
	enum token_kind kind;

	return str_eq_nocase(scheme, STR("Bearer")) && rest.p != NULL && token_read(str_trim(rest), &kind, ret) && kind == TOKEN_KEY;
}

/* With the lock held: SHA-256 of 256 random bits, so how long the comparison takes tells nothing. */
static struct watcher *find(struct watchers *w, const uint8_t hash[SECRET_HASH])
{
	for (size_t i = 0; i < WATCHERS_MAX; i++)
		if (w->list[i].set && memcmp(w->list[i].hash, hash, SECRET_HASH) == 0)
			return &w->list[i];
	return NULL;
}

struct watchers_seen watchers_now(const struct http_request *r)
{
	struct engine *g = front_engine(r);

	return (struct watchers_seen){.people = engine_people_changes(g), .keys = engine_key_changes(g)};
}

void watchers_remember(struct http_request *r, const struct caller *c, struct watchers_seen seen)
{
	struct watchers *w = front_of(r)->watchers;
	uint8_t hash[SECRET_HASH];
	struct watcher *at;

	if (w == NULL || (c->how == CALLER_KEY ? !shown(r, hash) : c != &caller_first))
		return;
	pthread_mutex_lock(&w->lock);
	if (c == &caller_first) {
		w->open = true;
		w->open_seen = seen.people;
	} else {
		at = find(w, hash);
		if (at == NULL)
			at = &w->list[w->next++ % WATCHERS_MAX];
		*at = (struct watcher){.set = true,
				       .account = c->account,
				       .credential = c->credential,
				       .role = c->role,
				       .scopes = c->scopes,
				       .expires_at = c->expires_at,
				       .seen = seen.keys};
		memcpy(at->hash, hash, sizeof(hash));
	}
	pthread_mutex_unlock(&w->lock);
}

static const struct caller *caller_of(struct http_request *r, const struct watcher *x, uint64_t seen)
{
	struct caller *c = arena_alloc(http_arena(r), sizeof(*c));
	char id[UUID_TEXT_LEN + 1];

	if (c == NULL)
		return NULL;
	uuid_format(id, x->account);
	*c = (struct caller){
		.owner = arena_str(http_arena(r), (struct str){id, UUID_TEXT_LEN}),
		.how = CALLER_KEY,
		.role = x->role,
		.scopes = x->scopes,
		.account = x->account,
		.credential = x->credential,
		.expires_at = x->expires_at,
		.seen = seen,
	};
	return c->owner.p != NULL ? c : NULL;
}

const struct caller *watchers_find(struct http_request *r)
{
	struct watchers *w = front_of(r)->watchers;
	const struct watchers_seen now = watchers_now(r);
	struct watcher copy = {};
	uint8_t hash[SECRET_HASH];
	bool key = shown(r, hash), open;

	if (w == NULL)
		return NULL;
	pthread_mutex_lock(&w->lock);
	struct watcher *at = key ? find(w, hash) : NULL;
	if (at != NULL)
		copy = *at;
	open = w->open && w->open_seen == now.people;
	pthread_mutex_unlock(&w->lock);
	if (copy.set && copy.seen == now.keys && (copy.expires_at == 0 || front_now(r) < copy.expires_at))
		return caller_of(r, &copy, now.people);
	return open && http_header(r, "Authorization").p == NULL ? &caller_first : NULL;
}
