#include "log.h"
#include "base/fd.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

void log_make(struct log *l)
{
	struct audit_mark mark = {};
	struct arena a = ARENA_INIT;

	*l = (struct log){};
	assert_int_equal(digest_set_new(&l->digest, 1u << DIGEST_SHA256, NULL), 0);
	for (int i = 0; i < LINES; i++) {
		const struct audit_by by = {.how = "request", .owner = STR("public"), .peer = STR("127.0.0.1")};
		struct str entry;

		l->begin[i] = l->text.len;
		l->mark[i] = mark;
		assert_int_equal(audit_entry(&entry, &a, 1800000000000 + i, AUDIT_FILE_DELETED, &by, NULL, LF_INT("n", i),
					     LF_CSTR("name", "a \"name\"\n with \xc3\xa4")),
				 0);
		assert_int_equal(audit_line(&l->text, &mark, entry, l->digest, NULL), 0);
	}
	l->begin[LINES] = l->text.len;
	l->mark[LINES] = mark;
	arena_release(&a);
}

void log_release(struct log *l)
{
	buf_release(&l->text);
	digest_set_free(l->digest);
}

int memory_file(const void *p, size_t n)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, p, n), 0);
	return fd;
}

struct audit_check check_bytes(const void *p, size_t n, const struct audit_mark *anchor)
{
	struct audit_check c = {.anchored = anchor != NULL};
	int fd = memory_file(p, n);

	if (anchor != NULL)
		c.anchor = *anchor;
	assert_int_equal(audit_check_file(&c, fd, "log", NULL), 0);
	audit_check_end(&c);
	close(fd);
	return c;
}
