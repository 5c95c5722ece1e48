/* Text to value, one function a kind. */
#include "rt/config_impl.h"

#include "base/compiler.h"
#include "rt/json_in.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

struct unit {
	const char *word;
	uint64_t factor;
};

/* Both ordered so that the last unit that divides a number writes it shortest. */
static const struct unit size_units[] = {
	{"B", 1},
	{"kB", 1000},
	{"KiB", 1024},
	{"MB", 1000000},
	{"MiB", 1024 * 1024},
	{"GB", 1000000000},
	{"GiB", UINT64_C(1) << 30},
	{"TiB", UINT64_C(1) << 40},
};
static const struct unit duration_units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

enum parsed { PARSED, NOT_A_QUANTITY, TOO_LARGE };

/* Digits, perhaps blanks, a unit; 0 needs none. */
static enum parsed parse_quantity(uint64_t *ret, struct str s, const struct unit *units, size_t n)
{
	struct str digits = {s.p, 0}, unit;
	uint64_t v;

	while (digits.len < s.len && s.p[digits.len] >= '0' && s.p[digits.len] <= '9')
		digits.len++;
	if (digits.len == 0)
		return NOT_A_QUANTITY;
	unit = str_trim((struct str){s.p + digits.len, s.len - digits.len});
	if (!str_to_u64(digits, &v))
		return TOO_LARGE;
	if (unit.len == 0 && v == 0) {
		*ret = 0;
		return PARSED;
	}
	for (size_t i = 0; i < n; i++) {
		if (str_eq(unit, str_of(units[i].word)))
			return u64_mul(v, units[i].factor, ret) ? PARSED : TOO_LARGE;
	}
	return NOT_A_QUANTITY;
}

static int not_expected(struct err *e, const char *expected, struct str value)
{
	err_set(e, ERR_BAD_CONFIG, "expected %s, not \"%s\"", expected, config_show(value).text);
	err_expected(e, expected);
	return ERR_BAD_CONFIG;
}

static int too_large(struct err *e, struct str value)
{
	return err_set(e, ERR_BAD_CONFIG, "\"%s\" is too large a number", config_show(value).text);
}

int config_parse_size(uint64_t *ret_bytes, struct str s, struct err *e)
{
	switch (parse_quantity(ret_bytes, s, size_units, ARRAY_LEN(size_units))) {
	case PARSED:
		return 0;
	case TOO_LARGE:
		return too_large(e, s);
	default:
		return not_expected(e, "a size with its unit (B KiB MiB GiB TiB kB MB GB)", s);
	}
}

int config_parse_duration(int64_t *ret_ms, struct str s, struct err *e)
{
	uint64_t ms;
	enum parsed parsed = parse_quantity(&ms, s, duration_units, ARRAY_LEN(duration_units));

	if (parsed == NOT_A_QUANTITY)
		return not_expected(e, "a duration with its unit (ms s m h d)", s);
	if (parsed == TOO_LARGE || ms > INT64_MAX)
		return too_large(e, s);
	*ret_ms = (int64_t)ms;
	return 0;
}

static int parse_int(int64_t *ret, struct str s, struct err *e)
{
	bool negative = s.len > 0 && s.p[0] == '-';
	struct str digits = {s.p + negative, s.len - negative};
	uint64_t v;

	for (size_t i = 0; i < digits.len; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			return not_expected(e, "a whole number", s);
	}
	if (digits.len == 0)
		return not_expected(e, "a whole number", s);
	if (!str_to_u64(digits, &v) || v > INT64_MAX)
		return too_large(e, s);
	*ret = negative ? -(int64_t)v : (int64_t)v;
	return 0;
}

/* With the largest unit that leaves a whole number. */
static void add_quantity(struct buf *out, enum config_kind kind, int64_t v)
{
	const struct unit *units = kind == CONFIG_SIZE ? size_units : duration_units, *best = &units[0];
	size_t n = kind == CONFIG_SIZE ? ARRAY_LEN(size_units) : ARRAY_LEN(duration_units);

	if (kind == CONFIG_INT || v <= 0) {
		buf_addf(out, "%" PRId64, v);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if ((uint64_t)v % units[i].factor == 0)
			best = &units[i];
	}
	buf_addf(out, "%" PRIu64 "%s%s", (uint64_t)v / best->factor, kind == CONFIG_SIZE ? " " : "", best->word);
}

