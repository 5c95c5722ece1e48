#include "surfaces/fastapi.h"
#include "base/json_out.h"

#include <string.h>

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Copies the digits without underscores and leading zeros; false when it is no number. */
static bool read_digits(struct str s, char *dst, size_t size, size_t *ret_n)
{
	size_t n = 0;

	if (s.len == 0 || s.p[0] == '_' || s.p[s.len - 1] == '_')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '_' && s.p[i - 1] != '_')
			continue;
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		if (s.p[i] == '0' && n == 0)
			continue;
		if (n < size)
			dst[n] = s.p[i];
		n++;
	}
	*ret_n = n;
	return true;
}

enum whole_number whole_number_parse(struct str text, int64_t *ret, char *canonical, size_t canonical_size)
{
	char digits[64];
	uint64_t value = 0;
	bool negative = false;
	size_t n, at = 0;

	while (text.len > 0 && is_blank(text.p[0])) {
		text.p++;
		text.len--;
	}
	while (text.len > 0 && is_blank(text.p[text.len - 1]))
		text.len--;
	if (text.len > 0 && (text.p[0] == '-' || text.p[0] == '+')) {
		negative = text.p[0] == '-';
		text.p++;
		text.len--;
	}
	if (!read_digits(text, digits, sizeof(digits), &n))
		return NUMBER_NONE;
	if (n == 0)
		digits[n++] = '0', negative = false;
	size_t kept = n < sizeof(digits) ? n : sizeof(digits);
	if (negative)
		canonical[at++] = '-';
	for (size_t i = 0; i < kept && at + 1 < canonical_size; i++)
		canonical[at++] = digits[i];
	canonical[at] = '\0';
	if (n > 19 || !str_to_u64((struct str){digits, n}, &value) || value > INT64_MAX)
		return NUMBER_TOO_BIG;
	*ret = negative ? -(int64_t)value : (int64_t)value;
	return NUMBER_IN_RANGE;
}

static void refuse(struct http_request *r, const char *place, const char *name, const char *msg, const char *type)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_obj_open(&j);
	json_key(&j, "detail");
	json_arr_open(&j);
	json_obj_open(&j);
	json_key(&j, "loc");
	json_arr_open(&j);
	json_cstr(&j, place);
	json_cstr(&j, name);
	json_arr_close(&j);
	json_kcstr(&j, "msg", msg);
	json_kcstr(&j, "type", type);
	json_obj_close(&j);
	json_arr_close(&j);
	json_obj_close(&j);
	http_reply_json(r, 422, &b);
}

void fastapi_missing(struct http_request *r, const char *place, const char *name)
{
	refuse(r, place, name, "field required", "value_error.missing");
}

void fastapi_no_integer(struct http_request *r, const char *place, const char *name)
{
	refuse(r, place, name, "value is not a valid integer", "type_error.integer");
}

void fastapi_status(struct http_request *r, const char *status, const char *key, struct str value)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_obj_open(&j);
	json_kcstr(&j, "status", status);
	json_key(&j, key);
	if (value.p != NULL)
		json_str(&j, value);
	else
		json_put_null(&j);
	json_obj_close(&j);
	http_reply_json(r, 200, &b);
}

void fastapi_detail(struct http_request *r, int status, struct str text)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_obj_open(&j);
	json_kstr(&j, "detail", text);
	json_obj_close(&j);
	http_reply_json(r, status, &b);
}

void fastapi_failure(struct http_request *r, const struct err *e)
{
	front_say_when(r, e);
	fastapi_detail(r, err_info(e->code)->http_status, str_of(err_info(e->code)->title));
}

bool fastapi_upload_refused(struct http_request *r, const struct err *e)
{
	if (e->code == ERR_FILE_MISSING)
		fastapi_missing(r, "body", "file");
	else if (e->code == ERR_BAD_MULTIPART)
		fastapi_detail(r, 400, STR("There was an error parsing the body"));
	else
		return false;
	return true;
}
