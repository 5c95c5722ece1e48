/* A password from whoever sits at the terminal, or from what standard input is connected to. */
#ifndef FILEMILL_APP_ASK_H
#define FILEMILL_APP_ASK_H

#include "auth/password.h"
#include "base/err.h"

#include <stddef.h>

struct asked {
	char text[PASSWORD_BYTES_MAX + 2]; /* one byte more than allowed, so that longer ones are seen to be */
	size_t len;
};

/* One line, without its end. At a terminal nothing is shown and it is asked for twice. ERR_INVALID_VALUE: no password was given, it cannot be one (password_allowed()), or the second is not the
 * first; ERR_CANCELLED: a signal came. The caller clears *ret with wipe(), also after an error. */
[[nodiscard]] int ask_password(struct asked *ret, struct err *e);

#endif
