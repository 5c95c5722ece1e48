/* The registry is one of the allowed globals. Every number is an atomic of its own: a reader may see a histogram between two of its updates,
 * so the count is taken from the buckets themselves and never contradicts them. */
#include "rt/metrics.h"

#include "base/compiler.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>

static const struct metric_info infos[METRIC_COUNT] = {
#define METRIC_ROW(id, kind, name, help) {METRIC_##kind, name, help},
#include "rt/metrics_table.h"
#undef METRIC_ROW
};

/* Upper bounds in microseconds, inclusive, with the text of the `le` label in seconds. */
static const struct bound {
	int64_t us;
	const char *seconds;
} bounds[] = {
	{100, "0.0001"}, {250, "0.00025"}, {500, "0.0005"}, {1000, "0.001"},  {2500, "0.0025"}, {5000, "0.005"},
	{10000, "0.01"}, {25000, "0.025"}, {50000, "0.05"}, {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"},
	{1000000, "1"},  {2500000, "2.5"}, {5000000, "5"},  {10000000, "10"}, {30000000, "30"},
};

#define BUCKETS (ARRAY_LEN(bounds) + 1) /* the last one is +Inf */

/* Counters and gauges use only `value`; for a histogram it is the sum in microseconds. */
static struct {
	_Atomic int64_t value;
	_Atomic int64_t buckets[BUCKETS]; /* each its own observations; the output adds them up */
} metrics[METRIC_COUNT];

const struct metric_info *metric_info(enum metric m)
{
	assert((unsigned)m < METRIC_COUNT);
	return &infos[m];
}

void metric_add(enum metric m, int64_t v)
{
	enum metric_kind kind = metric_info(m)->kind;

	assert(kind == METRIC_GAUGE || (kind == METRIC_COUNTER && v >= 0));
	atomic_fetch_add_explicit(&metrics[m].value, v, memory_order_relaxed);
}

void metric_set(enum metric m, int64_t v)
{
	assert(metric_info(m)->kind == METRIC_GAUGE);
	atomic_store_explicit(&metrics[m].value, v, memory_order_relaxed);
}

void metric_observe_us(enum metric m, int64_t us)
{
	size_t i = 0;

	assert(metric_info(m)->kind == METRIC_SECONDS);
	if (us < 0)
		us = 0;
	while (i < ARRAY_LEN(bounds) && us > bounds[i].us)
		i++;
	atomic_fetch_add_explicit(&metrics[m].buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&metrics[m].value, us, memory_order_relaxed);
}

int64_t metric_value(enum metric m)
{
	int64_t count = 0;

	if (metric_info(m)->kind != METRIC_SECONDS)
		return atomic_load_explicit(&metrics[m].value, memory_order_relaxed);
	for (size_t i = 0; i < BUCKETS; i++)
		count += atomic_load_explicit(&metrics[m].buckets[i], memory_order_relaxed);
	return count;
}

static void write_histogram(struct buf *out, enum metric m)
{
	const char *name = infos[m].name;
	int64_t count = 0, sum = atomic_load_explicit(&metrics[m].value, memory_order_relaxed);

	for (size_t i = 0; i < BUCKETS; i++) {
		count += atomic_load_explicit(&metrics[m].buckets[i], memory_order_relaxed);
		buf_addf(out, "%s_bucket{le=\"%s\"} %" PRId64 "\n", name, i < ARRAY_LEN(bounds) ? bounds[i].seconds : "+Inf", count);
	}
	buf_addf(out, "%s_sum %" PRId64 ".%06" PRId64 "\n", name, sum / 1000000, sum % 1000000);
	buf_addf(out, "%s_count %" PRId64 "\n", name, count);
}

void metrics_write(struct buf *out)
{
	static const char *const kinds[] = {[METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_SECONDS] = "histogram"};

	for (unsigned m = 0; m < METRIC_COUNT; m++) {
		const struct metric_info *info = &infos[m];

		buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", info->name, info->help, info->name, kinds[info->kind]);
		if (info->kind == METRIC_SECONDS)
			write_histogram(out, m);
		else
			buf_addf(out, "%s %" PRId64 "\n", info->name, metric_value(m));
	}
}
