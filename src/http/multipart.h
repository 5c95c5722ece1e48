/* A push parser for multipart/form-data (RFC 7578, RFC 2046 §5.1), fed with pieces cut anywhere: the events do not depend on the cuts.
 * Strict: rejects, never repairs. No memory beyond a part's header block. */
#ifndef FILEMILL_HTTP_MULTIPART_H
#define FILEMILL_HTTP_MULTIPART_H

#include "base/err.h"
#include "base/str.h"

#include <stddef.h>

#define MULTIPART_BOUNDARY_MAX 70
#define MULTIPART_PARTS_MAX 65 /* 64 fields and the file */
#define MULTIPART_HEADER_MAX 8192 /* bytes of one part's header block */
#define MULTIPART_FIELD_MAX 65536 /* bytes of one text part: the handler's limit */
#define MULTIPART_EPILOGUE_MAX 2048

struct multipart_part {
	struct str name; /* required by RFC 7578 */
	struct str filename; /* p NULL when the part is a text field; decoded from filename or filename* (UTF-8 only); may be empty */
	struct str type; /* the part's Content-Type as sent; p NULL when absent */
};

/* Each callback returns 0 or an ERR_… code (with *e filled), which ends the parse with that code. */
struct multipart_events {
	int (*part_begin)(void *arg, const struct multipart_part *part, struct err *e); /* strings valid during the call */
	int (*part_data)(void *arg, const void *data, size_t n, struct err *e);
	int (*part_end)(void *arg, struct err *e);
};

struct multipart;

/* content_type: the request's header value. ERR_BAD_MULTIPART (boundary missing, empty, too long, characters outside RFC 2046, given twice); ERR_UNSUPPORTED_TYPE when it is no multipart/form-data. */
[[nodiscard]] int multipart_new(struct multipart **ret, struct str content_type, const struct multipart_events *events, void *arg,
				struct err *e);
/* ERR_BAD_MULTIPART, ERR_TOO_LARGE (parts), or what a callback returned. After an error only multipart_free(). */
[[nodiscard]] int multipart_feed(struct multipart *m, const void *data, size_t n, struct err *e);
/* End of body: ERR_BAD_MULTIPART when the closing boundary was not seen. */
[[nodiscard]] int multipart_finish(struct multipart *m, struct err *e);
void multipart_free(struct multipart *m);

/* `Content-Disposition` of RFC 6266 outside multipart, for raw uploads: *ret_filename from filename* (RFC 8187, UTF-8) or filename; p NULL when there is none. ERR_BAD_HEADER. */
struct arena;
[[nodiscard]] int disposition_filename(struct str *ret_filename, struct str value, struct arena *a, struct err *e);
/* attachment; filename="ascii fallback"; filename*=UTF-8''…  (RFC 6266 §5, RFC 8187), into out */
struct buf;
void disposition_write(struct buf *out, const char *disposition, struct str filename);

#endif
