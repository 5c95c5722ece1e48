/* front_still() for a stream, whose pieces are made on an HTTP thread: a catalogue that is not local is asked beside it, and the stream is woken when it has said so. Meanwhile nothing is told. */
#ifndef FILEMILL_FRONT_STILL_H
#define FILEMILL_FRONT_STILL_H

#include "front/caller.h"

struct still;
/* *ret is NULL for a caller who showed nothing that could end. ERR_NO_MEMORY */
[[nodiscard]] int still_new(struct still **ret, struct http_request *r, struct err *e);
/* In the stream's release(). Does not wait for what was asked. NULL is fine. */
void still_free(struct still *s);

enum still_may { STILL_MAY, STILL_MAY_NOT, STILL_ASKED };
/* The stream's thread. STILL_ASKED: http_stream_wake() comes. */
enum still_may still_may(struct still *s);

#endif
