/* One character at a time (RFC 3629); for this folder and the log, which write what strangers sent. */
#ifndef FILEMILL_BASE_UTF8_H
#define FILEMILL_BASE_UTF8_H

#include <stddef.h>

/* Bytes of the valid character that starts at p (1 to 4), or 0 when the bytes up to end are none. p < end. */
size_t utf8_step(const unsigned char *p, const unsigned char *end);

#endif
