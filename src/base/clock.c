/* Dates by arithmetic instead of gmtime() and strptime(): no locale, no time zone data, no locks, a few nanoseconds. */
#include "base/clock.h"
#include "base/civil.h"

#include <string.h>

#define MS_A_DAY INT64_C(86400000)
#define MS_MAX INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

static uint64_t clamp(int64_t unix_ms)
{
	if (unix_ms < 0)
		return 0;
	return (uint64_t)(unix_ms > MS_MAX ? MS_MAX : unix_ms);
}

static char *put_two(char *dst, unsigned v)
{
	dst[0] = (char)('0' + v / 10);
	dst[1] = (char)('0' + v % 10);
	return dst + 2;
}

static char *put_year(char *dst, int year)
{
	return put_two(put_two(dst, (unsigned)year / 100), (unsigned)year % 100);
}

/* hh:mm:ss */
static char *put_time_of_day(char *dst, unsigned ms_of_day)
{
	unsigned second = ms_of_day / 1000;

	dst = put_two(dst, second / 3600);
	*dst++ = ':';
	dst = put_two(dst, second / 60 % 60);
	*dst++ = ':';
	return put_two(dst, second % 60);
}

void time_format(char dst[TIME_TEXT_LEN + 1], int64_t unix_ms)
{
	uint64_t ms = clamp(unix_ms);
	unsigned ms_of_day = (unsigned)(ms % MS_A_DAY);
	struct civil c = civil_of_days((int64_t)(ms / MS_A_DAY));

	dst = put_year(dst, c.year);
	*dst++ = '-';
	dst = put_two(dst, (unsigned)c.month);
	*dst++ = '-';
	dst = put_two(dst, (unsigned)c.day);
	*dst++ = 'T';
	dst = put_time_of_day(dst, ms_of_day);
	*dst++ = '.';
	*dst++ = (char)('0' + ms_of_day % 1000 / 100);
	dst = put_two(dst, ms_of_day % 100);
	*dst++ = 'Z';
	*dst = '\0';
}

/* Exactly `width` digits from the front of *s; false and *s as it was otherwise. */
static bool take_digits(struct str *s, int width, int *ret)
{
	int v = 0;

	if (s->len < (size_t)width)
		return false;
	for (int i = 0; i < width; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		v = 10 * v + (s->p[i] - '0');
	}
	s->p += width;
	s->len -= (size_t)width;
	*ret = v;
	return true;
}

static bool take_char(struct str *s, const char *one_of)
{
	if (s->len == 0 || s->p[0] == '\0' || !strchr(one_of, s->p[0]))
		return false;
	s->p++;
	s->len--;
	return true;
}

static bool take_text(struct str *s, struct str text)
{
	if (!str_starts(*s, text))
		return false;
	s->p += text.len;
	s->len -= text.len;
	return true;
}

/* hh:mm:ss as seconds. A leap second (60) counts as the first one of the next minute. */
static bool take_time_of_day(struct str *s, int *ret_seconds)
{
	int hour, minute, second;

	if (!take_digits(s, 2, &hour) || !take_char(s, ":") || !take_digits(s, 2, &minute) || !take_char(s, ":") ||
	    !take_digits(s, 2, &second))
		return false;
	if (hour > 23 || minute > 59 || second > 60)
		return false;
	*ret_seconds = 3600 * hour + 60 * minute + second;
	return true;
}

/* Up to nine digits after a point; what is finer than a millisecond is dropped. */
static bool take_fraction(struct str *s, int *ret_ms)
{
	int ms = 0, scale = 100, digits = 0, digit;

	*ret_ms = 0;
	if (!take_char(s, "."))
		return true;
	while (take_digits(s, 1, &digit)) {
		ms += digit * scale;
		scale /= 10;
		digits++;
	}
	*ret_ms = ms;
	return digits >= 1 && digits <= 9;
}

static bool take_offset(struct str *s, int *ret_seconds)
{
	bool west = s->len > 0 && s->p[0] == '-';
	int hour, minute;

	*ret_seconds = 0;
	if (take_char(s, "Zz"))
		return true;
	if (!take_char(s, "+-") || !take_digits(s, 2, &hour) || !take_char(s, ":") || !take_digits(s, 2, &minute))
		return false;
	if (hour > 23 || minute > 59)
		return false;
	*ret_seconds = (west ? -1 : 1) * (3600 * hour + 60 * minute);
	return true;
}

static bool in_range(int64_t *ret_unix_ms, int64_t ms)
{
	if (ms < 0 || ms > MS_MAX)
		return false;
	*ret_unix_ms = ms;
	return true;
}

bool time_parse(int64_t *ret_unix_ms, struct str s)
{
	int seconds, ms, offset;
	struct civil c;

	if (!take_digits(&s, 4, &c.year) || !take_char(&s, "-") || !take_digits(&s, 2, &c.month) || !take_char(&s, "-") ||
	    !take_digits(&s, 2, &c.day) || !take_char(&s, "Tt"))
		return false;
	if (!civil_valid(c) || !take_time_of_day(&s, &seconds) || !take_fraction(&s, &ms) || !take_offset(&s, &offset) || s.len > 0)
		return false;
	return in_range(ret_unix_ms, days_of_civil(c) * MS_A_DAY + (int64_t)(seconds - offset) * 1000 + ms);
}

static const char day_names[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static char *put_name(char *dst, const char *names, size_t i)
{
	memcpy(dst, names + 3 * i, 3);
	return dst + 3;
}

void http_date_format(char dst[30], int64_t unix_ms)
{
	uint64_t ms = clamp(unix_ms), days = ms / MS_A_DAY;
	struct civil c = civil_of_days((int64_t)days);

	dst = put_name(dst, day_names, days % 7);
	*dst++ = ',';
	*dst++ = ' ';
	dst = put_two(dst, (unsigned)c.day);
	*dst++ = ' ';
	dst = put_name(dst, month_names, (size_t)c.month - 1);
	*dst++ = ' ';
	dst = put_year(dst, c.year);
	*dst++ = ' ';
	dst = put_time_of_day(dst, (unsigned)(ms % MS_A_DAY));
	memcpy(dst, " GMT", 5);
}

/* One of n names of three letters; the index, or -1. */
static int take_name(struct str *s, const char *names, int n)
{
	for (int i = 0; i < n; i++) {
		if (take_text(s, (struct str){names + 3 * i, 3}))
			return i;
	}
	return -1;
}

bool http_date_parse(int64_t *ret_unix_ms, struct str s)
{
	int seconds, month;
	struct civil c;

	if (take_name(&s, day_names, 7) < 0 || !take_text(&s, STR(", ")) || !take_digits(&s, 2, &c.day) || !take_char(&s, " "))
		return false;
	month = take_name(&s, month_names, 12);
	if (month < 0 || !take_char(&s, " ") || !take_digits(&s, 4, &c.year) || !take_char(&s, " "))
		return false;
	c.month = month + 1;
	if (!civil_valid(c) || !take_time_of_day(&s, &seconds) || !str_eq(s, STR(" GMT")))
		return false;
	return in_range(ret_unix_ms, days_of_civil(c) * MS_A_DAY + (int64_t)seconds * 1000);
}
