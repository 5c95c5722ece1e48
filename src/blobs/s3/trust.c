/* Whether an address to write to may be given to strangers.
 *
 * A PUT that has the field x-amz-copy-source reads the object it names, with the rights of the key that signed, and ignores its body. Amazon refuses fields of this kind that were not signed; Ceph
 * obeys them, so whoever has an address to write to could have any object of the bucket whose name he knows copied to where he may have it taken for his own. There the address is signed
 * with a condition that only copies have, and that no object fulfils: without a source it says nothing, with one the answer is 412. Which it is, is found out by trying, and where that does
 * not help either no addresses are given out. The objects of the trial have names of probes, so that fsck removes what a crash leaves. */
#include "blobs/s3/s3_impl.h"

#include <stdio.h>

#define TRIAL_BYTES "filemill"
#define TRIAL_SECONDS 300

struct trial {
	struct s3 *s;
	char source[64], target[64];
	struct buf from; /* the source as the field names it */
};

struct finding {
	enum s3_trust trust;
	const char *guard;
};

static int put_source(const struct trial *t, struct err *e)
{
	struct s3_request r = {.method = STR("PUT"), .name = str_of(t->source), .body = STR(TRIAL_BYTES)};
	struct s3_call c;

	s3_call_init(&c, t->s);
	int rc = s3_do(&c, &r, e);
	if (rc == 0 && c.status != 200)
		rc = s3_unexpected(&c, "the object storage takes no object", e);
	s3_call_release(&c);
	return rc;
}

/* An answer that a second try might change is no finding. */
static int ask(struct s3_call *c, const struct trial *t, struct str url, const char *guard, struct err *e)
{
	const struct net_header headers[] = {{.name = STR("x-amz-copy-source"), .value = buf_str(&t->from)},
					     {.name = str_of(guard ? guard : ""), .value = STR(S3_GUARD_VALUE)}};
	const struct s3_signed r = {.method = STR("PUT"), .url = url, .headers = headers, .n_headers = guard ? 2 : 1, .body = STR("x")};
	bool at_once;

	s3_send_signed(c, &r);
	s3_wait(c);
	return s3_judge(c, &at_once) == S3_ANSWERED ? 0 : s3_unexpected(c, "what addresses are worth could not be found out", e);
}

/* Whether the source was read: the target is as large as that, and not as what was sent. */
static int look(bool *ret, const struct trial *t, struct err *e)
{
	struct s3_arrival a;
	int rc = s3_arrival_look(&a, &t->s->base, str_of(t->target), e);

	*ret = rc == 0 && a.size == sizeof(TRIAL_BYTES) - 1;
	buf_release(&a.type);
	buf_release(&a.meta_name);
	return rc;
}

static int try_copy(bool *ret, const struct trial *t, const char *guard, struct err *e)
{
	CLEANUP(buf_release) struct buf url = BUF_INIT;
	struct s3_call c;
	int rc = s3_presign_bare_put(&url, t->s, str_of(t->target), STR("1"), guard, TRIAL_SECONDS, e);

	if (rc != 0)
		return rc;
	s3_call_init(&c, t->s);
	rc = ask(&c, t, buf_str(&url), guard, e);
	*ret = false;
	if (rc == 0 && c.status == 200) {
		rc = look(ret, t, e);
		if (rc == 0)
			rc = s3_delete(t->s, str_of(t->target), e);
	}
	s3_call_release(&c);
	return rc;
}

static int try_guards(struct finding *ret, const struct trial *t, struct err *e)
{
	/* As S3 has it, and as Ceph does. */
	static const char *const guards[] = {"x-amz-copy-source-if-match", "x-amz-copy-if-match"};
	bool read;
	int rc = try_copy(&read, t, NULL, e);

	*ret = (struct finding){.trust = S3_TRUST_WHOLE};
	for (size_t i = 0; rc == 0 && read && i < ARRAY_LEN(guards); i++) {
		rc = try_copy(&read, t, guards[i], e);
		*ret = read ? (struct finding){.trust = S3_TRUST_NONE} : (struct finding){S3_TRUST_GUARDED, guards[i]};
	}
	return rc;
}

static int learn(struct finding *ret, struct s3 *s, struct err *e)
{
	CLEANUP(buf_release) struct buf key = BUF_INIT;
	char token[S3_TOKEN_LEN + 1];
	struct trial t = {.s = s, .from = BUF_INIT};

	s3_token(s, token);
	snprintf(t.source, sizeof(t.source), "probe/00/probe-%.16s", token);
	snprintf(t.target, sizeof(t.target), "probe/00/probe-%.16s.x", token);
	int rc = s3_key(&key, s, str_of(t.source), e);
	buf_addf(&t.from, "/%s/", s->bucket);
	sigv4_encode(&t.from, buf_str(&key), true);
	if (rc == 0 && !buf_ok(&t.from))
		rc = err_set(e, ERR_NO_MEMORY, "no memory for a request");
	if (rc == 0)
		rc = put_source(&t, e);
	if (rc == 0)
		rc = try_guards(ret, &t, e);
	s3_arrival_remove(&s->base, str_of(t.source));
	buf_release(&t.from);
	return rc;
}

static struct finding known(struct s3 *s)
{
	pthread_mutex_lock(&s->lock);
	const struct finding f = {s->trust, s->guard};
	pthread_mutex_unlock(&s->lock);
	return f;
}

int s3_learn_trust(struct s3 *s, enum s3_trust *ret, const char **ret_guard, struct err *e)
{
	struct finding f = known(s);
	int rc = 0;

	if (f.trust == S3_TRUST_UNKNOWN) {
		/* One asks, the others wait for it. */
		pthread_mutex_lock(&s->learning);
		f = known(s);
		if (f.trust == S3_TRUST_UNKNOWN)
			rc = learn(&f, s, e);
		if (rc == 0) {
			pthread_mutex_lock(&s->lock);
			s->trust = f.trust;
			s->guard = f.guard;
			pthread_mutex_unlock(&s->lock);
		}
		pthread_mutex_unlock(&s->learning);
	}
	if (rc != 0)
		return rc;
	*ret = f.trust;
	*ret_guard = f.guard;
	return 0;
}
