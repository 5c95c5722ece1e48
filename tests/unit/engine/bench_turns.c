/* Measures how long one owner's job waits behind another's crowd: bench_turns DIR [CROWD [SLOT_MS [THREADS [ROUNDS]]]]. Not a test: it is built and never run by the suite.
 * DIR must be an empty directory on the disk to be measured. CROWD jobs of one owner are in the catalogue before anything runs; each job takes a slot of SLOT_MS. Then, at
 * random moments, another owner's one job is added ROUNDS times, and the time from its acknowledgement to its begin is taken. With CROWD 0 nobody stands before it. */
#include "engine/engine.h"
#include "runner/runner_impl.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BATCH 250
#define OP "probe" /* one by one, and without an output */

static const struct str CROWD_OWNER = STR("0190d2a6-0000-7000-8000-00000000c001"),
			OTHER_OWNER = STR("0190d2a6-0000-7000-8000-00000000c002");
static struct uuid_gen ids;

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "bench_turns: %s: %s\n", what, e->detail);
	exit(1);
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void sleep_us(int64_t us)
{
	nanosleep(&(struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000}, NULL);
}

/* ---- a runner whose jobs take a slot each ---- */

struct slots {
	struct runner base;
	int64_t slot_us;
	_Atomic int64_t other_began; /* us; 0 = not yet */
	_Atomic uint64_t crowd; /* how many of the crowd ran */
};

static void run(struct runner *r, struct runner_job *jobs, size_t n, const struct runner_watch *watch)
{
	struct slots *s = (struct slots *)r;

	for (size_t i = 0; i < n; i++) {
		if (str_eq(jobs[i].name, STR("other")))
			atomic_store(&s->other_began, now_us());
		else
			atomic_fetch_add(&s->crowd, 1);
		sleep_us(s->slot_us);
		buf_add_cstr(&jobs[i].result, "{}");
		runner_job_end(&jobs[i], 0);
	}
}

static void get_stats(struct runner *r, struct runner_stats *ret)
{
	*ret = (struct runner_stats){};
}

static void free_nothing(struct runner *r)
{
}

static const struct runner_kind slots_kind = {.run = run, .stats = get_stats, .free = free_nothing};

/* ---- what waits ---- */

struct item {
	struct file file;
	struct job job;
	struct change change;
};

static void make_item(struct item *t, struct str owner, const char *name)
{
	int64_t now = env_real.wall_ms(&env_real);
	const struct op *op = op_table_find(op_builtin_table(), STR(OP));

	t->job = (struct job){.op = STR(OP),
			      .op_version = op->version,
			      .params = STR("{}"),
			      .priority = PRIORITY_DEFAULT,
			      .max_attempts = 3,
			      .run_at = now,
			      .created_at = now};
	t->job.id = uuid_next(&ids, now, env_real.random(&env_real));
	t->file = (struct file){.owner = owner,
				.name = str_of(name),
				.size = 1,
				.type = STR("application/octet-stream"),
				.labels = STR("{}"),
				.location = LOCATION_INLINE,
				.created_at = now,
				.jobs = &t->job,
				.n_jobs = 1};
	t->file.id = uuid_next(&ids, now, env_real.random(&env_real));
	for (size_t i = 0; i < sizeof(t->file.sha256); i += sizeof(uint64_t)) { /* no work is like another, or it would be done once */
		uint64_t unlike = env_real.random(&env_real);
		memcpy(t->file.sha256 + i, &unlike, sizeof(unlike));
	}
	t->change = (struct change){.kind = CHANGE_ADD_FILE, .add_file = {.file = &t->file, .bytes = STR("x")}};
}

static void add_crowd(struct catalog *c, size_t n)
{
	struct item *items = calloc(BATCH, sizeof(*items));
	struct change *list[BATCH];
	struct err e = ERR_INIT;

	for (size_t done = 0; done < n; done += BATCH) {
		for (size_t i = 0; i < BATCH; i++) {
			make_item(&items[i], CROWD_OWNER, "crowd");
			list[i] = &items[i].change;
		}
		if (catalog_apply(c, list, BATCH, &e) != 0)
			die("the crowd", &e);
	}
	free(items);
}

