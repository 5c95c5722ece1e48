/* Measures the SQLite catalogue by itself: bench_catalog DIR [FILES [WAITING-JOBS]]; or, on what an earlier run left there, bench_catalog DIR read;
 * or bench_catalog DIR crowd [WAITING-JOBS]: claims while one owner has so many waiting jobs and another one. Not a test: it is built and never run by the suite.
 * bench_catalog DIR short: uploads, claims and reads in a few seconds. DIR may be postgres:CONNINFO, an empty database; with `short` and `crowd` only.
 * Prints wall-clock rates and the CPU time a unit took; DIR must be an empty directory on the disk to be measured. */
#include "catalog/catalog.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define NOW INT64_C(1800000000000)
#define BYTES 4096
#define BATCH_MAX 256

static struct catalog *cat;
static struct uuid_gen ids;
static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static struct uuid new_id(void)
{
	static int64_t ms = NOW;
	static unsigned n;

	if (++n % 20 == 0)
		ms++;
	return uuid_next(&ids, ms, next_random());
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct watch {
	double wall, cpu;
};

static struct watch start(void)
{
	return (struct watch){seconds(CLOCK_MONOTONIC), seconds(CLOCK_PROCESS_CPUTIME_ID)};
}

static void report(const char *what, size_t n, struct watch w)
{
	double wall = seconds(CLOCK_MONOTONIC) - w.wall, cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - w.cpu;

	printf("%-44s %9.0f /s %8.2f us CPU each\n", what, (double)n / wall, cpu / (double)n * 1e6);
	fflush(stdout);
}

static void must(int r, const char *what, const struct err *e)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", what, e->detail);
		exit(1);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct upload {
	struct change change;
	struct file file;
	struct job job;
};

static struct upload uploads[BATCH_MAX];
static struct change *batch[BATCH_MAX];
static char content[BATCH_MAX][BYTES];
static struct uuid *stored; /* ids of all files */
static size_t n_stored;

static void fill_upload(struct upload *u, char *bytes, size_t n_bytes, bool fused)
{
	u->job = (struct job){.id = new_id(),
			      .op = STR("md5"),
			      .op_version = 1,
			      .params = STR("{}"),
			      .priority = 3,
			      .max_attempts = 3,
			      .run_at = NOW,
			      .created_at = NOW};
	if (fused) {
		u->job.state = JOB_SUCCEEDED;
		u->job.attempt = 1;
		u->job.started_at = u->job.finished_at = NOW;
		u->job.result = STR("{\"md5\":\"d41d8cd98f00b204e9800998ecf8427e\"}");
	}
	u->file = (struct file){.id = new_id(),
				.owner = STR(OWNER_PUBLIC),
				.name = STR("photo of something.jpg"),
				.size = n_bytes,
				.type = STR("image/jpeg"),
				.labels = STR("{}"),
				.created_at = NOW,
				.jobs = &u->job,
				.n_jobs = 1};
	for (int i = 0; i < 4; i++) {
		uint64_t r = next_random();

		memcpy(u->file.sha256 + 8 * i, &r, 8);
	}
	u->change = (struct change){.kind = CHANGE_ADD_FILE, .add_file = {.file = &u->file, .bytes = {bytes, n_bytes}}};
}

static void apply(size_t n)
{
	struct err e = ERR_INIT;

	must(catalog_apply(cat, batch, n, &e), "apply", &e);
	for (size_t i = 0; i < n; i++)
		must(batch[i]->code, "change", &batch[i]->err);
}

static void bench_uploads(size_t total, size_t size, size_t n_bytes, bool fused, const char *what)
{
	double *took = calloc(total / size + 1, sizeof(*took));
	size_t rounds = 0;
	char label[100];
	struct watch w = start();

	for (size_t done = 0; done < total; done += size) {
		double t;

		for (size_t i = 0; i < size; i++) {
			fill_upload(&uploads[i], content[i], n_bytes, fused);
			batch[i] = &uploads[i].change;
			stored[n_stored++] = uploads[i].file.id;
		}
		t = seconds(CLOCK_MONOTONIC);
		apply(size);
		took[rounds++] = seconds(CLOCK_MONOTONIC) - t;
		if (size == 1)
			catalog_idle(cat);
	}
	snprintf(label, sizeof(label), "%s, batches of %zu", what, size);
	report(label, total, w);
	qsort(took, rounds, sizeof(*took), compare);
	printf("    a batch: p50 %.2f ms, p99 %.2f ms, most %.2f ms\n", took[rounds / 2] * 1e3, took[rounds * 99 / 100] * 1e3,
	       took[rounds - 1] * 1e3);
	free(took);
}

static void bench_queue(size_t total)
{
	struct uuid worker = new_id();
	struct change beat = {.kind = CHANGE_BEAT, .beat = {.worker = worker, .now = NOW, .expires_at = NOW + 15000, .first = true}};
	static struct change finishes[BATCH_MAX];
	struct watch w;
	size_t done = 0;

	batch[0] = &beat;
	apply(1);
	w = start();
	while (done < total) {
		struct arena a = ARENA_INIT;
		struct change claim = {.kind = CHANGE_CLAIM, .claim = {.worker = worker, .max = BATCH_MAX, .now = NOW, .arena = &a}};

		batch[0] = &claim;
		apply(1);
		if (claim.claim.n == 0)
			break;
		for (size_t i = 0; i < claim.claim.n; i++) {
			const struct job *job = &claim.claim.jobs[i].job;

			finishes[i] = (struct change){.kind = CHANGE_FINISH,
						      .finish = {.job = job->id,
								 .fence = job->fence,
								 .worker = worker,
								 .state = JOB_SUCCEEDED,
								 .result = STR("{\"md5\":\"d41d8cd98f00b204e9800998ecf8427e\"}"),
								 .started_at = NOW,
								 .finished_at = NOW}};
			batch[i] = &finishes[i];
		}
		apply(claim.claim.n);
		done += claim.claim.n;
		arena_release(&a);
	}
	report("claim and finish, batches of 256", done, w);
}

static void bench_reads(size_t total)
{
	struct watch w = start();

	for (size_t i = 0; i < total; i++) {
		struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		struct file f;

		must(catalog_file(cat, (struct file_key){.id = stored[next_random() % n_stored]}, STR(OWNER_PUBLIC), &a, &f, &e), "read",
		     &e);
		if (f.n_jobs != 1)
			abort();
		arena_release(&a);
	}
	report("catalog_file(), random", total, w);
	w = start();
	for (size_t i = 0; i < total; i++) {
		struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		struct file f;

		must(catalog_file(cat, (struct file_key){.id = stored[n_stored - 1 - next_random() % 100]}, STR(OWNER_PUBLIC), &a, &f, &e),
		     "read", &e);
		arena_release(&a);
	}
	report("catalog_file(), one of the newest 100", total, w);
}

static atomic_bool reading;
static size_t n_readable;

static void *read_along(void *arg)
{
	uint64_t at = 12345;
	size_t *n = arg;

	while (atomic_load(&reading)) {
		struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		struct file f;

		at = at * UINT64_C(6364136223846793005) + 1;
		must(catalog_file(cat, (struct file_key){.id = stored[(at >> 33) % n_readable]}, STR(OWNER_PUBLIC), &a, &f, &e), "read",
		     &e);
		arena_release(&a);
		++*n;
	}
	return NULL;
}

/* Uploads while another thread reads without a pause: the log must still be begun anew now and then. */
static void bench_both(const char *dir)
{
	char path[200];
	pthread_t thread;
	struct stat st = {};
	size_t n = 0;
	double t = seconds(CLOCK_MONOTONIC);

	n_readable = n_stored;
	atomic_store(&reading, true);
	if (pthread_create(&thread, NULL, read_along, &n) != 0)
		abort();
	bench_uploads(64 * 1500, 64, BYTES, true, "uploads of 4 KiB while another thread reads");
	atomic_store(&reading, false);
	pthread_join(thread, NULL);
	printf("    meanwhile %.0f reads/s\n", (double)n / (seconds(CLOCK_MONOTONIC) - t));
	snprintf(path, sizeof(path), "%s/catalog.db-wal", dir);
	stat(path, &st);
	printf("    log of %.1f MiB\n", (double)st.st_size / 1048576);
}

/* ---- one owner's crowd and another's one job ---- */

#define CROWD_FILE_JOBS 1000 /* jobs of one file */

static void add_crowd(const char *owner, size_t jobs_of_it)
{
	static struct job jobs[CROWD_FILE_JOBS];
	struct upload *u = &uploads[0];

	fill_upload(u, content[0], 64, true);
	u->file.owner = str_of(owner);
	batch[0] = &u->change;
	apply(1);
	for (size_t i = 0; i < jobs_of_it; i++)
		jobs[i] = (struct job){.id = new_id(),
				       .file = u->file.id,
				       .op = i % 2 == 0 ? STR("sha256") : STR("sha512"),
				       .op_version = 1,
				       .params = STR("{}"),
				       .priority = 3,
				       .max_attempts = 3,
				       .run_at = NOW,
				       .created_at = NOW};
	struct change c = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = str_of(owner), .jobs = jobs, .n = jobs_of_it}};
	batch[0] = &c;
	apply(1);
}

