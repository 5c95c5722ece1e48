/* The metric registry: a fixed table (metrics_table.h) of counters, gauges and histograms, updated without locks from any thread,
 * written in the Prometheus text format 0.0.4. A label has a bounded number of values: whatever users name, the page stays small. Durations are in seconds in the output and microseconds here. */
#ifndef FILEMILL_RT_METRICS_H
#define FILEMILL_RT_METRICS_H

#include "base/buf.h"
#include "base/str.h"

#include <stdint.h>

enum metric {
#define METRIC_ROW(id, kind, name, help) METRIC_##id,
#define METRIC_BY_ROW(id, kind, label, name, help)
#include "rt/metrics_table.h"
#undef METRIC_ROW
#undef METRIC_BY_ROW
	METRIC_COUNT
};

/* Metrics with a label. */
enum metric_by {
#define METRIC_ROW(id, kind, name, help)
#define METRIC_BY_ROW(id, kind, label, name, help) METRIC_##id,
#include "rt/metrics_table.h"
#undef METRIC_ROW
#undef METRIC_BY_ROW
	METRIC_BY_COUNT
};

enum metric_label { METRIC_OP, METRIC_PRIORITY, METRIC_CODE, METRIC_STAGE, METRIC_LABELS };
#define METRIC_PLACES 32 /* values of one label at most; what comes after them is counted as "other" */
#define METRIC_VALUE_MAX 48 /* bytes of one */

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

struct metric_by_info {
	enum metric_kind kind;
	enum metric_label label;
	const char *name, *help;
};

/* The place of a label's value, to be asked once and kept: small letters, digits and _-. only, else it is "other". Takes a lock for a value that is new, while there are places. */
unsigned metric_place(enum metric_label label, struct str value);
void metric_by_add(enum metric_by m, unsigned place, int64_t v);
void metric_by_set(enum metric_by m, unsigned place, int64_t v);
void metric_by_observe_us(enum metric_by m, unsigned place, int64_t us);
int64_t metric_by_value(enum metric_by m, unsigned place);
const struct metric_by_info *metric_by_info(enum metric_by m);
const char *metric_label_name(enum metric_label label);

void metrics_write(struct buf *out);

#endif
