/* Reading JSON (RFC 8259) from strangers: jansson behind strict checks. The one header that shows jansson to other floors. */
#ifndef FILEMILL_RT_JSON_IN_H
#define FILEMILL_RT_JSON_IN_H

#include "base/err.h"
#include "base/str.h"

#include <jansson.h>

#define JSON_DEPTH_MAX 32

/* Size is bounded by the caller; depth by JSON_DEPTH_MAX (checked before jansson sees the text). Duplicate members, trailing bytes, NUL escapes, invalid UTF-8, a BOM,
 * numbers out of range: ERR_BAD_JSON with the position. The caller json_decref()s *ret. */
[[nodiscard]] int json_read(json_t **ret, struct str text, struct err *e);
/* ERR_UNKNOWN_MEMBER naming the first member of `object` that is not in the NULL-terminated list; ERR_INVALID_VALUE when it is no object. */
[[nodiscard]] int json_only_members(json_t *object, const char *const *names, struct err *e);

#endif
