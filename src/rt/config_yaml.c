/* The file. It is read as a stream of events, not as a tree: the walk follows the option table and stops at the first thing the table
 * does not know, so neither depth nor size of a document can cost more than its 1 MiB; maps that the table leaves free are bounded in depth
 * and members. Anchors, aliases and tags are refused where they appear; nothing is ever expanded. */
#include "rt/config_impl.h"

#include "base/compiler.h"
#include "base/fd.h"
#include "base/json_out.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <libfyaml.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct yaml {
	const struct config_load *l;
	const char *file; /* for errors */
	struct fy_parser *parser;
	struct fy_diag *diag;
	struct fy_event *event; /* the current one, owned; NULL before the first and after the last */
	int line, column; /* of the current event, from 1 */
};

/* The keys met in one mapping. */
struct seen {
	struct seen *next;
	struct str key;
	int line;
};

static int bad_at(struct yaml *y, int line, int column, struct err *e)
{
	size_t n = strlen(y->file), most = 100;

	/* The end of a long path tells more than its beginning. */
	err_wrap(e, "%s%s:%d:%d", n > most ? "\u2026" : "", n > most ? y->file + n - most : y->file, line, column);
	return ERR_BAD_CONFIG;
}

ATTR_PRINTF(3, 4) static int bad(struct yaml *y, struct err *e, const char *fmt, ...)
{
	char text[ERR_DETAIL_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_set(e, ERR_BAD_CONFIG, "%s", text);
	return bad_at(y, y->line, y->column, e);
}

/* The first thing libfyaml complained of. */
static int syntax_error(struct yaml *y, struct err *e)
{
	void *at = NULL;
	struct fy_diag_error *error = fy_diag_errors_iterate(y->diag, &at);

	if (!error || !error->msg) {
		err_set(e, ERR_BAD_CONFIG, "not valid YAML");
		return bad_at(y, y->line, y->column, e);
	}
	err_set(e, ERR_BAD_CONFIG, "not valid YAML: %s", error->msg);
	return bad_at(y, error->line, error->column, e);
}

static void drop_event(struct yaml *y)
{
	if (y->event)
		fy_parser_event_free(y->parser, y->event);
	y->event = NULL;
}

/* Goes on to the next event; its type, FYET_NONE behind the last, or an error. */
static int next_event(struct yaml *y, struct err *e)
{
	const struct fy_mark *mark;

	drop_event(y);
	y->event = fy_parser_parse(y->parser);
	if (!y->event)
		return fy_parser_get_stream_error(y->parser) ? syntax_error(y, e) : FYET_NONE;
	mark = fy_event_start_mark(y->event);
	if (mark) {
		y->line = mark->line + 1;
		y->column = mark->column + 1;
	}
	if (y->event->type == FYET_ALIAS)
		return bad(y, e, "aliases are not supported");
	if (fy_event_get_anchor_token(y->event))
		return bad(y, e, "anchors are not supported");
	if (fy_event_get_tag_token(y->event))
		return bad(y, e, "tags are not supported");
	return (int)y->event->type;
}

/* The current scalar; lives until the next event. */
static struct str scalar_text(struct yaml *y)
{
	size_t n = 0;
	const char *p = fy_token_get_text(y->event->scalar.value, &n);

	return p ? (struct str){p, n} : STR("");
}

/* `key:` with nothing behind it, or one of YAML's words for nothing. */
static bool is_nothing(struct yaml *y)
{
	struct str text = scalar_text(y);

	if (y->event->scalar.value && fy_token_scalar_style(y->event->scalar.value) != FYSS_PLAIN)
		return false;
	return text.len == 0 || str_eq(text, STR("null")) || str_eq(text, STR("~"));
}

static int read_list(struct yaml *y, const struct config_option *o, const char *path, struct err *e)
{
	int r, type;

	config_clear(y->l, o);
	while ((type = next_event(y, e)) == FYET_SCALAR) {
		if (is_nothing(y))
			return bad(y, e, "%s: a list must not have an empty member", path);
		r = config_list_add(y->l, o, scalar_text(y), e);
		if (r < 0) {
			err_wrap(e, "%s", path);
			bad_at(y, y->line, y->column, e);
			return r;
		}
	}
	if (type < 0 || type == FYET_SEQUENCE_END)
		return type < 0 ? type : 0;
	return bad(y, e, "%s: expected a list of plain values", path);
}

/* How many keys one mapping has is bounded by the table, of which an unknown one ends the reading, or by read_map(). */
static int remember_key(struct yaml *y, struct seen **seen, struct str key, const char *path, struct err *e)
{
	struct seen *s;

	for (s = *seen; s; s = s->next) {
		if (str_eq(s->key, key))
			return bad(y, e, "%s: stands here a second time; the first is in line %d", path, s->line);
	}
	s = arena_alloc(y->l->strings, sizeof(*s));
	if (s)
		*s = (struct seen){.next = *seen, .key = arena_str(y->l->strings, key), .line = y->line};
	if (!s || !s->key.p)
		return err_set(e, ERR_NO_MEMORY, "no memory for the configuration");
	*seen = s;
	return 0;
}

/* ---- maps the table knows nothing of ---- */

/* Length of the digits s starts with. */
static size_t digits(struct str s)
{
	size_t n = 0;

	while (n < s.len && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	return n;
}

static struct str after(struct str s, size_t n)
{
	return (struct str){s.p + n, s.len - n};
}

/* A number as RFC 8259 §6 writes one; *ret_whole when it has neither a fraction nor an exponent. */
static bool is_number(struct str s, bool *ret_whole)
{
	size_t n;

	if (s.len > 0 && s.p[0] == '-')
		s = after(s, 1);
	n = digits(s);
	if (n == 0 || (s.p[0] == '0' && n > 1))
		return false;
	s = after(s, n);
	*ret_whole = s.len == 0;
	if (s.len > 0 && s.p[0] == '.') {
		n = digits(after(s, 1));
		if (n == 0)
			return false;
		s = after(s, n + 1);
	}
	if (s.len > 0 && (s.p[0] == 'e' || s.p[0] == 'E')) {
		s = after(s, s.len > 1 && (s.p[1] == '+' || s.p[1] == '-') ? 2 : 1);
		n = digits(s);
		return n > 0 && n == s.len;
	}
	return s.len == 0;
}

/* Who reads the text later keeps whole numbers in 64 bits and the others in a double. */
static bool number_fits(struct str s, bool whole)
{
	char text[64];

	if (s.len >= sizeof(text))
		return false;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	errno = 0;
	if (!whole)
		return isfinite(strtod(text, NULL));
	strtoll(text, NULL, 10);
	return errno == 0;
}

/* The current scalar as JSON: what is not quoted is a number or a truth value if JSON would read it so. */
static int write_scalar(struct yaml *y, struct json_out *j, const char *path, struct err *e)
{
	struct str text = scalar_text(y);
	bool whole = false;

	if (is_nothing(y))
		return bad(y, e, "%s: no value is given", path);
	if (memchr(text.p, '\0', text.len))
		return bad(y, e, "%s: a text must not have a NUL in it", path);
	if (fy_token_scalar_style(y->event->scalar.value) != FYSS_PLAIN) {
		json_str(j, text);
	} else if (is_number(text, &whole)) {
		if (!number_fits(text, whole))
			return bad(y, e, "%s: \"%s\" is too large a number", path, config_show(text).text);
		json_raw(j, text);
	} else if (str_eq(text, STR("true")) || str_eq(text, STR("false"))) {
		json_bool(j, text.p[0] == 't');
	} else {
		json_str(j, text);
	}
	return 0;
}

static int write_map(struct yaml *y, struct json_out *j, const char *path, struct err *e);
static int write_list(struct yaml *y, struct json_out *j, const char *path, struct err *e);

/* The value that starts with the current event. */
static int write_value(struct yaml *y, struct json_out *j, const char *path, int type, struct err *e)
{
	if (type < 0)
		return type;
	if (type == FYET_SCALAR)
		return write_scalar(y, j, path, e);
	if (j->depth == CONFIG_JSON_DEPTH_MAX)
		return bad(y, e, "%s: nested more than %d deep", path, CONFIG_JSON_DEPTH_MAX);
	return type == FYET_MAPPING_START ? write_map(y, j, path, e) : write_list(y, j, path, e);
}

/* From behind the start of a mapping to its end. */
static int write_map(struct yaml *y, struct json_out *j, const char *path, struct err *e)
{
	struct seen *seen = NULL;
	int r, n = 0, type;

	json_obj_open(j);
	while ((type = next_event(y, e)) == FYET_SCALAR) {
		struct str key = scalar_text(y);
		char below[CONFIG_NAME_MAX];

		snprintf(below, sizeof(below), "%s.%s", path, config_show(key).text);
		if (++n > CONFIG_JSON_MEMBERS_MAX)
			return bad(y, e, "%s: has more than %d members", path, CONFIG_JSON_MEMBERS_MAX);
		if (memchr(key.p, '\0', key.len))
			return bad(y, e, "%s: a key must not have a NUL in it", path);
		r = remember_key(y, &seen, key, below, e);
		if (r < 0)
			return r;
		json_key(j, seen->key.p);
		r = write_value(y, j, below, next_event(y, e), e);
		if (r < 0)
			return r;
	}
	if (type >= 0 && type != FYET_MAPPING_END)
		return bad(y, e, "%s: a key must be a plain word", path);
	json_obj_close(j);
	return type < 0 ? type : 0;
}

static int write_list(struct yaml *y, struct json_out *j, const char *path, struct err *e)
{
	int r, type;

	json_arr_open(j);
	while ((type = next_event(y, e)) != FYET_SEQUENCE_END) {
		r = write_value(y, j, path, type, e);
		if (r < 0)
			return r;
	}
	json_arr_close(j);
	return 0;
}

/* Its size is bounded by the file's, and again where it is kept. `type` is that of the current event. */
static int read_map(struct yaml *y, const struct config_option *o, const char *path, int type, struct err *e)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT;
	struct json_out j = json_out(&text);
	int r, line = y->line, column = y->column;

	if (type == FYET_SCALAR && is_nothing(y))
		return config_set_json(y->l, o, STR(""), e);
	if (type != FYET_MAPPING_START)
		return bad(y, e, "%s: expected names, and what belongs to each indented below it", path);
	r = write_map(y, &j, path, e);
	if (r < 0)
		return r;
	if (!buf_ok(&text))
		return err_set(e, ERR_NO_MEMORY, "no memory for the configuration");
	r = config_set_json(y->l, o, buf_str(&text), e);
	if (r < 0) {
		err_wrap(e, "%s", path);
		bad_at(y, line, column, e);
	}
	return r;
}

static int read_option(struct yaml *y, const struct config_option *o, const char *path, struct err *e)
{
	int r, type = next_event(y, e);

	if (type < 0)
		return type;
	if (o->kind == CONFIG_JSON)
		return read_map(y, o, path, type, e);
	if (type == FYET_SEQUENCE_START && o->kind == CONFIG_LIST)
		return read_list(y, o, path, e);
	if (type == FYET_SCALAR && is_nothing(y))
		return bad(y, e, "%s: no value is given", path);
	if (o->kind == CONFIG_LIST)
		return bad(y, e, "%s: expected a list, such as [a, b]", path);
	if (type != FYET_SCALAR)
		return bad(y, e, "%s: expected one value", path);
	r = config_set(y->l, o, scalar_text(y), e);
	if (r < 0) {
		err_wrap(e, "%s", path);
		bad_at(y, y->line, y->column, e);
		err_field(e, path);
	}
	return r;
}

static const struct config_option *find_option(const struct config_load *l, const char *path)
{
	for (size_t i = 0; i < l->n; i++) {
		char name[CONFIG_NAME_MAX];

		config_dotted_name(name, &l->options[i]);
		if (strcmp(name, path) == 0)
			return &l->options[i];
	}
	return NULL;
}

/* True when `name` is "prefix.<more>", or any name when the prefix is empty; *ret_more is what follows. */
static bool is_below(const char *name, const char *prefix, const char **ret_more)
{
	size_t n = strlen(prefix);

	if (n > 0 && (strncmp(name, prefix, n) != 0 || name[n] != '.'))
		return false;
	*ret_more = name + (n > 0 ? n + 1 : 0);
	return true;
}

static bool is_section(const struct config_load *l, const char *path)
{
	for (size_t i = 0; i < l->n; i++) {
		char name[CONFIG_NAME_MAX];
		const char *more;

		config_dotted_name(name, &l->options[i]);
		if (is_below(name, path, &more))
			return true;
	}
	return false;
}

/* The setting of any section whose key is nearest, or NULL. */
static const struct config_option *nearest_anywhere(const struct config_load *l, struct str key)
{
	const char **keys = arena_alloc(l->strings, (l->n + 1) * sizeof(keys[0])), *nearest;

	for (size_t i = 0; keys && i < l->n; i++)
		keys[i] = l->options[i].key;
	nearest = keys ? nearest_name(key, keys, l->n) : NULL;
	for (size_t i = 0; nearest && i < l->n; i++) {
		if (keys[i] == nearest)
			return &l->options[i];
	}
	return NULL;
}

/* Names the nearest key of the same section, or else a setting that has such a key in another one. */
static int unknown_key(struct yaml *y, const char *prefix, struct str key, const char *path, struct err *e)
{
	const char **here = arena_alloc(y->l->strings, (y->l->n + 1) * sizeof(here[0]));
	const struct config_option *elsewhere = nearest_anywhere(y->l, key);
	char name[CONFIG_NAME_MAX], section[CONFIG_NAME_MAX + 1];
	size_t n = 0;

	if (!here)
		return err_set(e, ERR_NO_MEMORY, "no memory for the configuration");
	for (size_t i = 0; i < y->l->n; i++) {
		const char *more;

		config_dotted_name(name, &y->l->options[i]);
		if (is_below(name, prefix, &more))
			here[n++] = arena_strndup(y->l->strings, more, strcspn(more, "."));
	}
	snprintf(section, sizeof(section), "%s%s", prefix, prefix[0] != '\0' ? "." : "");
	if (nearest_name(key, here, n) || !elsewhere) {
		config_unknown("no such setting", section, key, here, n, ERR_BAD_CONFIG, e);
	} else {
		config_dotted_name(name, elsewhere);
		err_set(e, ERR_BAD_CONFIG, "no such setting; did you mean %s?", name);
		err_expected(e, name);
	}
	err_wrap(e, "%s", path);
	err_field(e, path);
	return bad_at(y, y->line, y->column, e);
}

static int read_section(struct yaml *y, const char *prefix, struct err *e);

/* What belongs to the key that is the current event. */
static int read_member(struct yaml *y, const char *prefix, struct seen **seen, struct err *e)
{
	struct str key = scalar_text(y);
	const struct config_option *o;
	char path[CONFIG_NAME_MAX];
	int r, type;

	snprintf(path, sizeof(path), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", config_show(key).text);
	r = remember_key(y, seen, key, path, e);
	if (r < 0)
		return r;
	/* A dot would reach into a section by another way than its mapping, past the check for keys that stand twice. */
	if (memchr(key.p, '.', key.len))
		return bad(y, e, "%s: a key must not have a dot in it: write the section, and its keys indented below it", path);
	o = find_option(y->l, path);
	if (!o && !is_section(y->l, path))
		return unknown_key(y, prefix, key, path, e);
	if (o)
		return read_option(y, o, path, e);
	type = next_event(y, e);
	if (type < 0)
		return type;
	if (type == FYET_SCALAR && is_nothing(y))
		return 0;
	if (type != FYET_MAPPING_START)
		return bad(y, e, "%s: is a section: expected its settings, indented below it", path);
	return read_section(y, path, e);
}

/* From behind the start of a mapping to its end. The table bounds the depth. */
static int read_section(struct yaml *y, const char *prefix, struct err *e)
{
	struct seen *seen = NULL;
	int r, type;

	while ((type = next_event(y, e)) == FYET_SCALAR) {
		r = read_member(y, prefix, &seen, e);
		if (r < 0)
			return r;
	}
	if (type < 0 || type == FYET_MAPPING_END)
		return type < 0 ? type : 0;
	return bad(y, e, "a key must be a plain word");
}

/* One document or none: a mapping, or nothing at all. */
static int read_stream(struct yaml *y, struct err *e)
{
	bool met = false;
	int r = 0, type;

	while (r == 0 && (type = next_event(y, e)) != FYET_NONE) {
		if (type < 0)
			return type;
		if (type == FYET_DOCUMENT_START && met)
			r = bad(y, e, "expected one document only");
		else if (type == FYET_DOCUMENT_START)
			met = true;
		else if (type == FYET_MAPPING_START)
			r = read_section(y, "", e);
		else if (type == FYET_SEQUENCE_START || (type == FYET_SCALAR && !is_nothing(y)))
			r = bad(y, e, "expected sections with settings");
	}
	return r;
}

/* Also from a pipe; one byte more than allowed tells that the file is too large. */
static int read_file(struct buf *text, const char *path, struct err *e)
{
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return err_set(e, ERR_BAD_CONFIG, "cannot open the configuration file %s: %s", path, strerrordesc_np(errno));
	do {
		buf_reserve(text, 65536);
		if (!buf_ok(text))
			return err_set(e, ERR_NO_MEMORY, "no memory for the configuration");
		got = read(fd, text->p + text->len, 65536);
		if (got > 0)
			text->len += (size_t)got;
	} while ((got > 0 && text->len <= CONFIG_FILE_MAX) || (got < 0 && errno == EINTR));
	if (got < 0)
		return err_set(e, ERR_BAD_CONFIG, "cannot read the configuration file %s: %s", path, strerrordesc_np(errno));
	if (text->len > CONFIG_FILE_MAX) {
		err_set(e, ERR_BAD_CONFIG, "the configuration file %s is larger than 1 MiB", path);
		err_limit(e, CONFIG_FILE_MAX);
		return ERR_BAD_CONFIG;
	}
	return 0;
}

/* libfyaml takes bytes that are no UTF-8, and NUL, for the end of the text: what follows them would silently not count. */
static int check_text(struct yaml *y, struct str text, struct err *e)
{
	const unsigned char *p = (const unsigned char *)text.p, *end = p + text.len;

	while (p < end) {
		size_t n = utf8_step(p, end);
		bool control = *p < 0x20 && *p != '\n' && *p != '\r' && *p != '\t';

		if (n == 0 || control || *p == 0x7f)
			return bad(y, e, "%s", n == 0 ? "not valid UTF-8" : "a control character is not allowed");
		y->column++;
		if (*p == '\n') {
			y->line++;
			y->column = 1;
		}
		p += n;
	}
	y->line = y->column = 1;
	return 0;
}

static void yaml_release(struct yaml *y)
{
	drop_event(y);
	if (y->diag)
		fy_diag_reset_error(y->diag); /* frees what was collected, which the last reference does not */
	if (y->parser)
		fy_parser_destroy(y->parser);
	if (y->diag)
		fy_diag_unref(y->diag);
}

/* Errors are collected; without this libfyaml would print them to standard error. */
static int yaml_init(struct yaml *y, const struct buf *text)
{
	struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET};

	y->diag = fy_diag_create(NULL);
	if (!y->diag)
		return -1;
	fy_diag_set_collect_errors(y->diag, true);
	cfg.diag = y->diag;
	y->parser = fy_parser_create(&cfg);
	return y->parser ? fy_parser_set_string(y->parser, text->p, text->len) : -1;
}

int config_load_yaml(const struct config_load *l, const char *path, struct err *e)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT;
	CLEANUP(yaml_release) struct yaml y = {.l = l, .file = path, .line = 1, .column = 1};
	int r = read_file(&text, path, e);

	if (r == 0)
		r = check_text(&y, buf_str(&text), e);
	if (r < 0)
		return r;
	/* libfyaml takes a length of 0 for "up to the NUL", which is the same here. */
	if (yaml_init(&y, &text) < 0)
		return err_set(e, ERR_NO_MEMORY, "no memory for the configuration");
	return read_stream(&y, e);
}
