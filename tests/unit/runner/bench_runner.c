/* What handing a job to a sealed child costs: MD5 jobs of 4 KiB inline inputs in batches of 1, 16 and 64 beside the same digests in the calling thread.
 * Wall time of the best of several rounds, because a disturbed round says nothing about the code; and processor time of server and child together, which other
 * programs on the machine disturb less.
 *
 *	bench_runner PATH-OF-filemill-runner */
#include "base/compiler.h"
#include "runner/runner.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 5
#define JOBS_A_ROUND 19200u
#define CHILDREN_A_ROUND 200
#define SIZE 4096
#define INPUTS 256 /* different ones */

static char inputs[INPUTS][SIZE];
static uint8_t digests[INPUTS][32];

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Processor time of this process and of the zygote's children. */
static double cpu_us(struct runner *r)
{
	struct runner_stats stats;
	struct timespec t;
	char name[64];
	double sum;
	int pid;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	sum = (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
	runner_stats(r, &stats);
	snprintf(name, sizeof(name), "/proc/%d/task/%d/children", stats.zygote_pid, stats.zygote_pid);
	FILE *f = stats.zygote_pid > 0 ? fopen(name, "re") : NULL;
	while (f && fscanf(f, "%d", &pid) == 1) {
		clockid_t clock;

		if (clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &t) == 0)
			sum += (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
	}
	if (f)
		fclose(f);
	return sum;
}

static void make_inputs(void)
{
	struct digest_set *d;
	size_t n;

	for (size_t i = 0; i < INPUTS; i++) {
		memset(inputs[i], (int)i, SIZE);
		if (digest_set_new(&d, 1u << DIGEST_SHA256, NULL) < 0)
			exit(1);
		digest_set_update(d, inputs[i], SIZE);
		if (digest_set_finish(d, NULL) < 0)
			exit(1);
		memcpy(digests[i], digest_set_get(d, DIGEST_SHA256, &n), 32);
		digest_set_free(d);
	}
}

static void run_jobs(struct runner *r, const struct op *op, size_t n_jobs, size_t batch)
{
	struct runner_job jobs[RUNNER_BATCH_MAX] = {};

	for (size_t done = 0; done < n_jobs; done += batch) {
		for (size_t i = 0; i < batch; i++) {
			size_t k = (done + i) % INPUTS;
			struct buf kept = jobs[i].result;

			jobs[i] = (struct runner_job){.op = op,
						      .params = STR("{}"),
						      .name = STR("a.bin"),
						      .input_fd = -1,
						      .input = {inputs[k], SIZE},
						      .size = SIZE,
						      .result = kept};
			memcpy(jobs[i].sha256, digests[k], 32);
		}
		runner_run(r, jobs, batch, NULL);
		for (size_t i = 0; i < batch; i++) {
			if (jobs[i].code == 0)
				continue;
			fprintf(stderr, "%s\n", jobs[i].err.detail);
			exit(1);
		}
	}
	for (size_t i = 0; i < batch; i++)
		buf_release(&jobs[i].result);
}

struct cost { /* us a job */
	double wall, cpu;
};

static struct cost cost_of(struct runner *r, size_t batch)
{
	const struct op *op = op_table_find(op_builtin_table(), STR("md5"));
	struct cost best = {1e18, 1e18};

	run_jobs(r, op, batch, batch); /* the child is there and warm */
	for (int i = 0; i < ROUNDS; i++) {
		double wall = now_us(), cpu = cpu_us(r);

		run_jobs(r, op, JOBS_A_ROUND, batch);
		cpu = (cpu_us(r) - cpu) / JOBS_A_ROUND;
		wall = (now_us() - wall) / JOBS_A_ROUND;
		best.wall = wall < best.wall ? wall : best.wall;
		best.cpu = cpu < best.cpu ? cpu : best.cpu;
	}
	return best;
}

/* Jobs that a child of their own refuses at first sight: what the child itself costs. */
static double us_a_child(struct runner *r)
{
	const struct op op = {.name = "resize", .kind = OP_SEALED, .child = OP_CHILD_ONE};
	double best = 1e18;

	for (int i = 0; i < ROUNDS; i++) {
		double before = now_us();

		for (unsigned n = 0; n < CHILDREN_A_ROUND; n++) {
			struct runner_job job = {.op = &op,
						 .params = STR("{\"format\":\"png\",\"width\":1}"),
						 .input_fd = -1,
						 .input = {inputs[0], SIZE},
						 .size = SIZE};

			memcpy(job.sha256, digests[0], 32);
			runner_run(r, &job, 1, NULL);
			buf_release(&job.result);
		}
		double took = (now_us() - before) / CHILDREN_A_ROUND;
		best = took < best ? took : best;
	}
	return best;
}

struct half {
	struct runner *r;
	size_t batch;
};

static void *run_half(void *arg)
{
	const struct half *h = arg;

	run_jobs(h->r, op_table_find(op_builtin_table(), STR("md5")), JOBS_A_ROUND, h->batch);
	return NULL;
}

static double us_a_job_of_two(struct runner *r, size_t batch)
{
	struct half h = {r, batch};
	double best = 1e18;

	for (int i = 0; i < ROUNDS; i++) {
		double before = now_us();
		pthread_t t[2];

		for (size_t k = 0; k < 2; k++)
			if (pthread_create(&t[k], NULL, run_half, &h) != 0)
				exit(1);
		for (size_t k = 0; k < 2; k++)
			pthread_join(t[k], NULL);
		double took = (now_us() - before) / (2.0 * JOBS_A_ROUND);
		best = took < best ? took : best;
	}
	return best;
}

int main(int argc, char **argv)
{
	const struct runner_config config = {
		.path = argc > 1 ? argv[1] : NULL,
		.limits = {.memory = 512 << 20, .cpu_s = 60, .wall_ms = 60000, .output_max = 1 << 30, .pixels_max = 1000000},
		.children_max = 4,
	};
	struct runner *here, *sealed;
	struct err e = ERR_INIT;
	struct cost bare;
	double before;

	make_inputs();
	if (runner_inline_new(&here, &e) < 0)
		return 1;
	before = now_us();
	if (runner_start(&sealed, &config, &e) < 0) {
		fprintf(stderr, "%s\n", e.detail);
		return 1;
	}
	printf("start of the zygote, with its report: %.1f ms\n", (now_us() - before) / 1e3);
	bare = cost_of(here, 64);
	printf("md5 of %d bytes in the calling thread: %.2f us a job, %.2f us of processor\n", SIZE, bare.wall, bare.cpu);
	for (size_t batch = 1; batch <= 64; batch = batch == 1 ? 16 : batch * 4) {
		struct cost c = cost_of(sealed, batch);

		printf("sealed, batch %2zu: %6.2f us a job (%6.2f over), %6.2f us of processor (%6.2f over); %.0f jobs/s\n", batch, c.wall,
		       c.wall - bare.wall, c.cpu, c.cpu - bare.cpu, 1e6 / c.wall);
	}
	for (size_t batch = 1; batch <= 64; batch = batch == 1 ? 16 : batch * 4) {
		double took = us_a_job_of_two(sealed, batch);

		printf("sealed, two threads, batch %2zu: %6.2f us a job; %.0f jobs/s\n", batch, took, 1e6 / took);
	}
	printf("a child of its own, one after the other: %.0f us a job\n", us_a_child(sealed));
	runner_free(sealed);
	runner_free(here);
	return 0;
}
