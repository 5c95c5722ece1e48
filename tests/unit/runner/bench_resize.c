/* A figure for the machine at hand, not a test: images a CPU second of `resize`, each in a child forked from a prepared process as the zygote does it, without the seal.
 *
 *	bench_resize FILE ROUNDS '{"width":800,…}' [OUTPUT] */
#include "base/fd.h"
#include "ops/ops.h"
#include "runner/child/child.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sealed_job job(const char *path, const char *params, int out)
{
	struct sealed_job j = {.params = str_of(params), .input_fd = open(path, O_RDONLY | O_CLOEXEC), .output_fd = out};
	struct stat st = {};
	size_t n;
	char *bytes;
	struct digest_set *d;

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
	j.limits = (struct runner_limits){.memory = 512u << 20, .output_max = 1u << 30, .pixels_max = 100000000};
	return j;
}

static void child(struct sealed_job *j, bool keep)
{
	struct err e = ERR_INIT;
	int r;

	/* One of the children writes the file. */
	if (!keep)
		j->output_fd = open("/dev/null", O_WRONLY);
	r = op_resize.run(j, &e);

	if (r < 0)
		fprintf(stderr, "%s: %s\n", err_info(r)->name, e.detail);
	_exit(r < 0);
}

int main(int argc, char **argv)
{
	struct rusage use = {};
	struct err e = ERR_INIT;
	struct sealed_job j;
	double cpu_s;
	int out, rounds;

	if (argc < 4)
		return 2;
	if (op_resize.prepare(&e) < 0)
		return 1;
	out = open(argc > 4 ? argv[4] : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	j = job(argv[1], argv[3], out);
	rounds = atoi(argv[2]);
	for (int i = 0; i < rounds; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0)
			child(&j, i == 0);
		if (waitpid(pid, &status, 0) != pid || status != 0)
			return 1;
	}
	getrusage(RUSAGE_CHILDREN, &use);
	cpu_s = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
	printf("%d images, %.2f a CPU second, %.1f ms each (%.1f in the kernel), peak %ld MB\n", rounds, rounds / cpu_s,
	       cpu_s * 1000 / rounds, ((double)use.ru_stime.tv_sec * 1000 + (double)use.ru_stime.tv_usec / 1000) / rounds,
	       use.ru_maxrss / 1024);
	return 0;
}
