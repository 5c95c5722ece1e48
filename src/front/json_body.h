/* JSON request bodies: type, syntax, members; the same errors everywhere. */
#ifndef FILEMILL_FRONT_JSON_BODY_H
#define FILEMILL_FRONT_JSON_BODY_H

#include "front/front.h"
#include "rt/json_in.h"

/* The whole body, to be json_decref()ed. ERR_UNSUPPORTED_TYPE when it is not said to be application/json in UTF-8, ERR_BAD_JSON, ERR_INVALID_VALUE when it is no object. */
[[nodiscard]] int json_body_read(struct http_request *r, json_t **ret, struct err *e);

/* Ends with a body that has secrets in it: the object (NULL is fine) is wiped and let go, the request's bytes are wiped. In release(). */
void json_body_wipe(struct http_request *r, json_t *body);

/* A request whose body has secrets in it: in front of what its work needs besides. */
struct json_request {
	struct http_request *r;
	json_t *body;
};
/* `size` cleared bytes of the request's arena that begin with its struct json_request, the body read; or NULL after having answered. Sets the request's data. */
void *json_request_begin(struct http_request *r, size_t size);
void json_request_release(struct http_request *r); /* release() of such a route: nothing secret stays longer than the request */

/* One member of an object. Absent: *ret untouched and 0, or ERR_MISSING_VALUE when required. Of another type or out of range: ERR_INVALID_VALUE. `where` stands in front of the
 * member's name in the error's field: "" or such as "jobs/3/". Strings are borrowed from the object. */
struct json_place {
	json_t *object;
	const char *where;
};
[[nodiscard]] int json_member_str(const struct json_place *p, const char *name, bool required, struct str *ret, struct err *e);
[[nodiscard]] int json_member_int(const struct json_place *p, const char *name, int64_t min, int64_t max, int64_t *ret, struct err *e);
[[nodiscard]] int json_member_id(const struct json_place *p, const char *name, struct uuid *ret, struct err *e); /* required */
/* RFC 3339 text; null gives 0 where allowed. */
[[nodiscard]] int json_member_time(const struct json_place *p, const char *name, bool null_allowed, int64_t *ret_ms, struct err *e);
/* An object as canonical text in the arena; absent: p NULL. */
[[nodiscard]] int json_member_object(const struct json_place *p, const char *name, struct arena *a, struct str *ret, struct err *e);
/* Only these members. ERR_UNKNOWN_MEMBER. */
[[nodiscard]] int json_members_only(const struct json_place *p, const char *const *names, struct err *e);
/* Puts `where` in front of the field of an error that came from below. */
int json_place_err(const struct json_place *p, struct err *e);

#endif
