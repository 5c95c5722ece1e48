/* How fast a log is checked: `bench_audit [lines]`. */
#include "audit/audit.h"
#include "base/fd.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int make(int fd, long lines, struct err *e)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	const struct audit_by by = {
		.how = "request", .owner = STR("public"), .peer = STR("127.0.0.1"), .request_id = STR("b486bc38d61badea")};
	struct audit_mark mark = {};
	struct digest_set *d;
	struct str entry;
	int rc = digest_set_new(&d, 1u << DIGEST_SHA256, e);

	if (rc == 0)
		rc = audit_entry(&entry, &a, 1800000000000, AUDIT_FILE_DELETED, &by, e,
				 LF_CSTR("file", "01a1fe01-15c4-7000-8a17-7da054058cd6"));
	for (long i = 0; rc == 0 && i < lines; i++) {
		rc = audit_line(&b, &mark, entry, d, e);
		if (b.len > 1 << 20 || i == lines - 1) {
			rc = rc == 0 && fd_write_all(fd, b.p, b.len) != 0 ? err_set(e, ERR_IO, "write") : rc;
			buf_reset(&b);
		}
	}
	digest_set_free(d);
	return rc;
}

int main(int argc, char **argv)
{
	long lines = argc > 1 ? atol(argv[1]) : 1000000;
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct audit_check c = {};
	struct err e = ERR_INIT;
	double t0 = now();

	if (make(fd, lines, &e) != 0)
		return 1;
	double t1 = now();
	if (audit_check_file(&c, fd, "log", &e) != 0)
		return 1;
	double t2 = now();
	audit_check_end(&c);
	printf("%ld lines: made %.0f a second, checked %.0f a second, %s\n", lines, (double)lines / (t1 - t0), (double)lines / (t2 - t1),
	       audit_fault_word(c.fault));
	return c.fault == AUDIT_FINE && c.lines == (uint64_t)lines ? 0 : 1;
}
