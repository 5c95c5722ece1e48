/* One delivery as a request, and what an answer means (Standard Webhooks 1.0.0, "Deliverability and reliability"). */
#include "engine/webhook.h"
#include "net/sign.h"

#include <stdio.h>
#include <string.h>

#define RETRY_AFTER_MAX_S 86400 /* whatever a receiver asks for */
#define JITTER_PERCENT 20 /* to both sides: what failed together need not come back together */

/* v1,<base64 of the HMAC over id.timestamp.body>, appended. */
static int add_signature(char *dst, size_t size, const struct webhook_secret *secret, const struct webhook_headers *h, struct str body,
			 struct err *e)
{
	const struct str parts[] = {str_of(h->id), STR("."), str_of(h->timestamp), STR("."), body};
	char text[WEBHOOK_SIGNATURE_MAX + 1] = "v1,";
	uint8_t mac[32];
	size_t at = strlen(dst);
	int rc = sign_hmac_sha256(mac, (struct str){(const char *)secret->b, sizeof(secret->b)}, parts, ARRAY_LEN(parts), e);

	if (rc != 0)
		return rc;
	base64_encode(text + 3, mac, sizeof(mac));
	snprintf(dst + at, size - at, "%s%s", at > 0 ? " " : "", text);
	return 0;
}

int webhook_headers(struct webhook_headers *ret, const struct webhook *w, const struct delivery *d, int64_t now_ms, struct err *e)
{
	struct webhook_headers h = {};
	int rc;

	uuid_format(h.id, d->id);
	snprintf(h.timestamp, sizeof(h.timestamp), "%lld", (long long)(now_ms / 1000));
	rc = add_signature(h.signature, sizeof(h.signature), &w->secret, &h, d->payload, e);
	if (rc == 0 && w->previous_until > now_ms)
		rc = add_signature(h.signature, sizeof(h.signature), &w->previous, &h, d->payload, e);
	if (rc == 0)
		*ret = h;
	return rc;
}

static void say_why(struct webhook_verdict *v, const struct webhook_answer *a)
{
	char text[64 + ERR_DETAIL_MAX];

	if (a->code != 0)
		snprintf(text, sizeof(text), "%s: %s", err_info(a->code)->name, a->detail);
	else
		snprintf(text, sizeof(text), "the answer was %d", a->status);
	snprintf(v->error, sizeof(v->error), "%.*s", (int)utf8_prefix(str_of(text), sizeof(v->error) - 1), text);
}

/* Trouble that the next delivery would meet, too. An answer such as 400 or 500 may be about this one message. */
static bool receiver_is_slow(const struct webhook_answer *a)
{
	if (a->code != 0)
		return true;
	return a->status == 429 || a->status == 502 || a->status == 503 || a->status == 504;
}

static int64_t with_jitter(int64_t ms, uint64_t random)
{
	int64_t span = ms / 100 * 2 * JITTER_PERCENT;

	return span > 0 ? ms - span / 2 + (int64_t)(random % (uint64_t)span) : ms;
}

void webhook_judge(struct webhook_verdict *ret, const struct webhook_answer *a, const struct engine_webhooks *config, uint32_t tries,
		   uint64_t random)
{
	struct webhook_verdict v = {.state = DELIVERY_WAITING};

	if (a->code == 0 && a->status >= 200 && a->status <= 299) {
		*ret = (struct webhook_verdict){.state = DELIVERY_DELIVERED};
		return;
	}
	say_why(&v, a);
	if (a->retry_after_s > 0)
		v.asked_ms = 1000 * (a->retry_after_s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : a->retry_after_s);
	if (a->code == 0 && a->status == 410) {
		v.state = DELIVERY_FAILED;
		v.off = WEBHOOK_OFF_GONE;
	} else if (tries >= config->n_retry) {
		v.state = DELIVERY_FAILED;
		v.slow = receiver_is_slow(a);
	} else {
		v.slow = receiver_is_slow(a);
		v.wait_ms = with_jitter(config->retry_ms[tries], random);
		if (v.asked_ms > v.wait_ms)
			v.wait_ms = v.asked_ms;
	}
	*ret = v;
}
