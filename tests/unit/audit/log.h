/* A small log in memory for the tests of audit. */
#ifndef TESTS_UNIT_AUDIT_LOG_H
#define TESTS_UNIT_AUDIT_LOG_H

#include "audit/audit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LINES 12

struct log {
	struct buf text;
	size_t begin[LINES + 1]; /* of each line; the last: the end */
	struct audit_mark mark[LINES + 1]; /* before each line; the last: the head */
	struct digest_set *digest;
};

void log_make(struct log *l);
void log_release(struct log *l);
/* What a check of the bytes finds; anchored at the head, or not. */
struct audit_check check_bytes(const void *p, size_t n, const struct audit_mark *anchor);
int memory_file(const void *p, size_t n);

#endif
