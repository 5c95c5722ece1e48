/* What the routes of operators share. */
#ifndef FILEMILL_API_ADMIN_H
#define FILEMILL_API_ADMIN_H

#include "front/front.h"

/* `?owner=`: an account's id or `public`; absent: OWNER_ANY. ERR_BAD_PARAMETER. */
[[nodiscard]] int admin_owner(struct http_request *r, struct str *ret, struct err *e);
/* The same for a text that came elsewhere; p NULL = absent. */
[[nodiscard]] int admin_owner_of(struct str text, struct str *ret, struct err *e);

#endif
