/* A file's bytes as an answer: ranges, conditions, digests (RFC 9110 §13 and §14, RFC 9530), and the headers that keep a stranger's bytes from acting in a browser. */
#ifndef FILEMILL_FRONT_CONTENT_H
#define FILEMILL_FRONT_CONTENT_H

#include "front/front.h"

/* GET or HEAD of a file's bytes; answers in every case. show_inline: the caller asked for it; heeded for types on the safe list only. Blocks on the store: pool thread, or any
 * thread when the bytes are inline and reads are local. f need not outlive the call. */
void content_answer(struct http_request *r, const struct file *f, bool show_inline);

#endif
