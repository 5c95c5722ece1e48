/* News in bytes: each begins with its kind. Numbers are little-endian, as they lie in memory of the machines that filemill runs on; a text has its length in one byte before it. */
#include "catalog/news.h"

#include <assert.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

/* ---- what a change means ---- */

static bool any_queued(const struct job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (jobs[i].state == JOB_QUEUED)
			return true;
	return false;
}

static bool any_file_queued(const struct change_add_files *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (any_queued(c->files[i].file->jobs, c->files[i].file->n_jobs))
			return true;
	return false;
}

bool change_brings_work(const struct change *c)
{
	switch (c->kind) {
	case CHANGE_ADD_FILE:
		return !c->add_file.replayed && any_queued(c->add_file.file->jobs, c->add_file.file->n_jobs);
	case CHANGE_ADD_FILES:
		return any_file_queued(&c->add_files);
	case CHANGE_RECURRING: /* begins as ADD_JOBS does */
	case CHANGE_ADD_JOBS:
		return any_queued(c->add_jobs.jobs, c->add_jobs.n);
	case CHANGE_FINISH:
		return c->finish.state == JOB_QUEUED || c->finish.ready > 0;
	case CHANGE_RECLAIM:
		return c->reclaim.reclaimed > 0;
	case CHANGE_RETRY_JOB:
		return true;
	default:
		return false;
	}
}

bool change_dooms(const struct change *c)
{
	switch (c->kind) {
	case CHANGE_FINISH:
		return c->finish.doomed; /* it ended cancelled: its output goes */
	case CHANGE_EXPIRE_RESULTS:
		return c->expire_results.doomed;
	case CHANGE_DELETE_FILE:
		return true;
	default:
		return false;
	}
}

/* ---- packing ---- */

static void put(struct buf *b, enum news_kind kind)
{
	buf_add_char(b, (char)kind);
}

static void put_id(struct buf *b, enum news_kind kind, struct uuid id)
{
	put(b, kind);
	buf_add(b, id.b, sizeof(id.b));
}

static void put_deleted(struct buf *b, const struct change_delete_file *d)
{
	put_id(b, NEWS_DELETED, d->id);
	buf_add_char(b, (char)(uint8_t)d->owner.len); /* OWNER_MAX at most */
	buf_add_str(b, d->owner);
}

static void put_end(struct buf *b, const struct ended *end)
{
	put(b, NEWS_ENDED);
	buf_add(b, &end->job, sizeof(end->job));
	buf_add(b, &end->fence, sizeof(end->fence));
	buf_add(b, &end->finished_at, sizeof(end->finished_at));
	buf_add_char(b, (char)end->state);
}

static void put_change(struct buf *b, const struct change *c)
{
	switch (c->kind) {
	case CHANGE_ADD_FILE:
		if (!c->add_file.replayed)
			put_id(b, NEWS_STORED, c->add_file.file->id);
		break;
	case CHANGE_ADD_FILES:
		for (size_t i = 0; i < c->add_files.n; i++)
			put_id(b, NEWS_STORED, c->add_files.files[i].file->id);
		break;
	case CHANGE_FINISH:
		put_id(b, NEWS_FINAL, c->finish.file); /* given back, it ends all the same when somebody cancelled it */
		break;
	case CHANGE_CANCEL_JOB:
		if (c->job_ref.was_running)
			put_id(b, NEWS_CANCEL, c->job_ref.id);
		put_id(b, NEWS_FINAL, c->job_ref.file);
		break;
	case CHANGE_RECLAIM:
		if (c->reclaim.quarantined > 0)
			put(b, NEWS_FINALS);
		break;
	case CHANGE_DELETE_FILE:
		put_deleted(b, &c->delete_file);
		break;
	case CHANGE_PATCH_WEBHOOK:
		put_id(b, NEWS_WEBHOOK, c->patch_webhook.id);
		break;
	case CHANGE_ADD_PING:
		put_id(b, NEWS_WEBHOOK, c->add_ping.webhook);
		break;
	case CHANGE_REPLAY:
		put_id(b, NEWS_WEBHOOK, c->replay.webhook);
		break;
	default:
		break;
	}
}

static bool ends_access(enum change_kind kind)
{
	return kind == CHANGE_PATCH_ACCOUNT || kind == CHANGE_DELETE_ACCOUNT || kind == CHANGE_REVOKE_KEY;
}

