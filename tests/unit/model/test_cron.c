#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "model/cron.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MINUTE_MS 60000
#define DAY_MIN 1440

/* ---- the tz database of this machine ---- */

static struct zone zone_of(const char *name, struct arena *a)
{
	static char bytes[ZONE_FILE_MAX];
	char path[128];
	struct zone z;
	struct err e = ERR_INIT;

	if (strcmp(name, "UTC") == 0)
		return ZONE_UTC;
	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("%s is missing: install tzdata", path);
	ssize_t n = read(fd, bytes, sizeof(bytes));
	close(fd);
	assert_true(n > 0);
	if (zone_parse(&z, (struct str){bytes, (size_t)n}, a, &e) != 0)
		fail_msg("%s: %s", name, e.detail);
	return z;
}

/* ---- tables ---- */

static void the_next_times_are_those_of_the_table(void **state)
{
	static const struct {
		const char *text, *zone, *after, *times;
	} CASES[] = {
#include "cron_cases.h"
	};
	struct arena a = ARENA_INIT;
	unsigned checked = 0;

	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		struct str rest = str_of(CASES[i].times);
		struct zone z = zone_of(CASES[i].zone, &a);
		struct err e = ERR_INIT;
		struct cron c;
		int64_t at;

		if (cron_parse(&c, str_of(CASES[i].text), &e) != 0)
			fail_msg("%s: %s", CASES[i].text, e.detail);
		assert_true(time_parse(&at, str_of(CASES[i].after)));
		while (rest.p != NULL) {
			struct str want = str_split(rest, ' ', &rest);
			char got[TIME_TEXT_LEN + 1];

			at = cron_next(&c, &z, at);
			time_format(got, at);
			if (strncmp(got, want.p, 16) != 0)
				fail_msg("%s in %s after %s: %s, not %.*s", CASES[i].text, CASES[i].zone, CASES[i].after, got,
					 STR_FMT(want));
			assert_int_equal(at % MINUTE_MS, 0);
			checked++;
		}
	}
	assert_true(checked > 300);
	arena_release(&a);
}

