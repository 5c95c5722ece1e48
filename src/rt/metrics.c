/* The registry is one of the allowed globals. Every number is an atomic of its own: a reader may see a histogram between two of its updates,
 * so the count is taken from the buckets themselves and never contradicts them. */
#include "rt/metrics.h"

#include "base/compiler.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct metric_info infos[METRIC_COUNT] = {
#define METRIC_ROW(id, kind, name, help) {METRIC_##kind, name, help},
#define METRIC_BY_ROW(id, kind, label, name, help)
#include "rt/metrics_table.h"
#undef METRIC_ROW
#undef METRIC_BY_ROW
};

static const struct metric_by_info by_infos[METRIC_BY_COUNT] = {
#define METRIC_ROW(id, kind, name, help)
#define METRIC_BY_ROW(id, kind, label, name, help) {METRIC_##kind, METRIC_##label, name, help},
#include "rt/metrics_table.h"
#undef METRIC_ROW
#undef METRIC_BY_ROW
};

static const char *const label_names[METRIC_LABELS] = {
	[METRIC_OP] = "op", [METRIC_PRIORITY] = "priority", [METRIC_CODE] = "code", [METRIC_STAGE] = "stage"};

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
struct cell {
	_Atomic int64_t value;
	_Atomic int64_t buckets[BUCKETS]; /* each its own observations; the output adds them up */
};
static struct cell metrics[METRIC_COUNT], by[METRIC_BY_COUNT][METRIC_PLACES];

/* What the places of each label stand for. A value is written before it is counted and never changes, so that who looks takes no lock. Place 0 is "other". */
static struct {
	char text[METRIC_PLACES][METRIC_VALUE_MAX];
	atomic_uint n; /* places in use beside 0 */
} values[METRIC_LABELS];
static pthread_mutex_t values_lock = PTHREAD_MUTEX_INITIALIZER;

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

static void observe(struct cell *c, int64_t us)
{
	size_t i = 0;

	if (us < 0)
		us = 0;
	while (i < ARRAY_LEN(bounds) && us > bounds[i].us)
		i++;
	atomic_fetch_add_explicit(&c->buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->value, us, memory_order_relaxed);
}

void metric_observe_us(enum metric m, int64_t us)
{
	assert(metric_info(m)->kind == METRIC_SECONDS);
	observe(&metrics[m], us);
}

static int64_t value_of(struct cell *c, enum metric_kind kind)
{
	int64_t count = 0;

	if (kind != METRIC_SECONDS)
		return atomic_load_explicit(&c->value, memory_order_relaxed);
	for (size_t i = 0; i < BUCKETS; i++)
		count += atomic_load_explicit(&c->buckets[i], memory_order_relaxed);
	return count;
}

int64_t metric_value(enum metric m)
{
	return value_of(&metrics[m], metric_info(m)->kind);
}

/* ---- with a label ---- */

static unsigned find(enum metric_label label, struct str value)
{
	unsigned n = atomic_load_explicit(&values[label].n, memory_order_acquire);

	for (unsigned i = 1; i <= n; i++)
		if (str_eq(str_of(values[label].text[i]), value))
			return i;
	return 0;
}

static bool may_stand(struct str value)
{
	for (size_t i = 0; i < value.len; i++) {
		char c = value.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'))
			return false;
	}
	return value.len > 0 && value.len < METRIC_VALUE_MAX;
}

unsigned metric_place(enum metric_label label, struct str value)
{
	assert((unsigned)label < METRIC_LABELS);
	/* Looked at before the search, which then sees every value there will ever be: callers need not meet at the lock for what is "other". */
	bool full = atomic_load_explicit(&values[label].n, memory_order_acquire) + 1 >= METRIC_PLACES;
	unsigned n, place = find(label, value);

	if (place > 0 || full || !may_stand(value))
		return place;
	pthread_mutex_lock(&values_lock);
	place = find(label, value);
	n = atomic_load_explicit(&values[label].n, memory_order_relaxed);
	if (place == 0 && n + 1 < METRIC_PLACES) {
		place = n + 1;
		memcpy(values[label].text[place], value.p, value.len);
		atomic_store_explicit(&values[label].n, place, memory_order_release);
	}
	pthread_mutex_unlock(&values_lock);
	return place;
}

