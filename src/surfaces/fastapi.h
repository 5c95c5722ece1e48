/* How FastAPI 0.x, which the replaced systems were written with, reads whole numbers and words its refusals. */
#ifndef FILEMILL_SURFACES_FASTAPI_H
#define FILEMILL_SURFACES_FASTAPI_H

#include "front/front.h"

enum whole_number { NUMBER_NONE, NUMBER_IN_RANGE, NUMBER_TOO_BIG };

/* Python's int(): blanks around, a sign, digits with single underscores between them. IN_RANGE fills *ret; TOO_BIG is a whole number all the same, of either sign.
 * canonical gets the number as Python prints it, cut to its size. */
enum whole_number whole_number_parse(struct str text, int64_t *ret, char *canonical, size_t canonical_size);

/* 422 {"detail":[{"loc":[place,name],"msg":…,"type":…}]} */
void fastapi_missing(struct http_request *r, const char *place, const char *name);
void fastapi_no_integer(struct http_request *r, const char *place, const char *name);
/* 200 {"status":"…","<key>":"…"|null}; p NULL gives null */
void fastapi_status(struct http_request *r, const char *status, const char *key, struct str value);
/* {"detail":"…"} */
void fastapi_detail(struct http_request *r, int status, struct str text);
void fastapi_failure(struct http_request *r, const struct err *e); /* with its title as text */
/* The refusals such a client knows of an upload: the part is missing (422), the form cannot be read (400). False: neither, nothing was answered. */
bool fastapi_upload_refused(struct http_request *r, const struct err *e);

#endif
