/* One part's header block, read once it is complete. */
#ifndef FILEMILL_HTTP_MULTIPART_HEAD_H
#define FILEMILL_HTTP_MULTIPART_HEAD_H

#include "http/multipart.h"

#define PART_HEADERS_MAX 8

/* block: lines that each end in CRLF, without the empty one at the end. scratch: at least block.len bytes, for names without their escapes.
 * ERR_BAD_MULTIPART. The strings point into block and scratch. */
[[nodiscard]] int multipart_read_head(struct multipart_part *ret, struct str block, char *scratch, struct err *e);

#endif
