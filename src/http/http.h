/* The HTTP server as the rest of the program sees it. libmicrohttpd stays behind this header.
 *
 * Life of a request: gate (head is well-formed and unambiguous) → route → admit → start() → body() any number of times → end() → reply → release().
 *  - start, body and end run on an HTTP thread and must not block.
 *  - A reply may be given in any of them, or later from any one thread: when end() returns without one the connection is suspended until http_reply…().
 *  - body() may return HTTP_WAIT: all data was taken, but no more must come until http_continue(), from any thread.
 *  - release() is called exactly once, after the reply was sent or the client went away; between the last callback and the reply the request stays valid.
 *    While the body arrives the client may leave between any two callbacks, so what works for the request on another thread then must be under HTTP_WAIT.
 *  - A reply given before the whole body arrived: the rest is read and dropped up to a limit, then the connection is closed. With `Expect: 100-continue` a reply in
 *    start() means the body is never asked for.
 * HEAD is served by the GET route's handler; the layer drops the body. OPTIONS and 405 with Allow are answered by the layer. */
#ifndef FILEMILL_HTTP_HTTP_H
#define FILEMILL_HTTP_HTTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct http_server;
struct http_request;

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS };

enum http_body {
	HTTP_BODY_NONE, /* a body is refused unless empty */
	HTTP_BODY_BUFFER, /* collected up to max_body (or the server's json_max when 0), handed over with http_body() in end() */
	HTTP_BODY_STREAM, /* goes to body() as it arrives */
};

enum http_flow { HTTP_MORE, HTTP_WAIT };

#define HTTP_ADMIT_LATER 1 /* see http_config.admit */

/* Looks at the body beside the handler, whatever kind of body that takes. Set by admit(), or before http_continue(). Runs where the handler does. */
struct http_watch {
	void (*data)(void *arg, const void *p, size_t n); /* before the handler's body() gets the same bytes */
	int (*end)(void *arg, struct err *e); /* before the handler's end(), which does not run when this refuses */
	void (*release)(void *arg); /* once, like the handler's */
};

struct http_handler {
	enum http_body body_kind;
	uint64_t max_body; /* BUFFER: bytes, 0 = the server's json_max. STREAM: checked by the handler, see http_content_length() */
	void (*start)(struct http_request *r); /* NULL = nothing to do before the body */
	enum http_flow (*body)(struct http_request *r, const void *data, size_t n);
	void (*end)(struct http_request *r);
	void (*release)(struct http_request *r); /* NULL = nothing to free */
};

/* Who may call a route. http_config.admit judges it; the words are those of http_routes_json(). */
enum http_access {
	HTTP_ANYONE, /* no caller is asked for */
	HTTP_CALLER, /* whoever is known, whatever he may do */
	HTTP_FILES_READ, /* who has this scope: files:read, and so on */
	HTTP_FILES_WRITE,
	HTTP_JOBS_READ,
	HTTP_JOBS_WRITE,
	HTTP_PERSON, /* somebody with an account who signed in himself: no key may do it */
	HTTP_WATCHER, /* an operator, or a key with the scope admin; without accounts anybody */
	HTTP_OPERATOR, /* an operator or administrator, or a key of one with the scope admin */
	HTTP_ADMIN, /* an administrator, likewise */
	HTTP_LINK, /* who has the address, a link that was signed */
	HTTP_ACCESSES,
};

struct http_route {
	enum http_method method;
	const char *pattern; /* "/v1/files/{id}/content"; a {part} matches one non-empty segment, percent-decoded */
	const struct http_handler *handler;
	enum http_access access;
	const char *operation; /* operationId in the OpenAPI document, "" when the route is not part of it */
	const char *summary;
	const char *const
		*query; /* NULL-terminated names of known parameters; others and duplicates are ERR_BAD_PARAMETER. NULL = none known */
	bool any_slash; /* the same with a trailing slash */
	bool any_query; /* parameters not in `query` are ignored: what a surface stands in for ignored them */
	bool rest; /* the last segment of the pattern is a {part} that matches all that is left of the path, slashes too, where no other route fits */
};