/* Claims and gives back, so that the queue stays as long; how many jobs were claimed before the other owner's first one, -1 = it never came. */
static long bench_claims(struct uuid worker, uint32_t max, const char *what)
{
	static struct change backs[BATCH_MAX];
	double took[200];
	long before = 0, met = -1;

	for (size_t round = 0; round < ARRAY_LEN(took); round++) {
		struct arena a = ARENA_INIT;
		struct change claim = {.kind = CHANGE_CLAIM, .claim = {.worker = worker, .max = max, .now = NOW, .arena = &a}};
		double t = seconds(CLOCK_MONOTONIC);

		batch[0] = &claim;
		apply(1);
		took[round] = seconds(CLOCK_MONOTONIC) - t;
		for (size_t i = 0; i < claim.claim.n; i++) {
			const struct claimed *c = &claim.claim.jobs[i];

			if (met < 0 && str_eq(c->owner, STR("other")))
				met = before + (long)i;
			backs[i] = (struct change){
				.kind = CHANGE_FINISH,
				.finish = {
					.job = c->job.id, .fence = c->job.fence, .worker = worker, .state = JOB_QUEUED, .give_back = true}};
			batch[i] = &backs[i];
		}
		before += (long)claim.claim.n;
		apply(claim.claim.n);
		arena_release(&a);
	}
	qsort(took, ARRAY_LEN(took), sizeof(*took), compare);
	printf("%-44s claim of %3u: p50 %7.1f us, p99 %7.1f us\n", what, max, took[ARRAY_LEN(took) / 2] * 1e6,
	       took[ARRAY_LEN(took) * 99 / 100] * 1e6);
	return met;
}

