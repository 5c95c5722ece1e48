#include "auth/token.h"
#include "base/wipe.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

static const char *const prefixes[] = {[TOKEN_SESSION] = "fms_", [TOKEN_KEY] = "fmk_"};
#define PREFIX 4

static_assert(PREFIX + sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_URLSAFE_NO_PADDING) == TOKEN_TEXT + 1);
static_assert(TOKEN_HASH == crypto_hash_sha256_BYTES);

struct token token_make(enum token_kind kind, const uint8_t random[32])
{
	struct token t;

	memcpy(t.text, prefixes[kind], PREFIX);
	sodium_bin2base64(t.text + PREFIX, sizeof(t.text) - PREFIX, random, 32, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	return t;
}

/* Also the last character is one that 32 bytes come to: no two texts mean the same. */
static bool is_base64_of_32(const char *p)
{
	uint8_t bytes[32];
	size_t n;
	bool ok = sodium_base642bin(bytes, sizeof(bytes), p, TOKEN_TEXT - PREFIX, NULL, &n, NULL,
				    sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 &&
		  n == sizeof(bytes);

	wipe(bytes, sizeof(bytes));
	return ok;
}

bool token_read(struct str text, enum token_kind *ret_kind, uint8_t ret_hash[TOKEN_HASH])
{
	enum token_kind kind;

	if (text.len != TOKEN_TEXT)
		return false;
	if (memcmp(text.p, prefixes[TOKEN_SESSION], PREFIX) == 0)
		kind = TOKEN_SESSION;
	else if (memcmp(text.p, prefixes[TOKEN_KEY], PREFIX) == 0)
		kind = TOKEN_KEY;
	else
		return false;
	if (!is_base64_of_32(text.p + PREFIX))
		return false;
	crypto_hash_sha256(ret_hash, (const unsigned char *)text.p, text.len);
	*ret_kind = kind;
	return true;
}

/* HMAC-SHA256 (RFC 2104) over two parts as one text. */
static void hmac(uint8_t ret[32], struct str key, struct str a, struct str b)
{
	crypto_auth_hmacsha256_state s;

	crypto_auth_hmacsha256_init(&s, (const unsigned char *)key.p, key.len);
	crypto_auth_hmacsha256_update(&s, (const unsigned char *)a.p, a.len);
	crypto_auth_hmacsha256_update(&s, (const unsigned char *)b.p, b.len);
	crypto_auth_hmacsha256_final(&s, ret);
	wipe(&s, sizeof(s));
}

void token_csrf(char ret[CSRF_TEXT + 1], struct str token)
{
	uint8_t mac[32];

	hmac(mac, token, STR("csrf"), STR(""));
	sodium_bin2base64(ret, CSRF_TEXT + 1, mac, sizeof(mac), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

bool token_csrf_right(struct str csrf, struct str token)
{
	char right[CSRF_TEXT + 1];

	token_csrf(right, token);
	return str_eq_const_time(csrf, (struct str){right, CSRF_TEXT});
}

void token_signing_secret(uint8_t ret[32], const uint8_t server_secret[32], struct str key_id)
{
	hmac(ret, (struct str){(const char *)server_secret, 32}, STR("key-signature:"), key_id);
}
