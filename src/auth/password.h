/* Passwords: what may be one, and Argon2id (RFC 9106) over libsodium with the parameters of docs/security.md: 19 MiB, 2 passes, 1 lane.
 *
 * Hashing takes tens of milliseconds of a processor and 19 MiB, whoever asks: never on an HTTP thread, and only so many at once as somebody bounds. */
#ifndef FILEMILL_AUTH_PASSWORD_H
#define FILEMILL_AUTH_PASSWORD_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>

#define PASSWORD_CHARACTERS_MIN 10
#define PASSWORD_BYTES_MAX 1024
#define PASSWORD_TEXT 128 /* bytes of a hash as text, with its NUL */

/* Length alone is asked for: no rules of composition, which make passwords worse (NIST SP 800-63B §5.1.1.2). ERR_INVALID_VALUE with the field `password`. */
[[nodiscard]] int password_allowed(struct str password, struct err *e);
/* With a salt of its own. Slow. ERR_NO_MEMORY. */
[[nodiscard]] int password_hash(char ret[PASSWORD_TEXT], struct str password, struct err *e);
/* Whether `hash`, a text of password_hash(), is this password's. Slow, and equally so for an empty text, which is nobody's: whoever asks for an unknown account learns nothing by the time. ERR_NO_MEMORY. */
[[nodiscard]] int password_check(struct str hash, struct str password, bool *ret, struct err *e);
#endif
