/* Structured fields (RFC 8941): lists of items with parameters, read in place. */
#ifndef FILEMILL_BASE_SF_H
#define FILEMILL_BASE_SF_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* A reader for lists with parameters (RFC 8941 §4.2.1).
 * Tokens, strings (escapes resolved into the item's buffer), integers, decimals refused, booleans, byte sequences refused. */
struct sf_item {
	enum { SF_TOKEN, SF_STRING, SF_INTEGER, SF_BOOLEAN } kind;
	struct str text; /* token or string content */
	int64_t integer; /* integer or boolean */
};
struct sf_reader {
	struct str rest;
	char scratch[256]; /* the strings with escapes of one member; together at most 255 bytes */
	unsigned scratch_used;
	bool started;
};
struct sf_reader sf_reader(struct str field);
/* Next list member: 1 and *ret, 0 at the end, ERR_BAD_HEADER when malformed. Parameters not asked for are checked and skipped.
 * The text is borrowed from the field or the reader, so the reader must not be moved; it stays until the next member is read. */
int sf_next_item(struct sf_reader *s, struct sf_item *ret, struct err *e);
/* Next parameter of the current member: 1 and *ret_key, *ret, 0 when there is none, ERR_BAD_HEADER. The key is borrowed from the field. */
int sf_next_param(struct sf_reader *s, struct str *ret_key, struct sf_item *ret, struct err *e);

#endif
