/* A figure for the machine at hand, not a test: what gzip, zstd and zip make of a file and how fast, the check of its SHA-256 included as in the sealed child.
 *
 *	bench_compress OP FILE PARAMS [OUTPUT]		such as: bench_compress gzip text.tar '{"level":6}' */
#include "base/fd.h"
#include "ops/ops.h"
#include "runner/child/child.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static double cpu_seconds(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}

static void digest_of(struct sealed_job *j)
{
	static char piece[1 << 20];
	struct digest_set *d;
	size_t n;

	if (digest_set_new(&d, 1u << DIGEST_SHA256, NULL) < 0)
		exit(1);
	for (uint64_t at = 0; at < j->size; at += n) {
		ssize_t got = fd_pread_full(j->input_fd, piece, sizeof(piece), (off_t)at);

		if (got <= 0)
			exit(1);
		n = (size_t)got;
		digest_set_update(d, piece, n);
	}
	if (digest_set_finish(d, NULL) < 0)
		exit(1);
	memcpy(j->sha256, digest_set_get(d, DIGEST_SHA256, &n), sizeof(j->sha256));
	digest_set_free(d);
}

int main(int argc, char **argv)
{
	static const struct sealed_op *const ops[] = {&op_gzip, &op_zip, &op_zstd};
	const struct sealed_op *op = NULL;
	struct sealed_job j = {.output_fd = -1};
	struct rusage use;
	struct stat st;
	struct err e = ERR_INIT;
	double before;
	int r;

	for (size_t i = 0; argc >= 4 && i < ARRAY_LEN(ops); i++)
		if (strcmp(argv[1], ops[i]->name) == 0)
			op = ops[i];
	if (!op) {
		fprintf(stderr, "bench_compress gzip|zip|zstd FILE PARAMS [OUTPUT]\n");
		return 2;
	}
	j.params = str_of(argv[3]);
	j.name = str_of(strrchr(argv[2], '/') ? strrchr(argv[2], '/') + 1 : argv[2]);
	j.input_fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	j.output_fd = open(argc > 4 ? argv[4] : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (j.input_fd < 0 || j.output_fd < 0 || fstat(j.input_fd, &st) < 0)
		return 1;
	j.size = (uint64_t)st.st_size;
	j.limits = (struct runner_limits){.memory = 512u << 20, .output_max = UINT64_C(8) << 40};
	digest_of(&j);
	before = cpu_seconds();
	r = op->run(&j, &e);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", err_info(r)->name, e.detail);
		return 1;
	}
	getrusage(RUSAGE_SELF, &use);
	printf("%s %s: %.1f MB in %.3f CPU s, %.1f MB/s, ratio %.4f, at most %ld MiB\n", argv[1], argv[3], (double)j.size / 1e6,
	       cpu_seconds() - before, (double)j.size / 1e6 / (cpu_seconds() - before), (double)j.size / (double)j.written,
	       use.ru_maxrss / 1024);
	sealed_release(&j);
	return 0;
}
