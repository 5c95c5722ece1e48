#include "model/webhook.h"
#include "base/siphash.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define DETAIL_MAX 1024 /* bytes of an error's detail in a payload that had to be cut */

static const char *const EVENTS[WEBHOOK_EVENTS] = {
	[WEBHOOK_PING] = "ping",
	[WEBHOOK_SUCCEEDED] = "job.succeeded",
	[WEBHOOK_FAILED] = "job.failed",
	[WEBHOOK_CANCELLED] = "job.cancelled",
	[WEBHOOK_QUARANTINED] = "job.quarantined",
};

static const char *const OFF[] = {
	[WEBHOOK_OFF_BY_HAND] = "by_hand",
	[WEBHOOK_OFF_GONE] = "gone",
	[WEBHOOK_OFF_FAILING] = "failing",
};

static const char *const STATES[DELIVERY_STATES] = {
	[DELIVERY_WAITING] = "waiting",
	[DELIVERY_DELIVERED] = "delivered",
	[DELIVERY_FAILED] = "failed",
};

const char *webhook_event_name(enum webhook_event v)
{
	assert((unsigned)v < WEBHOOK_EVENTS);
	return EVENTS[v];
}

bool webhook_event_parse(enum webhook_event *ret, struct str name)
{
	for (unsigned v = WEBHOOK_PING + 1; v < WEBHOOK_EVENTS; v++) {
		if (str_eq(name, str_of(EVENTS[v]))) {
			*ret = (enum webhook_event)v;
			return true;
		}
	}
	return false;
}

enum webhook_event webhook_event_of(enum job_state final)
{
	static const enum webhook_event OF[JOB_STATES] = {
		[JOB_SUCCEEDED] = WEBHOOK_SUCCEEDED,
		[JOB_FAILED] = WEBHOOK_FAILED,
		[JOB_CANCELLED] = WEBHOOK_CANCELLED,
		[JOB_QUARANTINED] = WEBHOOK_QUARANTINED,
	};

	assert(job_state_final(final));
	return OF[final];
}

void webhook_secret_format(char dst[WEBHOOK_SECRET_TEXT + 1], const struct webhook_secret *s)
{
	memcpy(dst, "whsec_", 6);
	base64_encode(dst + 6, s->b, sizeof(s->b));
}

bool webhook_wants(uint32_t events, struct str ops, enum job_state state, struct str op)
{
	struct str rest = ops;

	if (!(events & 1u << webhook_event_of(state)))
		return false;
	if (ops.len == 0)
		return true;
	while (rest.p)
		if (str_eq(str_split(rest, ',', &rest), op))
			return true;
	return false;
}

const char *delivery_state_name(enum delivery_state s)
{
	assert((unsigned)s < DELIVERY_STATES);
	return STATES[s];
}

bool delivery_state_parse(enum delivery_state *ret, struct str name)
{
	for (unsigned s = 0; s < DELIVERY_STATES; s++) {
		if (str_eq(name, str_of(STATES[s]))) {
			*ret = (enum delivery_state)s;
			return true;
		}
	}
	return false;
}

/* The fence tells the ends of one job apart; a job that is cancelled, queued again and cancelled while it waits keeps its fence, so the time is taken in too. */
struct uuid delivery_id(struct uuid webhook, const struct job *job)
{
	uint8_t what[sizeof(job->id.b) + 2 * sizeof(int64_t)];
	uint64_t high, low;
	struct uuid id;

	memcpy(what, job->id.b, sizeof(job->id.b));
	memcpy(what + sizeof(job->id.b), &job->fence, sizeof(job->fence));
	memcpy(what + sizeof(job->id.b) + sizeof(job->fence), &job->finished_at, sizeof(job->finished_at));
	low = siphash24(webhook.b, what, sizeof(what));
	what[0] ^= 0xff;
	high = siphash24(webhook.b, what, sizeof(what));
	for (int i = 0; i < 6; i++)
		id.b[i] = (uint8_t)((uint64_t)job->finished_at >> (40 - 8 * i));
	memcpy(id.b + 6, &high, 2);
	memcpy(id.b + 8, &low, 8);
	id.b[6] = (uint8_t)(0x70 | (id.b[6] & 0x0f));
	id.b[8] = (uint8_t)(0x80 | (id.b[8] & 0x3f));
	return id;
}

struct delivery delivery_of_end(struct uuid webhook, const struct job *job)
{
	return (struct delivery){
		.id = delivery_id(webhook, job), .event = webhook_event_of(job->state), .job = job->id, .created_at = job->finished_at};
}

/* ---- payloads ---- */

static void write_id(struct json_out *j, const char *key, struct uuid id)
{
	char text[UUID_TEXT_LEN + 1];

	uuid_format(text, id);
	json_kstr(j, key, (struct str){text, UUID_TEXT_LEN});
}

