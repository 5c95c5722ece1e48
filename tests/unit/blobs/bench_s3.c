/* How fast blobs go to a service and come back, and how much memory that takes: S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY and S3_SECRET_KEY name it.
 *
 *     bench_s3 WRITERS MIB [PART_MIB [PARTS_AT_ONCE [MEMORY_MIB]]]
 *
 * Each writer writes one blob of so many MiB in pieces of 256 KiB, as uploads come; then all are read back, and removed. */
#include "blobs/s3/s3_impl.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PIECE ((size_t)256 << 10)
#define WRITERS_MAX 256

struct job {
	struct blobs *b;
	uint64_t mib;
	unsigned number;
	char *bytes;
	int rc;
	struct err e;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void name_of(char dst[64], const struct job *j)
{
	snprintf(dst, 64, "bench/%02x/blob-%u", j->number & 0xff, j->number);
}

static void *write_one(void *arg)
{
	struct job *j = arg;
	struct blob_writer *w;
	char name[64];

	name_of(name, j);
	j->rc = blob_create(j->b, str_of(name), 0, &w, &j->e);
	if (j->rc != 0)
		return NULL;
	for (uint64_t n = 0; j->rc == 0 && n < j->mib << 20; n += PIECE)
		j->rc = blob_append(w, j->bytes, PIECE, &j->e);
	if (j->rc == 0)
		j->rc = blob_commit(w, &j->e);
	else
		blob_abandon(w);
	return NULL;
}

static void *read_one(void *arg)
{
	struct job *j = arg;
	struct blob_reader *r;
	char name[64], *bytes = malloc(PIECE);
	uint64_t size, done = 0;
	size_t n = 1;

	name_of(name, j);
	j->rc = bytes ? blob_read_open(j->b, str_of(name), 0, UINT64_MAX, &r, &size, &j->e) : ERR_NO_MEMORY;
	while (j->rc == 0 && n > 0) {
		j->rc = blob_read(r, bytes, PIECE, &n, &j->e);
		done += n;
	}
	if (j->rc == 0 && done != j->mib << 20)
		j->rc = ERR_INTERNAL;
	if (bytes && j->rc == 0)
		blob_read_close(r);
	free(bytes);
	return NULL;
}

static int run(const char *what, void *(*work)(void *), struct job *jobs, unsigned n, uint64_t mib)
{
	pthread_t threads[WRITERS_MAX];
	double begun = now();
	int failed = 0;

	for (unsigned i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, work, &jobs[i]) != 0)
			return 1;
	for (unsigned i = 0; i < n; i++) {
		pthread_join(threads[i], NULL);
		if (jobs[i].rc != 0 && failed++ == 0)
			fprintf(stderr, "%s: %d %s\n", what, jobs[i].rc, jobs[i].e.detail);
	}
	printf("%s %u x %llu MiB: %.1f MB/s%s\n", what, n, (unsigned long long)mib,
	       (double)n * (double)mib * 1048576 / 1e6 / (now() - begun), failed ? ", with failures" : "");
	return failed;
}

static void print_peak(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "VmHWM", 5) == 0)
			fputs(line, stdout);
	if (f)
		fclose(f);
}

static uint64_t number(int argc, char **argv, int i)
{
	return argc > i ? strtoull(argv[i], NULL, 10) : 0;
}

int main(int argc, char **argv)
{
	const unsigned n = (unsigned)number(argc, argv, 1);
	const uint64_t mib = number(argc, argv, 2);
	const struct s3_options o = {.endpoint = getenv("S3_ENDPOINT"),
				     .bucket = getenv("S3_BUCKET"),
				     .access_key = getenv("S3_ACCESS_KEY"),
				     .secret_key = getenv("S3_SECRET_KEY"),
				     .prefix = "bench/",
				     .part_bytes = number(argc, argv, 3) << 20,
				     .parts_at_once = (unsigned)number(argc, argv, 4),
				     .memory_max = number(argc, argv, 5) << 20,
				     .spool_fd = -1};
	struct job jobs[WRITERS_MAX];
	struct s3_powers powers;
	struct err e = ERR_INIT;
	struct blobs *b;
	char *bytes = malloc(PIECE);
	int failed;

	setlinebuf(stdout); /* whoever measures beside it reads along */
	if (n < 1 || n > WRITERS_MAX || mib < 1 || !o.endpoint || !bytes) {
		fprintf(stderr, "usage: S3_ENDPOINT=… bench_s3 WRITERS MIB [PART_MIB [PARTS_AT_ONCE [MEMORY_MIB]]]\n");
		return 2;
	}
	memset(bytes, 'x', PIECE);
	if (blobs_s3_new(&b, &o, &e) != 0 || s3_learn(s3_of(b), &powers, &e) != 0) {
		fprintf(stderr, "%s\n", e.detail);
		return 1;
	}
	printf("checksums %d, SHA-256 suffices %d, If-None-Match of PUT %d, of complete %d\n", powers.checksums, powers.sha256_suffices,
	       powers.put_if_none_match, powers.complete_if_none_match);
	for (unsigned i = 0; i < n; i++)
		jobs[i] = (struct job){.b = b, .mib = mib, .number = i, .bytes = bytes, .e = ERR_INIT};
	failed = run("write", write_one, jobs, n, mib);
	print_peak();
	failed += run("read", read_one, jobs, n, mib);
	for (unsigned i = 0; i < n; i++) {
		char name[64];

		name_of(name, &jobs[i]);
		failed += blob_remove(b, str_of(name), NULL) != 0;
	}
	blobs_free(b);
	free(bytes);
	return failed > 0;
}
