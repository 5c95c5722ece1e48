/* Labels: a few short pairs a client hangs on a file. Kept as canonical JSON text: keys sorted by their bytes, no blanks. */
#include "model/model.h"
#include "rt/json_in.h"

#include <stdlib.h>
#include <string.h>

struct pair {
	struct str key, value;
};

struct pairs {
	struct pair items[LABELS_MAX];
	size_t n;
};

static int refuse(struct err *e, const char *why)
{
	err_set(e, ERR_BAD_LABELS, "%s", why);
	err_field(e, "labels");
	return ERR_BAD_LABELS;
}

static bool key_allowed(struct str key)
{
	if (key.len == 0 || key.len > LABEL_KEY_MAX)
		return false;
	for (size_t i = 0; i < key.len; i++) {
		char c = key.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'))
			return false;
	}
	return true;
}

static bool value_allowed(struct str value)
{
	const unsigned char *u = (const unsigned char *)value.p;

	if (value.len > LABEL_VALUE_MAX || !utf8_valid(value))
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if (u[i] < 0x20 || u[i] == 0x7f)
			return false;
		if (u[i] == 0xc2 && i + 1 < value.len && u[i + 1] <= 0x9f) /* U+0080…U+009F */
			return false;
	}
	return true;
}

static int pairs_add(struct pairs *pairs, struct str key, struct str value, struct err *e)
{
	if (pairs->n == LABELS_MAX) {
		refuse(e, "too many labels");
		err_limit(e, LABELS_MAX);
		return ERR_BAD_LABELS;
	}
	if (!key_allowed(key))
		return refuse(e, "a label's key is 1 to 63 characters of a-z 0-9 _ - .");
	if (!value_allowed(value))
		return refuse(e, "a label's value is at most 255 bytes of UTF-8 without control characters");
	for (size_t i = 0; i < pairs->n; i++)
		if (str_eq(pairs->items[i].key, key))
			return refuse(e, "a label is given twice");
	pairs->items[pairs->n++] = (struct pair){key, value};
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	size_t n = x->key.len < y->key.len ? x->key.len : y->key.len;
	int r = memcmp(x->key.p, y->key.p, n);

	return r ? r : (x->key.len > y->key.len) - (x->key.len < y->key.len);
}

static int pairs_write(struct str *ret, struct pairs *pairs, struct arena *a, struct err *e)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT;
	struct json_out j = json_out(&text);
	struct str copy;

	qsort(pairs->items, pairs->n, sizeof(pairs->items[0]), compare_keys);
	json_obj_open(&j);
	for (size_t i = 0; i < pairs->n; i++) {
		char key[LABEL_KEY_MAX + 1];

		memcpy(key, pairs->items[i].key.p, pairs->items[i].key.len);
		key[pairs->items[i].key.len] = '\0';
		json_kstr(&j, key, pairs->items[i].value);
	}
	json_obj_close(&j);
	copy = buf_ok(&text) ? arena_str(a, buf_str(&text)) : (struct str){};
	if (!copy.p)
		return err_set(e, ERR_NO_MEMORY, "no memory for labels");
	*ret = copy;
	return 0;
}

static void json_release(json_t **j)
{
	json_decref(*j);
}

int labels_parse_json(struct str *ret, struct str json, struct arena *a, struct err *e)
{
	CLEANUP(json_release) json_t *object = NULL;
	struct pairs pairs = {};
	const char *key;
	json_t *value;
	int r;

	r = json_read(&object, json, e);
	if (r == ERR_BAD_JSON) {
		err_field(e, "labels");
		if (e)
			e->code = ERR_BAD_LABELS;
		return ERR_BAD_LABELS;
	}
	if (r < 0)
		return r;
	if (!json_is_object(object))
		return refuse(e, "labels are a JSON object");
	json_object_foreach(object, key, value) {
		if (!json_is_string(value))
			return refuse(e, "a label's value is a string");
		r = pairs_add(&pairs, str_of(key), (struct str){json_string_value(value), json_string_length(value)}, e);
		if (r < 0)
			return r;
	}
	return pairs_write(ret, &pairs, a, e);
}

int labels_parse_list(struct str *ret, struct str list, struct arena *a, struct err *e)
{
	struct pairs pairs = {};
	struct str rest = list;
	int r;

	if (str_trim(list).len == 0)
		return pairs_write(ret, &pairs, a, e);
	while (rest.p) {
		struct str item = str_trim(str_split(rest, ',', &rest));
		struct str value, key = str_split(item, ':', &value);

		if (!value.p)
			return refuse(e, "labels are written key:value,key:value");
		r = pairs_add(&pairs, str_trim(key), str_trim(value), e);
		if (r < 0)
			return r;
	}
	return pairs_write(ret, &pairs, a, e);
}