static void payload_job(struct buf *out, const struct job *job, bool truncated)
{
	struct json_out j = json_out(out);

	json_obj_open(&j);
	json_kcstr(&j, "type", webhook_event_name(webhook_event_of(job->state)));
	json_ktime(&j, "timestamp", job->finished_at);
	if (truncated)
		json_kbool(&j, "truncated", true);
	json_key(&j, "data");
	job_write_json(&j, job);
	json_obj_close(&j);
}

/* With room for the longest payload reserved, only the limit can make the first try fail. */
void webhook_payload_job(struct buf *out, const struct job *job)
{
	size_t before = out->len, limit = out->limit;
	struct job thin = *job;

	buf_reserve(out, WEBHOOK_PAYLOAD_MAX);
	if (!buf_ok(out))
		return;
	out->limit = before + WEBHOOK_PAYLOAD_MAX;
	payload_job(out, job, false);
	if (!buf_ok(out)) {
		out->failed = false;
		out->len = before;
		thin.params = STR("{}");
		thin.result = (struct str){};
		thin.n_outputs = 0;
		thin.error_detail.len = utf8_prefix(thin.error_detail, DETAIL_MAX);
		payload_job(out, &thin, true);
	}
	out->limit = limit;
}

void webhook_payload_ping(struct buf *out, struct uuid webhook, int64_t now)
{
	struct json_out j = json_out(out);

	json_obj_open(&j);
	json_kcstr(&j, "type", webhook_event_name(WEBHOOK_PING));
	json_ktime(&j, "timestamp", now);
	json_key(&j, "data");
	json_obj_open(&j);
	write_id(&j, "webhook", webhook);
	json_obj_close(&j);
	json_obj_close(&j);
}

/* ---- JSON ---- */

static void write_names(struct json_out *j, const struct webhook *w)
{
	struct str rest = w->ops;

	json_key(j, "events");
	json_arr_open(j);
	for (unsigned v = WEBHOOK_PING + 1; v < WEBHOOK_EVENTS; v++)
		if (w->events & 1u << v)
			json_cstr(j, EVENTS[v]);
	json_arr_close(j);
	json_key(j, "ops");
	json_arr_open(j);
	while (rest.len > 0)
		json_str(j, str_split(rest, ',', &rest));
	json_arr_close(j);
}

void webhook_write_json(struct json_out *j, const struct webhook *w, int64_t now, const char *secret)
{
	json_obj_open(j);
	write_id(j, "id", w->id);
	json_kstr(j, "url", w->url);
	write_names(j, w);
	json_kstr(j, "description", w->description);
	json_ktime(j, "created_at", w->created_at);
	json_kbool(j, "enabled", w->disabled_at == 0);
	json_ktime(j, "disabled_at", w->disabled_at);
	json_kcstr(j, "disabled_reason", w->disabled_at != 0 ? OFF[w->off] : NULL);
	json_ktime(j, "failing_since", w->failing_since);
	json_ktime(j, "previous_secret_until", w->previous_until > now ? w->previous_until : 0);
	json_ku64(j, "waiting", w->waiting);
	if (secret != NULL)
		json_kcstr(j, "secret", secret);
	json_obj_close(j);
}

static void write_log(struct json_out *j, const struct delivery *d)
{
	json_key(j, "attempts");
	json_arr_open(j);
	for (size_t i = 0; i < d->n_log; i++) {
		const struct delivery_attempt *t = &d->log[i];

		json_obj_open(j);
		json_ktime(j, "at", t->at);
		json_ku64(j, "duration_ms", t->duration_ms);
		json_key(j, "status");
		if (t->status != 0)
			json_u64(j, (uint64_t)t->status);
		else
			json_put_null(j);
		json_key(j, "error");
		if (t->error.len > 0)
			json_str(j, t->error);
		else
			json_put_null(j);
		json_obj_close(j);
	}
	json_arr_close(j);
}

void delivery_write_json(struct json_out *j, const struct delivery *d)
{
	json_obj_open(j);
	write_id(j, "id", d->id);
	write_id(j, "webhook", d->webhook);
	json_kcstr(j, "event", webhook_event_name(d->event));
	if (!uuid_is_zero(d->job))
		write_id(j, "job", d->job);
	json_kcstr(j, "state", delivery_state_name(d->state));
	json_ku64(j, "tries", d->tries);
	json_ktime(j, "created_at", d->created_at);
	json_ktime(j, "next_attempt_at", d->state == DELIVERY_WAITING ? d->due_at : 0);
	json_ktime(j, "ended_at", d->ended_at);
	write_log(j, d);
	if (d->payload.p) {
		json_key(j, "payload");
		json_raw(j, d->payload);
	}
	json_obj_close(j);
}
