/* The payload is one line a field, in this order and no other, the last without an end. Numbers are decimal without leading zeros, ids lower-case, what does not apply is empty: what is read
 * and written again is the same text. */
#include "auth/link.h"
#include "base/compiler.h"
#include "base/wipe.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

enum field {
	FIELD_METHOD,
	FIELD_SINGLE_USE,
	FIELD_ISSUED,
	FIELD_EXPIRES,
	FIELD_ACCOUNT,
	FIELD_KEY,
	FIELD_FILE,
	FIELD_SIZE,
	FIELD_EXACT,
	FIELD_TYPE,
	FIELD_OPS,
	FIELD_NAME,
	FIELDS,
};

#define SIGNATURE_TEXT 43 /* 32 bytes as base64url */
#define NUMBERS_MAX ((size_t)256) /* bytes of all fields that are not texts, with the ends of lines */
#define PAYLOAD_MAX (NUMBERS_MAX + LINK_TYPE_MAX + LINK_OPS_MAX + LINK_NAME_MAX)
#define BASE64URL sodium_base64_VARIANT_URLSAFE_NO_PADDING

static_assert(sodium_base64_ENCODED_LEN(PAYLOAD_MAX, BASE64URL) + SIGNATURE_TEXT + 22 <= LINK_TOKEN_MAX);
static_assert(sodium_base64_ENCODED_LEN(crypto_auth_hmacsha256_BYTES, BASE64URL) == SIGNATURE_TEXT + 1);
static_assert(LINK_ONCE == crypto_hash_sha256_BYTES);

static const char *const method_names[LINK_METHODS] = {[LINK_GET] = "GET", [LINK_PUT] = "PUT"};

const char *link_method_name(enum link_method m)
{
	return method_names[m];
}

bool link_method_parse(enum link_method *ret, struct str name)
{
	for (enum link_method m = 0; m < LINK_METHODS; m++)
		if (str_eq(name, str_of(method_names[m]))) {
			*ret = m;
			return true;
		}
	return false;
}

static void sign(uint8_t ret[crypto_auth_hmacsha256_BYTES], struct str id, struct str text, const uint8_t secret[LINK_SECRET])
{
	const struct str parts[] = {STR("link:"), id, STR("?"), text};
	crypto_auth_hmacsha256_state s;

	crypto_auth_hmacsha256_init(&s, secret, LINK_SECRET);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		crypto_auth_hmacsha256_update(&s, (const unsigned char *)parts[i].p, parts[i].len);
	crypto_auth_hmacsha256_final(&s, ret);
	wipe(&s, sizeof(s));
}

void link_once(uint8_t ret[LINK_ONCE], struct uuid id)
{
	uint8_t text[5 + sizeof(id.b)] = "link";

	memcpy(text + 5, id.b, sizeof(id.b));
	crypto_hash_sha256(ret, text, sizeof(text));
}

/* ---- writing ---- */

static int check_text(struct str s, size_t max, const char *field, struct err *e)
{
	bool good = s.len <= max;

	for (size_t i = 0; good && i < s.len; i++)
		good = (unsigned char)s.p[i] >= ' ' && s.p[i] != 0x7f;
	if (good)
		return 0;
	err_set(e, ERR_INVALID_VALUE, "in a link %s has at most %zu bytes and no control characters", field, max);
	err_limit(e, (int64_t)max);
	return err_field(e, field);
}

static int check_texts(const struct link *l, struct err *e)
{
	int rc = check_text(l->type, LINK_TYPE_MAX, "type", e);

	if (rc == 0)
		rc = check_text(l->ops, LINK_OPS_MAX, "ops", e);
	return rc == 0 ? check_text(l->name, LINK_NAME_MAX, "name", e) : rc;
}

static void add_id(struct buf *b, struct uuid id)
{
	char text[UUID_TEXT_LEN + 1];

	if (!uuid_is_zero(id)) {
		uuid_format(text, id);
		buf_add_cstr(b, text);
	}
	buf_add_char(b, '\n');
}

static void add_number(struct buf *b, uint64_t v)
{
	buf_add_u64(b, v);
	buf_add_char(b, '\n');
}

static void add_payload(struct buf *b, const struct link *l)
{
	buf_addf(b, "%s\n", method_names[l->method]);
	add_number(b, l->single_use);
	add_number(b, (uint64_t)l->issued_at);
	add_number(b, (uint64_t)l->expires_at);
	add_id(b, l->account);
	add_id(b, l->key);
	add_id(b, l->file);
	add_number(b, l->size);
	add_number(b, l->size_exact);
	buf_add_str(b, l->type);
	buf_add_char(b, '\n');
	buf_add_str(b, l->ops);
	buf_add_char(b, '\n');
	buf_add_str(b, l->name);
}

static void add_base64url(struct buf *b, const void *data, size_t n)
{
	char text[sodium_base64_ENCODED_LEN(PAYLOAD_MAX, BASE64URL)];

	buf_add_cstr(b, sodium_bin2base64(text, sizeof(text), data, n, BASE64URL));
}

int link_write(struct buf *ret, const struct link *l, const struct link_secret *secret, struct err *e)
{
	CLEANUP(buf_release) struct buf payload = {.limit = PAYLOAD_MAX}, token = BUF_INIT;
	uint8_t mac[crypto_auth_hmacsha256_BYTES];
	char id[UUID_TEXT_LEN + 1];
	int rc = check_texts(l, e);

	if (rc != 0)
		return rc;
	add_payload(&payload, l);
	if (!buf_ok(&payload))
		return err_set(e, ERR_NO_MEMORY, "no memory for a link");
	buf_add_u64(&token, (uint64_t)secret->number);
	buf_add_char(&token, '.');
	add_base64url(&token, payload.p, payload.len);
	uuid_format(id, l->id);
	if (buf_ok(&token))
		sign(mac, str_of(id), buf_str(&token), secret->bytes);
	buf_add_char(&token, '.');
	add_base64url(&token, mac, sizeof(mac));
	if (!buf_ok(&token))
		return err_set(e, ERR_NO_MEMORY, "no memory for a link");
	buf_add_str(ret, buf_str(&token));
	return 0;
}

