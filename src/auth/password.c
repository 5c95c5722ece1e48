#include "auth/password.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#define PASSES 2
#define MEMORY (19u << 20) /* bytes */

/* Of no password: stands in where there is no account, and costs what a real one does. Its salt and tag are arbitrary. */
static const char nobodys[] = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdCEhIQ$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

static_assert(PASSWORD_TEXT >= crypto_pwhash_STRBYTES);

static size_t characters(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static int refuse(struct err *e, const char *detail)
{
	err_set(e, ERR_INVALID_VALUE, "%s", detail);
	return err_field(e, "password");
}

int password_allowed(struct str password, struct err *e)
{
	if (password.len > PASSWORD_BYTES_MAX) {
		refuse(e, "a password is at most 1024 bytes long");
		return err_limit(e, PASSWORD_BYTES_MAX);
	}
	if (!utf8_valid(password) || memchr(password.p, '\0', password.len) != NULL)
		return refuse(e, "a password is UTF-8 without NUL");
	if (characters(password) < PASSWORD_CHARACTERS_MIN) {
		refuse(e, "a password is at least 10 characters long");
		return err_limit(e, PASSWORD_CHARACTERS_MIN);
	}
	return 0;
}

/* May be called again and from any thread. */
static int begin(struct err *e)
{
	return sodium_init() >= 0 ? 0 : err_set(e, ERR_INTERNAL, "the library for passwords does not start");
}

int password_hash(char ret[PASSWORD_TEXT], struct str password, struct err *e)
{
	char text[crypto_pwhash_STRBYTES];
	int rc = begin(e);

	if (rc != 0)
		return rc;
	if (crypto_pwhash_str_alg(text, password.p, password.len, PASSES, MEMORY, crypto_pwhash_ALG_ARGON2ID13) != 0)
		return err_set(e, ERR_NO_MEMORY, "no memory to hash a password");
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

int password_check(struct str hash, struct str password, bool *ret, struct err *e)
{
	char text[PASSWORD_TEXT] = "";
	bool known = hash.len > 0 && hash.len < sizeof(text);
	int rc = begin(e);

	if (rc != 0)
		return rc;
	if (known)
		memcpy(text, hash.p, hash.len);
	errno = 0;
	int no = crypto_pwhash_str_verify(known ? text : nobodys, password.p, password.len);
	/* a password that does not match is EINVAL, as is a text that is no hash */
	if (no != 0 && errno == ENOMEM)
		return err_set(e, ERR_NO_MEMORY, "no memory to check a password");
	*ret = known && no == 0;
	return 0;
}
