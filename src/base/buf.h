/* A growing byte buffer with a sticky failure flag and a hard limit: build first, check buf_ok() once at the end. */
#ifndef FILEMILL_BASE_BUF_H
#define FILEMILL_BASE_BUF_H

#include "base/compiler.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *p; /* owned; NUL-terminated whenever cap > 0 */
	size_t len, cap; /* bytes */
	size_t limit; /* most bytes it may hold; 0 = no limit but memory */
	bool failed; /* an append did not fit or memory ran out: content is not to be used */
};

#define BUF_INIT ((struct buf){})

void buf_release(struct buf *b); /* frees and resets; NULL is fine */
void buf_reset(struct buf *b); /* empties and keeps the memory */
bool buf_ok(const struct buf *b);
struct str buf_str(const struct buf *b);

void buf_reserve(struct buf *b, size_t more);
void buf_add(struct buf *b, const void *data, size_t n);
void buf_add_str(struct buf *b, struct str s);
void buf_add_cstr(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_add_u64(struct buf *b, uint64_t v);
ATTR_PRINTF(2, 3) void buf_addf(struct buf *b, const char *fmt, ...);

/* Gives the memory away (NUL-terminated); the buffer is empty afterwards. NULL when failed. */
char *buf_steal(struct buf *b, size_t *ret_len);

#endif
