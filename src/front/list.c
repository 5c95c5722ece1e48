#include "front/list.h"

void list_scope(struct buf *ret, struct http_request *r, const char *list, const char *const *filters, size_t n)
{
	buf_addf(ret, "%s\n", list);
	buf_add_str(ret, front_owner(r));
	for (size_t i = 0; i < n; i++) {
		struct str value = http_query(r, filters[i]);
		buf_addf(ret, "\n%c%zu ", value.p == NULL ? '-' : '+', value.len);
		buf_add(ret, value.p, value.len);
	}
}

int list_page(struct http_request *r, const struct buf *scope, struct page *ret, struct err *e)
{
	struct str limit = http_query(r, "limit"), cursor = http_query(r, "cursor");
	uint64_t n = LIST_LIMIT_DEFAULT;
	int64_t before = 0;

	if (!buf_ok(scope)) /* half of it would be the name of another list */
		return err_set(e, ERR_NO_MEMORY, "no memory for the filters");
	if (limit.p != NULL && (!str_to_u64(limit, &n) || n < 1 || n > LIST_LIMIT_MAX)) {
		err_set(e, ERR_BAD_PARAMETER, "limit is a whole number from 1 to %d", LIST_LIMIT_MAX);
		err_expected(e, "1 to 200");
		err_field(e, "limit");
		return err_limit(e, LIST_LIMIT_MAX);
	}
	if (cursor.p != NULL) {
		int rc = cursor_read(&before, cursor, buf_str(scope), engine_cursor_key(front_engine(r)), e);
		if (rc != 0)
			return rc;
	}
	*ret = (struct page){.before = before, .limit = (uint32_t)n};
	return 0;
}

void list_write_next(struct json_out *j, struct http_request *r, struct str scope, int64_t next)
{
	char text[64];

	if (next == 0) {
		json_kcstr(j, "next", NULL);
		return;
	}
	cursor_make(text, next, scope, engine_cursor_key(front_engine(r)));
	json_kcstr(j, "next", text);
}

void listing_begin(struct listing *l, struct http_request *r, const char *name)
{
	*l = (struct listing){.r = r, .body = BUF_INIT};
	l->j = json_out(&l->body);
	json_obj_open(&l->j);
	json_key(&l->j, name);
	json_arr_open(&l->j);
}

void listing_end(struct listing *l, const struct buf *scope, int64_t next)
{
	json_arr_close(&l->j);
	list_write_next(&l->j, l->r, buf_str(scope), next);
	json_obj_close(&l->j);
	http_reply_json(l->r, 200, &l->body);
	buf_release(&l->body);
}
