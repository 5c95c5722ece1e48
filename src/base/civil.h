/* Dates of the proleptic Gregorian calendar, any year, as counts of days. */
#ifndef FILEMILL_BASE_CIVIL_H
#define FILEMILL_BASE_CIVIL_H

#include <stdbool.h>
#include <stdint.h>

/* a / b, rounded down; b > 0 */
static inline int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

struct civil {
	int year, month, day; /* month and day from 1 */
};

/* Days since 1970-01-01, a Thursday, to a date and back. A month beyond 1 … 12 is not allowed; a day beyond its month counts on. */
struct civil civil_of_days(int64_t days);
int64_t days_of_civil(struct civil c);
unsigned weekday_of_days(int64_t days); /* 0 = Sunday */
bool civil_leap(int year);
bool civil_valid(struct civil c); /* there is such a day */

#endif