/* ---- reading ---- */

static bool read_number(uint64_t *ret, struct str s, uint64_t max)
{
	return str_to_u64(s, ret) && *ret <= max && (s.len == 1 || s.p[0] != '0');
}

static bool read_bool(bool *ret, struct str s)
{
	uint64_t v = 0;
	bool ok = read_number(&v, s, 1);

	*ret = v == 1;
	return ok;
}

static bool read_time(int64_t *ret, struct str s)
{
	uint64_t v = 0;
	bool ok = read_number(&v, s, INT64_MAX);

	*ret = (int64_t)v;
	return ok;
}

/* The zero id is written as nothing, so that it has no second form. */
static bool read_id(struct uuid *ret, struct str s)
{
	*ret = (struct uuid){};
	return s.len == 0 || (uuid_parse(ret, s) && !uuid_is_zero(*ret));
}

static bool split(struct str fields[FIELDS], struct str payload)
{
	for (unsigned i = 0; i < FIELDS; i++) {
		if (payload.p == NULL)
			return false;
		fields[i] = str_split(payload, '\n', &payload);
	}
	return payload.p == NULL;
}

static bool read_payload(struct link *l, struct str payload)
{
	struct str f[FIELDS];

	if (!split(f, payload) || !link_method_parse(&l->method, f[FIELD_METHOD]) || !read_bool(&l->single_use, f[FIELD_SINGLE_USE]) ||
	    !read_time(&l->issued_at, f[FIELD_ISSUED]) || !read_time(&l->expires_at, f[FIELD_EXPIRES]) ||
	    !read_id(&l->account, f[FIELD_ACCOUNT]) || !read_id(&l->key, f[FIELD_KEY]) || !read_id(&l->file, f[FIELD_FILE]) ||
	    !read_number(&l->size, f[FIELD_SIZE], UINT64_MAX) || !read_bool(&l->size_exact, f[FIELD_EXACT]))
		return false;
	l->type = f[FIELD_TYPE];
	l->ops = f[FIELD_OPS];
	l->name = f[FIELD_NAME];
	if (check_texts(l, NULL) != 0)
		return false;
	return l->method == LINK_PUT ? uuid_is_zero(l->file) : !uuid_is_zero(l->file);
}

/* The texts are compared, not the bytes they stand for: libsodium's decoder takes the byte 0xdf for '_' too. */
static bool signed_by(const struct link_secret *secret, struct str id, struct str text, struct str signature)
{
	uint8_t mac[crypto_auth_hmacsha256_BYTES];
	char right[SIGNATURE_TEXT + 1];

	sign(mac, id, text, secret->bytes);
	sodium_bin2base64(right, sizeof(right), mac, sizeof(mac), BASE64URL);
	bool same = str_eq_const_time(signature, (struct str){right, SIGNATURE_TEXT});
	wipe(mac, sizeof(mac));
	wipe(right, sizeof(right));
	return same;
}

/* Nothing is looked into before the signature was found right. */
static bool verify(struct str id, struct str token, const struct link_secret *secrets, size_t n, struct str *ret_payload)
{
	struct str rest, number_text;
	uint64_t number;

	if (token.len <= SIGNATURE_TEXT + 1 || token.len > LINK_TOKEN_MAX || token.p[token.len - SIGNATURE_TEXT - 1] != '.')
		return false;
	const struct str text = {token.p, token.len - SIGNATURE_TEXT - 1}, signature = {token.p + text.len + 1, SIGNATURE_TEXT};
	number_text = str_split(text, '.', &rest);
	if (rest.p == NULL || !read_number(&number, number_text, INT64_MAX))
		return false;
	for (size_t i = 0; i < n; i++)
		if ((uint64_t)secrets[i].number == number) {
			*ret_payload = rest;
			return signed_by(&secrets[i], id, text, signature);
		}
	return false;
}

static int decode(struct str *ret, struct str text, struct arena *a, struct err *e)
{
	uint8_t *bytes = arena_alloc(a, PAYLOAD_MAX);
	size_t n = 0;

	if (bytes == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a link");
	if (sodium_base642bin(bytes, PAYLOAD_MAX, text.p, text.len, NULL, &n, NULL, BASE64URL) != 0)
		return err_set(e, ERR_LINK_INVALID, "what this link allows cannot be read");
	*ret = (struct str){(const char *)bytes, n};
	return 0;
}

int link_read(struct link *ret, struct str id, struct str token, const struct link_secret *secrets, size_t n, int64_t now, struct arena *a,
	      struct err *e)
{
	struct str text = {}, payload = {};
	struct link l = {};

	if (!uuid_parse(&l.id, id) || !verify(id, token, secrets, n, &text))
		return err_set(e, ERR_LINK_INVALID, "this is no link that the server has signed, or not as it was signed");
	int rc = decode(&payload, text, a, e);
	if (rc != 0)
		return rc;
	if (!read_payload(&l, payload))
		return err_set(e, ERR_LINK_INVALID, "what this link allows cannot be read");
	if (now >= l.expires_at)
		return err_set(e, ERR_LINK_EXPIRED, "the time of this link is over");
	*ret = l;
	return 0;
}