static void what_is_no_expression_is_refused_with_its_column(void **state)
{
	static const struct {
		const char *text, *detail;
	} CASES[] = {
		{"", "column 1: the minute is missing: there are five fields, minute hour day-of-month month day-of-week"},
		{"   ", "column 4: the minute is missing: there are five fields, minute hour day-of-month month day-of-week"},
		{"*", "column 2: the hour is missing: there are five fields, minute hour day-of-month month day-of-week"},
		{"* *", "column 4: the day of month is missing: there are five fields, minute hour day-of-month month day-of-week"},
		{"* * *", "column 6: the month is missing: there are five fields, minute hour day-of-month month day-of-week"},
		{"* * * * ", "column 9: the day of week is missing: there are five fields, minute hour day-of-month month day-of-week"},
		{"* * * * * *", "column 11: something follows the five fields"},
		{"0 3 * * * root", "column 11: something follows the five fields"},
		{"60 * * * *", "column 1: a minute goes from 0 to 59"},
		{"0-60 * * * *", "column 3: a minute goes from 0 to 59"},
		{"* 24 * * *", "column 3: a hour goes from 0 to 23"},
		{"* * 0 * *", "column 5: a day of month goes from 1 to 31"},
		{"* * 32 * *", "column 5: a day of month goes from 1 to 31"},
		{"* * * 0 *", "column 7: a month goes from 1 to 12"},
		{"* * * 13 *", "column 7: a month goes from 1 to 12"},
		{"* * * * 8", "column 9: a day of week goes from 0 to 7"},
		{"99999999999999999999 * * * *", "column 1: \"99999999999999999999\" is no minute"},
		{"-1 * * * *", "column 1: a minute is missing"},
		{"+1 * * * *", "column 1: \"+1\" is no minute"},
		{"1.5 * * * *", "column 1: \"1.5\" is no minute"},
		{"0x1 * * * *", "column 1: \"0x1\" is no minute"},
		{"x * * * *", "column 1: \"x\" is no minute"},
		{"? * * * *", "column 1: \"?\" is no minute"},
		{"0 0 ? * *", "column 5: \"?\" is no day of month"},
		{"0 0 L * *", "column 5: \"L\" is no day of month"},
		{"0 0 15W * *", "column 5: \"15W\" is no day of month"},
		{"0 0 * * fri#2", "column 9: \"fri#2\" is no day of week"},
		{"0 0 * * 5L", "column 9: \"5L\" is no day of week"},
		{"H * * * *", "column 1: \"H\" is no minute"},
		{"jan * * * *", "column 1: \"jan\" is no minute"},
		{"0 0 * mon *", "column 7: \"mon\" is no month"},
		{"0 0 * * jan", "column 9: \"jan\" is no day of week"},
		{"0 0 * january *", "column 7: \"january\" is no month"},
		{"0 0 * * monday", "column 9: \"monday\" is no day of week"},
		{"0 0 * * m", "column 9: \"m\" is no day of week"},
		{"1,,2 * * * *", "column 3: a minute is missing"},
		{"1, * * * *", "column 3: a minute is missing"},
		{",1 * * * *", "column 1: a minute is missing"},
		{"1,", "column 3: a minute is missing"},
		{"1- * * * *", "column 3: a minute is missing"},
		{"1-", "column 3: a minute is missing"},
		{"1-- * * * *", "column 3: a minute is missing"},
		{"1-5-9 * * * *", "column 4: \"-\" does not belong here"},
		{"*-5 * * * *", "column 2: \"-\" does not belong here"},
		{"** * * * *", "column 2: \"*\" does not belong here"},
		{"*5 * * * *", "column 2: \"5\" does not belong here"},
		{"5* * * * *", "column 1: \"5*\" is no minute"},
		{"30-10 * * * *", "column 1: the range ends before it begins"},
		{"0 22-6 * * *", "column 3: the range ends before it begins"},
		{"0 0 * dec-feb *", "column 7: the range ends before it begins"},
		{"0 0 * * fri-mon", "column 9: the range ends before it begins; Sunday may be 7"},
		{"0 0 * * sat-sun", "column 9: the range ends before it begins; Sunday may be 7"},
		{"5/15 * * * *", "column 2: a step follows * or a range such as 0-59"},
		{"0 5/2 * * *", "column 4: a step follows * or a range such as 0-23"},
		{"*/0 * * * *", "column 3: a step is a number from 1 on"},
		{"*/ * * * *", "column 3: a step is a number from 1 on"},
		{"*/x * * * *", "column 3: a step is a number from 1 on"},
		{"*/-2 * * * *", "column 3: a step is a number from 1 on"},
		{"*/2/3 * * * *", "column 4: \"/\" does not belong here"},
		{"*/60 * * * *", "column 3: a step of the minute is at most 59: it begins anew with each hour"},
		{"*/90 * * * *", "column 3: a step of the minute is at most 59: it begins anew with each hour"},
		{"0 */24 * * *", "column 5: a step of the hour is at most 23: it begins anew with each day"},
		{"0 0 */31 * *", "column 7: a step of the day of month is at most 30: it begins anew with each month or week"},
		{"0 0 1 */12 *", "column 9: a step of the month is at most 11: it begins anew with each year"},
		{"0 0 * * */8", "column 11: a step of the day of week is at most 7: it begins anew with each month or week"},
		{"0 0 31 2 *", "column 1: there is no such date"},
		{"0 0 30 feb *", "column 1: there is no such date"},
		{"0 0 31 2,4,6,9,11 *", "column 1: there is no such date"},
		{"@", "column 1: there is no @"},
		{"@dayly", "column 1: there is no @dayly, perhaps @daily"},
		{"@every 5m", "column 1: there is no @every 5m"},
		{"  @reboot", "column 3: @reboot is no time that comes again"},
		{"@daily 5", "column 1: there is no @daily 5, perhaps @daily"},
		{"@hourly@daily", "column 1: there is no @hourly@daily"},
		{"0 0 * * *\n", "column 10: \"?\" does not belong here"},
		{"0\n0 * * *", "column 1: \"0\n0\" is no minute"},
		{"\"0 0 * * *\"", "column 1: \"\"0\" is no minute"},
		{"0;0;*;*;*", "column 1: \"0;0;*;*;*\" is no minute"},
		{"\xc3\xbc * * * *", "column 1: \"\xc3\xbc\" is no minute"},
	};

	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		struct err e = ERR_INIT;
		struct cron c = {.minutes = 42};

		assert_int_equal(cron_parse(&c, str_of(CASES[i].text), &e), ERR_INVALID_VALUE);
		assert_string_equal(e.detail, CASES[i].detail);
		assert_int_equal(c.minutes, 42);
	}
}

