/* The metric registry: a fixed table (metrics_table.h) of counters, gauges and histograms, updated without locks from any thread,
 * written in the Prometheus text format 0.0.4. Durations are in seconds in the output and microseconds here. */
#ifndef FILEMILL_RT_METRICS_H
#define FILEMILL_RT_METRICS_H

#include "base/buf.h"

#include <stdint.h>

enum metric {
#define METRIC_ROW(id, kind, name, help) METRIC_##id,
#include "rt/metrics_table.h"
#undef METRIC_ROW
	METRIC_COUNT
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_SECONDS };

struct metric_info {
	enum metric_kind kind;
	const char *name, *help;
};

void metric_add(enum metric m, int64_t v); /* counters and gauges */
void metric_set(enum metric m, int64_t v); /* gauges */
void metric_observe_us(enum metric m, int64_t us); /* METRIC_SECONDS: fixed buckets 100 us … 30 s */
int64_t metric_value(enum metric m); /* current value; observation count of a histogram */
const struct metric_info *metric_info(enum metric m);
void metrics_write(struct buf *out);

#endif
