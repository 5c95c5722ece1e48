#include "cli/recurring.h"
#include "base/clock.h"
#include "base/fd.h"
#include "rt/json_in.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ZONES "/usr/share/zoneinfo"

/* One entry while it is read. */
struct reading {
	const char *name;
	json_t *members;
	const struct op_table *ops;
	struct arena *a;
};

/* "recurring.nightly.at: what is wrong" */
ATTR_PRINTF(4, 5) static int bad(struct err *e, const struct reading *r, const char *member, const char *fmt, ...)
{
	char what[ERR_DETAIL_MAX], field[ERR_WORD_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	snprintf(field, sizeof(field), "recurring.%.40s%s%s", r->name, member[0] != '\0' ? "." : "", member);
	err_set(e, ERR_BAD_CONFIG, "%s: %s", field, what);
	return err_field(e, field);
}

static int no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the recurring jobs");
}

static void json_drop(json_t **json)
{
	json_decref(*json);
}

/* A text member, in the arena; *ret is empty when it is not there. */
static int take_text(struct str *ret, const struct reading *r, const char *member, struct err *e)
{
	json_t *value = json_object_get(r->members, member);

	*ret = (struct str){};
	if (value == NULL)
		return 0;
	if (!json_is_string(value) || json_string_length(value) == 0)
		return bad(e, r, member, "must be a text");
	*ret = arena_str(r->a, (struct str){json_string_value(value), json_string_length(value)});
	return ret->p != NULL ? 0 : no_memory(e);
}

/* One of two words, the first of which is the default. */
static int take_word(bool *ret_second, const struct reading *r, const char *member, const char *first, const char *second, struct err *e)
{
	struct str word;
	int rc = take_text(&word, r, member, e);

	if (rc != 0)
		return rc;
	*ret_second = str_eq(word, str_of(second));
	return word.len == 0 || *ret_second || str_eq(word, str_of(first)) ? 0 : bad(e, r, member, "must be %s or %s", first, second);
}

/* ---- when ---- */

static int read_zone(struct zone *ret, const struct reading *r, struct str name, struct err *e)
{
	CLEANUP(fd_close) int fd = -1;
	char path[sizeof(ZONES) + ZONE_NAME_MAX + 2];
	struct err why = ERR_INIT;

	if (name.len == 0 || str_eq(name, STR("UTC"))) {
		*ret = ZONE_UTC;
		return 0;
	}
	if (!zone_name_ok(name))
		return bad(e, r, "zone", "must be the name of a time zone, such as Europe/Berlin");
	snprintf(path, sizeof(path), ZONES "/%.*s", STR_FMT(name));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	char *bytes = arena_alloc(r->a, ZONE_FILE_MAX + 1);
	if (bytes == NULL)
		return no_memory(e);
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, ZONE_FILE_MAX + 1);
	if (n < 0)
		return bad(e, r, "zone", "there is no time zone %.*s in " ZONES "%s", STR_FMT(name),
			   access(ZONES, F_OK) != 0 ? ", which the package tzdata brings" : "");
	int rc = zone_parse(ret, (struct str){bytes, (size_t)n}, r->a, &why);
	if (rc == ERR_NO_MEMORY)
		return no_memory(e);
	return rc == 0 ? 0 : bad(e, r, "zone", "%.*s %s", STR_FMT(name), why.detail);
}

static int read_times(struct engine_recurring *ret, const struct reading *r, struct err *e)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT;
	struct err why = ERR_INIT;
	struct str at, zone;
	int rc;

	if ((rc = take_text(&at, r, "at", e)) != 0 || (rc = take_text(&zone, r, "zone", e)) != 0)
		return rc;
	if (at.len == 0)
		return bad(e, r, "at", "is missing: the times, such as \"0 3 * * *\" or \"@daily\"");
	if (at.len > RECURRING_SCHEDULE_MAX - ZONE_NAME_MAX - 1)
		return bad(e, r, "at", "is too long");
	if (cron_parse(&ret->cron, at, &why) != 0)
		return bad(e, r, "at", "%s", why.detail);
	if ((rc = read_zone(&ret->zone, r, zone, e)) != 0)
		return rc;
	buf_addf(&text, "%.*s %.*s", STR_FMT(at), STR_FMT(zone.len > 0 ? zone : STR("UTC")));
	ret->schedule = buf_ok(&text) ? arena_strndup(r->a, text.p, text.len) : NULL;
	return ret->schedule != NULL ? 0 : no_memory(e);
}

/* ---- what ---- */

static int read_op_list(struct engine_recurring *ret, const struct reading *r, json_t *items, struct err *e)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT;
	struct err why = ERR_INIT;
	struct op_request *list;
	size_t n = json_array_size(items);

	if (n < 1 || n > OPS_MAX)
		return bad(e, r, "ops", "must be a list of 1 to %d ops", OPS_MAX);
	for (size_t i = 0; i < n; i++) {
		json_t *item = json_array_get(items, i);
		if (!json_is_string(item))
			return bad(e, r, "ops", "must be a list of ops such as \"resize;width=800\"");
		buf_add_cstr(&text, i > 0 ? ", " : "");
		buf_add(&text, json_string_value(item), json_string_length(item));
	}
	if (!buf_ok(&text))
		return no_memory(e);
	if (op_table_parse_list(r->ops, &list, &ret->n_ops, buf_str(&text), r->a, &why) != 0)
		return bad(e, r, "ops", "%.200s%s%.60s", why.detail, why.expected[0] != '\0' ? "; perhaps " : "", why.expected);
	ret->ops = list;
	return ret->n_ops > 0 ? 0 : bad(e, r, "ops", "must be a list of 1 to %d ops", OPS_MAX);
}

