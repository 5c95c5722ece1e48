/* The error convention.
 *
 * A function that can fail returns 0 or one of the negative codes below and, when the caller
 * passed one, fills a `struct err` with what helps a person. The struct is caller-owned, comes last in
 * the argument list, may be NULL, and is written only on failure. Callers add context on
 * the way up with err_wrap(); the top (an HTTP answer, `main`) reports it once. Low floors do not log.
 *
 * One table (err_table.h) gives every code its stable snake_case word, HTTP status, title and whether trying again may help.
 * The words are part of the public API: never rename one. */
#ifndef FILEMILL_BASE_ERR_H
#define FILEMILL_BASE_ERR_H

#include "base/compiler.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum err_code {
	ERR_OK = 0,
#define ERR_ROW(NAME, number, word, status, retry, title) ERR_##NAME = -(number),
#include "base/err_table.h"
#undef ERR_ROW
};

struct err_info {
	int code; /* negative */
	const char *name; /* snake_case, the `code` member of a problem answer */
	int http_status; /* 400..599 */
	bool retryable; /* the same request may succeed later */
	const char *title; /* one short English sentence without the details */
};

#define ERR_DETAIL_MAX 320
#define ERR_WORD_MAX 96

struct err {
	int code; /* 0 while nothing failed */
	char detail[ERR_DETAIL_MAX]; /* for people; never a path, SQL or a secret: it may reach a client */
	char field[ERR_WORD_MAX]; /* member, parameter or header at fault; "" when none */
	char expected[ERR_WORD_MAX]; /* what would have been right; "" when not known */
	int64_t limit; /* the limit that was passed; -1 when none */
	int retry_after_s; /* seconds; 0 when not known */
};

#define ERR_INIT ((struct err){.limit = -1})

/* Sets code and detail, clears the other members and returns the code, so that `return err_set(e, ERR_X, "…")` reads well. e may be NULL. */
ATTR_PRINTF(3, 4) int err_set(struct err *e, int code, const char *fmt, ...);

/* err_set() from errno: ENOSPC and EDQUOT become ERR_STORAGE_FULL, ENOMEM ERR_NO_MEMORY, EMFILE and ENFILE
 * ERR_OVERLOADED, EROFS and EACCES ERR_STORAGE_READONLY, everything else ERR_IO. The detail names
 * the call, never a path. */
int err_errno(struct err *e, int errno_value, const char *call);

/* Puts "context: " in front of the detail; keeps the code. Returns e->code (or ERR_INTERNAL when e is NULL). */
ATTR_PRINTF(2, 3) int err_wrap(struct err *e, const char *fmt, ...);

/* Sets the members beside the detail. Each returns e->code for chaining at a return statement. */
int err_field(struct err *e, const char *field);
int err_expected(struct err *e, const char *expected);
int err_limit(struct err *e, int64_t limit);

/* The row of a code; an unknown code gives ERR_INTERNAL's row. Never NULL. */
const struct err_info *err_info(int code);

/* The whole table, for documentation and tests. Sets *ret_n to the number of rows. */
const struct err_info *err_all(unsigned *ret_n);

#endif
