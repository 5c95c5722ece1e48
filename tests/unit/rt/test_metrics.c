#include "base/compiler.h"
#include "rt/metrics.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The value behind `line` (a name with its labels and a space) in the output; -1 when there is no such line. */
static double sample(const char *line)
{
	struct buf out = BUF_INIT;
	double v = -1;
	char *at, needle[160];

	snprintf(needle, sizeof(needle), "\n%s ", line);
	metrics_write(&out);
	assert_true(buf_ok(&out));
	at = strstr(out.p, needle);
	if (at)
		v = strtod(at + strlen(needle), NULL);
	buf_release(&out);
	return v;
}

static bool ends_with(const char *s, const char *end)
{
	return strlen(s) >= strlen(end) && strcmp(s + strlen(s) - strlen(end), end) == 0;
}

static void every_metric_is_named_by_the_rules(void **state)
{
	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		const struct metric_info *m = metric_info(i);

		assert_memory_equal(m->name, "filemill_", 9);
		for (const char *p = m->name; *p; p++)
			assert_true(islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '_');
		assert_int_equal(m->kind == METRIC_COUNTER, ends_with(m->name, "_total"));
		assert_true(m->kind != METRIC_SECONDS || ends_with(m->name, "_seconds"));
		assert_true(m->help[0] != '\0' && !strpbrk(m->help, "\\\n"));
		for (unsigned k = i + 1; k < METRIC_COUNT; k++)
			assert_string_not_equal(m->name, metric_info(k)->name);
	}
	for (unsigned i = 0; i < METRIC_BY_COUNT; i++) {
		const struct metric_by_info *m = metric_by_info(i);

		assert_memory_equal(m->name, "filemill_", 9);
		for (const char *p = m->name; *p; p++)
			assert_true(islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '_');
		assert_int_equal(m->kind == METRIC_COUNTER, ends_with(m->name, "_total"));
		assert_true(m->kind != METRIC_SECONDS || ends_with(m->name, "_seconds"));
		assert_true(m->help[0] != '\0' && !strpbrk(m->help, "\\\n"));
		for (unsigned k = 0; k < METRIC_COUNT; k++)
			assert_string_not_equal(m->name, metric_info(k)->name);
		for (unsigned k = i + 1; k < METRIC_BY_COUNT; k++)
			assert_string_not_equal(m->name, metric_by_info(k)->name);
	}
}

static void counters_add_and_gauges_go_both_ways(void **state)
{
	int64_t before = metric_value(METRIC_UPLOADS);

	metric_add(METRIC_UPLOADS, 3);
	metric_add(METRIC_UPLOADS, 0);
	assert_int_equal(metric_value(METRIC_UPLOADS), before + 3);
	assert_true(sample("filemill_uploads_total") == (double)(before + 3));
	metric_set(METRIC_JOBS_RUNNING, 5);
	metric_add(METRIC_JOBS_RUNNING, -7);
	assert_int_equal(metric_value(METRIC_JOBS_RUNNING), -2);
	assert_true(sample("filemill_jobs_running") == -2);
}

static void a_bucket_includes_its_bound_and_not_one_more(void **state)
{
	double low = sample("filemill_job_seconds_bucket{le=\"0.0001\"}"), next = sample("filemill_job_seconds_bucket{le=\"0.00025\"}");
	double high = sample("filemill_job_seconds_bucket{le=\"30\"}"), all = sample("filemill_job_seconds_bucket{le=\"+Inf\"}");
	double sum = sample("filemill_job_seconds_sum");
	int64_t count = metric_value(METRIC_JOB_SECONDS);

	metric_observe_us(METRIC_JOB_SECONDS, 100);
	metric_observe_us(METRIC_JOB_SECONDS, 101);
	metric_observe_us(METRIC_JOB_SECONDS, 30000000);
	metric_observe_us(METRIC_JOB_SECONDS, 30000001);
	metric_observe_us(METRIC_JOB_SECONDS, -5); /* a clock that went back counts as no time at all */
	assert_true(sample("filemill_job_seconds_bucket{le=\"0.0001\"}") == low + 2);
	assert_true(sample("filemill_job_seconds_bucket{le=\"0.00025\"}") == next + 3);
	assert_true(sample("filemill_job_seconds_bucket{le=\"30\"}") == high + 4);
	assert_true(sample("filemill_job_seconds_bucket{le=\"+Inf\"}") == all + 5);
	assert_true(sample("filemill_job_seconds_count") == all + 5);
	assert_int_equal(metric_value(METRIC_JOB_SECONDS), count + 5);
	assert_true(sample("filemill_job_seconds_sum") - sum > 60.000201 && sample("filemill_job_seconds_sum") - sum < 60.000203);
}

/* Prometheus text format 0.0.4: HELP and TYPE once before the samples, each line ended. */
static void the_output_has_every_metric_with_help_and_type(void **state)
{
	static const char *const kinds[] = {[METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_SECONDS] = "histogram"};
	struct buf out = BUF_INIT;
	const char *at;

	metrics_write(&out);
	at = out.p;
	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		const struct metric_info *m = metric_info(i);
		char head[512];

		snprintf(head, sizeof(head), "# HELP %s %s\n# TYPE %s %s\n%s", m->name, m->help, m->name, kinds[m->kind], m->name);
		at = strstr(at, head);
		assert_non_null(at);
	}
	assert_int_equal(out.p[out.len - 1], '\n');
	buf_release(&out);
}

