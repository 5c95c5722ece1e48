/* Requests that are signed with a key (RFC 9421, auth/signature.h). For front_admit(). docs/security.md says what a client does. */
#ifndef FILEMILL_FRONT_SIGNED_H
#define FILEMILL_FRONT_SIGNED_H

#include "front/caller.h"

/* It brings a signature along, good or bad: no other way to say who asks is looked at. */
bool signed_is(struct http_request *r);

/* Judges it: HTTP_ADMIT_LATER when nothing is wrong so far, else ERR_BAD_HEADER, ERR_BAD_SIGNATURE, ERR_FORBIDDEN. The request goes on once its nonce is on disk as used up (ERR_REPLAYED when it was
 * used before), and its handler's end() comes only for a body with the digest that was signed (ERR_DIGEST_MISMATCH). HTTP thread. */
[[nodiscard]] int signed_admit(struct http_request *r, struct err *e);

#endif
