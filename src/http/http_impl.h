/* Inside of the HTTP layer; nobody else includes this.
 *
 * Threads. `threads` workers, each one MHD daemon with its own epoll loop; a connection belongs to one worker for life, and
 * every callback of its requests runs there. One keeper thread accepts connections and gives them to the least busy worker, closes slow ones,
 * and lingers on those whose client may still be sending. Any other thread may call http_reply…() and http_continue() on a parked request: what
 * they share with the worker is the one word `http_request.park` (see park.c).
 *
 * A request:   NEW ──gate, route, admit()──► ADMIT ──start()──► BODY ──► ENDED ──► SENT
 *               └──── refused at the head ────┴────────────────────────────────────►┘
 */
#ifndef FILEMILL_HTTP_HTTP_IMPL_H
#define FILEMILL_HTTP_HTTP_IMPL_H

#include "http/http.h"
#include "http/router.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define HEADERS_MAX 100
#define HEADER_LINE_MAX 8192 /* bytes of one name and value */
#define HEADER_BLOCK_MAX 16384
#define REQUEST_LINE_MAX 8192
#define CONNECTION_MEMORY (16 * 1024) /* MHD's pool for head and read buffer of one connection, and most of what an idle one costs */
#define QUERY_MAX 32 /* parameters */
#define REQUEST_ID_MAX 128
#define SMALL_BODY 65536 /* a refused body up to this is read and dropped, so that the connection can go on */
#define DROP_MAX (8u << 20) /* bytes of a refused body that are read before the connection is closed */
#define DROP_MS 5000
#define LINGERS_MAX 256
#define LINGER_MS 5000
#define LINGER_BYTES (64u << 20)
#define SOURCE_BLOCK (64u << 10) /* bytes a source is asked for at once */
#define STREAM_BLOCK 16384 /* bytes a stream is asked for at once by a client of HTTP/1.0; else what MHD has room for */
#define SEND_STALL_MS 30000
#define LATE_MAX 8192 /* answers that are held back, unless the configuration says otherwise */
#define LATE_LOOK_MS 50 /* between two looks for those whose time has come */
#define HELD_MS 20 /* a callback that takes longer holds its worker up, and with it all connections of that: the rest is no client's time */
#define STILLBORN_MS 10000 /* a worker takes a new connection over sooner than that */
#define ADDRESS_BUCKETS 1024 /* a power of two */

struct worker {
	struct http_server *server;
	struct MHD_Daemon *daemon;
	unsigned connections; /* under server->lock */
	_Atomic int64_t clock; /* of its connections, see clock.c */
	/* The worker's thread only. */
	int64_t entered_ms, held_ms; /* see clock.c */
	uint64_t next_id; /* seed of request ids */
	struct http_request *exposed; /* see mhd_error.c */
};

/* What the keeper judges a connection by. */
enum conn_phase {
	CONN_FRESH, /* accepted, no request line yet */
	CONN_IDLE, /* between requests */
	CONN_HEAD, /* request line seen, head not complete */
	CONN_BODY,
	CONN_WAITING, /* parked or being worked on: ours to end */
	CONN_REPLY, /* an answer is being sent */
};

struct conn {
	struct conn *prev, *next; /* all connections; under server->lock */
	struct conn *addr_next; /* same hash of address; under server->lock */
	struct http_server *server;
	struct worker *worker;
	struct MHD_Connection *mhd; /* NULL until the worker has taken it over */
	int fd; /* MHD's; valid while in the list */
	struct in6_addr address; /* IPv4 as mapped */
	char peer[INET6_ADDRSTRLEN];

	/* Written by the worker, read by the keeper; each stands alone, so relaxed order is enough. */
	_Atomic int phase; /* enum conn_phase */
	_Atomic int64_t since_ms; /* start of the phase, on the connection's clock */
	_Atomic uint64_t body_bytes; /* of all bodies so far */
	_Atomic int64_t waited_ms; /* time spent in CONN_WAITING between parts of bodies */
	_Atomic unsigned serial; /* grows with each phase, waiting between two parts of a body apart */
	/* Written by the keeper, read by the worker. */
	_Atomic bool too_slow;

