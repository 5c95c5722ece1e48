/* What is signed, and by which key. */
#include "auth/signature.h"
#include "base/wipe.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

static_assert(SIGNATURE_BYTES == crypto_auth_hmacsha256_BYTES && SIGNATURE_ONCE == crypto_hash_sha256_BYTES);

static struct str path_of(struct str target)
{
	struct str rest;

	return str_split(target, '?', &rest);
}

/* §2.2.7: with its question mark, also when there is none. */
static struct str query_of(struct str target)
{
	const char *mark = target.len > 0 ? memchr(target.p, '?', target.len) : NULL;

	return mark != NULL ? (struct str){mark, target.len - (size_t)(mark - target.p)} : STR("?");
}

/* Host names know no case: the normal form is small (RFC 9110 §4.2.3). */
static void add_authority(struct buf *b, struct str authority)
{
	for (size_t i = 0; i < authority.len; i++) {
		char c = authority.p[i];
		buf_add_char(b, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
	}
}

/* §2.2 */
static void add_derived(struct buf *b, struct str name, const struct signed_message *m)
{
	if (str_eq(name, STR("@method"))) {
		buf_add_str(b, m->method);
	} else if (str_eq(name, STR("@target-uri"))) {
		buf_add_str(b, m->scheme);
		buf_add_cstr(b, "://");
		add_authority(b, m->authority);
		buf_add_str(b, m->target);
	} else if (str_eq(name, STR("@authority"))) {
		add_authority(b, m->authority);
	} else if (str_eq(name, STR("@scheme"))) {
		buf_add_str(b, m->scheme);
	} else if (str_eq(name, STR("@path"))) {
		buf_add_str(b, path_of(m->target));
	} else if (str_eq(name, STR("@query"))) {
		buf_add_str(b, query_of(m->target));
	} else {
		buf_add_str(b, m->target); /* @request-target in origin-form (§2.2.5) */
	}
}

static bool is_printable(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return true;
}

int signature_base(struct buf *ret, const struct signature *s, const struct signed_message *m, struct err *e)
{
	for (unsigned i = 0; i < s->n_components; i++) {
		struct str name = s->components[i], value = {};

		buf_addf(ret, "\"%.*s\": ", STR_FMT(name));
		if (name.p[0] == '@') {
			add_derived(ret, name, m);
		} else {
			value = m->field(m->arg, name);
			if (value.p == NULL || !is_printable(value))
				return err_set(e, ERR_BAD_SIGNATURE, "a header field that the signature covers is %s",
					       value.p == NULL ? "missing" : "not printable ASCII");
			buf_add_str(ret, value);
		}
		buf_add_char(ret, '\n');
	}
	buf_add_cstr(ret, "\"@signature-params\": ");
	buf_add_str(ret, s->params);
	return buf_ok(ret) ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a signature");
}

bool signature_is_by(const struct signature *s, struct str base, const void *key, size_t n)
{
	crypto_auth_hmacsha256_state state;
	uint8_t mac[SIGNATURE_BYTES];

	crypto_auth_hmacsha256_init(&state, key, n);
	crypto_auth_hmacsha256_update(&state, (const unsigned char *)base.p, base.len);
	crypto_auth_hmacsha256_final(&state, mac);
	wipe(&state, sizeof(state));
	return sodium_memcmp(mac, s->mac, sizeof(mac)) == 0;
}

void signature_once(uint8_t ret[SIGNATURE_ONCE], const struct signature *s)
{
	static const char word[] = "nonce"; /* and its NUL; neither text has one */
	crypto_hash_sha256_state state;

	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, (const unsigned char *)word, sizeof(word));
	crypto_hash_sha256_update(&state, (const unsigned char *)s->keyid.p, s->keyid.len);
	crypto_hash_sha256_update(&state, (const unsigned char *)"", 1);
	crypto_hash_sha256_update(&state, (const unsigned char *)s->nonce.p, s->nonce.len);
	crypto_hash_sha256_final(&state, ret);
}
