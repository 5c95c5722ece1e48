/* Writing JSON (RFC 8259) straight into a buffer. Commas are placed by the writer; nesting is at most 16 deep.
 * Strings must be valid UTF-8; a byte that is not is written as U+FFFD, so the output is valid JSON whatever comes in. */
#ifndef FILEMILL_BASE_JSON_OUT_H
#define FILEMILL_BASE_JSON_OUT_H

#include "base/buf.h"

struct json_out {
	struct buf *b; /* borrowed */
	unsigned depth;
	uint32_t has_member; /* bit a level: something stands there already */
	bool after_key;
};

struct json_out json_out(struct buf *b);

void json_obj_open(struct json_out *j);
void json_obj_close(struct json_out *j);
void json_arr_open(struct json_out *j);
void json_arr_close(struct json_out *j);
void json_key(struct json_out *j, const char *key);

void json_str(struct json_out *j, struct str s);
void json_cstr(struct json_out *j, const char *s); /* NULL gives null */
void json_u64(struct json_out *j, uint64_t v);
void json_i64(struct json_out *j, int64_t v);
void json_bool(struct json_out *j, bool v);
void json_put_null(struct json_out *j); /* not json_null(): jansson has a symbol of that name */
void json_time_ms(struct json_out *j, int64_t unix_ms); /* RFC 3339 UTC with milliseconds; 0 gives null */
void json_raw(struct json_out *j, struct str valid_json); /* copied as it is */

/* key and value in one call */
void json_kstr(struct json_out *j, const char *key, struct str s);
void json_kcstr(struct json_out *j, const char *key, const char *s);
void json_ku64(struct json_out *j, const char *key, uint64_t v);
void json_kbool(struct json_out *j, const char *key, bool v);
void json_ktime(struct json_out *j, const char *key, int64_t unix_ms);

#endif