	/* The worker's. */
	bool unclean; /* the client may still be sending: linger when closing */

	/* The keeper's. */
	bool unread; /* bytes lay in the socket at the last look */
	/* The stretch of time in which enough must have moved; on the connection's clock. */
	struct {
		unsigned serial; /* the phase it belongs to */
		int64_t begin_ms, waited_ms;
		uint64_t bytes;
	} window;
};

struct lingering {
	int fd; /* -1 = free */
	int64_t until_ms;
	size_t left; /* bytes it may still send */
};

struct late {
	pthread_mutex_t lock;
	unsigned n, max;
	struct late_answer {
		struct http_request *request; /* answered, but not woken */
		int64_t due_ms;
	} * held;
};

struct http_server {
	struct http_config config;
	struct router *router;
	struct worker *workers;
	unsigned n_workers;
	bool head_layout_known; /* see gate_raw.c */
	char hsts[40]; /* Strict-Transport-Security; "" = not sent */
	_Atomic int64_t tell_untrusted_ms; /* before that the log is not told again of who sends forwarding fields and is not trusted */

	int listen_fd, epoll_fd, wake_fd;
	pthread_t keeper;
	bool keeper_runs;
	bool listening; /* the keeper's: listen_fd is in the epoll set */
	int64_t accept_again_ms; /* the keeper's: after descriptors ran out; 0 = not paused for that */
	int64_t next_check_ms; /* the keeper's */
	int64_t tick_ms;
	_Atomic int64_t slept_ms; /* that the keeper was kept from looking, see clock.c */
	unsigned n_lingers; /* the keeper's */
	struct lingering lingers[LINGERS_MAX];

	_Atomic bool draining, stopping;
	_Atomic unsigned requests; /* between head and release */

	struct late late; /* see late.c */

	pthread_mutex_t lock;
	pthread_cond_t changed; /* CLOCK_MONOTONIC; a connection went while draining */
	struct conn *conns;
	unsigned n_conns;
	struct conn *by_address[ADDRESS_BUCKETS];
	int linger_new[LINGERS_MAX]; /* given by workers, taken by the keeper */
	unsigned n_linger_new;
};

struct header {
	struct str name, value; /* value trimmed */
};

struct out_header {
	struct out_header *next;
	const char *name, *value;
};

enum reply_kind { REPLY_EMPTY, REPLY_BUF, REPLY_STATIC, REPLY_FD, REPLY_STREAM, REPLY_SOURCE };

struct reply {
	int status;
	enum reply_kind kind;
	const char *content_type; /* NULL when there is none */
	const char *p; /* BUF (owned, malloc), STATIC */
	uint64_t n; /* bytes of the body */
	int fd; /* FD: owned */
	uint64_t offset;
	http_stream_fn *read; /* STREAM */
	struct http_source *source; /* SOURCE: owned */
};

enum request_stage { STAGE_NEW, STAGE_ADMIT, STAGE_BODY, STAGE_ENDED, STAGE_SENT };

struct http_request {
	struct http_server *server;
	struct conn *conn;
	struct MHD_Connection *mhd;
	struct arena arena;
	void *data; /* the handler's */
	void *caller; /* admit()'s */
	const struct http_watch *watch; /* NULL = none */
	void *watch_arg;
	struct in6_addr client; /* the connection's, or whom trusted proxies name */
	char peer[INET6_ADDRSTRLEN];

	/* The worker's. */
	enum request_stage stage;
	bool handed; /* the handler has seen it: release() is due */
	bool close_after; /* the connection ends with the answer */
	bool expect_continue;
	bool http10;
	bool exposed; /* in the worker's list of that name */
	struct http_request *exposed_prev, *exposed_next;
	int64_t started_us;
	int64_t dropped_since_ms; /* 0 = not dropping */
	uint64_t dropped; /* bytes */

