/* One request that stores one file: bare bytes, or a multipart form with a part `file`. Or one that stores all files of a form (`many`).
 *
 *	start ──► RECEIVING ──end──► COMMITTING ──► answered
 *	   │          │ wrong, too large, storage failed       │ refused
 *	   └──────────┴────────────► answered ◄────────────────┘
 *
 * The intake is the upload's until it is given to intake_finish() or intake_cancel(), exactly one of them, whatever moment the client goes away; so is the group of several, and each of
 * their intakes until it is added to the group.
 * Between INTAKE_WAIT and on_room the HTTP layer gives nothing more and releases nothing. */
#ifndef FILEMILL_FRONT_UPLOAD_H
#define FILEMILL_FRONT_UPLOAD_H

#include "front/front.h"

struct intake_spec;

struct upload_rules {
	const char *ops; /* always these; NULL = ?ops= and ?pipeline=, the parts of these names, or the configured default */
	bool form_only; /* bare bytes are ERR_FILE_MISSING */
	bool plain_form; /* only the part `file` counts: other parts are skipped whatever they are, and the query is not looked at */
	/* What is stored is said by `prepare` alone: the query and Idempotency-Key are not looked at, parts of the form that would say it are ERR_LINK_INVALID. */
	bool bound;
	/* With form_only and plain_form: every part with a file name is a file, whatever the part's own name, and all are stored or none is. Idempotency-Key is not looked at; `stored_all` answers. */
	bool many;
	bool chosen; /* an empty part without a file name, which is what a browser sends when nothing was chosen, is ERR_FILE_MISSING */
	bool not_empty; /* a file without bytes is ERR_MISSING_VALUE */
	int64_t wait_ms; /* hold the answer this long for the results; -1 = as the request says */
	/* NULL, or adds to the specification what differs from request to request (id, ops, types); what it puts there lives as long as the request. */
	int (*prepare)(struct http_request *r, struct intake_spec *spec, struct err *e);
	/* NULL, or judges the name of a form's file as it was sent; a part without one is then no file. The refusal waits for the first byte, so that an empty file is told as such. */
	int (*check_name)(struct str filename, struct err *e);
	/* Each must answer. `stored` runs on the committer's or a pool thread and must not block; the file is valid during the call. */
	void (*stored)(struct http_request *r, const struct file *f, bool replayed);
	void (*stored_all)(struct http_request *r, const struct file *const *files, size_t n);
	void (*failed)(struct http_request *r, struct err *e);
};

/* The start() of a handler whose body_kind is HTTP_BODY_STREAM; rules live as long as the program. */
void upload_start(struct http_request *r, const struct upload_rules *rules);
/* The other members of that handler. */
enum http_flow upload_body(struct http_request *r, const void *data, size_t n);
void upload_end(struct http_request *r);
void upload_release(struct http_request *r);

#endif
