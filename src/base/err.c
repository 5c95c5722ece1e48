#include "base/err.h"

#include "base/str.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct err_info table[] = {
#define ERR_ROW(NAME, number, word, status, retry, title) {-(number), word, status, retry, title},
#include "base/err_table.h"
#undef ERR_ROW
};

const struct err_info *err_all(unsigned *ret_n)
{
	*ret_n = ARRAY_LEN(table);
	return table;
}

const struct err_info *err_info(int code)
{
	const struct err_info *internal = NULL;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].code == code)
			return &table[i];
		if (table[i].code == ERR_INTERNAL)
			internal = &table[i];
	}
	/* The loop saw the whole table, so it met ERR_INTERNAL's row. */
	assert(internal);
	return internal;
}

/* Copies text into a fixed array, cut between characters when it is too long. */
static void put(char *dst, size_t size, const char *text)
{
	size_t n = utf8_prefix(str_of(text), size - 1);

	memmove(dst, text, n);
	dst[n] = '\0';
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	/* Arguments may point into e (a detail set earlier), so the text is made aside; longer than it can
	 * become, so that put() sees where the last character ends. */
	char text[ERR_DETAIL_MAX + 4];
	va_list ap;

	assert(code < 0);
	if (!e)
		return code;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	*e = ERR_INIT;
	e->code = code;
	put(e->detail, sizeof(e->detail), text);
	return code;
}

static int code_of_errno(int errno_value)
{
	switch (errno_value) {
	case ENOSPC:
	case EDQUOT:
		return ERR_STORAGE_FULL;
	case ENOMEM:
		return ERR_NO_MEMORY;
	case EMFILE:
	case ENFILE:
		return ERR_OVERLOADED;
	case EROFS:
	case EACCES:
		return ERR_STORAGE_READONLY;
	default:
		return ERR_IO;
	}
}

int err_errno(struct err *e, int errno_value, const char *call)
{
	char text[128] = "";

	return err_set(e, code_of_errno(errno_value), "%s: %s", call, strerror_r(errno_value, text, sizeof(text)));
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char context[ERR_DETAIL_MAX], text[2 * ERR_DETAIL_MAX + 2];
	va_list ap;

	if (!e)
		return ERR_INTERNAL;
	va_start(ap, fmt);
	if (vsnprintf(context, sizeof(context), fmt, ap) < 0)
		context[0] = '\0';
	va_end(ap);
	snprintf(text, sizeof(text), "%s: %s", context, e->detail);
	put(e->detail, sizeof(e->detail), text);
	return e->code;
}

int err_field(struct err *e, const char *field)
{
	if (!e)
		return ERR_INTERNAL;
	put(e->field, sizeof(e->field), field);
	return e->code;
}

int err_expected(struct err *e, const char *expected)
{
	if (!e)
		return ERR_INTERNAL;
	put(e->expected, sizeof(e->expected), expected);
	return e->code;
}

int err_limit(struct err *e, int64_t limit)
{
	if (!e)
		return ERR_INTERNAL;
	e->limit = limit;
	return e->code;
}
