#include "rt/json_in.h"

#include "base/utf8.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* jansson tells a string it had no memory for as a malformed one, or leaves a byte of it out and goes on. So its allocations are watched: what a stranger is told must not be what
 * we lack, and what is read must be what was sent. */
static _Thread_local bool out_of_memory;

static void *watched_malloc(size_t n)
{
	void *p = malloc(n);

	if (p == NULL)
		out_of_memory = true;
	return p;
}

static void watch_memory(void)
{
	json_set_alloc_funcs(watched_malloc, free);
}

/* Line and column, counted from 1, of a byte; columns in bytes. */
struct place {
	int line, column;
};

static struct place place_of(struct str text, size_t at)
{
	struct place place = {1, 1};

	for (size_t i = 0; i < at && i < text.len; i++) {
		place.column++;
		if (text.p[i] == '\n')
			place = (struct place){place.line + 1, 1};
	}
	return place;
}

static int bad(struct err *e, struct str text, size_t at, const char *what)
{
	struct place place = place_of(text, at);

	return err_set(e, ERR_BAD_JSON, "line %d, column %d: %s", place.line, place.column, what);
}

/* Counts brackets outside strings, so that no text can make the parser recurse deeper than allowed.
 * Whether they match is for the parser to say. */
static int check_depth(struct str text, struct err *e)
{
	bool in_string = false;
	int depth = 0, r;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '['))
			depth++;
		else if (!in_string && (c == '}' || c == ']'))
			depth--;
		if (depth > JSON_DEPTH_MAX) {
			r = bad(e, text, i, "nested too deeply");
			if (e)
				e->limit = JSON_DEPTH_MAX;
			return r;
		}
	}
	return 0;
}

/* jansson's own text quotes the body, which may hold a secret, so each kind of mistake has a text of ours. */
static const char *describe(enum json_error_code code)
{
	switch (code) {
	case json_error_premature_end_of_input:
		return "the text ends too early";
	case json_error_end_of_input_expected:
		return "something follows the value";
	case json_error_invalid_utf8:
		return "not valid UTF-8";
	case json_error_null_character:
	case json_error_null_byte_in_key:
		return "\\u0000 is not allowed";
	case json_error_duplicate_key:
		return "this member's name stands twice in its object";
	case json_error_numeric_overflow:
		return "the number is out of range";
	case json_error_stack_overflow:
		return "nested too deeply";
	default:
		return "unexpected character or word";
	}
}

/* Where a failed reading stopped. jansson counts what it has consumed, but with broken UTF-8 stands before the string at times. */
static size_t offset_of(const json_error_t *error, struct str text)
{
	const unsigned char *start = (const unsigned char *)text.p, *end = start + text.len, *p = start;
	size_t n;

	if (json_error_code(error) != json_error_invalid_utf8)
		return error->position > 0 ? (size_t)error->position - 1 : 0;
	while (p < end && (n = utf8_step(p, end)) > 0)
		p += n;
	return (size_t)(p - start);
}

int json_read(json_t **ret, struct str text, struct err *e)
{
	static pthread_once_t watched = PTHREAD_ONCE_INIT;
	json_error_t error = {};
	json_t *json;
	int r;

	pthread_once(&watched, watch_memory);
	r = check_depth(text, e);
	if (r < 0)
		return r;
	out_of_memory = false;
	json = json_loadb(text.len > 0 ? text.p : "", text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (out_of_memory) {
		json_decref(json);
		return err_set(e, ERR_NO_MEMORY, "no memory for a JSON text of %zu bytes", text.len);
	}
	if (!json)
		return bad(e, text, offset_of(&error, text), describe(json_error_code(&error)));
	*ret = json;
	return 0;
}

static size_t count_names(const char *const *names)
{
	size_t n = 0;

	while (names[n])
		n++;
	return n;
}

static bool is_listed(const char *name, const char *const *names)
{
	for (; *names; names++) {
		if (strcmp(name, *names) == 0)
			return true;
	}
	return false;
}

int json_only_members(json_t *object, const char *const *names, struct err *e)
{
	const char *name, *nearest;
	json_t *value;
	int r;

	if (!json_is_object(object))
		return err_set(e, ERR_INVALID_VALUE, "expected an object");
	json_object_foreach(object, name, value) {
		if (is_listed(name, names))
			continue;
		nearest = nearest_name(str_of(name), names, count_names(names));
		if (nearest)
			r = err_set(e, ERR_UNKNOWN_MEMBER, "there is no member of this name; did you mean \"%s\"?", nearest);
		else
			r = err_set(e, ERR_UNKNOWN_MEMBER, "there is no member of this name");
		err_field(e, name);
		if (nearest)
			err_expected(e, nearest);
		return r;
	}
	return 0;
}