/* ---- the other one ---- */

static void acknowledged(void *arg, struct change *c)
{
	if (c->code != 0)
		die("the other's job", &c->err);
	atomic_store((_Atomic int64_t *)arg, now_us());
}

static int64_t wait_set(_Atomic int64_t *at)
{
	int64_t since = now_us();

	while (atomic_load(at) == 0) {
		sleep_us(50);
		if (now_us() - since > 60000000) {
			fprintf(stderr, "bench_turns: it did not begin within a minute\n");
			exit(1);
		}
	}
	return atomic_load(at);
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void measure(struct engine *g, struct slots *s, size_t rounds)
{
	int64_t *took = calloc(rounds, sizeof(*took)), since = now_us();

	for (size_t i = 0; i < rounds; i++) {
		_Atomic int64_t told = 0;
		struct item t;

		sleep_us(s->slot_us + (int64_t)(env_real.random(&env_real) % (uint64_t)(2 * s->slot_us)));
		atomic_store(&s->other_began, 0);
		make_item(&t, OTHER_OWNER, "other");
		engine_submit(g, &t.change, acknowledged, &told);
		int64_t from = wait_set(&told), to = wait_set(&s->other_began);
		took[i] = to > from ? to - from : 0;
	}
	since = now_us() - since;
	qsort(took, rounds, sizeof(*took), by_value);
	printf("slot %.1f ms; from acknowledged to begun over %zu jobs: median %.2f ms, 99th of 100 %.2f ms, most %.2f ms (%.2f slots); the crowd had %llu slots meanwhile, %.1f /s\n",
	       (double)s->slot_us / 1e3, rounds, (double)took[rounds / 2] / 1e3, (double)took[rounds * 99 / 100] / 1e3,
	       (double)took[rounds - 1] / 1e3, (double)took[rounds - 1] / (double)s->slot_us, (unsigned long long)atomic_load(&s->crowd),
	       (double)atomic_load(&s->crowd) * 1e6 / (double)since);
	free(took);
}

int main(int argc, char **argv)
{
	size_t crowd = argc > 2 ? (size_t)atol(argv[2]) : 1000000, rounds = argc > 5 ? (size_t)atol(argv[5]) : 200;
	struct slots slots = {.base = {.kind = &slots_kind}, .slot_us = (argc > 3 ? atol(argv[3]) : 20) * 1000};
	unsigned threads = argc > 4 ? (unsigned)atoi(argv[4]) : 2;
	struct catalog *c;
	struct blobs *b;
	struct engine *g;
	struct err e = ERR_INIT;
	char blobs_dir[4096];

	if (argc < 2 || rounds == 0 || slots.slot_us <= 0) {
		fprintf(stderr, "bench_turns DIR [CROWD [SLOT_MS [THREADS [ROUNDS]]]]\n");
		return 2;
	}
	if (catalog_sqlite_open(&c, argv[1], &(struct catalog_options){}, &e) != 0)
		die("catalogue", &e);
	snprintf(blobs_dir, sizeof(blobs_dir), "%s/blobs", argv[1]);
	mkdir(blobs_dir, 0700);
	int fd = open(blobs_dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (fd < 0 || blobs_local_new(&b, &env_real, fd, &e) != 0)
		die("store", &e);
	add_crowd(c, crowd);
	const struct engine_config config = {
		.inline_max = 32 << 10,
		.file_max = 64 << 20,
		.space_fd = -1,
		.io_threads = 2,
		.job_threads = threads,
		.uploads_max = 8,
		.runner = &slots.base,
		.default_ops = "",
		.lease_ms = 15000,
		.beat_ms = 4000,
		.reclaim_ms = 2000,
		.idempotency_ms = 86400000,
		.tombstone_ms = 86400000,
	};
	if (engine_new(&g, &config, &env_real, c, b, &e) != 0)
		die("engine", &e);
	if (engine_start(g, &e) != 0)
		die("start", &e);
	measure(g, &slots, rounds);
	engine_stop(g, 1000);
	engine_free(g);
	close(fd);
	return 0;
}