static void buckets_never_decrease(void **state)
{
	struct buf out = BUF_INIT;
	const char *at;
	double last = 0;
	int n = 0;

	for (int64_t us = 1; us < 100000000; us *= 3)
		metric_observe_us(METRIC_COMMIT_SECONDS, us);
	metrics_write(&out);
	for (at = out.p; (at = strstr(at, "filemill_commit_seconds_bucket{")) != NULL; n++) {
		double v;

		at = strchr(at, ' ');
		v = strtod(at, NULL);
		assert_true(v >= last);
		last = v;
	}
	assert_int_equal(n, 18);
	buf_release(&out);
}

#define THREADS 4
#define TIMES 10000

static void *count(void *arg)
{
	for (int i = 0; i < TIMES; i++) {
		metric_add(METRIC_COMMITS, 1);
		metric_observe_us(METRIC_HTTP_SECONDS, i);
	}
	return NULL;
}

static void no_update_of_any_thread_is_lost(void **state)
{
	int64_t commits = metric_value(METRIC_COMMITS), seen = metric_value(METRIC_HTTP_SECONDS);
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(metric_value(METRIC_COMMITS), commits + THREADS * TIMES);
	assert_int_equal(metric_value(METRIC_HTTP_SECONDS), seen + THREADS * TIMES);
}

/* ---- with a label ---- */

static void a_label_has_its_own_counts(void **state)
{
	unsigned gzip = metric_place(METRIC_OP, STR("gzip")), zip = metric_place(METRIC_OP, STR("zip"));

	assert_int_not_equal(gzip, zip);
	assert_int_equal(metric_place(METRIC_OP, STR("gzip")), gzip);
	metric_by_add(METRIC_OP_FAILED, gzip, 2);
	metric_by_add(METRIC_OP_FAILED, zip, 3);
	assert_true(sample("filemill_op_jobs_failed_total{op=\"gzip\"}") == 2);
	assert_true(sample("filemill_op_jobs_failed_total{op=\"zip\"}") == 3);
	metric_by_set(METRIC_OP_RUNNING, zip, 7);
	metric_by_add(METRIC_OP_RUNNING, zip, -9);
	assert_true(sample("filemill_op_jobs_running{op=\"zip\"}") == -2);
	assert_true(sample("filemill_op_jobs_running{op=\"gzip\"}") == 0);
	assert_true(sample("filemill_op_run_seconds_count{op=\"gzip\"}") == -1); /* nothing was observed */
	metric_by_observe_us(METRIC_OP_RUN_SECONDS, gzip, 250);
	metric_by_observe_us(METRIC_OP_RUN_SECONDS, gzip, 40000000);
	assert_true(sample("filemill_op_run_seconds_bucket{op=\"gzip\",le=\"0.00025\"}") == 1);
	assert_true(sample("filemill_op_run_seconds_bucket{op=\"gzip\",le=\"+Inf\"}") == 2);
	assert_true(sample("filemill_op_run_seconds_count{op=\"gzip\"}") == 2);
	assert_true(sample("filemill_op_run_seconds_sum{op=\"gzip\"}") == 40.00025);
	assert_int_equal(metric_by_value(METRIC_OP_RUN_SECONDS, gzip), 2);
}

static void what_cannot_stand_in_a_label_is_other(void **state)
{
	char longest[METRIC_VALUE_MAX];

	memset(longest, 'x', sizeof(longest));
	assert_int_equal(metric_place(METRIC_CODE, STR("")), 0);
	assert_int_equal(metric_place(METRIC_CODE, STR("a\"b")), 0);
	assert_int_equal(metric_place(METRIC_CODE, STR("A")), 0);
	assert_int_equal(metric_place(METRIC_CODE, ((struct str){longest, sizeof(longest)})), 0);
	assert_int_not_equal(metric_place(METRIC_CODE, ((struct str){longest, sizeof(longest) - 1})), 0);
	assert_true(sample("filemill_http_refused_total{code=\"other\"}") == -1);
	metric_by_add(METRIC_HTTP_REFUSED, 0, 1);
	assert_true(sample("filemill_http_refused_total{code=\"other\"}") == 1);
}

static void *ask_for_places(void *arg)
{
	unsigned *ret = arg;

	for (int i = 0; i < 2 * METRIC_PLACES; i++) {
		char name[16];
		int n = snprintf(name, sizeof(name), "stage-%d", i);
		ret[i] = metric_place(METRIC_STAGE, (struct str){name, (size_t)n});
		metric_by_observe_us(METRIC_UPLOAD_STAGE_SECONDS, ret[i], 1);
	}
	return NULL;
}

static void places_are_bounded_and_the_same_for_all_threads(void **state)
{
	unsigned places[4][2 * METRIC_PLACES], others = 0;
	pthread_t threads[4];

	for (int t = 0; t < 4; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, ask_for_places, places[t]), 0);
	for (int t = 0; t < 4; t++)
		pthread_join(threads[t], NULL);
	for (int i = 0; i < 2 * METRIC_PLACES; i++) {
		others += places[0][i] == 0;
		assert_in_range(places[0][i], 0, METRIC_PLACES - 1);
		for (int t = 1; t < 4; t++)
			assert_int_equal(places[t][i], places[0][i]);
	}
	assert_int_equal(others, METRIC_PLACES + 1);
	assert_int_equal(metric_by_value(METRIC_UPLOAD_STAGE_SECONDS, 0), 4 * (METRIC_PLACES + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_metric_is_named_by_the_rules),
		cmocka_unit_test(counters_add_and_gauges_go_both_ways),
		cmocka_unit_test(a_bucket_includes_its_bound_and_not_one_more),
		cmocka_unit_test(the_output_has_every_metric_with_help_and_type),
		cmocka_unit_test(buckets_never_decrease),
		cmocka_unit_test(no_update_of_any_thread_is_lost),
		cmocka_unit_test(a_label_has_its_own_counts),
		cmocka_unit_test(what_cannot_stand_in_a_label_is_other),
		cmocka_unit_test(places_are_bounded_and_the_same_for_all_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
