/* Bytes that a store gives one after the other, as the body of an answer. Nobody waits for them on the connection's worker: where there are none yet a pool thread does. */
#ifndef FILEMILL_FRONT_PASSING_H
#define FILEMILL_FRONT_PASSING_H

#include "front/front.h"

/* Answers with the `length` bytes that the reader gives; takes it. Any thread. */
void passing_answer(struct http_request *r, int status, const char *content_type, struct blob_reader *reader, uint64_t length);

#endif