/* The header field in which trusted proxies name the client. */
enum http_forwarded { HTTP_X_FORWARDED_FOR, HTTP_FORWARDED };

struct http_config {
	const char *address; /* IPv4 or IPv6 literal */
	uint16_t port; /* 0 = the system chooses */
	unsigned threads; /* 0 = one a core, at most 4 */
	unsigned connections, connections_per_address; /* at most, 0 = no limit */
	unsigned late; /* answers that are held back at once, see http_answer_late(); 0 = 8192 */
	uint64_t json_max; /* bytes of a buffered body */
	int64_t header_timeout_ms, idle_timeout_ms, body_grace_ms;
	uint64_t body_min_rate; /* bytes/s after the grace */
	const struct http_route *const *tables; /* NULL-terminated list of tables, each ending with a pattern of NULL */
	void *app; /* http_app() gives it back */
	/* Names that Host may have, without a port; others get ERR_MISDIRECTED. 0 of them = any. */
	const char *const *hosts;
	size_t n_hosts;
	/* Who may say for whom he asks, by the one header field of the two that all of them write. */
	const struct ip_range *proxies;
	size_t n_proxies;
	enum http_forwarded forwarded;
	/* Origins such as https://app.example.org whose scripts may read answers, or one "*" for all; credentials that a browser adds by itself are never allowed. */
	const char *const *cors_origins;
	size_t n_cors_origins;
	int64_t cors_max_age_s;
	int64_t hsts_s; /* Strict-Transport-Security; 0 = not sent */
	/* Before the route is looked for, on an HTTP thread; must not block. Else the request is refused with the error. NULL = everybody is let in. */
	int (*arrive)(struct http_request *r, struct err *e);
	/* Who asks, and may he? After the route is known and before start(), on an HTTP thread; must not block. Else the request is refused with the error. HTTP_ADMIT_LATER: nothing
	 * of the body is read or asked for until any one thread either calls http_continue(), and start() follows, or refuses by giving the reply; the handler then never
	 * sees the request. NULL = everybody may. */
	int (*admit)(struct http_request *r, struct err *e);
	void (*access_log)(struct http_request *r, int status, int64_t us); /* NULL = none; HTTP thread */
};

int64_t http_now_us(void); /* CLOCK_MONOTONIC */

/* Listens at once; *ret_port is the real port. ERR_IO with the reason when it cannot. Descriptor use beyond the process limit pauses accepting. */
[[nodiscard]] int http_server_start(struct http_server **ret, const struct http_config *config, uint16_t *ret_port, struct err *e);
/* No new connections; idle ones are closed, running requests go on, for at most grace_ms; true when all were answered. Then http_server_free(). */
bool http_server_drain(struct http_server *s, int64_t grace_ms);
/* After http_server_drain(): ends every connection that nobody owes a reply, such as a slow upload, and waits up to grace_ms for the replies that are owed. False: one is owed
 * still, by something below that is stuck. Then http_server_free() must not be called: only the process can end. */
[[nodiscard]] bool http_server_end(struct http_server *s, int64_t grace_ms);
/* All requests that are waiting for a reply must have got one. NULL is fine. */
void http_server_free(struct http_server *s);
/* The routes in service, for tests and documentation: a JSON array of method, path, operation, summary, access. */
void http_routes_json(struct buf *out, const struct http_route *const *tables);

/* ---- reading a request (valid until release) ---- */
void *http_app(const struct http_request *r);
struct arena *http_arena(struct http_request *r); /* lives as long as the request; one thread at a time */
enum http_method http_method(const struct http_request *r);
struct str http_path(const struct http_request *r); /* decoded */
struct str http_target(const struct http_request *r); /* path and query with their escapes as they came, whatever form the target had */
struct str http_param(const struct http_request *r, const char *name); /* {part} of the pattern; p NULL when there is none */
struct str http_query(const struct http_request *r, const char *name); /* decoded; p NULL when absent */
/* Trimmed value; p NULL when absent. A header that came twice is joined by ", " (those that must be single were refused by the gate). */
struct str http_header(struct http_request *r, const char *name);
struct str http_header_name(const struct http_request *r, unsigned i); /* of the i-th field line, as it came; p NULL behind the last */
bool http_content_length(const struct http_request *r, uint64_t *ret); /* false: chunked */
struct str http_body(const struct http_request *r); /* BUFFER, in end() and later */
struct str http_request_id(const struct http_request *r);
int64_t http_came_us(const struct http_request *r); /* when its head was there, as http_now_us() */
struct str http_peer(
	const struct http_request *r); /* the client's address as text without port, as trusted proxies say; "unknown" when they do not */
