/* An expression becomes sets of bits; the next time is found by walking over days of a calendar in local time, one stretch of unchanged clocks after the other. */
#include "model/cron.h"
#include "base/civil.h"
#include "base/compiler.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MINUTE_S 60
#define HOUR_S 3600
#define DAY_S 86400
#define YEARS_MAX 50 /* every date there is comes again within that time, on every day of the week */

/* ---- reading ---- */

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

struct field {
	const char *name;
	unsigned min, max;
	const char *const *names; /* of min, min + 1, …; NULL = none */
};
enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };
static const struct field fields[FIELDS] = {
	{"minute", 0, 59, NULL},
	{"hour", 0, 23, NULL},
	{"day of month", 1, 31, NULL},
	{"month", 1, 12, month_names},
	{"day of week", 0, 7, weekday_names},
};

static const struct {
	const char *word, *means;
} words[] = {
	{"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
	{"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"},
};

struct reader {
	struct str text;
	size_t at;
};

ATTR_PRINTF(3, 4) static int refuse(struct err *e, size_t at, const char *fmt, ...)
{
	char why[ERR_DETAIL_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	return err_set(e, ERR_INVALID_VALUE, "column %zu: %s", at + 1, why);
}

/* 0 at the end. */
static char peek(const struct reader *r)
{
	return r->at < r->text.len ? r->text.p[r->at] : '\0';
}

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool ends_item(const struct reader *r)
{
	return r->at >= r->text.len || blank(peek(r)) || strchr(",-/", peek(r)) != NULL;
}

/* What stands from `from` to the end of the item, for a message. */
static struct str word_at(const struct reader *r, size_t from)
{
	struct reader end = {r->text, from};

	while (!ends_item(&end))
		end.at++;
	return (struct str){r->text.p + from, end.at - from > 20 ? 20 : end.at - from};
}

static int name_value(const struct field *f, struct str word)
{
	for (size_t i = 0; f->names != NULL && f->names[i] != NULL; i++)
		if (str_eq_nocase(word, str_of(f->names[i])))
			return (int)(f->min + i);
	return -1;
}

static int take_value(struct reader *r, const struct field *f, unsigned *ret, struct err *e)
{
	struct str word = word_at(r, r->at);
	int named = name_value(f, word);
	uint64_t n;

	if (word.len == 0)
		return refuse(e, r->at, "a %s is missing", f->name);
	if (named >= 0)
		n = (uint64_t)named;
	else if (!str_to_u64(word, &n))
		return refuse(e, r->at, "\"%.*s\" is no %s", STR_FMT(word), f->name);
	if (n < f->min || n > f->max)
		return refuse(e, r->at, "a %s goes from %u to %u", f->name, f->min, f->max);
	r->at += word.len;
	*ret = (unsigned)n;
	return 0;
}

static int take_step(struct reader *r, const struct field *f, bool after_range, unsigned *ret, struct err *e)
{
	size_t at = r->at + 1;
	uint64_t n;

	if (peek(r) != '/')
		return 0;
	if (!after_range)
		return refuse(e, r->at, "a step follows * or a range such as %u-%u", f->min, f->max);
	struct str word = word_at(r, at);
	if (!str_to_u64(word, &n) || n == 0)
		return refuse(e, at, "a step is a number from 1 on");
	if (n > f->max - f->min)
		return refuse(e, at, "a step of the %s is at most %u: it begins anew with each %s", f->name, f->max - f->min,
			      f == &fields[MINUTE]  ? "hour"
			      : f == &fields[HOUR]  ? "day"
			      : f == &fields[MONTH] ? "year"
						    : "month or week");
	r->at = at + word.len;
	*ret = (unsigned)n;
	return 0;
}

static int take_item(struct reader *r, const struct field *f, uint64_t *bits, struct err *e)
{
	unsigned low = f->min, high = f->max, step = 1;
	size_t begin = r->at;
	bool range = true;
	int rc;

	if (peek(r) == '*') {
		r->at++;
	} else {
		if ((rc = take_value(r, f, &low, e)) != 0)
			return rc;
		high = low;
		range = peek(r) == '-';
		if (range) {
			r->at++;
			if ((rc = take_value(r, f, &high, e)) != 0)
				return rc;
		}
	}
	if (high < low)
		return refuse(e, begin, "the range ends before it begins%s", f == &fields[WEEKDAY] ? "; Sunday may be 7" : "");
	if ((rc = take_step(r, f, range, &step, e)) != 0)
		return rc;
	for (unsigned i = low; i <= high; i += step)
		*bits |= UINT64_C(1) << i;
	return 0;
}

static int take_field(struct reader *r, const struct field *f, uint64_t *bits, bool *star, struct err *e)
{
	int rc;

	*star = peek(r) == '*';
	do {
		if ((rc = take_item(r, f, bits, e)) != 0)
			return rc;
	} while (peek(r) == ',' && r->at++ < r->text.len);
	if (r->at < r->text.len && !blank(peek(r)))
		return refuse(e, r->at, "\"%c\" does not belong here", peek(r) >= ' ' && peek(r) < 0x7f ? peek(r) : '?');
	return 0;
}

static void skip_blanks(struct reader *r)
{
	while (blank(peek(r)))
		r->at++;
}

static int read_fields(struct reader *r, uint64_t bits[FIELDS], bool star[FIELDS], struct err *e)
{
	int rc;

	for (int i = 0; i < FIELDS; i++) {
		skip_blanks(r);
		if (r->at >= r->text.len)
			return refuse(e, r->at, "the %s is missing: there are five fields, minute hour day-of-month month day-of-week",
				      fields[i].name);
		if ((rc = take_field(r, &fields[i], &bits[i], &star[i], e)) != 0)
			return rc;
	}
	skip_blanks(r);
	return r->at < r->text.len ? refuse(e, r->at, "something follows the five fields") : 0;
}

/* @daily and its like stand for five fields. */
static int read_word(struct str *ret, struct str text, size_t at, struct err *e)
{
	const char *names[ARRAY_LEN(words)];

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		names[i] = words[i].word;
		if (str_eq_nocase(text, str_of(words[i].word))) {
			*ret = str_of(words[i].means);
			return 0;
		}
	}
	if (str_eq_nocase(text, STR("@reboot")))
		return refuse(e, at, "@reboot is no time that comes again");
	const char *near = nearest_name(text, names, ARRAY_LEN(names));
	return refuse(e, at, "there is no %.*s%s%s", STR_FMT(((struct str){text.p, text.len > 20 ? 20 : text.len})),
		      near != NULL ? ", perhaps " : "", near != NULL ? near : "");
}

int cron_parse(struct cron *ret, struct str text, struct err *e)
{
	struct str meant = str_trim(text);
	struct reader r = {text, 0};
	uint64_t bits[FIELDS] = {};
	bool star[FIELDS] = {};
	int rc = 0;

	if (meant.len > 0 && meant.p[0] == '@' && (rc = read_word(&r.text, meant, (size_t)(meant.p - text.p), e)) != 0)
		return rc;
	if ((rc = read_fields(&r, bits, star, e)) != 0)
		return rc;
	const struct cron c = {
		.minutes = bits[MINUTE],
		.hours = (uint32_t)bits[HOUR],
		.days = (uint32_t)bits[DAY],
		.months = (uint32_t)bits[MONTH],
		.weekdays = (uint32_t)((bits[WEEKDAY] | bits[WEEKDAY] >> 7) & 0x7f),
		.either_day = !star[DAY] && !star[WEEKDAY],
		.fixed = !star[MINUTE] && !star[HOUR],
	};
	if (cron_next(&c, &ZONE_UTC, INT64_C(946684800000)) == CRON_NEVER)
		return refuse(e, 0, "there is no such date");
	*ret = c;
	return 0;
}

/* ---- the next time ---- */

static bool day_meant(const struct cron *c, int64_t days)
{
	struct civil date = civil_of_days(days);

	if (!(c->months >> date.month & 1))
		return false;
	bool by_month = c->days >> date.day & 1, by_week = c->weekdays >> weekday_of_days(days) & 1;
	return c->either_day ? by_month || by_week : by_month && by_week;
}

/* The first time of a day from this second on; -1 = none. */
static int64_t time_of_day(const struct cron *c, int64_t from)
{
	int64_t minute = (from + MINUTE_S - 1) / MINUTE_S; /* of the day */

	for (int64_t hour = minute / 60; hour < 24; hour++) {
		int64_t first = hour == minute / 60 ? minute % 60 : 0;
		uint64_t left = c->minutes >> first << first;
		if (c->hours >> hour & 1 && left != 0)
			return hour * HOUR_S + __builtin_ctzll(left) * INT64_C(60);
	}
	return -1;
}

/* The first time meant in local seconds from … end - 1; INT64_MAX = none. */
static int64_t next_local(const struct cron *c, int64_t from, int64_t end)
{
	for (int64_t days = floor_div(from, DAY_S); days * DAY_S < end; days++) {
		int64_t midnight = days * DAY_S;
		if (!day_meant(c, days))
			continue;
		int64_t time = time_of_day(c, from > midnight ? from - midnight : 0);
		if (time >= 0)
			return midnight + time < end ? midnight + time : INT64_MAX;
	}
	return INT64_MAX;
}

/* Between two changes of the clocks, the i-th of which begins the stretch: local time is `offset` ahead. */
struct stretch {
	int64_t begin, end; /* UTC seconds */
	int32_t before, offset; /* before: of the stretch before this one */
};

static struct stretch stretch_of(const struct zone *z, size_t i, int64_t limit)
{
	return (struct stretch){
		.begin = i > 0 ? z->changes[i - 1].at : INT64_MIN / 4,
		.end = i < z->n && z->changes[i].at < limit ? z->changes[i].at : limit,
		.before = i > 0 ? zone_offset_after(z, i - 1) : zone_offset_after(z, i),
		.offset = zone_offset_after(z, i),
	};
}

static int64_t whole_minute(int64_t s)
{
	return floor_div(s + MINUTE_S - 1, MINUTE_S) * MINUTE_S;
}

/* The first time from `from` on within the stretch. */
static int64_t next_in_stretch(const struct cron *c, const struct stretch *s, int64_t from)
{
	int64_t gap = s->begin + s->before; /* what local time was when the clocks were changed */
	int64_t local = from + s->offset;

	if (c->fixed && s->offset > s->before && from <= whole_minute(s->begin) && next_local(c, gap, s->begin + s->offset) != INT64_MAX)
		return whole_minute(s->begin);
	if (c->fixed && s->offset < s->before && local < gap)
		local = gap; /* the times until then were shown before */
	local = next_local(c, local, s->end + s->offset);
	return local == INT64_MAX ? INT64_MAX : local - s->offset;
}

int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after_ms)
{
	int64_t from = (floor_div(after_ms, MINUTE_S * 1000) + 1) * MINUTE_S, limit = from + (int64_t)YEARS_MAX * 366 * DAY_S;

	for (size_t i = zone_changes_until(z, from); i <= z->n; i++) {
		struct stretch s = stretch_of(z, i, limit);
		if (s.begin >= limit)
			break;
		int64_t next = next_in_stretch(c, &s, from > s.begin ? from : s.begin);
		if (next != INT64_MAX)
			return next * 1000;
	}
	return CRON_NEVER;
}

/* Looks back over ever longer times, so that what comes every minute need not be counted over years. */
int64_t cron_last(const struct cron *c, const struct zone *z, int64_t after_ms, int64_t until_ms)
{
	for (int64_t back = (int64_t)DAY_S * 1000; after_ms < until_ms; back *= 8) {
		int64_t from = back < until_ms - after_ms ? until_ms - back : after_ms, last = CRON_NEVER;

		for (int64_t t = cron_next(c, z, from); t <= until_ms; t = cron_next(c, z, t))
			last = t;
		if (last != CRON_NEVER || from == after_ms)
			return last;
	}
	return CRON_NEVER;
}
