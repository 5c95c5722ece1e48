/* What is shown instead of a password: `fms_` for a session, `fmk_` for a key, and 43 characters of base64url (RFC 4648 §5), 256 random bits. The server keeps SHA-256 of the whole text: so many
 * random bits need no slow hash, and what is looked up by its hash is compared with nothing that could be timed. */
#ifndef FILEMILL_AUTH_TOKEN_H
#define FILEMILL_AUTH_TOKEN_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_TEXT 47 /* characters */
#define TOKEN_HASH 32
#define CSRF_TEXT 43

enum token_kind { TOKEN_SESSION, TOKEN_KEY };

/* Cleared with wipe() by whoever holds one. */
struct token {
	char text[TOKEN_TEXT + 1];
};

struct token token_make(enum token_kind kind, const uint8_t random[32]);
/* False: no token's form. Any text may be given. */
bool token_read(struct str text, enum token_kind *ret_kind, uint8_t ret_hash[TOKEN_HASH]);

/* What a page shows beside its cookie (docs/security.md): made from the session's token, so that only who knows that one can tell it, and of no use to find it. */
void token_csrf(char ret[CSRF_TEXT + 1], struct str token);
/* In constant time. */
bool token_csrf_right(struct str csrf, struct str token);

/* The secret a key signs with (RFC 9421), derived from one of the server's own secrets and the key's id as text; kept nowhere. */
void token_signing_secret(uint8_t ret[32], const uint8_t server_secret[32], struct str key_id);

#endif