static int read_ops(struct engine_recurring *ret, const struct reading *r, struct err *e)
{
	json_t *items = json_object_get(r->members, "ops");
	struct err why = ERR_INIT;
	struct str pipeline;
	int rc = take_text(&pipeline, r, "pipeline", e);

	if (rc != 0)
		return rc;
	if ((items != NULL) == (pipeline.len > 0))
		return bad(e, r, "", "needs either ops or a pipeline");
	if (items != NULL)
		return read_op_list(ret, r, items, e);
	if (op_table_pipeline(r->ops, pipeline, &ret->ops, &ret->n_ops, &why) != 0)
		return bad(e, r, "pipeline", "%.200s%s%.60s", why.detail, why.expected[0] != '\0' ? "; perhaps " : "", why.expected);
	return 0;
}

/* ---- for which files ---- */

static int read_label(struct file_filter *ret, const struct reading *r, struct err *e)
{
	struct str label, value;
	struct err why = ERR_INIT;
	struct str canonical;
	int rc = take_text(&label, r, "label", e);

	if (rc != 0 || label.len == 0)
		return rc;
	if (labels_parse_list(&canonical, label, r->a, &why) != 0 || memchr(label.p, ',', label.len) != NULL)
		return bad(e, r, "label", "must be one label such as project:alpha");
	ret->label_key = str_split(label, ':', &value);
	ret->label_value = value;
	return 0;
}

static int read_files(struct engine_recurring *ret, const struct reading *r, struct err *e)
{
	json_t *priority = json_object_get(r->members, "priority");
	int rc;

	ret->files = (struct file_filter){.owner = STR(OWNER_PUBLIC), .state = -1};
	if ((rc = take_word(&ret->all, r, "files", "new", "all", e)) != 0 || (rc = take_text(&ret->files.name, r, "name", e)) != 0 ||
	    (rc = take_text(&ret->type, r, "type", e)) != 0 || (rc = read_label(&ret->files, r, e)) != 0 ||
	    (rc = take_word(&ret->skip_missed, r, "missed", "once", "skip", e)) != 0)
		return rc;
	if (ret->type.len > 0 && memchr(ret->type.p, '/', ret->type.len) == NULL)
		return bad(e, r, "type", "must be a media type such as image/png, or the first half of some such as image/");
	ret->priority = PRIORITY_DEFAULT;
	if (priority == NULL)
		return 0;
	if (!json_is_integer(priority) || json_integer_value(priority) < 0 || json_integer_value(priority) > PRIORITY_MAX)
		return bad(e, r, "priority", "must be from 0, the highest, to %d", PRIORITY_MAX);
	ret->priority = (uint32_t)json_integer_value(priority);
	return 0;
}

/* ---- all together ---- */

static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	return n >= 1 && n <= RECURRING_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

static int read_entry(struct engine_recurring *ret, const struct reading *r, struct err *e)
{
	static const char *const members[] = {"at",    "zone", "ops",    "pipeline", "files", "name",
					      "label", "type", "missed", "priority", NULL};
	struct err why = ERR_INIT;
	int rc;

	if (!name_ok(r->name))
		return bad(e, r, "", "an entry is named by a to z, 0 to 9, _ and -, %d characters at most", RECURRING_NAME_MAX);
	if (!json_is_object(r->members))
		return bad(e, r, "", "must be a map");
	if (json_only_members(r->members, members, &why) != 0)
		return bad(e, r, why.field, "%.200s%s%.60s", why.detail, why.expected[0] != '\0' ? "; perhaps " : "", why.expected);
	*ret = (struct engine_recurring){.name = arena_strndup(r->a, r->name, strlen(r->name))};
	if (ret->name == NULL)
		return no_memory(e);
	if ((rc = read_times(ret, r, e)) != 0 || (rc = read_ops(ret, r, e)) != 0)
		return rc;
	return read_files(ret, r, e);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct engine_recurring *)a)->name, ((const struct engine_recurring *)b)->name);
}

int recurring_read(const struct engine_recurring **ret, size_t *ret_n, struct str json, const struct op_table *ops, struct arena *a,
		   struct err *e)
{
	CLEANUP(json_drop) json_t *map = NULL;
	struct reading r = {.ops = ops, .a = a};
	struct err why = ERR_INIT;
	size_t n = 0;
	int rc;

	if (json_read(&map, json.len > 0 ? json : STR("{}"), &why) != 0)
		return err_set(e, ERR_BAD_CONFIG, "recurring: %s", why.detail);
	if (!json_is_object(map) || json_object_size(map) > RECURRING_MAX)
		return err_set(e, ERR_BAD_CONFIG, "recurring: must be a map of at most %d entries", RECURRING_MAX);
	struct engine_recurring *list = arena_alloc(a, (json_object_size(map) + 1) * sizeof(*list));
	if (list == NULL)
		return no_memory(e);
	json_object_foreach(map, r.name, r.members) {
		if ((rc = read_entry(&list[n++], &r, e)) != 0)
			return rc;
	}
	qsort(list, n, sizeof(*list), by_name);
	*ret = list;
	*ret_n = n;
	return 0;
}

void recurring_times(struct buf *out, const struct engine_recurring *r, int64_t now_ms, unsigned n)
{
	char text[TIME_TEXT_LEN + 1];

	for (unsigned i = 0; i < n; i++) {
		now_ms = cron_next(&r->cron, &r->zone, now_ms);
		if (now_ms == CRON_NEVER)
			return;
		time_format(text, now_ms);
		buf_addf(out, "%s%.16sZ", i > 0 ? " " : "", text);
	}
}
