/* A file of the tz database: a block with 32-bit times for old readers, which is passed over, one with 64-bit times, and the rule for the time after the last of them. */
#include "model/zone.h"
#include "base/civil.h"

#include <string.h>

#define HEAD_BYTES 44
#define TYPE_BYTES 6
#define YEARS_MAX (ZONE_LAST_YEAR - 1970 + 1)
#define DAY_S 86400
#define TIME_MAX (INT64_C(1) << 60) /* seconds either way; old files begin at -2^59 */
#define OFFSET_MAX (26 * 3600) /* RFC 8536 §3.2: from -25 h to 26 h */

/* ---- the file ---- */

struct head {
	uint32_t isut, isstd, leaps, times, types, chars;
};

static uint64_t big_endian(const char *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | (unsigned char)p[i];
	return v;
}

static int no_zone(struct err *e)
{
	return err_set(e, ERR_INVALID_VALUE, "is no file of the time zone database");
}

/* Takes the head and gives what follows it. Counts are bounded, so that no sum of them overflows. */
static bool read_head(struct head *ret, struct str *rest)
{
	uint32_t n[6];

	if (rest->len < HEAD_BYTES || memcmp(rest->p, "TZif", 4) != 0 || rest->p[4] < '2')
		return false;
	for (size_t i = 0; i < 6; i++) {
		n[i] = (uint32_t)big_endian(rest->p + 20 + 4 * i, 4);
		if (n[i] > ZONE_FILE_MAX)
			return false;
	}
	*ret = (struct head){n[0], n[1], n[2], n[3], n[4], n[5]};
	*rest = (struct str){rest->p + HEAD_BYTES, rest->len - HEAD_BYTES};
	return ret->types > 0;
}

static size_t block_bytes(const struct head *h, size_t time_bytes)
{
	return h->times * (time_bytes + 1) + (size_t)h->types * TYPE_BYTES + h->chars + h->leaps * (time_bytes + 4) + h->isstd + h->isut;
}

static bool skip_block(struct str *rest, const struct head *h, size_t time_bytes)
{
	size_t n = block_bytes(h, time_bytes);

	if (rest->len < n)
		return false;
	*rest = (struct str){rest->p + n, rest->len - n};
	return true;
}

/* A file that counts leap seconds ("right/…") tells times that are not Unix times. */
static bool read_block(const char *block, const struct head *h, int32_t *ret_first, struct zone_change *ret)
{
	const char *kinds = block + 8 * (size_t)h->times, *types = kinds + h->times;

	if (h->leaps > 0)
		return false;
	for (size_t i = 0; i <= h->times; i++) {
		size_t type = i > 0 ? (unsigned char)kinds[i - 1] : 0;
		if (type >= h->types)
			return false;
		int32_t offset = (int32_t)big_endian(types + TYPE_BYTES * type, 4);
		if (offset < -OFFSET_MAX || offset > OFFSET_MAX)
			return false;
		if (i == 0) {
			*ret_first = offset;
			continue;
		}
		ret[i - 1] = (struct zone_change){(int64_t)big_endian(block + 8 * (i - 1), 8), offset};
		if (ret[i - 1].at < -TIME_MAX || ret[i - 1].at > TIME_MAX || (i > 1 && ret[i - 1].at <= ret[i - 2].at))
			return false;
	}
	return true;
}

/* "\nrule\n"; an empty rule says nothing about the time to come. */
static bool read_rule(struct str *ret, struct str footer)
{
	struct str after;

	if (footer.len < 2 || footer.p[0] != '\n')
		return false;
	*ret = str_split((struct str){footer.p + 1, footer.len - 1}, '\n', &after);
	return after.p != NULL;
}

static int year_of(int64_t unix_s)
{
	const int64_t last = days_of_civil((struct civil){ZONE_LAST_YEAR, 12, 31}), days = floor_div(unix_s, DAY_S);

	return civil_of_days(days < 0 ? 0 : days > last ? last : days).year;
}

/* Changes by the rule that come after those of the file. */
static bool follow_rule(struct str rule, struct zone_change *list, size_t *n)
{
	struct zone_change more[2 * YEARS_MAX];
	int64_t last = *n > 0 ? list[*n - 1].at : INT64_MIN;
	size_t n_more = 0;

	if (rule.len == 0)
		return true;
	if (!zone_rule_changes(rule, *n > 0 ? last + 1 : 0, *n > 0 ? year_of(last) : 1970, ZONE_LAST_YEAR, more, &n_more))
		return false;
	for (size_t i = 0; i < n_more; i++)
		if (more[i].at > last)
			list[(*n)++] = more[i];
	return true;
}

static size_t only_real_changes(struct zone_change *list, size_t n, int32_t offset)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (list[i].offset == offset)
			continue;
		offset = list[i].offset;
		list[kept++] = list[i];
	}
	return kept;
}

int zone_parse(struct zone *ret, struct str file, struct arena *a, struct err *e)
{
	struct zone z = {};
	struct head old, h;
	struct str rest = file, rule;

	if (file.len > ZONE_FILE_MAX || !read_head(&old, &rest) || !skip_block(&rest, &old, 4) || !read_head(&h, &rest))
		return no_zone(e);
	const char *block = rest.p;
	if (!skip_block(&rest, &h, 8) || !read_rule(&rule, rest))
		return no_zone(e);
	struct zone_change *list = arena_alloc(a, (h.times + 2 * (size_t)YEARS_MAX) * sizeof(*list));
	if (list == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a time zone");
	z.n = h.times;
	if (!read_block(block, &h, &z.first, list) || !follow_rule(rule, list, &z.n))
		return no_zone(e);
	z.n = only_real_changes(list, z.n, z.first);
	z.changes = list;
	*ret = z;
	return 0;
}

bool zone_name_ok(struct str name)
{
	bool begin = true;

	if (name.len == 0 || name.len > ZONE_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];
		bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
		if (c == '/' ? begin : begin ? !letter : !letter && (c < '0' || c > '9') && c != '_' && c != '+' && c != '-')
			return false;
		begin = c == '/';
	}
	return !begin;
}

size_t zone_changes_until(const struct zone *z, int64_t unix_s)
{
	size_t low = 0, high = z->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (z->changes[middle].at <= unix_s)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int32_t zone_offset_after(const struct zone *z, size_t n)
{
	return n > 0 ? z->changes[n - 1].offset : z->first;
}
