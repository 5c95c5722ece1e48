/* Webhooks: addresses that are told how jobs end, by the rules of Standard Webhooks 1.0.0 (standardwebhooks.com). Plain data, its JSON forms, and the bytes
 * that are sent and signed. No storage, no threads, no network. */
#ifndef FILEMILL_MODEL_WEBHOOK_H
#define FILEMILL_MODEL_WEBHOOK_H

#include "base/buf.h"
#include "model/model.h"

#define WEBHOOKS_AN_OWNER_MAX 64 /* whatever the configuration says */
#define WEBHOOK_URL_MAX 2048 /* bytes */
#define WEBHOOK_DESCRIPTION_MAX 255 /* bytes of UTF-8 */
#define WEBHOOK_OPS_MAX 16 /* names a filter holds */
#define WEBHOOK_OPS_BYTES_MAX 1024 /* of all of them, with commas between */
#define WEBHOOK_PAYLOAD_MAX 20480 /* bytes: what Standard Webhooks advises */
#define DELIVERY_LOG_MAX 20 /* attempts that are kept of one delivery, the newest */
#define ATTEMPT_ERROR_MAX 200 /* bytes */

/* What is told. Kept as these numbers, and as bits of them, in the catalogue: never renumber. */
enum webhook_event { WEBHOOK_PING, WEBHOOK_SUCCEEDED, WEBHOOK_FAILED, WEBHOOK_CANCELLED, WEBHOOK_QUARANTINED, WEBHOOK_EVENTS };
#define WEBHOOK_ALL (((1u << WEBHOOK_EVENTS) - 1) & ~(1u << WEBHOOK_PING)) /* a ping is sent when it is asked for, wanted or not */

const char *webhook_event_name(enum webhook_event v); /* job.succeeded, as the event stream says it; ping */
bool webhook_event_parse(enum webhook_event *ret, struct str name); /* one that can be wanted: no ping */
enum webhook_event webhook_event_of(enum job_state final);

/* The key of the signatures. Never in a list, a log or an error. */
#define WEBHOOK_SECRET_LEN 32
struct webhook_secret {
	uint8_t b[WEBHOOK_SECRET_LEN];
};
#define WEBHOOK_SECRET_TEXT (6 + 4 * ((WEBHOOK_SECRET_LEN + 2) / 3)) /* whsec_ and base64 */
void webhook_secret_format(char dst[WEBHOOK_SECRET_TEXT + 1], const struct webhook_secret *s);

/* Why nothing is sent. Kept as numbers: never renumber. */
enum webhook_off {
	WEBHOOK_ON,
	WEBHOOK_OFF_BY_HAND,
	WEBHOOK_OFF_GONE, /* the receiver answered 410 */
	WEBHOOK_OFF_FAILING, /* it failed for days */
};

struct webhook {
	struct uuid id;
	int64_t number; /* row number */
	struct str owner;
	struct str url;
	uint32_t events; /* 1 << enum webhook_event */
	struct str ops; /* names with commas between; "" = all */
	struct str description;
	struct webhook_secret secret, previous;
	int64_t previous_until; /* until then `previous` signs too; 0 = there is none */
	int64_t created_at;
	int64_t failing_since; /* the first failure since something was delivered; 0 = none */
	int64_t disabled_at; /* 0 = on */
	enum webhook_off off;
	uint64_t waiting; /* deliveries not yet made */
};

/* Does it want to hear of a job with this op that ended so? */
bool webhook_wants(uint32_t events, struct str ops, enum job_state state, struct str op);

/* Kept as numbers: never renumber. Replay by hand leads from DELIVERED and FAILED back to WAITING. */
enum delivery_state { DELIVERY_WAITING, DELIVERY_DELIVERED, DELIVERY_FAILED, DELIVERY_STATES };
const char *delivery_state_name(enum delivery_state s);
bool delivery_state_parse(enum delivery_state *ret, struct str name);

struct delivery_attempt {
	int64_t at; /* Unix ms; when it began */
	uint32_t duration_ms;
	int status; /* of the answer; 0 = there was none */
	struct str error; /* a few words; p NULL or "" when it was delivered */
};

struct delivery {
	struct uuid id; /* the header webhook-id: the same however often it is sent */
	int64_t number;
	struct uuid webhook;
	int64_t webhook_number;
	enum webhook_event event;
	struct uuid job; /* zero: a ping */
	enum delivery_state state;
	uint32_t tries; /* since it was made, or replayed */
	int64_t created_at;
	int64_t due_at; /* WAITING */
	int64_t ended_at; /* 0 while WAITING */
	struct str payload; /* the body that is signed and sent, always the same bytes; p NULL in lists */
	struct delivery_attempt *log; /* oldest first, the newest DELIVERY_LOG_MAX */
	size_t n_log;
};

/* The id of a webhook's delivery for one end of a job: the same two always give the same one, so that an end is told once, however often it is written. Time-ordered like every id. */
struct uuid delivery_id(struct uuid webhook, const struct job *job);
/* What that end has a webhook told, but for the payload and when it is due. */
struct delivery delivery_of_end(struct uuid webhook, const struct job *job);

/* The body: type, timestamp, data. When it would be longer than WEBHOOK_PAYLOAD_MAX, the job's params, result and outputs are left out, and `truncated` says so. Appended to out, whose
 * failure is the caller's to see; with WEBHOOK_PAYLOAD_MAX reserved in it there is none. */
void webhook_payload_job(struct buf *out, const struct job *job);
void webhook_payload_ping(struct buf *out, struct uuid webhook, int64_t now);

/* The JSON objects of API.md. The secret stands in the answer that makes it and nowhere else: NULL = without. */
void webhook_write_json(struct json_out *j, const struct webhook *w, int64_t now, const char *secret);
void delivery_write_json(struct json_out *j, const struct delivery *d);

#endif
