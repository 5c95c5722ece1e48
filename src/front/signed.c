/* The normal course: the head is read and judged on the HTTP thread, the nonce goes to the committer, the handler starts when it is durable, and the body's digest is compared before the
 * handler's end().
 *
 * What then holds: a signature lets one request in, also after a crash, because the nonce was used up on disk before the handler saw the request; a request that does not get an answer must be
 * signed anew. Nothing the handler heeds can differ from what was signed: method and target always, a body by its digest, a header field because it must be covered when it means something here. */
#include "front/signed.h"
#include "auth/signature.h"
#include "auth/token.h"
#include "base/wipe.h"
#include "engine/people.h"
#include "front/credentials.h"
#include "front/hop.h"
#include "http/fields.h"
#include "http/router.h"

#include <string.h>

#define NONCE_KEPT_S (3 * SIGNATURE_WINDOW_S) /* since `created`: longer than it counts, for a clock that is set back */

struct signed_request {
	struct http_request *r;
	struct signature signature;
	struct digest_want want; /* of the body */
	struct digest_set *digests; /* NULL: no body, and no digest of it */
	struct change change;
};

bool signed_is(struct http_request *r)
{
	return http_header(r, "Signature").p != NULL || http_header(r, "Signature-Input").p != NULL;
}

static bool has_body(const struct http_request *r)
{
	uint64_t n;

	return !http_content_length(r, &n) || n > 0;
}

/* ---- what must be covered ---- */

/* Header fields that change what a request does or gets. One that is not signed could have been put there by anybody. */
static bool has_meaning(struct str name)
{
	static const char *const prefixes[] = {"content-", "if-", "tus-", "upload-"};
	static const char *const names[] = {"idempotency-key", "last-event-id", "prefer", "range", "repr-digest"};

	if (str_eq_nocase(name, STR("content-length")))
		return false; /* a body of another length has another digest */
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		struct str prefix = str_of(prefixes[i]);
		if (name.len > prefix.len && str_eq_nocase((struct str){name.p, prefix.len}, prefix))
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq_nocase(name, str_of(names[i])))
			return true;
	return false;
}

static int check_covered(struct http_request *r, const struct signature *s, struct err *e)
{
	struct str name;

	for (unsigned i = 0; (name = http_header_name(r, i)).p != NULL; i++) {
		if (!has_meaning(name) || signature_covers(s, name))
			continue;
		err_set(e, ERR_BAD_SIGNATURE, "the signature does not cover %.*s, which the request has", STR_FMT(name));
		return err_field(e, "Signature-Input");
	}
	return 0;
}

/* ---- the body ---- */

static void body_data(void *arg, const void *p, size_t n)
{
	struct signed_request *s = arg;

	digest_set_update(s->digests, p, n);
}

static bool differs(const struct digest_set *d, enum digest_algo algo, const uint8_t *want)
{
	size_t n;
	const uint8_t *is = digest_set_get(d, algo, &n);

	return is == NULL || memcmp(is, want, n) != 0;
}

static int body_end(void *arg, struct err *e)
{
	struct signed_request *s = arg;
	const struct digest_want *w = &s->want;
	int rc = digest_set_finish(s->digests, e);

	if (rc != 0)
		return rc;
	if ((w->md5 && differs(s->digests, DIGEST_MD5, w->md5_value)) ||
	    (w->sha256 && differs(s->digests, DIGEST_SHA256, w->sha256_value)) ||
	    (w->sha512 && differs(s->digests, DIGEST_SHA512, w->sha512_value)))
		return err_set(e, ERR_DIGEST_MISMATCH, "the body does not have the digest that was signed");
	return 0;
}

static void body_release(void *arg)
{
	struct signed_request *s = arg;

	digest_set_free(s->digests);
}

static const struct http_watch body_watch = {.data = body_data, .end = body_end, .release = body_release};

static int watch_body(struct signed_request *s, struct err *e)
{
	struct str field = http_header(s->r, "Content-Digest");
	struct digest_want *w = &s->want;
	int rc;

	if (field.p == NULL)
		return 0; /* without a body: else it would not be covered */
	rc = digest_want_parse(w, field, e);
	if (rc == 0 && !w->sha256 && !w->sha512)
		rc = err_set(e, ERR_UNSUPPORTED_DIGEST, "a signed body needs sha-256 or sha-512");
	if (rc != 0) {
		err_field(e, "Content-Digest");
		return rc;
	}
	rc = digest_set_new(&s->digests,
			    (w->md5 ? 1u << DIGEST_MD5 : 0) | (w->sha256 ? 1u << DIGEST_SHA256 : 0) | (w->sha512 ? 1u << DIGEST_SHA512 : 0),
			    e);
	if (rc == 0)
		http_watch_body(s->r, &body_watch, s);
	return rc;
}

/* ---- whose signature it is ---- */

static struct str field_of(const void *arg, struct str name)
{
	struct http_request *const *r = arg;
	char text[256];

	if (name.len >= sizeof(text))
		return (struct str){};
	memcpy(text, name.p, name.len);
	text[name.len] = '\0';
	return http_header(*r, text);
}

/* One text for all: an unknown key, a revoked one, another one. */
static int bad(struct err *e)
{
	return err_set(e, ERR_BAD_SIGNATURE, "the signature is not that of a key known here over this request");
}