static void the_days_are_either_only_when_both_are_named(void **state)
{
	static const struct {
		const char *text;
		bool either, fixed;
	} CASES[] = {
		{"* * * * *", false, false},   {"0 0 * * *", false, true},    {"0 0 1 * *", false, true},    {"0 0 * * 1", false, true},
		{"0 0 1 * 1", true, true},     {"0 0 */2 * 1", false, true},  {"0 0 1 * */2", false, true},  {"0 0 1-31 * 1", true, true},
		{"0 0 1 * 0-7", true, true},   {"0 0 *,1 * 1", false, true},  {"0 0 1,* * 1", true, true},   {"*/5 0 1 * 1", true, false},
		{"0 */2 * * *", false, false}, {"0-59 0 * * *", false, true}, {"0 0-23 * * *", false, true}, {"@daily", false, true},
		{"@hourly", false, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		struct cron c;
		assert_int_equal(cron_parse(&c, str_of(CASES[i].text), NULL), 0);
		assert_int_equal(c.either_day, CASES[i].either);
		assert_int_equal(c.fixed, CASES[i].fixed);
	}
}

/* ---- against what is slow and plain ---- */

struct plain {
	bool minute[60], hour[24], day[32], month[13], weekday[8];
	bool star[5];
	char text[256];
};

static uint64_t rng;

static unsigned pick(unsigned n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (unsigned)(rng >> 33) % n;
}

static void add(struct plain *p, const char *text)
{
	size_t n = strlen(p->text);
	snprintf(p->text + n, sizeof(p->text) - n, "%s", text);
}

/* One field, at random, written as text and as the set that is meant. Sparse: times are to be hit and missed. */
static void random_field(struct plain *p, int field, bool *set, unsigned min, unsigned max)
{
	unsigned items = 1 + pick(3);
	char word[32];

	for (unsigned i = 0; i < items; i++) {
		unsigned low = min + pick(max - min + 1), high = low + pick(max - low + 1), step = 1;
		unsigned form = pick(i == 0 ? 6 : 4);

		if (i > 0)
			add(p, ",");
		if (form == 0) {
			high = low;
			snprintf(word, sizeof(word), pick(2) ? "%u" : "%02u", low);
		} else if (form == 1) {
			snprintf(word, sizeof(word), "%u-%u", low, high);
		} else if (form == 2) {
			step = 1 + pick(max - min);
			snprintf(word, sizeof(word), "%u-%u/%u", low, high, step);
		} else {
			low = min;
			high = max;
			step = form == 3 ? 1 + pick(max - min) : 1;
			snprintf(word, sizeof(word), step > 1 ? "*/%u" : "*", step);
			p->star[field] |= i == 0;
		}
		add(p, word);
		for (unsigned v = low; v <= high; v += step)
			set[v] = true;
	}
	add(p, " ");
}

static struct plain random_expression(void)
{
	struct plain p = {};

	random_field(&p, 0, p.minute, 0, 59);
	random_field(&p, 1, p.hour, 0, 23);
	random_field(&p, 2, p.day, 1, 31);
	random_field(&p, 3, p.month, 1, 12);
	random_field(&p, 4, p.weekday, 0, 7);
	p.weekday[0] |= p.weekday[7];
	return p;
}

static bool plain_match(const struct plain *p, const struct tm *t)
{
	bool day = p->day[t->tm_mday], weekday = p->weekday[t->tm_wday];

	return p->minute[t->tm_min] && p->hour[t->tm_hour] && p->month[t->tm_mon + 1] &&
	       (!p->star[2] && !p->star[4] ? day || weekday : day && weekday);
}

/* Local time as a number that counts minutes, as if every day had 1440. */
static int64_t face(const struct tm *t)
{
	struct tm copy = *t;

	copy.tm_sec = 0;
	return (int64_t)timegm(&copy) / 60;
}

/* What the clock on the wall has shown in the last hours, minute by minute. */
struct wall {
	int64_t shown[200];
	size_t n;
};

static bool shown_before(const struct wall *w, int64_t now)
{
	for (size_t i = 0; i < ARRAY_LEN(w->shown) && i < w->n; i++)
		if (w->shown[i] == now)
			return true;
	return false;
}

static bool left_out_was_meant(const struct plain *p, int64_t last, int64_t now)
{
	for (int64_t left_out = last + 1; left_out < now; left_out++) {
		time_t s = left_out * 60;
		struct tm t;
		gmtime_r(&s, &t);
		if (plain_match(p, &t))
			return true;
	}
	return false;
}

static bool plain_due(const struct plain *p, struct wall *w, const struct tm *t)
{
	int64_t now = face(t), last = w->n > 0 ? w->shown[(w->n - 1) % ARRAY_LEN(w->shown)] : now - 1;
	bool fixed = !p->star[0] && !p->star[1], due = plain_match(p, t);

	if (fixed)
		due = (due && !shown_before(w, now)) || left_out_was_meant(p, last, now);
	w->shown[w->n++ % ARRAY_LEN(w->shown)] = now;
	return due;
}

/* The C library's own reading of the tz database tells the time. */
static void use_zone(const char *name)
{
	setenv("TZ", name, 1);
	tzset();
}

/* All times within some days after `begin`, which is a whole minute; those of the first hours are not compared, since nobody saw what was shown before. */
static unsigned compare_days(const struct plain *p, const struct zone *z, time_t begin, unsigned days)
{
	struct wall wall = {};
	struct err e = ERR_INIT;
	unsigned times = 0;
	struct cron c;

	if (cron_parse(&c, str_of(p->text), &e) != 0) {
		assert_non_null(strstr(e.detail, "no such date"));
		return 0;
	}
	int64_t next = cron_next(&c, z, ((int64_t)begin + 6 * 3600 - 60) * 1000);
	for (time_t s = begin; s < begin + (time_t)days * 86400; s += 60) {
		struct tm t;
		localtime_r(&s, &t);
		bool due = plain_due(p, &wall, &t);
		if (s < begin + 6 * 3600)
			continue;
		if (due != (next == (int64_t)s * 1000))
			fail_msg("%sin %s at %lld: %s", p->text, getenv("TZ"), (long long)s, due ? "left out" : "too many");
		if (due)
			next = cron_next(&c, z, next);
		times += due;
	}
	return times;
}

static void times_where_clocks_change_are_those_of_a_slow_count_of_minutes(void **state)
{
	static const char *const ZONES[] = {"Europe/Berlin",   "America/New_York",  "Australia/Lord_Howe", "America/Santiago",
					    "Asia/Beirut",     "Africa/Casablanca", "America/St_Johns",    "Asia/Gaza",
					    "Pacific/Chatham", "America/Havana"};
	struct arena a = ARENA_INIT;
	unsigned times = 0;

	rng = 0x2545f4914f6cdd1d;
	for (unsigned i = 0; i < 200; i++) {
		const char *name = ZONES[i % ARRAY_LEN(ZONES)];
		struct zone z = zone_of(name, &a);
		struct plain p = random_expression();

		use_zone(name);
		/* a change of the last fifty years, and what is around it */
		size_t first = zone_changes_until(&z, 200000000), last = zone_changes_until(&z, 1700000000);
		assert_true(last > first);
		int64_t change = z.changes[first + pick((unsigned)(last - first))].at;
		times += compare_days(&p, &z, (time_t)(change / 60 * 60 - (int64_t)(360 + pick(DAY_MIN)) * 60), 2);
	}
	use_zone("UTC");
	assert_true(times > 1000);
	arena_release(&a);
}

static void times_over_a_year_are_those_of_a_slow_count_of_minutes(void **state)
{
	unsigned times = 0;

	rng = 0x9e3779b97f4a7c15;
	use_zone("UTC");
	for (unsigned i = 0; i < 12; i++) {
		struct plain p = random_expression();
		times += compare_days(&p, &ZONE_UTC, (time_t)pick(3000) * 86400 + 1600000000 / 60 * 60, 400);
	}
	assert_true(times > 1000);
}

static void every_zone_of_the_database_is_read_as_the_c_library_reads_it(void **state)
{
	static const char *const ZONES[] = {"Europe/Berlin", "Europe/Dublin",    "America/New_York", "America/Sao_Paulo",
					    "Asia/Tehran",   "Asia/Kolkata",     "Australia/Sydney", "Pacific/Apia",
					    "Africa/Cairo",  "Antarctica/Troll", "Etc/GMT-14",       "UTC"};
	struct arena a = ARENA_INIT;

	rng = 88172645463325252;
	for (size_t i = 0; i < ARRAY_LEN(ZONES); i++) {
		struct zone z = zone_of(ZONES[i], &a);
		use_zone(ZONES[i]);
		for (unsigned k = 0; k < 2000; k++) {
			time_t s = (time_t)pick(7000000) * 1000 + 100000000; /* 1973 … 2195 */
			struct tm t;
			localtime_r(&s, &t);
			if (zone_offset_after(&z, zone_changes_until(&z, s)) != t.tm_gmtoff)
				fail_msg("%s at %lld", ZONES[i], (long long)s);
		}
	}
	use_zone("UTC");
	arena_release(&a);
}

/* ---- zones ---- */

static void rules_give_the_changes_of_a_year(void **state)
{
	static const struct {
		const char *rule, *first, *second;
		int first_offset, second_offset; /* minutes */
	} CASES[] = {
		{"CET-1CEST,M3.5.0,M10.5.0/3", "2024-03-31T01:00:00Z", "2024-10-27T01:00:00Z", 120, 60},
		{"EST5EDT,M3.2.0,M11.1.0", "2024-03-10T07:00:00Z", "2024-11-03T06:00:00Z", -240, -300},
		{"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "2024-04-06T15:00:00Z", "2024-10-05T15:30:00Z", 630, 660},
		{"IST-1GMT0,M10.5.0,M3.5.0/1", "2024-03-31T01:00:00Z", "2024-10-27T01:00:00Z", 60, 0},
		{"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2024-03-31T01:00:00Z", "2024-10-27T01:00:00Z", -60, -120},
		{"XXX3YYY,J60/0,J300/24:30:30", "2024-03-01T03:00:00Z", "2024-10-28T02:30:30Z", -120, -180},
		{"XXX0YYY,59/0,365/0", "2024-02-29T00:00:00Z", "2024-12-30T23:00:00Z", 60, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		struct zone_change got[2];
		int64_t first, second;
		size_t n;

		assert_true(zone_rule_changes(str_of(CASES[i].rule), 0, 2024, 2024, got, &n));
		assert_int_equal(n, 2);
		assert_true(time_parse(&first, str_of(CASES[i].first)) && time_parse(&second, str_of(CASES[i].second)));
		assert_int_equal(got[0].at, first / 1000);
		assert_int_equal(got[1].at, second / 1000);
		assert_int_equal(got[0].offset, CASES[i].first_offset * 60);
		assert_int_equal(got[1].offset, CASES[i].second_offset * 60);
	}
}

static void a_rule_without_daylight_saving_is_one_offset(void **state)
{
	struct zone_change got[2];
	size_t n;

	assert_true(zone_rule_changes(STR("<+0545>-5:45"), 77, 2024, 2024, got, &n));
	assert_int_equal(n, 1);
	assert_int_equal(got[0].at, 77);
	assert_int_equal(got[0].offset, 345 * 60);
}

static void what_is_no_rule_is_none(void **state)
{
	static const char *const BAD[] = {"",
					  "CE-1",
					  "CET",
					  "CET-",
					  "CET-25",
					  "<+1-1",
					  "CET-1CEST",
					  "CET-1CEST,M3.5.0",
					  "CET-1CEST,M13.5.0,M10.5.0",
					  "CET-1CEST,M3.6.0,M10.5.0",
					  "CET-1CEST,M3.5.7,M10.5.0",
					  "CET-1CEST,M3.5.0/168,M10.5.0",
					  "CET-1CEST,J0,J300",
					  "CET-1CEST,366,1",
					  "CET-1CEST,M3.5.0,M10.5.0/3x",
					  "CET-1:60"};
	struct zone_change got[2];
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
		if (zone_rule_changes(str_of(BAD[i]), 0, 2024, 2024, got, &n))
			fail_msg("%s", BAD[i]);
}

static void a_zone_is_named_by_parts_that_cannot_leave_the_database(void **state)
{
	static const char *const GOOD[] = {"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+12", "Etc/GMT-14", "CST6CDT"};
	static const char *const BAD[] = {"",
					  "/",
					  "/UTC",
					  "UTC/",
					  "Europe//Berlin",
					  "../passwd",
					  "Europe/../UTC",
					  ".",
					  "Europe/.",
					  "a b",
					  "1st",
					  "_x",
					  "Europe/Berlin\n",
					  "\xc3\xa9",
					  "-x"};
	char longest[ZONE_NAME_MAX + 2];

	memset(longest, 'a', sizeof(longest));
	assert_true(zone_name_ok((struct str){longest, ZONE_NAME_MAX}));
	assert_false(zone_name_ok((struct str){longest, ZONE_NAME_MAX + 1}));
	for (size_t i = 0; i < ARRAY_LEN(GOOD); i++)
		assert_true(zone_name_ok(str_of(GOOD[i])));
	for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
		assert_false(zone_name_ok(str_of(BAD[i])));
}

static void a_file_that_is_cut_anywhere_is_refused(void **state)
{
	static char bytes[ZONE_FILE_MAX];
	struct arena a = ARENA_INIT;
	struct zone z = {.n = 42};
	struct err e = ERR_INIT;
	int fd = open("/usr/share/zoneinfo/Europe/Berlin", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, bytes, sizeof(bytes));

	close(fd);
	assert_true(n > 100);
	for (ssize_t cut = 0; cut < n; cut++) {
		char *exact = malloc((size_t)cut + 1); /* so that a sanitizer sees a byte too far */
		assert_non_null(exact);
		memcpy(exact, bytes, (size_t)cut);
		assert_int_equal(zone_parse(&z, (struct str){exact, (size_t)cut}, &a, &e), ERR_INVALID_VALUE);
		free(exact);
	}
	assert_int_equal(z.n, 42);
	bytes[4] = '1'; /* only times of 32 bits */
	assert_int_equal(zone_parse(&z, (struct str){bytes, (size_t)n}, &a, &e), ERR_INVALID_VALUE);
	assert_string_equal(e.detail, "is no file of the time zone database");
	arena_release(&a);
}

static void a_time_far_away_is_no_endless_search(void **state)
{
	struct cron c;

	assert_int_equal(cron_parse(&c, STR("0 0 29 2 *"), NULL), 0);
	assert_int_equal(cron_next(&c, &ZONE_UTC, INT64_C(4107542400000)) / 1000,
			 INT64_C(4233686400)); /* 2100 has none: from 2100-03-01 to 2104 */
	assert_int_equal(cron_next(&c, &ZONE_UTC, -INT64_C(86400000)), INT64_C(68169600000)); /* before 1970: 1972 */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_times_are_those_of_the_table),
		cmocka_unit_test(what_is_no_expression_is_refused_with_its_column),
		cmocka_unit_test(the_days_are_either_only_when_both_are_named),
		cmocka_unit_test(times_where_clocks_change_are_those_of_a_slow_count_of_minutes),
		cmocka_unit_test(times_over_a_year_are_those_of_a_slow_count_of_minutes),
		cmocka_unit_test(every_zone_of_the_database_is_read_as_the_c_library_reads_it),
		cmocka_unit_test(rules_give_the_changes_of_a_year),
		cmocka_unit_test(a_rule_without_daylight_saving_is_one_offset),
		cmocka_unit_test(what_is_no_rule_is_none),
		cmocka_unit_test(a_zone_is_named_by_parts_that_cannot_leave_the_database),
		cmocka_unit_test(a_file_that_is_cut_anywhere_is_refused),
		cmocka_unit_test(a_time_far_away_is_no_endless_search),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
