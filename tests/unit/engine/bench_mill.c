/* Measures queued jobs from claim to durable end: bench_mill DIR [FILES [BYTES [THREADS [OP [RUNNER]]]]]. Not a test: it is built and never run by the suite.
 * DIR must be an empty directory on the disk to be measured; RUNNER is the path of filemill-runner, without one digests are computed in the calling thread.
 * The files and their jobs are in the catalogue before the clock starts; it stops when none is waiting or running. */
#include "engine/engine.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BATCH 250

static struct uuid_gen ids;

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "bench_mill: %s: %s\n", what, e->detail);
	exit(1);
}

static double now_s(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct uuid new_id(void)
{
	return uuid_next(&ids, env_real.wall_ms(&env_real), env_real.random(&env_real));
}

struct item {
	struct file file;
	struct job job;
	char *bytes;
};

static void make_item(struct item *t, size_t size, const struct op_request *op)
{
	int64_t now = env_real.wall_ms(&env_real);
	struct digest_set *d;
	size_t n;

	t->bytes = malloc(size + 1);
	for (size_t i = 0; i < size; i++)
		t->bytes[i] = (char)(i * 7);
	uint64_t unlike = env_real.random(&env_real);
	memcpy(t->bytes, &unlike, size < sizeof(unlike) ? size : sizeof(unlike));
	t->job = (struct job){.id = new_id(),
			      .op = str_of(op->op->name),
			      .op_version = op->op->version,
			      .params = op->params,
			      .priority = PRIORITY_DEFAULT,
			      .max_attempts = 3,
			      .run_at = now,
			      .created_at = now};
	t->file = (struct file){.id = new_id(),
				.owner = STR(OWNER_PUBLIC),
				.name = STR("file"),
				.size = size,
				.type = STR("application/octet-stream"),
				.labels = STR("{}"),
				.location = LOCATION_INLINE,
				.created_at = now,
				.jobs = &t->job,
				.n_jobs = 1};
	if (digest_set_new(&d, 1u << DIGEST_SHA256, NULL) != 0)
		exit(1);
	digest_set_update(d, t->bytes, size);
	if (digest_set_finish(d, NULL) != 0)
		exit(1);
	memcpy(t->file.sha256, digest_set_get(d, DIGEST_SHA256, &n), 32);
	digest_set_free(d);
}

static void fill_queue(struct catalog *c, size_t files, size_t size, const struct op_request *op)
{
	struct err e = ERR_INIT;

	for (size_t done = 0; done < files; done += BATCH) {
		struct item *items = calloc(BATCH, sizeof(*items));
		struct change *changes = calloc(BATCH, sizeof(*changes)), *list[BATCH];

		for (size_t i = 0; i < BATCH; i++) {
			make_item(&items[i], size, op);
			changes[i] = (struct change){.kind = CHANGE_ADD_FILE,
						     .add_file = {.file = &items[i].file, .bytes = {items[i].bytes, size}}};
			list[i] = &changes[i];
		}
		if (catalog_apply(c, list, BATCH, &e) != 0)
			die("filling the queue", &e);
		for (size_t i = 0; i < BATCH; i++)
			free(items[i].bytes);
		free(changes);
		free(items);
	}
}

static double cpu_s(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void run(struct engine *g, struct catalog *c, size_t files)
{
	struct catalog_stats st;
	struct err e = ERR_INIT;
	double wall = now_s(CLOCK_MONOTONIC), cpu = cpu_s(RUSAGE_SELF);

	if (engine_start(g, &e) != 0)
		die("start", &e);
	do {
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		if (catalog_stats(c, INT64_MAX, &st, &e) != 0)
			die("stats", &e);
	} while (st.jobs_waiting + st.jobs_running > 0);
	wall = now_s(CLOCK_MONOTONIC) - wall;
	cpu = cpu_s(RUSAGE_SELF) - cpu;
	printf("%zu jobs in %.2f s: %.0f /s, %.1f us of the server's CPU each; succeeded %llu, failed %llu\n", files, wall,
	       (double)files / wall, cpu / (double)files * 1e6, (unsigned long long)st.jobs_final[JOB_SUCCEEDED],
	       (unsigned long long)st.jobs_final[JOB_FAILED]);
}

int main(int argc, char **argv)
{
	size_t files = argc > 2 ? (size_t)atol(argv[2]) : 20000, size = argc > 3 ? (size_t)atol(argv[3]) : 4096;
	unsigned threads = argc > 4 ? (unsigned)atoi(argv[4]) : 2;
	const char *op = argc > 5 ? argv[5] : "md5";
	struct arena a = ARENA_INIT;
	struct op_request request;
	struct catalog *c;
	struct blobs *b;
	struct engine *g;
	struct runner *r;
	struct err e = ERR_INIT;
	char blobs_dir[4096];

	if (argc < 2) {
		fprintf(stderr, "bench_mill DIR [FILES [BYTES [THREADS [OP [RUNNER]]]]]\n");
		return 2;
	}
	files = (files + BATCH - 1) / BATCH * BATCH;
	const struct runner_config runner = {
		.path = argc > 6 ? argv[6] : NULL,
		.limits = {.memory = 512u << 20, .cpu_s = 60, .wall_ms = 120000, .output_max = 1u << 30, .pixels_max = 100000000},
		.children_max = threads,
	};
	int rc = argc > 6 ? runner_start(&r, &runner, &e) : runner_inline_new(&r, &e);
	if (rc != 0)
		die("runner", &e);
	if (op_table_request_from_json(op_builtin_table(), &request, str_of(op), STR(""), &a, &e) != 0)
		die("op", &e);
	const struct catalog_options options = {.queue_max = 0};
	if (catalog_sqlite_open(&c, argv[1], &options, &e) != 0)
		die("catalogue", &e);
	snprintf(blobs_dir, sizeof(blobs_dir), "%s/blobs", argv[1]);
	mkdir(blobs_dir, 0700);
	int fd = open(blobs_dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (fd < 0 || blobs_local_new(&b, &env_real, fd, &e) != 0)
		die("store", &e);
	fill_queue(c, files, size, &request);
	const struct engine_config config = {
		.inline_max = 32 << 10,
		.file_max = 64 << 20,
		.space_fd = -1,
		.io_threads = 2,
		.job_threads = threads,
		.uploads_max = 8,
		.runner = r,
		.default_ops = "",
		.lease_ms = 15000,
		.beat_ms = 4000,
		.reclaim_ms = 2000,
		.idempotency_ms = 86400000,
		.tombstone_ms = 86400000,
	};
	if (engine_new(&g, &config, &env_real, c, b, &e) != 0)
		die("engine", &e);
	run(g, c, files);
	engine_stop(g, 1000);
	engine_free(g);
	runner_free(r);
	arena_release(&a);
	close(fd);
	return 0;
}