static void bench_crowd(size_t total)
{
	struct uuid worker = new_id();
	struct change beat = {.kind = CHANGE_BEAT, .beat = {.worker = worker, .now = NOW, .expires_at = NOW + 15000, .first = true}};
	struct watch w;

	batch[0] = &beat;
	apply(1);
	add_crowd("crowd", CROWD_FILE_JOBS);
	bench_claims(worker, 16, "1,000 jobs wait");
	bench_claims(worker, BATCH_MAX, "1,000 jobs wait");
	w = start();
	for (size_t n = CROWD_FILE_JOBS; n < total; n += CROWD_FILE_JOBS)
		add_crowd("crowd", CROWD_FILE_JOBS);
	report("adding jobs by the thousand", total, w);
	catalog_idle(cat);
	add_crowd("other", 1);
	long met = bench_claims(worker, 16, "a million of one owner, one of another");
	printf("    the other owner's job came behind %ld of the crowd (-1: not among 3,200)\n", met);
	bench_claims(worker, BATCH_MAX, "a million of one owner, one of another");
}

/* The ids of an existing catalogue, in random order of reading later. */
static void load_ids(void)
{
	struct page page = {.limit = 200};

	do {
		struct arena a = ARENA_INIT;
		struct file_filter all = {.owner = STR(OWNER_PUBLIC), .state = -1};
		struct err e = ERR_INIT;
		struct file *files;
		size_t n;

		must(catalog_list_files(cat, &all, page, &a, &files, &n, &page.before, &e), "list", &e);
		for (size_t i = 0; i < n; i++)
			stored[n_stored++] = files[i].id;
		arena_release(&a);
	} while (page.before);
}