/* Whether the client spoke TLS to a proxy in front is not known here, so both schemes are tried: they lead to the same things. */
static int check_mac(struct signed_request *s, const struct secret *secrets, size_t n, struct err *e)
{
	static const char *const schemes[] = {"https", "http"};
	struct signed_message m = {.method = str_of(http_method_name(http_method(s->r))),
				   .authority = http_header(s->r, "Host"),
				   .target = http_target(s->r),
				   .field = field_of,
				   .arg = &s->r};
	bool right = false;

	for (size_t i = 0; i < ARRAY_LEN(schemes) && !right; i++) {
		CLEANUP(buf_release) struct buf base = BUF_INIT;
		m.scheme = str_of(schemes[i]);
		int rc = signature_base(&base, &s->signature, &m, e);
		if (rc != 0)
			return rc;
		for (size_t k = 0; k < n; k++) {
			uint8_t key[32];
			token_signing_secret(key, secrets[k].bytes, s->signature.keyid);
			right |= signature_is_by(&s->signature, buf_str(&base), key, sizeof(key));
			wipe(key, sizeof(key));
		}
	}
	return right ? 0 : bad(e);
}

static int find_caller(struct signed_request *s, const struct caller **ret, struct err *e)
{
	struct catalog *c = front_catalog(s->r);
	struct arena *a = http_arena(s->r);
	const uint64_t seen = engine_people_changes(front_engine(s->r));
	struct secret *secrets = NULL;
	struct account who;
	struct api_key key;
	struct uuid id;
	size_t n = 0;
	int rc = uuid_parse(&id, s->signature.keyid) ? catalog_key_by_id(c, id, front_now(s->r), a, &key, &who, e) : ERR_UNAUTHENTICATED;

	if (rc == ERR_UNAUTHENTICATED)
		return bad(e);
	if (rc == 0)
		rc = catalog_secrets(c, a, &secrets, &n, e);
	if (rc != 0)
		return rc;
	rc = check_mac(s, secrets, n, e);
	wipe(secrets, n * sizeof(*secrets));
	if (rc != 0)
		return rc;
	const struct caller by = {
		.how = CALLER_SIGNATURE, .scopes = key.scopes, .credential = key.id, .expires_at = key.expires_at, .seen = seen};
	return credentials_of(s->r, &who, by, ret, e);
}

/* ---- the nonce ---- */

/* RFC 9110 §11.6.1: a 401 says what would be taken. There is no registered scheme for signatures; this is the one their forerunner had. */
static int challenge(struct http_request *r, int code)
{
	if (code < 0 && err_info(code)->http_status == 401)
		http_set_header(r, "WWW-Authenticate", "Signature realm=\"filemill\"");
	return code;
}

static void refuse(struct http_request *r, int code, struct err *e)
{
	challenge(r, code);
	front_problem(r, code, e);
}

/* The committer's thread. */
static void used_up(void *arg, struct change *c)
{
	struct signed_request *s = arg;

	if (c->code == 0)
		http_continue(s->r);
	else if (c->code == ERR_USED)
		refuse(s->r, err_set(&c->err, ERR_REPLAYED, "this nonce was used before with this key"), &c->err);
	else
		refuse(s->r, c->code, &c->err);
}

/* Who may not is refused before, so that what is refused can be asked again by who may. */
static int use_up(struct signed_request *s, struct err *e)
{
	struct engine *g = front_engine(s->r);
	int rc = front_takes_work(s->r, e);

	if (rc == 0)
		rc = engine_takes_change(g, CHANGE_ONCE, e);
	if (rc == 0)
		rc = engine_admits(g, e);
	if (rc != 0)
		return rc;
	s->change.kind = CHANGE_ONCE;
	s->change.err = ERR_INIT;
	s->change.once = (struct once){.set = true, .expires_at = (s->signature.created + NONCE_KEPT_S) * 1000};
	signature_once(s->change.once.key, &s->signature);
	engine_submit(g, &s->change, used_up, s);
	return 0;
}

static int judge(struct signed_request *s, struct err *e)
{
	const struct caller *c = NULL;
	int rc = find_caller(s, &c, e);

	if (rc == 0)
		rc = front_allow(s->r, c, e);
	return rc == 0 ? use_up(s, e) : rc;
}

static void judge_on_pool(struct http_request *r)
{
	struct signed_request *s = http_data(r);
	struct err e = ERR_INIT;

	http_set_data(r, NULL); /* from here on it is the handler's */
	int rc = judge(s, &e);

	if (rc != 0)
		refuse(s->r, rc, &e);
}

static void refuse_late(struct http_request *r, struct err *e)
{
	refuse(r, e->code, e);
}

/* ---- the head ---- */

static int read_head(struct signed_request *s, struct err *e)
{
	struct http_request *r = s->r;
	int rc;

	if (http_header(r, "Authorization").p != NULL) {
		err_set(e, ERR_BAD_HEADER, "a request says who sends it in one way: Authorization or a signature");
		return err_field(e, "Authorization");
	}
	rc = signature_parse(&s->signature, http_header(r, "Signature-Input"), http_header(r, "Signature"), http_arena(r), e);
	if (rc == 0)
		rc = signature_check(&s->signature, has_body(r), front_now(r) / 1000, e);
	if (rc == 0)
		rc = check_covered(r, &s->signature, e);
	return rc == 0 ? watch_body(s, e) : rc;
}

int signed_admit(struct http_request *r, struct err *e)
{
	struct signed_request *s = arena_alloc(http_arena(r), sizeof(*s));
	int rc;

	if (s == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a signature");
	*s = (struct signed_request){.r = r};
	rc = read_head(s, e);
	if (rc == 0 && engine_reads_are_local(front_engine(r))) {
		rc = judge(s, e);
	} else if (rc == 0) {
		http_set_data(r, s);
		front_ask(r, judge_on_pool, refuse_late);
	}
	return rc == 0 ? HTTP_ADMIT_LATER : challenge(r, rc);
}