	/* The head. */
	struct str raw_target;
	struct str target; /* path and query of it */
	struct str method_name;
	int method; /* enum http_method, or -1 for one that no route has */
	struct str path;
	struct route_match match;
	struct header *headers;
	unsigned n_headers;
	struct header query[QUERY_MAX];
	unsigned n_query;
	char id[REQUEST_ID_MAX + 1];

	/* The body. */
	bool chunked;
	uint64_t length; /* of Content-Length; 0 when there is no body */
	uint64_t received;
	struct buf body; /* HTTP_BODY_BUFFER */
	const char *body_base; /* where MHD's read buffer begins; NULL when not known */
	uint64_t chunk_extensions; /* bytes of them so far */
	bool chunk_bad;

	/* The answer: filled by the one who claims it, read by the worker after PARK_REPLIED. */
	_Atomic unsigned park; /* bits, see park.c */
	struct out_header *out;
	bool out_short; /* there was no memory for one of them */
	int64_t late_ms; /* it is to be held back so long */
	int64_t answered_us; /* it was held back from then on; 0 = it was not */
	struct reply reply;
};

/* ---- server.c ---- */
int64_t http_now_ms(void); /* CLOCK_MONOTONIC */

/* ---- clock.c: the time that counts against clients ---- */
void clock_enter(struct worker *w); /* around each callback that is not over at once. Worker */
void clock_leave(struct worker *w);
/* So long after the last look, of which it meant to wait for so much, and worked for so much: the rest it was kept from looking. Keeper. */
void clock_looked(struct http_server *s, int64_t passed_ms, int64_t meant_ms, int64_t worked_ms);
int64_t clock_of(const struct conn *c, int64_t now_ms); /* now_ms: http_now_ms() */

/* ---- conn.c: connections and their phases ---- */
void conn_phase(struct conn *c, enum conn_phase phase);
/* A connection that was just accepted; the server's limits are checked here. NULL: refused, fd closed. Keeper. */
struct conn *conn_open(struct http_server *s, int fd, const struct sockaddr_storage *address);
/* MHD's notices. Worker. */
void conn_notice(void *cls, struct MHD_Connection *mhd, void **ctx, enum MHD_ConnectionNotificationCode code);
void conn_forget(struct conn *c);
/* Those that MHD closed without telling, for want of memory. Keeper. */
void conns_reap(struct http_server *s, int64_t now_ms);

/* ---- keeper.c, watchdog.c, linger.c ---- */
[[nodiscard]] int keeper_start(struct http_server *s, struct err *e);
void keeper_stop(struct http_server *s);
void keeper_wake(struct http_server *s);
/* Closes what is too slow or idle for too long. Keeper. */
void watchdog_check(struct http_server *s, int64_t now_ms);
/* Takes over reading from a connection that MHD is about to close, so that the client gets to read its answer. Worker. */
void linger_give(struct http_server *s, int fd);
void linger_take(struct http_server *s, int64_t now_ms); /* keeper: what was given */
void linger_read(struct http_server *s, struct lingering *l); /* keeper: readable */
void linger_check(struct http_server *s, int64_t now_ms); /* keeper: deadlines */

/* ---- late.c ---- */
[[nodiscard]] int late_init(struct late *l, unsigned max, struct err *e); /* ERR_NO_MEMORY; released in either case */
void late_release(struct late *l);
/* The reply is filled: true when it is the keeper who goes on with it, and r may be gone afterwards. */
bool late_hold(struct http_request *r);
/* Lets those go whose time has come, or all (INT64_MAX). Keeper, or nobody else any more. */
void late_check(struct http_server *s, int64_t now_ms);
bool late_any(struct http_server *s);

/* ---- request.c ---- */
struct http_request *request_new(struct worker *w, struct MHD_Connection *mhd, const char *raw_target);
void request_free(struct http_request *r);
/* The answer where there was no memory for a request. */
enum MHD_Result request_refuse_unborn(struct MHD_Connection *mhd);
/* Gate, route, admit(); start() unless that takes its time. */
enum MHD_Result request_head(struct http_request *r, const char *method, const char *version);
/* Woken after admit() took its time. */
enum MHD_Result request_admitted(struct http_request *r);
/* After the body, and again after each wake-up until there is an answer. */
enum MHD_Result request_end(struct http_request *r);
/* The answer goes to MHD as soon as MHD can take one. */
enum MHD_Result request_send(struct http_request *r);
/* MHD has ended the request, well or badly. */
void request_completed(struct http_request *r, enum MHD_RequestTerminationCode code);