static void open_catalog(const char *where)
{
	const struct catalog_options options = {};
	struct str rest = {}, kind = str_split(str_of(where), ':', &rest);
	struct err e = ERR_INIT;

	if (str_eq(kind, STR("postgres")) && rest.p)
		must(catalog_postgres_new(&cat, rest.p, &options, &e), "connect", &e);
	else
		must(catalog_sqlite_open(&cat, where, &options, &e), "open", &e);
}

static void bench_short(void)
{
	bench_uploads(1000, 1, BYTES, true, "uploads of 4 KiB with a fused job");
	bench_uploads(64 * 250, 64, BYTES, true, "uploads of 4 KiB with a fused job");
	bench_uploads(256 * 100, 256, BYTES, true, "uploads of 4 KiB with a fused job");
	bench_uploads(256 * 160, 256, 64, false, "uploads of 64 B with a queued job");
	bench_queue(256 * 160);
	bench_reads(10000);
}

int main(int argc, char **argv)
{
	size_t files = argc > 2 && strcmp(argv[2], "read") != 0 && strcmp(argv[2], "short") != 0 ? strtoul(argv[2], NULL, 10) : 100000;
	size_t waiting = argc > 3 ? strtoul(argv[3], NULL, 10) : 51200;
	struct err e = ERR_INIT;
	struct watch w;

	if (argc < 2)
		return 2;
	for (size_t i = 0; i < BATCH_MAX; i++)
		for (size_t k = 0; k < BYTES; k++)
			content[i][k] = (char)next_random();
	stored = calloc(files + waiting + 500000, sizeof(*stored));
	if (!stored)
		return 1;
	open_catalog(argv[1]);
	if (argc > 2 && strcmp(argv[2], "read") == 0) {
		struct catalog_stats st;
		must(catalog_stats(cat, 0, &st, &e), "stats", &e);
		free(stored);
		stored = calloc(st.files + 1, sizeof(*stored));
		if (!stored)
			return 1;
		w = start();
		load_ids();
		report("listing, pages of 200", n_stored, w);
		bench_reads(300000);
		bench_reads(300000);
		catalog_free(cat);
		return 0;
	}
	if (argc > 2 && strcmp(argv[2], "crowd") == 0) {
		bench_crowd(argc > 3 ? waiting : 1000000);
		w = start();
		catalog_free(cat);
		open_catalog(argv[1]);
		report("close and open with them", 1, w);
		catalog_free(cat);
		return 0;
	}
	if (argc > 2 && strcmp(argv[2], "short") == 0) {
		bench_short();
		catalog_free(cat);
		free(stored);
		return 0;
	}
	bench_uploads(3000, 1, BYTES, true, "uploads of 4 KiB with a fused job");
	bench_both(argv[1]);
	bench_uploads(64 * 1500, 64, BYTES, true, "uploads of 4 KiB with a fused job");
	bench_uploads(256 * 400, 256, BYTES, true, "uploads of 4 KiB with a fused job");
	bench_uploads(waiting / 256 * 256, 256, 64, false, "uploads of 64 B with a queued job");
	bench_queue(256 * 200);
	bench_uploads(files / 256 * 256, 256, 64, true, "filling: uploads of 64 B with a fused job");
	bench_reads(300000);
	w = start();
	catalog_free(cat);
	report("close", 1, w);
	w = start();
	open_catalog(argv[1]);
	report("open", 1, w);
	bench_reads(300000);
	catalog_free(cat);
	free(stored);
	return 0;
}
