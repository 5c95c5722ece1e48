/* Structured fields (RFC 8941), read in place: lists of items with parameters, and dictionaries of inner lists and byte sequences. */
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
	bool inner_begun; /* an item of the inner list was read */
};
struct sf_reader sf_reader(struct str field);
/* Next list member: 1 and *ret, 0 at the end, ERR_BAD_HEADER when malformed. Parameters not asked for are checked and skipped.
 * The text is borrowed from the field or the reader, so the reader must not be moved; it stays until the next member is read. */
int sf_next_item(struct sf_reader *s, struct sf_item *ret, struct err *e);
/* Next parameter of the current member: 1 and *ret_key, *ret, 0 when there is none, ERR_BAD_HEADER. The key is borrowed from the field. */
int sf_next_param(struct sf_reader *s, struct str *ret_key, struct sf_item *ret, struct err *e);

/* A dictionary (§4.2.2): for each member its key, then its value by the function for what it is to be, then its parameters by sf_next_param().
 * Next member: 1 and *ret_key, borrowed from the field; 0 at the end; ERR_BAD_HEADER. The value of the member before must have been read. A key that comes twice is not noticed. */
int sf_next_key(struct sf_reader *s, struct str *ret_key, struct err *e);
/* The value is an inner list (§4.2.1.2), whose items sf_next_inner() gives: 1 and *ret, 0 at its end, ERR_BAD_HEADER. Each may be followed by sf_next_param(). */
[[nodiscard]] int sf_open_inner(struct sf_reader *s, struct err *e);
int sf_next_inner(struct sf_reader *s, struct sf_item *ret, struct err *e);
/* The value is a byte sequence (§4.2.7) of at most `size` bytes. One text for the same bytes: base64 is read strictly. */
[[nodiscard]] int sf_bytes(struct sf_reader *s, void *dst, size_t size, size_t *ret_n, struct err *e);

#endif