struct in6_addr http_client(const struct http_request *r); /* the same; IPv4 mapped, :: when it is unknown */
const struct http_route *http_route_of(const struct http_request *r);
void http_set_caller(struct http_request *r, void *caller); /* admit()'s own, in the request's arena */
void *http_caller(const struct http_request *r);
void http_set_data(struct http_request *r, void *data); /* the handler's own */
void *http_data(const struct http_request *r);
void http_watch_body(struct http_request *r, const struct http_watch *watch, void *arg);
void http_continue(struct http_request *r); /* after HTTP_WAIT or HTTP_ADMIT_LATER; any thread, exactly once each */

/* ---- answering: exactly one http_reply… a request ---- */
/* Before the reply; name and value are copied. A value with control characters is dropped and logged: our own mistake. */
void http_set_header(struct http_request *r, const char *name, const char *value);
/* What is answered next goes out ms later, or a little after that; until then nothing more of its connection is read. For what must not be asked often. In admit() or end() or after them,
 * before the reply. Bounded, and not while the server stops: late.c. 0 = at once. */
void http_answer_late(struct http_request *r, int64_t ms);
/* Takes the buffer (emptied). Content-Type as given; it is copied, here and below. */
void http_reply_buf(struct http_request *r, int status, const char *content_type, struct buf *body);
void http_reply_json(struct http_request *r, int status, struct buf *body);
void http_reply_static(struct http_request *r, int status, const char *content_type, const void *p,
		       size_t n); /* memory that outlives the server */
void http_reply_empty(struct http_request *r, int status);
/* Takes fd; sends len bytes from offset. */
void http_reply_fd(struct http_request *r, int status, const char *content_type, int fd, uint64_t offset, uint64_t len);
/* An answer without a known end, made piece by piece. `read` runs on the connection's worker, must not block, and gives up to max bytes: how many, 0 = none for now, or
 * HTTP_STREAM_END. After a 0 it is called again once http_stream_wake() was. The connection may wait as long as it likes; only a client that does not take what was given is
 * cut off. For a HEAD request it is never called. */
#define HTTP_STREAM_END (-1)
typedef ssize_t http_stream_fn(struct http_request *r, char *p, size_t max);
void http_reply_stream(struct http_request *r, int status, const char *content_type, http_stream_fn *read);
/* An answer of a known length, made piece by piece in the same way; an end before that breaks the connection, so that nobody takes it for the whole. */
struct http_source {
	ssize_t (*read)(struct http_source *s, char *p, size_t max);
	void (*free)(struct http_source
			     *s); /* once, after the last read; http_stream_wake() must not be called any more. Worker, or who replies */
};
/* Takes the source. */
void http_reply_source(struct http_request *r, int status, const char *content_type, struct http_source *source, uint64_t len);
/* Any thread, any number of times, from before the reply on; the caller sees to it that release() has not returned, or the source's free(). */
void http_stream_wake(struct http_request *r);
/* application/problem+json from an error: type, title, status, detail, code, and field, expected, limit where set; Retry-After where given. 5xx is logged once here. */
void http_reply_problem(struct http_request *r, const struct err *e);
/* Counts an answer for want of room or strength (429, 503, 507), which http_reply_problem() does by itself. */
void http_count_refusal(int code);
/* The same with Retry-After, where there is a time to say (above 0): before the answer. */
void http_say_when(struct http_request *r, int code, int retry_after_s);

#endif