static bool is_bounded(const struct config_option *o)
{
	return (o->kind == CONFIG_INT || o->kind == CONFIG_SIZE || o->kind == CONFIG_DURATION) && (o->min != 0 || o->max != 0);
}

void config_add_bounds(struct buf *out, const struct config_option *o)
{
	if (!is_bounded(o))
		return;
	if (o->max == INT64_MAX)
		buf_add_cstr(out, "at least ");
	add_quantity(out, o->kind, o->min);
	if (o->max == INT64_MAX)
		return;
	buf_add_cstr(out, " to ");
	add_quantity(out, o->kind, o->max);
}

static int check_bounds(const struct config_option *o, int64_t v, struct str value, struct err *e)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT;

	if (!is_bounded(o) || (v >= o->min && v <= o->max))
		return 0;
	config_add_bounds(&text, o);
	if (!buf_ok(&text))
		return err_set(e, ERR_NO_MEMORY, "no memory for the configuration");
	return not_expected(e, text.p, value);
}

static void *place_of(const struct config_load *l, const struct config_option *o)
{
	return (char *)l->settings + o->offset;
}

static int set_bool(const struct config_load *l, const struct config_option *o, struct str value, struct err *e)
{
	bool yes = str_eq(value, STR("true"));

	if (!yes && !str_eq(value, STR("false")))
		return not_expected(e, "true or false", value);
	*(bool *)place_of(l, o) = yes;
	return 0;
}

static int set_int(const struct config_load *l, const struct config_option *o, struct str value, struct err *e)
{
	int64_t v = 0;
	int r = parse_int(&v, value, e);

	if (r == 0)
		r = check_bounds(o, v, value, e);
	if (r == 0)
		*(int64_t *)place_of(l, o) = v;
	return r;
}

static int set_size(const struct config_load *l, const struct config_option *o, struct str value, struct err *e)
{
	uint64_t v = 0;
	int r = config_parse_size(&v, value, e);

	if (r == 0)
		r = check_bounds(o, v > INT64_MAX ? INT64_MAX : (int64_t)v, value, e);
	if (r == 0)
		*(uint64_t *)place_of(l, o) = v;
	return r;
}

static int set_duration(const struct config_load *l, const struct config_option *o, struct str value, struct err *e)
{
	int64_t v = 0;
	int r = config_parse_duration(&v, value, e);

	if (r == 0)
		r = check_bounds(o, v, value, e);
	if (r == 0)
		*(int64_t *)place_of(l, o) = v;
	return r;
}

/* A copy that ends with a NUL, so none may be inside. */
static int keep_string(const struct config_load *l, const char **ret, struct str value, struct err *e)
{
	const char *copy;

	if (value.len > 0 && memchr(value.p, '\0', value.len))
		return err_set(e, ERR_BAD_CONFIG, "a text must not have a NUL in it");
	copy = arena_strndup(l->strings, value.p, value.len);
	if (!copy)
		return err_set(e, ERR_NO_MEMORY, "no memory for the configuration");
	*ret = copy;
	return 0;
}

static int set_string(const struct config_load *l, const struct config_option *o, struct str value, struct err *e)
{
	return keep_string(l, place_of(l, o), value, e);
}

static int set_enum(const struct config_load *l, const struct config_option *o, struct str value, struct err *e)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT;

	buf_add_cstr(&words, "one of");
	for (int i = 0; o->words[i]; i++) {
		if (str_eq(value, str_of(o->words[i]))) {
			*(int *)place_of(l, o) = i;
			return 0;
		}
		buf_addf(&words, "%s %s", i > 0 ? "," : "", o->words[i]);
	}
	if (!buf_ok(&words))
		return err_set(e, ERR_NO_MEMORY, "no memory for the configuration");
	return not_expected(e, words.p, value);
}

void config_clear(const struct config_load *l, const struct config_option *o)
{
	static const size_t sizes[] = {
		[CONFIG_BOOL] = sizeof(bool),        [CONFIG_INT] = sizeof(int64_t),         [CONFIG_SIZE] = sizeof(uint64_t),
		[CONFIG_DURATION] = sizeof(int64_t), [CONFIG_STRING] = sizeof(const char *), [CONFIG_LIST] = sizeof(struct config_list),
		[CONFIG_ENUM] = sizeof(int),         [CONFIG_JSON] = sizeof(struct str),
	};

	memset(place_of(l, o), 0, sizes[o->kind]);
}

