/* The bytes of a file or an output as an answer: ranges, conditions, digests (RFC 9110 §13 and §14, RFC 9530), and the headers that keep a stranger's bytes from acting in a browser. */
#ifndef FILEMILL_FRONT_CONTENT_H
#define FILEMILL_FRONT_CONTENT_H

#include "front/front.h"

/* What is served: the bytes of a file, or of what a job made of one. */
struct content {
	struct str name, type; /* for display; media type told from the bytes */
	uint64_t size;
	const uint8_t *sha256; /* 32 bytes; NULL = not known: there is no ETag */
	int64_t made_at; /* Unix ms: Last-Modified */
	const struct file *file; /* NULL: `output` */
	const struct output *output; /* NULL too: `fd` */
	int fd; /* of the bytes themselves; content_answer() takes it */
};

/* Borrow what they are given. */
struct content content_of_file(const struct file *f);
struct content content_of_output(const struct job *job, const struct output *o);

/* `?inline=`, 1 or 0; ERR_BAD_PARAMETER. */
[[nodiscard]] int content_inline_wanted(const struct http_request *r, bool *ret, struct err *e);

/* GET or HEAD of the bytes; answers in every case. show_inline: the caller asked for it; heeded for types on the safe list only. Blocks on the store: pool thread, or any
 * thread when the bytes are inline and reads are local. c need not outlive the call. */
void content_answer(struct http_request *r, const struct content *c, bool show_inline);

#endif
