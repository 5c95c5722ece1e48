#include "http/fields.h"

#include <string.h>

struct algorithm {
	const char *key;
	size_t size; /* bytes */
	size_t has, value; /* offsets in struct digest_want */
};

static const struct algorithm algorithms[] = {
	{"md5", 16, offsetof(struct digest_want, md5), offsetof(struct digest_want, md5_value)},
	{"sha-256", 32, offsetof(struct digest_want, sha256), offsetof(struct digest_want, sha256_value)},
	{"sha-512", 64, offsetof(struct digest_want, sha512), offsetof(struct digest_want, sha512_value)},
};

static int malformed(struct err *e)
{
	return err_set(e, ERR_BAD_HEADER, "the digest is malformed");
}

static int want(struct digest_want *w, const struct algorithm *a, struct str base64, struct err *e)
{
	bool *has = (bool *)((char *)w + a->has);
	uint8_t *value = (uint8_t *)w + a->value, bytes[64];

	if (base64_decode(bytes, sizeof(bytes), base64) != (long)a->size)
		return err_set(e, ERR_BAD_HEADER, "the %s digest is not %zu bytes in base64", a->key, a->size);
	if (*has && memcmp(value, bytes, a->size) != 0)
		return err_set(e, ERR_DIGEST_MISMATCH, "two %s digests differ", a->key);
	memcpy(value, bytes, a->size);
	*has = true;
	return 0;
}

/* Behind a member's value: parameters have no meaning here, so there may be none. */
static bool at_member_end(struct str *rest)
{
	*rest = str_trim(*rest);
	if (rest->len == 0)
		return true;
	if (rest->p[0] != ',')
		return false;
	*rest = str_trim((struct str){rest->p + 1, rest->len - 1});
	return rest->len > 0; /* no comma at the end: RFC 8941 §4.2.2 */
}

/* key=:base64: of a structured-field dictionary (RFC 8941 §§3.2, 3.3.5). */
static bool take_member(struct str *rest, struct str *ret_key, struct str *ret_base64)
{
	size_t i = 0, start;

	while (i < rest->len && ((rest->p[i] >= 'a' && rest->p[i] <= 'z') || (i && rest->p[i] && strchr("0123456789_-.*", rest->p[i]))))
		i++;
	if (i == 0 || i + 2 > rest->len || rest->p[i] != '=' || rest->p[i + 1] != ':')
		return false;
	*ret_key = (struct str){rest->p, i};
	start = i + 2;
	for (i = start; i < rest->len && rest->p[i] != ':'; i++)
		;
	if (i == rest->len)
		return false;
	*ret_base64 = (struct str){rest->p + start, i - start};
	*rest = (struct str){rest->p + i + 1, rest->len - i - 1};
	return at_member_end(rest);
}

int digest_want_parse(struct digest_want *w, struct str header, struct err *e)
{
	struct str rest = str_trim(header), key, base64;
	bool any = false;

	if (rest.len == 0)
		return malformed(e);
	while (rest.len) {
		if (!take_member(&rest, &key, &base64))
			return malformed(e);
		for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
			int rc;

			if (!str_eq(key, str_of(algorithms[i].key)))
				continue;
			rc = want(w, &algorithms[i], base64, e);
			if (rc)
				return rc;
			any = true;
		}
	}
	if (any)
		return 0;
	return err_set(e, ERR_UNSUPPORTED_DIGEST, "sha-256, sha-512 and md5 are supported");
}

int digest_want_md5(struct digest_want *w, struct str header, struct err *e)
{
	return want(w, &algorithms[0], str_trim(header), e);
}

/* A comma inside a quoted string does not end a preference. */
static struct str take_preference(struct str *rest)
{
	struct str one = *rest;
	bool quoted = false;
	size_t i;

	for (i = 0; i < rest->len && (quoted || rest->p[i] != ','); i++) {
		if (rest->p[i] == '\\' && quoted)
			i++;
		else if (rest->p[i] == '"')
			quoted = !quoted;
	}
	if (i > rest->len)
		i = rest->len;
	one.len = i;
	*rest = i < rest->len ? (struct str){rest->p + i + 1, rest->len - i - 1} : (struct str){};
	return one;
}

int prefer_wait_s(struct str header)
{
	struct str rest = header, value, name;
	uint64_t seconds;

	while (rest.p) {
		struct str parameters;

		name = str_split(take_preference(&rest), ';', &parameters);
		name = str_trim(str_split(name, '=', &value));
		if (!str_eq_nocase(name, STR("wait")))
			continue;
		/* The first of several counts: RFC 7240 §2. */
		value = str_trim(value);
		return value.p && str_to_u64(value, &seconds) && seconds <= INT32_MAX ? (int)seconds : -1;
	}
	return -1;
}

bool media_type_is(struct str content_type, const char *type)
{
	struct str parameters;

	return str_eq_nocase(str_trim(str_split(content_type, ';', &parameters)), str_of(type));
}
