/* HTTP Message Signatures (RFC 9421) with hmac-sha256, as this server takes them: one signature a message, read strictly. Pure functions: nothing here knows a request, a
 * key store or a clock.
 *
 *	Signature-Input: sig1=("@method" "@target-uri" "content-digest");created=1618884473;keyid="…";nonce="…"
 *	Signature: sig1=:base64 of 32 bytes:
 */
#ifndef FILEMILL_AUTH_SIGNATURE_H
#define FILEMILL_AUTH_SIGNATURE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define SIGNATURE_COMPONENTS_MAX 32
#define SIGNATURE_NONCE_MIN 16 /* bytes */
#define SIGNATURE_NONCE_MAX 64
#define SIGNATURE_WINDOW_S 300 /* `created` may differ from our clock by so much, either way */
#define SIGNATURE_BYTES 32
#define SIGNATURE_ONCE 32 /* bytes */

struct signature {
	struct str components[SIGNATURE_COMPONENTS_MAX]; /* in the order of the list; no two are the same */
	unsigned n_components;
	int64_t created, expires; /* Unix s; -1 = not given */
	struct str keyid, nonce, alg; /* p NULL = not given */
	struct str params; /* the list with its parameters in the one form that is signed (§2.3) */
	uint8_t mac[SIGNATURE_BYTES];
};

/* Both fields as they came, several lines joined by a comma (p NULL = absent). What cannot be a signature for this server whatever the key is ERR_BAD_HEADER with the field: syntax,
 * more than one signature, a component twice or with parameters, an unknown derived component or parameter, another algorithm. Texts lie in the arena. ERR_NO_MEMORY */
[[nodiscard]] int signature_parse(struct signature *ret, struct str input, struct str field, struct arena *a, struct err *e);
bool signature_covers(const struct signature *s, struct str component); /* names of fields in any case */

/* What a signature must have here beyond being one. ERR_BAD_HEADER: `created`, `keyid` or `nonce` is missing, the nonce's length. ERR_BAD_SIGNATURE: it does not cover @method and
 * @target-uri, and content-digest where there is a body; `created` is further than SIGNATURE_WINDOW_S from now; `expires` is past. */
[[nodiscard]] int signature_check(const struct signature *s, bool has_body, int64_t now_s, struct err *e);

/* The message as it came. Everything is borrowed. */
struct signed_message {
	struct str method; /* GET */
	struct str scheme; /* http or https: the client's, whatever a proxy took off on the way */
	struct str authority; /* the value of Host */
	struct str target; /* path and query, escapes as they came */
	struct str (*field)(const void *arg,
			    struct str name); /* lower-case name; several lines joined by ", ", trimmed; p NULL when there is none */
	const void *arg;
};

/* The signature base (§2.5). ERR_BAD_SIGNATURE: a covered field is not there, or has other characters than printable ASCII. */
[[nodiscard]] int signature_base(struct buf *ret, const struct signature *s, const struct signed_message *m, struct err *e);

/* HMAC-SHA256 (§3.3.3) of the base under this key, compared in constant time. */
bool signature_is_by(const struct signature *s, struct str base, const void *key, size_t n);

/* The mark of its use: SHA-256 of "nonce", NUL, the key's id, NUL, the nonce. It must have both. */
void signature_once(uint8_t ret[SIGNATURE_ONCE], const struct signature *s);

#endif
