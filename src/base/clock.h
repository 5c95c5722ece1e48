/* Time as text. Reading the clock goes through rt/env.h; here are only conversions. */
#ifndef FILEMILL_BASE_CLOCK_H
#define FILEMILL_BASE_CLOCK_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define TIME_TEXT_LEN 24 /* 2026-11-21T05:17:52.123Z */

/* RFC 3339, UTC, milliseconds; dst gets TIME_TEXT_LEN characters and a NUL. Years 1970 to 9999. */
void time_format(char dst[TIME_TEXT_LEN + 1], int64_t unix_ms);
/* RFC 3339 with any offset and 0 to 9 fraction digits; false when malformed or out of range. */
bool time_parse(int64_t *ret_unix_ms, struct str s);
/* IMF-fixdate of RFC 9110 §5.6.7, 29 characters and a NUL; and back (fixdate form only). */
void http_date_format(char dst[30], int64_t unix_ms);
bool http_date_parse(int64_t *ret_unix_ms, struct str s);

#endif
