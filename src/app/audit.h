/* filemill audit: the log checked and shown, beside a running server or without one. */
#ifndef FILEMILL_APP_AUDIT_H
#define FILEMILL_APP_AUDIT_H

#include "base/err.h"
#include "cli/settings.h"

#include <stdbool.h>
#include <stdio.h>

struct audit_options {
	const char *head; /* "LINE:HASH" that must be in the log; NULL = none */
	const char *act; /* how the act of what is shown begins; NULL = all */
	char **files; /* to look at, in this order; none: those of the data directory */
	int n_files;
};

/* Tells what it found in one line. *ret_fine: nothing is wrong. An error: it could not be looked at. */
[[nodiscard]] int audit_verify(FILE *out, const struct settings *s, const struct audit_options *o, bool *ret_fine, struct err *e);
[[nodiscard]] int audit_show(FILE *out, const char *data_dir, const struct audit_options *o, struct err *e);

#endif
