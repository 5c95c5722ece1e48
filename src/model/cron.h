/* Times that come again: cron expressions as Vixie's cron reads them, in a time zone. Plain data; no clock is asked.
 *
 * Five fields with blanks between them: minute 0-59, hour 0-23, day of month 1-31, month 1-12 or jan-dec, day of week 0-7 or sun-sat (0 and 7 are Sunday). A field is a list, with
 * commas, of `*`, a value, a range `a-b`, and of `*` and ranges also with a step: `*` followed by /15, `8-18/2`. Or one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually.
 *
 * The days: when neither the day of month nor the day of week begins with `*`, a day is meant that is in one *or* the other; else one that is in both.
 *
 * Where the clocks are changed, as Vixie's cron has it: an expression whose minute and hour both do not begin with `*` means fixed times of the day, and each comes once: times
 * that are left out come together in the first minute after the gap, times that the clocks show twice come the first time. Any other one follows the clock as it goes: what is left out is left out,
 * and what is shown twice comes twice. */
#ifndef FILEMILL_MODEL_CRON_H
#define FILEMILL_MODEL_CRON_H

#include "base/err.h"
#include "model/zone.h"

#include <stdbool.h>
#include <stdint.h>

#define CRON_NEVER INT64_MAX

struct cron {
	uint64_t minutes; /* bit 0 … 59 */
	uint32_t hours; /* bit 0 … 23 */
	uint32_t days; /* of the month: bit 1 … 31 */
	uint32_t months; /* bit 1 … 12 */
	uint32_t weekdays; /* bit 0 (Sunday) … 6 */
	bool either_day; /* the day of month or the day of week */
	bool fixed; /* times of the day, each of which comes once */
};

/* ERR_INVALID_VALUE: the detail is "column N: why", counted from 1 in bytes. A date that no calendar has, such as 30 February, is refused too. */
[[nodiscard]] int cron_parse(struct cron *ret, struct str text, struct err *e);
/* The first time later than `after`, both Unix ms; always a whole minute. CRON_NEVER: none within the next 50 years. */
int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after_ms);
/* The last time later than `after` and not later than `until`; CRON_NEVER: there is none. */
int64_t cron_last(const struct cron *c, const struct zone *z, int64_t after_ms, int64_t until_ms);

#endif
