#include "front/json_body.h"
#include "base/clock.h"
#include "base/wipe.h"
#include "http/fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RFC 8259 §11 knows no charset parameter; one that names UTF-8 does no harm, another would mean other bytes. */
static bool says_other_charset(struct str type)
{
	struct str rest = type;

	(void)str_split(type, ';', &rest);
	while (rest.p != NULL) {
		struct str next, param = str_trim(str_split(rest, ';', &next));
		struct str value, name = str_split(param, '=', &value);
		rest = next;
		if (value.p == NULL || !str_eq_nocase(str_trim(name), STR("charset")))
			continue;
		if (!str_eq_nocase(value, STR("utf-8")) && !str_eq_nocase(value, STR("\"utf-8\"")))
			return true;
	}
	return false;
}

int json_body_read(struct http_request *r, json_t **ret, struct err *e)
{
	struct str type = http_header(r, "Content-Type"), coding = http_header(r, "Content-Encoding");

	if (type.p == NULL || !media_type_is(type, "application/json") || says_other_charset(type)) {
		err_set(e, ERR_UNSUPPORTED_TYPE, "the body must be sent as application/json");
		err_expected(e, "application/json");
		return err_field(e, "Content-Type");
	}
	if (coding.p != NULL && !str_eq_nocase(coding, STR("identity"))) {
		err_set(e, ERR_UNSUPPORTED_TYPE, "bodies are taken without a content coding");
		return err_field(e, "Content-Encoding");
	}
	json_t *value;
	int rc = json_read(&value, http_body(r), e);
	if (rc != 0)
		return rc;
	if (!json_is_object(value)) {
		json_decref(value);
		return err_set(e, ERR_INVALID_VALUE, "the body must be a JSON object");
	}
	*ret = value;
	return 0;
}

static void wipe_text(struct str s)
{
	wipe((void *)(uintptr_t)s.p, s.len);
}

void json_body_wipe(struct http_request *r, json_t *body)
{
	const char *name;
	json_t *value;

	json_object_foreach(body, name, value)
		if (json_is_string(value))
			wipe_text((struct str){json_string_value(value), json_string_length(value)});
	json_decref(body);
	wipe_text(http_body(r));
}

void *json_request_begin(struct http_request *r, size_t size)
{
	struct json_request *j = arena_alloc(http_arena(r), size);
	struct err e = ERR_INIT;
	int rc;

	if (j == NULL) {
		front_problem(r, err_set(&e, ERR_NO_MEMORY, "no memory for a request"), &e);
		return NULL;
	}
	memset(j, 0, size);
	j->r = r;
	rc = front_takes_work(r, &e);
	if (rc == 0)
		rc = json_body_read(r, &j->body, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return NULL;
	}
	http_set_data(r, j);
	return j;
}

void json_request_release(struct http_request *r)
{
	const struct json_request *j = http_data(r);

	if (j != NULL)
		json_body_wipe(r, j->body);
}

int json_place_err(const struct json_place *p, struct err *e)
{
	char text[ERR_WORD_MAX];

	if (p->where[0] == '\0')
		return e->code;
	snprintf(text, sizeof(text), "%s%.60s", p->where, e->field);
	return err_field(e, text);
}

ATTR_PRINTF(4, 5) static int refuse(const struct json_place *p, const char *name, struct err *e, const char *fmt, ...)
{
	char text[160];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	err_set(e, ERR_INVALID_VALUE, "%s must be %s", name, text);
	err_expected(e, text);
	err_field(e, name);
	return json_place_err(p, e);
}

static int missing(const struct json_place *p, const char *name, struct err *e)
{
	err_set(e, ERR_MISSING_VALUE, "%s is missing", name);
	err_field(e, name);
	return json_place_err(p, e);
}

int json_member_str(const struct json_place *p, const char *name, bool required, struct str *ret, struct err *e)
{
	json_t *v = json_object_get(p->object, name);

	if (v == NULL)
		return required ? missing(p, name, e) : 0;
	if (!json_is_string(v))
		return refuse(p, name, e, "a string");
	*ret = (struct str){json_string_value(v), json_string_length(v)};
	return 0;
}

int json_member_int(const struct json_place *p, const char *name, int64_t min, int64_t max, int64_t *ret, struct err *e)
{
	json_t *v = json_object_get(p->object, name);

	if (v == NULL)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return refuse(p, name, e, "a whole number from %lld to %lld", (long long)min, (long long)max);
	*ret = json_integer_value(v);
	return 0;
}

int json_member_id(const struct json_place *p, const char *name, struct uuid *ret, struct err *e)
{
	struct str text = {};
	int rc = json_member_str(p, name, true, &text, e);

	if (rc != 0)
		return rc;
	if (uuid_parse(ret, text))
		return 0;
	err_set(e, ERR_BAD_ID, "an id is a UUID of 36 characters in lower case");
	err_field(e, name);
	return json_place_err(p, e);
}

int json_member_time(const struct json_place *p, const char *name, bool null_allowed, int64_t *ret_ms, struct err *e)
{
	json_t *v = json_object_get(p->object, name);

	if (v == NULL)
		return 0;
	if (json_is_null(v) && null_allowed) {
		*ret_ms = 0;
		return 0;
	}
	if (!json_is_string(v) || !time_parse(ret_ms, (struct str){json_string_value(v), json_string_length(v)}))
		return refuse(p, name, e, "a time such as 2026-11-21T05:17:52Z%s", null_allowed ? ", or null" : "");
	return 0;
}

int json_member_object(const struct json_place *p, const char *name, struct arena *a, struct str *ret, struct err *e)
{
	json_t *v = json_object_get(p->object, name);

	if (v == NULL)
		return 0;
	if (!json_is_object(v))
		return refuse(p, name, e, "an object");
	char *text = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS);
	if (text == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a request");
	*ret = arena_str(a, str_of(text));
	free(text);
	return ret->p != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a request");
}

int json_members_only(const struct json_place *p, const char *const *names, struct err *e)
{
	int rc = json_only_members(p->object, names, e);

	if (rc != 0)
		json_place_err(p, e);
	return rc;
}
