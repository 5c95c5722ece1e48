/* Time zones: when a place's clocks are how far from UTC, read from the files of the tz database (RFC 8536, versions 2 to 4). No file is opened here. */
#ifndef FILEMILL_MODEL_ZONE_H
#define FILEMILL_MODEL_ZONE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZONE_FILE_MAX (64u << 10) /* bytes of such a file */
#define ZONE_NAME_MAX 64 /* bytes of a zone's name */
#define ZONE_LAST_YEAR 2199 /* the rule for the time to come is followed until then */

struct zone_change {
	int64_t at; /* Unix seconds: from here on */
	int32_t offset; /* seconds that local time is ahead of UTC */
};

struct zone {
	int32_t first; /* the offset before the first change */
	const struct zone_change *changes; /* ascending; only where the offset changes */
	size_t n;
};

#define ZONE_UTC ((struct zone){})

/* The content of a file below /usr/share/zoneinfo. The changes lie in the arena. ERR_INVALID_VALUE, ERR_NO_MEMORY. */
[[nodiscard]] int zone_parse(struct zone *ret, struct str file, struct arena *a, struct err *e);
/* A name such as Europe/Berlin that can be joined to the database's path without leaving it: parts of letters, digits, _ + - with / between them. */
bool zone_name_ok(struct str name);
/* How many of the changes are not later than this time. The offset at that time is zone_offset_after() of it. */
size_t zone_changes_until(const struct zone *z, int64_t unix_s);
/* After the first n changes. */
int32_t zone_offset_after(const struct zone *z, size_t n);

/* zone_rule.c: the changes of a rule such as CET-1CEST,M3.5.0,M10.5.0/3 (POSIX TZ, with RFC 8536 §3.3.1) in the years first … last, unordered changes put in order; at most 2 a year.
 * False: it is none. A rule without daylight saving gives the one change to it, at `from`. */
bool zone_rule_changes(struct str rule, int64_t from, int first_year, int last_year, struct zone_change *ret, size_t *ret_n);
#endif
