/* What handing a job to a sealed child costs: MD5 jobs of 4 KiB inline inputs in batches of 1, 16 and 64 beside the same digests in the calling thread, and jobs that get a child
 * of their own. Wall time, the best of several rounds, because a disturbed round says nothing about the code.
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

static double us_a_job(struct runner *r, const char *name, size_t jobs, size_t batch)
{
	const struct op *op = op_table_find(op_builtin_table(), str_of(name));
	double best = 1e18;

	for (int i = 0; i < ROUNDS; i++) {
		double before = now_us();

		run_jobs(r, op, jobs, batch);
		double took = (now_us() - before) / (double)jobs;
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
	double before, bare;

	make_inputs();
	if (runner_inline_new(&here, &e) < 0)
		return 1;
	before = now_us();
	if (runner_start(&sealed, &config, &e) < 0) {
		fprintf(stderr, "%s\n", e.detail);
		return 1;
	}
	printf("start of the zygote, with its report: %.1f ms\n", (now_us() - before) / 1e3);
	bare = us_a_job(here, "md5", JOBS_A_ROUND, 64);
	printf("md5 of %d bytes in the calling thread: %.2f us a job\n", SIZE, bare);
	for (size_t batch = 1; batch <= 64; batch = batch == 1 ? 16 : batch * 4) {
		double took = us_a_job(sealed, "md5", JOBS_A_ROUND, batch);

		printf("sealed, batch %2zu: %6.2f us a job, %6.2f us over; %.0f jobs/s\n", batch, took, took - bare, 1e6 / took);
	}
	for (size_t batch = 1; batch <= 64; batch = batch == 1 ? 16 : batch * 4) {
		double took = us_a_job_of_two(sealed, batch);

		printf("sealed, two threads, batch %2zu: %6.2f us a job; %.0f jobs/s\n", batch, took, 1e6 / took);
	}
	runner_free(sealed);
	runner_free(here);
	return 0;
}
