/* Inside of upload*.c. */
#ifndef FILEMILL_FRONT_UPLOAD_IMPL_H
#define FILEMILL_FRONT_UPLOAD_IMPL_H

#include "front/upload.h"
#include "http/fields.h"
#include "http/multipart.h"

enum upload_part { PART_FILE, PART_OPS, PART_PIPELINE, PART_LABELS, PART_SKIPPED };

/* In the request's arena. Calls come from one thread at a time: an HTTP thread, or the pool thread that calls on_room. */
struct upload {
	struct http_request *r;
	const struct upload_rules *rules;
	struct intake *in; /* ours while not NULL */
	struct intake_group *group; /* rules->many; ours while not NULL */
	struct intake_spec spec; /* of each of its files */
	bool answered;
	bool ended; /* the body is complete */
	/* What has to happen before the next step: 1 for a running body() or end(), 1 for a promised on_room. Who brings it to 0 goes on. */
	_Atomic unsigned pending;
	bool waiting; /* the intake said INTAKE_WAIT during this body() */
	struct buf held; /* bytes of the file that came after that INTAKE_WAIT in the same body() */
	int code; /* why it fails, answered as soon as no on_room is promised */
	struct err err;

	struct multipart *form; /* NULL for bare bytes */
	enum upload_part part;
	bool have_file, have_ops, have_pipeline, have_labels, have_name, unnamed;
	uint64_t file_bytes;
	struct err bad_name; /* what rules->check_name said */
	struct buf field; /* the text part being read */
	size_t field_bytes;
	struct digest_want want; /* forms only: digests of the whole body */
	struct digest_set *digests; /* NULL when none are wanted */

	int64_t wait_ms;
	bool replayed;
	struct uuid file; /* once stored and waiting for its results */
};

/* Bytes of the file itself. */
[[nodiscard]] int upload_feed_file(struct upload *u, const void *data, size_t n, struct err *e);

/* rules->many: one file of several is whole. */
[[nodiscard]] int upload_end_file(struct upload *u, struct err *e);

/* upload_form.c */
extern const struct multipart_events upload_form_events;
/* upload_head.c: what the head of the request says, into the upload and the intake's specification. */
[[nodiscard]] int upload_read_head(struct upload *u, struct intake_spec *spec, struct err *e);

#endif
