/* Which thread an answer is made on. Work given here must give the request its one reply. */
#ifndef FILEMILL_FRONT_HOP_H
#define FILEMILL_FRONT_HOP_H

#include "front/front.h"

typedef void front_work(struct http_request *r);

/* Point reads: at once when the catalogue is local and mapped, else on a pool thread. */
void front_read(struct http_request *r, front_work *work);
/* What asks a catalogue that is not local who somebody is: on a thread for that alone, so that it waits behind nothing but its like. refused: the answer after FRONT_ASK_MS without a thread, in the
 * place of the work: ERR_CATALOG_UNAVAILABLE; or at once, ERR_NO_MEMORY. */
#define FRONT_ASK_MS 10000
typedef void front_refusal(struct http_request *r, struct err *e);
void front_ask(struct http_request *r, front_work *work, front_refusal *refused);
/* Whatever may block: on a pool thread. */
void front_block(struct http_request *r, front_work *work);

/* One change on its way; from the request's arena. The handler keeps it with http_set_data(). */
struct front_write {
	struct change change;
	struct http_request *r;
	front_work *then;
	void (*explain)(struct front_write *w); /* NULL, or adds to the error of a refused change what only the request knows */
	void (*refused)(struct front_write
				*w); /* NULL, or answers a refused change, whose error is explained by then, in the place of its problem */
	const void *note; /* the handler's own */
};

/* NULL after having answered ERR_NO_MEMORY or ERR_SHUTTING_DOWN. Sets the request's data. */
struct front_write *front_write_new(struct http_request *r, enum change_kind kind);
/* What the audit log is to say when the change takes effect. ERR_NO_MEMORY */
#define front_write_audit(w, act, e, ...)                                                                                                  \
	front_write_audit_n(w, act, (const struct log_field[]){__VA_ARGS__},                                                               \
			    sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field), e)
[[nodiscard]] int front_write_audit_n(struct front_write *w, enum audit_act act, const struct log_field *fields, unsigned n, struct err *e);
/* Submits; `then` runs on the committer's thread once the change is durable, so it must not block. A refused change is answered with its problem. */
void front_write_submit(struct front_write *w, front_work *then);

/* DELETE of the caller's file {id}: 204, or the problem. An end() of its own. */
void front_delete_file(struct http_request *r);

#endif
