/* Links: addresses that need no login, whose limits lie inside their signature (docs/adr/0033-links.md).
 *
 * A link's token is `<number>.<payload>.<signature>`, both parts in base64url (RFC 4648 §5): the number of the secret it was signed with, what it allows, and HMAC-SHA256 over
 * "link:", the link's id as it stands in the path, "?", and all of the token before its last dot. So the text that was signed is the text that is sent: there is nothing to
 * normalise, and no second spelling. A link's whole meaning is in it; the server keeps nothing but the mark that it was used. Any thread. */
#ifndef FILEMILL_AUTH_LINK_H
#define FILEMILL_AUTH_LINK_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stdint.h>

#define LINK_SECRET 32 /* bytes */
#define LINK_ONCE 32 /* bytes */
#define LINK_NAME_MAX 255 /* bytes of a file's name */
#define LINK_TYPE_MAX 127 /* bytes: RFC 6838 §4.2 */
#define LINK_OPS_MAX 1024 /* bytes */
#define LINK_TOKEN_MAX 2560 /* bytes */

enum link_method { LINK_GET, LINK_PUT, LINK_METHODS };
const char *link_method_name(enum link_method m);
bool link_method_parse(enum link_method *ret, struct str name);

/* Texts have no control characters. */
struct link {
	struct uuid id;
	enum link_method method;
	bool single_use;
	bool size_exact; /* PUT: the file has `size` bytes, not just at most */
	int64_t issued_at, expires_at; /* Unix ms */
	struct uuid account; /* whose it is; zero: nobody's, made by an anonymous caller */
	struct uuid key; /* the API key it was made with, and ends with; zero: none */
	struct uuid file; /* GET; else zero */
	uint64_t size; /* PUT: bytes of the file at most; else 0 */
	struct str type, ops, name; /* PUT: "" = free; else "" */
};

/* One of the secrets that links are signed with. */
struct link_secret {
	int64_t number; /* above 0 */
	uint8_t bytes[LINK_SECRET];
};

/* Appends the token. ERR_INVALID_VALUE: a text that is too long or has control characters. */
[[nodiscard]] int link_write(struct buf *ret, const struct link *l, const struct link_secret *secret, struct err *e);

/* The link of a token that came with this id in its path, if it was signed with one of the secrets. Texts are in the arena. ERR_LINK_INVALID. ERR_LINK_EXPIRED: it was right. */
[[nodiscard]] int link_read(struct link *ret, struct str id, struct str token, const struct link_secret *secrets, size_t n, int64_t now,
			    struct arena *a, struct err *e);

/* The mark of its use. */
void link_once(uint8_t ret[LINK_ONCE], struct uuid id);

#endif