/* A new session may end an older one. */
static bool ends_sessions(enum change_kind kind)
{
	return kind == CHANGE_ADD_ACCOUNT || kind == CHANGE_ADD_SESSION || kind == CHANGE_END_SESSION;
}

void news_pack(struct buf *b, const struct catalog *c, struct change *const *changes, size_t n)
{
	bool said[NEWS_KINDS] = {[NEWS_DELIVERIES] = c->deliveries > 0};

	for (size_t i = 0; i < n; i++) {
		const struct change *ch = changes[i];
		if (ch->code != 0)
			continue;
		put_change(b, ch);
		said[NEWS_WORK] |= change_brings_work(ch);
		said[NEWS_DOOMED] |= change_dooms(ch);
		said[NEWS_ROOM] |= ch->kind == CHANGE_FINISH ||
				   (ch->kind == CHANGE_RECLAIM && ch->reclaim.reclaimed + ch->reclaim.quarantined > 0);
		said[NEWS_PEOPLE] |= ends_access(ch->kind);
		said[NEWS_SESSIONS] |= ends_sessions(ch->kind);
		said[NEWS_AUDIT] |= ch->audit.p != NULL;
	}
	for (size_t i = 0; i < c->ends.n; i++)
		if (changes[c->ends.list[i].change]->code == 0)
			put_end(b, &c->ends.list[i]);
	said[NEWS_FINALS] |= c->ends.lost;
	for (unsigned kind = 1; kind < NEWS_KINDS; kind++)
		if (said[kind])
			put(b, (enum news_kind)kind);
}

/* ---- unpacking ---- */

/* Takes the next n bytes away; NULL: there are not so many. */
static const char *take(struct str *from, size_t n)
{
	const char *p = from->p;

	if (from->len < n)
		return NULL;
	from->p += n;
	from->len -= n;
	return p;
}

static bool take_into(struct str *from, void *to, size_t n)
{
	const char *p = take(from, n);

	if (p != NULL)
		memcpy(to, p, n);
	return p != NULL;
}

static bool take_end(struct str *from, struct ended *ret)
{
	uint8_t state = 0;

	if (!take_into(from, &ret->job, sizeof(ret->job)) || !take_into(from, &ret->fence, sizeof(ret->fence)) ||
	    !take_into(from, &ret->finished_at, sizeof(ret->finished_at)) || !take_into(from, &state, 1))
		return false;
	ret->state = (enum job_state)state;
	return state < JOB_STATES;
}

static bool take_owner(struct str *from, struct str *ret)
{
	uint8_t n = 0;

	if (!take_into(from, &n, 1))
		return false;
	*ret = (struct str){take(from, n), n};
	return ret->p != NULL;
}

static bool take_one(struct str *from, struct news *ret)
{
	uint8_t kind = 0;

	*ret = (struct news){};
	if (!take_into(from, &kind, 1) || kind == 0 || kind >= NEWS_KINDS)
		return false;
	ret->kind = (enum news_kind)kind;
	switch (ret->kind) {
	case NEWS_ENDED:
		return take_end(from, &ret->end);
	case NEWS_DELETED:
		return take_into(from, ret->id.b, sizeof(ret->id.b)) && take_owner(from, &ret->owner);
	case NEWS_FINAL:
	case NEWS_STORED:
	case NEWS_CANCEL:
	case NEWS_WEBHOOK:
		return take_into(from, ret->id.b, sizeof(ret->id.b));
	default:
		return true;
	}
}

static struct news *one_more(struct news_list *to)
{
	if (to->n == to->cap) {
		size_t cap = to->cap > 0 ? 2 * to->cap : 64;
		struct news *more = arena_alloc(to->arena, cap * sizeof(*more));
		if (more == NULL)
			return NULL;
		if (to->n > 0)
			memcpy(more, to->list, to->n * sizeof(*more));
		to->list = more;
		to->cap = cap;
	}
	return &to->list[to->n++];
}

bool news_unpack(struct news_list *to, struct str bytes)
{
	while (bytes.len > 0) {
		struct news *x = one_more(to);
		if (x == NULL || !take_one(&bytes, x))
			return false;
	}
	return true;
}
