/* A figure for the machine at hand, not a test: images a CPU second of `resize` through the genuine program, one sealed child an image; the zygote's own work is counted too.
 *
 *	bench_resize PROGRAM FILE ROUNDS '{"width":800,…}' [OUTPUT] */
#include "base/fd.h"
#include "ops/ops.h"
#include "runner/runner.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct runner_job job(const char *path, const char *params)
{
	struct runner_job j = {.op = op_table_find(op_builtin_table(), STR("resize")),
			       .params = str_of(params),
			       .name = STR("photo"),
			       .input_fd = open(path, O_RDONLY | O_CLOEXEC)};
	struct stat st = {};
	struct digest_set *d;
	size_t n;
	char *bytes;

	if (j.input_fd < 0 || fstat(j.input_fd, &st) < 0 || !(bytes = malloc((size_t)st.st_size)))
		exit(1);
	if (fd_pread_full(j.input_fd, bytes, (size_t)st.st_size, 0) != st.st_size || digest_set_new(&d, 1u << DIGEST_SHA256, NULL) < 0)
		exit(1);
	digest_set_update(d, bytes, (size_t)st.st_size);
	if (digest_set_finish(d, NULL) < 0)
		exit(1);
	memcpy(j.sha256, digest_set_get(d, DIGEST_SHA256, &n), sizeof(j.sha256));
	digest_set_free(d);
	free(bytes);
	j.size = (uint64_t)st.st_size;
	return j;
}

static int take(void *arg, const void *data, size_t n, struct err *e)
{
	buf_add(arg, data, n);
	return 0;
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT;
	struct runner_config config = {
		.path = argc > 4 ? argv[1] : NULL,
		.limits = {.memory = (uint64_t)strtoul(getenv("BENCH_MEMORY") ? getenv("BENCH_MEMORY") : "512", NULL, 10) << 20,
			   .cpu_s = 20,
			   .wall_ms = 60000,
			   .output_max = 1u << 30,
			   .pixels_max = 100000000},
		.children_max = 1};
	struct rusage use = {}, before = {};
	struct err e = ERR_INIT;
	struct runner *runner;
	struct runner_job j;
	double cpu_s, own_s;
	int rounds;

	if (argc < 5)
		return 2;
	if (runner_start(&runner, &config, &e) < 0) {
		fprintf(stderr, "%s\n", e.detail);
		return 1;
	}
	rounds = atoi(argv[3]);
	getrusage(RUSAGE_SELF, &before);
	j = job(argv[2], argv[4]);
	j.output = take;
	j.output_arg = &out;
	for (int i = 0; i < rounds; i++) {
		buf_reset(&out);
		j.result = BUF_INIT;
		runner_run(runner, &j, 1, NULL);
		buf_release(&j.result);
		if (j.code != 0) {
			fprintf(stderr, "%s: %s\n", err_info(j.code)->name, j.err.detail);
			return 1;
		}
	}
	getrusage(RUSAGE_SELF, &use);
	own_s = seconds(use.ru_utime) + seconds(use.ru_stime) - seconds(before.ru_utime) - seconds(before.ru_stime);
	runner_free(runner);
	getrusage(RUSAGE_CHILDREN, &use);
	cpu_s = seconds(use.ru_utime) + seconds(use.ru_stime);
	printf("%d images, %.2f a CPU second, %.1f ms each (%.1f in the kernel) and %.2f at the server's side, peak %ld MB, %zu bytes\n",
	       rounds, rounds / cpu_s, cpu_s * 1000 / rounds, seconds(use.ru_stime) * 1000 / rounds, own_s * 1000 / rounds,
	       use.ru_maxrss / 1024, out.len);
	if (argc > 5) {
		int fd = open(argv[5], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		return fd < 0 || fd_write_all(fd, out.p, out.len) < 0;
	}
	return 0;
}