int config_list_add(const struct config_load *l, const struct config_option *o, struct str item, struct err *e)
{
	struct config_list *list = place_of(l, o);
	int r;

	if (item.len == 0)
		return err_set(e, ERR_BAD_CONFIG, "a list must not have an empty member");
	if (list->n == CONFIG_LIST_MAX) {
		err_set(e, ERR_BAD_CONFIG, "a list has at most %d members", CONFIG_LIST_MAX);
		err_limit(e, CONFIG_LIST_MAX);
		return ERR_BAD_CONFIG;
	}
	/* The array grows to each power of two; the arena keeps the smaller ones, which are few and short. */
	if ((list->n & (list->n - 1)) == 0) {
		const char **items = arena_alloc(l->strings, (list->n > 0 ? 2 * list->n : 1) * sizeof(items[0]));

		if (!items)
			return err_set(e, ERR_NO_MEMORY, "no memory for the configuration");
		for (size_t i = 0; i < list->n; i++)
			items[i] = list->items[i];
		list->items = items;
	}
	r = keep_string(l, &list->items[list->n], item, e);
	if (r == 0)
		list->n++;
	return r;
}

int config_list_extend(const struct config_load *l, const struct config_option *o, struct str value, struct err *e)
{
	struct str rest = str_trim(value);

	if (rest.len == 0)
		return 0;
	while (rest.p) {
		struct str item = str_trim(str_split(rest, ',', &rest));
		int r = config_list_add(l, o, item, e);

		if (r < 0)
			return r;
	}
	return 0;
}

int config_set_json(const struct config_load *l, const struct config_option *o, struct str json, struct err *e)
{
	struct str copy;

	if (json.len > CONFIG_JSON_MAX) {
		err_set(e, ERR_BAD_CONFIG, "is larger than %d KiB as JSON", CONFIG_JSON_MAX / 1024);
		err_limit(e, CONFIG_JSON_MAX);
		return ERR_BAD_CONFIG;
	}
	copy = arena_str(l->strings, json);
	if (!copy.p)
		return err_set(e, ERR_NO_MEMORY, "no memory for the configuration");
	*(struct str *)place_of(l, o) = copy;
	return 0;
}

/* True when objects and lists lie at most `levels` deep within each other. */
static bool is_shallow(json_t *json, int levels)
{
	const char *name;
	json_t *member;
	size_t i;

	if (!json_is_object(json) && !json_is_array(json))
		return true;
	if (levels == 0)
		return false;
	json_object_foreach(json, name, member) {
		if (!is_shallow(member, levels - 1))
			return false;
	}
	json_array_foreach(json, i, member) {
		if (!is_shallow(member, levels - 1))
			return false;
	}
	return true;
}

/* JSON text of a variable or a flag. */
static int set_json(const struct config_load *l, const struct config_option *o, struct str value, struct err *e)
{
	struct str text = str_trim(value);
	struct err why = ERR_INIT;
	json_t *json = NULL;
	bool object, shallow;

	if (text.len == 0)
		return config_set_json(l, o, STR(""), e);
	if (json_read(&json, text, &why) < 0)
		return err_set(e, ERR_BAD_CONFIG, "not valid JSON: %s", why.detail);
	object = json_is_object(json);
	shallow = is_shallow(json, CONFIG_JSON_DEPTH_MAX);
	json_decref(json);
	if (!object)
		return not_expected(e, "a JSON object, such as {\"name\": \u2026}", value);
	if (!shallow)
		return err_set(e, ERR_BAD_CONFIG, "nested more than %d deep", CONFIG_JSON_DEPTH_MAX);
	return config_set_json(l, o, text, e);
}

int config_set(const struct config_load *l, const struct config_option *o, struct str value, struct err *e)
{
	switch (o->kind) {
	case CONFIG_BOOL:
		return set_bool(l, o, value, e);
	case CONFIG_INT:
		return set_int(l, o, value, e);
	case CONFIG_SIZE:
		return set_size(l, o, value, e);
	case CONFIG_DURATION:
		return set_duration(l, o, value, e);
	case CONFIG_STRING:
		return set_string(l, o, value, e);
	case CONFIG_ENUM:
		return set_enum(l, o, value, e);
	case CONFIG_JSON:
		return set_json(l, o, value, e);
	case CONFIG_LIST:
		config_clear(l, o);
		return config_list_extend(l, o, value, e);
	}
	assert(!"a kind that is not in the list");
	return ERR_INTERNAL;
}