const struct metric_by_info *metric_by_info(enum metric_by m)
{
	assert((unsigned)m < METRIC_BY_COUNT);
	return &by_infos[m];
}

const char *metric_label_name(enum metric_label label)
{
	assert((unsigned)label < METRIC_LABELS);
	return label_names[label];
}

static struct cell *cell_of(enum metric_by m, unsigned place)
{
	assert((unsigned)m < METRIC_BY_COUNT && place < METRIC_PLACES);
	return &by[m][place];
}

void metric_by_add(enum metric_by m, unsigned place, int64_t v)
{
	assert(by_infos[m].kind == METRIC_GAUGE || (by_infos[m].kind == METRIC_COUNTER && v >= 0));
	atomic_fetch_add_explicit(&cell_of(m, place)->value, v, memory_order_relaxed);
}

void metric_by_set(enum metric_by m, unsigned place, int64_t v)
{
	assert(by_infos[m].kind == METRIC_GAUGE);
	atomic_store_explicit(&cell_of(m, place)->value, v, memory_order_relaxed);
}

void metric_by_observe_us(enum metric_by m, unsigned place, int64_t us)
{
	assert(by_infos[m].kind == METRIC_SECONDS);
	observe(cell_of(m, place), us);
}

int64_t metric_by_value(enum metric_by m, unsigned place)
{
	return value_of(cell_of(m, place), by_infos[m].kind);
}

/* ---- the page ---- */

/* label: `op="gzip"` or nothing. */
static void write_histogram(struct buf *out, struct cell *c, const char *name, const char *label)
{
	int64_t count = 0, sum = atomic_load_explicit(&c->value, memory_order_relaxed);
	const char *comma = label[0] != '\0' ? "," : "", *open = label[0] != '\0' ? "{" : "", *close = label[0] != '\0' ? "}" : "";

	for (size_t i = 0; i < BUCKETS; i++) {
		count += atomic_load_explicit(&c->buckets[i], memory_order_relaxed);
		buf_addf(out, "%s_bucket{%s%sle=\"%s\"} %" PRId64 "\n", name, label, comma,
			 i < ARRAY_LEN(bounds) ? bounds[i].seconds : "+Inf", count);
	}
	buf_addf(out, "%s_sum%s%s%s %" PRId64 ".%06" PRId64 "\n", name, open, label, close, sum / 1000000, sum % 1000000);
	buf_addf(out, "%s_count%s%s%s %" PRId64 "\n", name, open, label, close, count);
}

static void write_head(struct buf *out, const char *name, enum metric_kind kind, const char *help)
{
	static const char *const kinds[] = {[METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_SECONDS] = "histogram"};

	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kinds[kind]);
}

/* A histogram is there once something was observed, "other" once something was counted. */
static void write_by(struct buf *out, enum metric_by m)
{
	const struct metric_by_info *info = &by_infos[m];
	unsigned n = atomic_load_explicit(&values[info->label].n, memory_order_acquire);

	write_head(out, info->name, info->kind, info->help);
	for (unsigned i = 0; i <= n; i++) {
		char label[METRIC_VALUE_MAX + 32];
		int64_t v = metric_by_value(m, i);

		if (v == 0 && (i == 0 || info->kind == METRIC_SECONDS))
			continue;
		snprintf(label, sizeof(label), "%s=\"%s\"", label_names[info->label], i == 0 ? "other" : values[info->label].text[i]);
		if (info->kind == METRIC_SECONDS)
			write_histogram(out, &by[m][i], info->name, label);
		else
			buf_addf(out, "%s{%s} %" PRId64 "\n", info->name, label, v);
	}
}

void metrics_write(struct buf *out)
{
	for (unsigned m = 0; m < METRIC_COUNT; m++) {
		const struct metric_info *info = &infos[m];

		write_head(out, info->name, info->kind, info->help);
		if (info->kind == METRIC_SECONDS)
			write_histogram(out, &metrics[m], info->name, "");
		else
			buf_addf(out, "%s %" PRId64 "\n", info->name, metric_value(m));
	}
	for (unsigned m = 0; m < METRIC_BY_COUNT; m++)
		write_by(out, m);
}
