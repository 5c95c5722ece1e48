/* Rules such as CET-1CEST,M3.5.0,M10.5.0/3: standard time, daylight saving time, and the days on which one follows the other (POSIX.1-2017 §8.3; RFC 8536 §3.3.1 lets the hour go
 * from -167 to 167). */
#include "base/civil.h"
#include "model/zone.h"

#define HOUR_S 3600
#define DAY_S 86400

enum day_kind { DAY_JULIAN, DAY_OF_YEAR, DAY_OF_MONTH };

struct day_rule {
	enum day_kind kind;
	unsigned n; /* JULIAN: 1…365, 29 February never counted; OF_YEAR: 0…365 */
	unsigned month, week, weekday; /* OF_MONTH: the week-th (5 = last) weekday */
	int32_t time; /* local seconds after midnight */
};

struct reader {
	const char *p, *end;
	bool bad;
};

static bool take(struct reader *r, char c)
{
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

static int number(struct reader *r, int min, int max)
{
	const char *begin = r->p;
	int n = 0;

	while (r->p < r->end && *r->p >= '0' && *r->p <= '9' && r->p - begin < 4)
		n = n * 10 + (*r->p++ - '0');
	if (r->p == begin || n < min || n > max)
		r->bad = true;
	return n;
}

static void name(struct reader *r)
{
	const char *begin = r->p;

	if (take(r, '<')) {
		while (r->p < r->end && *r->p != '>')
			r->p++;
		r->bad |= !take(r, '>');
		return;
	}
	while (r->p < r->end && ((*r->p >= 'A' && *r->p <= 'Z') || (*r->p >= 'a' && *r->p <= 'z')))
		r->p++;
	r->bad |= r->p - begin < 3;
}

/* [+-]h[:mm[:ss]] in seconds */
static int32_t hours(struct reader *r, int max)
{
	bool minus = take(r, '-');

	if (!minus)
		take(r, '+');
	int32_t s = number(r, 0, max) * HOUR_S;
	if (take(r, ':'))
		s += number(r, 0, 59) * 60;
	else
		return minus ? -s : s;
	if (take(r, ':'))
		s += number(r, 0, 59);
	return minus ? -s : s;
}

static struct day_rule day(struct reader *r)
{
	struct day_rule d = {.time = 2 * HOUR_S};

	if (!take(r, ','))
		r->bad = true;
	if (take(r, 'M')) {
		d.kind = DAY_OF_MONTH;
		d.month = (unsigned)number(r, 1, 12);
		r->bad |= !take(r, '.');
		d.week = (unsigned)number(r, 1, 5);
		r->bad |= !take(r, '.');
		d.weekday = (unsigned)number(r, 0, 6);
	} else if (take(r, 'J')) {
		d.n = (unsigned)number(r, 1, 365);
	} else {
		d.kind = DAY_OF_YEAR;
		d.n = (unsigned)number(r, 0, 365);
	}
	if (take(r, '/'))
		d.time = hours(r, 167);
	return d;
}

static int64_t month_rule_days(const struct day_rule *d, int year)
{
	int month = (int)d->month;
	int64_t first = days_of_civil((struct civil){year, month, 1});
	int64_t next = days_of_civil(month == 12 ? (struct civil){year + 1, 1, 1} : (struct civil){year, month + 1, 1});
	int64_t days = first + (d->weekday + 7 - weekday_of_days(first)) % 7 + INT64_C(7) * (d->week - 1);

	return days < next ? days : days - 7;
}

/* Local seconds, as if local time were UTC. */
static int64_t local_of(const struct day_rule *d, int year)
{
	int64_t days = days_of_civil((struct civil){year, 1, 1});

	if (d->kind == DAY_OF_MONTH)
		days = month_rule_days(d, year);
	else if (d->kind == DAY_OF_YEAR)
		days += d->n;
	else
		days += d->n - 1 + (civil_leap(year) && d->n >= 60);
	return days * DAY_S + d->time;
}

static void add_year(int year, const struct day_rule *begin, const struct day_rule *end, int32_t standard, int32_t saving,
		     struct zone_change *ret)
{
	const struct zone_change on = {local_of(begin, year) - standard, saving}, off = {local_of(end, year) - saving, standard};

	ret[0] = on.at < off.at ? on : off;
	ret[1] = on.at < off.at ? off : on;
}

bool zone_rule_changes(struct str rule, int64_t from, int first_year, int last_year, struct zone_change *ret, size_t *ret_n)
{
	struct reader r = {rule.p, rule.p + rule.len, false};

	name(&r);
	int32_t standard = -hours(&r, 24), saving = standard + HOUR_S;
	if (r.bad)
		return false;
	if (r.p == r.end) {
		ret[0] = (struct zone_change){from, standard};
		*ret_n = 1;
		return true;
	}
	name(&r);
	if (r.p < r.end && *r.p != ',')
		saving = -hours(&r, 24);
	struct day_rule begin = day(&r), end = day(&r);
	if (r.bad || r.p != r.end)
		return false;
	for (int year = first_year; year <= last_year; year++)
		add_year(year, &begin, &end, standard, saving, ret + 2 * (size_t)(year - first_year));
	*ret_n = 2 * (size_t)(last_year - first_year + 1);
	return true;
}