/* Refuses past MHD and shuts the sending side down, so that nothing of MHD's follows. */
void request_refuse_raw(struct http_request *r, const struct err *e);

/* ---- mhd_error.c: requests that MHD may refuse by itself ---- */
void mhd_error_expose(struct http_request *r);
void mhd_error_cover(struct http_request *r);
[[gnu::format(printf, 2, 0)]] void mhd_error_log(void *cls, const char *format, va_list args); /* cls: the worker */

/* ---- gate.c, gate_raw.c, framing.c, target.c ---- */
void gate_take_id(struct http_request *r); /* X-Request-Id, when it is well-formed */
[[nodiscard]] int gate_check(struct http_request *r, const char *method, const char *version, struct err *e);
/* Line ends, folding and NUL, which MHD forgives, on the head as it still lies in MHD's memory. */
[[nodiscard]] int gate_raw_head(struct http_request *r, const char *method, const char *version, size_t head_size, struct err *e);
[[nodiscard]] int framing_check(struct http_request *r, struct err *e);
/* Trailer fields that would have changed the meaning of the head. */
[[nodiscard]] int framing_check_trailer(struct http_request *r, struct err *e);
/* The chunk line in front of `data`, as far as it can be seen. */
[[nodiscard]] int framing_check_chunk(struct http_request *r, const char *data, struct err *e);
[[nodiscard]] int target_read(struct http_request *r, struct err *e);
[[nodiscard]] int target_check_query(struct http_request *r, const struct http_route *route, struct err *e);
struct str request_header(const struct http_request *r, const char *name, unsigned *ret_count); /* the first of them */

/* ---- client.c ---- */
/* Who asks: the connection's address, or what a trusted proxy says. ERR_BAD_HEADER. */
[[nodiscard]] int client_find(struct http_request *r, struct err *e);
/* Once an hour, to one caller; then *next_ms has moved on. */
bool client_tell_again(_Atomic int64_t *next_ms, int64_t now_ms);
/* The host of the request is one of ours. ERR_MISDIRECTED. */
[[nodiscard]] int client_check_host(struct http_request *r, struct err *e);

/* ---- cors.c ---- */
void cors_allow(struct http_request *r); /* what every answer to a script of an allowed origin says */
void cors_preflight(struct http_request *r,
		    unsigned allowed); /* what the answer to OPTIONS says besides; allowed: as of struct route_match */

/* ---- body.c ---- */
enum MHD_Result body_take(struct http_request *r, const char *data, size_t *n);
/* What is known of the body before it comes: ERR_TOO_LARGE, ERR_BAD_REQUEST. */
[[nodiscard]] int body_check_length(struct http_request *r, struct err *e);

/* ---- park.c ---- */
bool park_claim_reply(struct http_request *r); /* false: somebody has answered already */
void park_replied(struct http_request *r); /* the reply is filled; wakes. r may be gone afterwards */
bool park_has_reply(const struct http_request *r);
bool park_is_parked(const struct http_request *r);
void park_until_reply(struct http_request *r);
bool park_until_continue(struct http_request *r); /* false: not parked, it is there already */
bool park_until_more(struct http_request *r); /* of a stream. False: not parked, there is something already */

/* ---- reply.c, send.c ---- */
void reply_release(struct reply *reply);
void reply_show_refusals(void); /* among the metrics, from 0 on */
enum MHD_Result send_queue(struct http_request *r);
/* Past MHD, straight to the socket: when MHD would take no answer any more. Best effort, never blocks. */
void send_raw(struct http_request *r);
/* A finished answer for which nothing is allocated. id: of the request, NULL when none could be read. Best effort. */
void send_raw_problem(int fd, int code, const char *id);

#endif
