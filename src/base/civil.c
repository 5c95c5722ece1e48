/* By eras of 400 years that begin in March, so that the leap day is the last one of its year (H. Hinnant, "chrono-compatible low-level date algorithms"). */
#include "base/civil.h"

#define DAYS_AN_ERA 146097
#define EPOCH 719468 /* 1970-01-01, in days since 0000-03-01 */

struct civil civil_of_days(int64_t days)
{
	int64_t z = days + EPOCH, era = floor_div(z, DAYS_AN_ERA);
	unsigned doe = (unsigned)(z - era * DAYS_AN_ERA); /* day of the era, year of it, day of that year, month from March */
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;
	struct civil c;

	c.day = (int)(doy - (153 * mp + 2) / 5 + 1);
	c.month = (int)(mp < 10 ? mp + 3 : mp - 9);
	c.year = (int)(yoe + era * 400) + (c.month <= 2);
	return c;
}

int64_t days_of_civil(struct civil c)
{
	int64_t y = c.year - (c.month <= 2), era = floor_div(y, 400), yoe = y - era * 400;
	int64_t doy = (153 * (c.month > 2 ? c.month - 3 : c.month + 9) + 2) / 5 + c.day - 1;

	return era * DAYS_AN_ERA + yoe * 365 + yoe / 4 - yoe / 100 + doy - EPOCH;
}

unsigned weekday_of_days(int64_t days)
{
	return (unsigned)(days + 4 - 7 * floor_div(days + 4, 7));
}

bool civil_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

bool civil_valid(struct civil c)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	if (c.month < 1 || c.month > 12 || c.day < 1)
		return false;
	return c.day <= days[c.month - 1] + (c.month == 2 && civil_leap(c.year));
}
