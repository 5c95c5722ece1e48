#include "surfaces/sync_page.h"
#include "base/clock.h"
#include "front/hop.h"
#include "front/list.h"
#include "front/page.h"
#include "net/sigv4.h"
#include "rt/json_in.h"

#include <string.h>

#define ROWS_MAX LIST_LIMIT_DEFAULT
#define LOOKS_MAX 200 /* of so many rows each, for what the catalogue cannot look for */

const char *const sync_page_query[] = {"by", "q", "cursor", NULL};

/* The object's key, in the arena; p NULL when the job says none. */
static struct str key_of(const struct job *import, struct arena *a)
{
	struct str key = {};
	json_t *params;

	if (json_read(&params, import->params, NULL) != 0)
		return key;
	json_t *v = json_object_get(params, "key");
	if (json_is_string(v))
		key = arena_str(a, (struct str){json_string_value(v), json_string_length(v)});
	json_decref(params);
	return key;
}

static void put_time(struct buf *b, int64_t unix_ms)
{
	char text[TIME_TEXT_LEN + 1];

	time_format(text, unix_ms);
	buf_addf(b, "<td><time>%s</time></td>", text);
}

/* When it came, or why it did not, or how it stands. */
static void put_end(struct buf *b, const struct job *import)
{
	if (import->state == JOB_SUCCEEDED) {
		put_time(b, import->finished_at);
		return;
	}
	buf_addf(b, "<td>%s", job_state_name(import->state));
	if (import->error != 0) {
		buf_add_cstr(b, ": ");
		page_text(b, import->error_detail.len > 0 ? import->error_detail : str_of(err_info(import->error)->title));
	}
	buf_add_cstr(b, "</td>");
}

/* No request's path may hold a backslash. */
static bool has_address(struct str key)
{
	return memchr(key.p, '\\', key.len) == NULL;
}

static void put_name(struct buf *b, struct str key, bool there)
{
	buf_add_cstr(b, "<td>");
	if (there) {
		buf_add_cstr(b, "<a href=\"/files/");
		sigv4_encode(b, key, true);
		buf_add_cstr(b, "\">");
	}
	page_text(b, key);
	buf_add_cstr(b, there ? "</a></td>" : "</td>");
}

static void put_row(struct buf *b, const struct file *f, struct str key)
{
	const struct job *import = &f->jobs[0];
	bool there = import->state == JOB_SUCCEEDED, linked = there && has_address(key);
	char sha256[65];

	buf_addf(b, "<tr><td>%lld</td>", (long long)f->number);
	put_name(b, key, linked);
	put_time(b, f->created_at);
	put_end(b, import);
	hex_encode(sha256, f->sha256, sizeof(f->sha256));
	buf_addf(b, "<td><code>%s</code></td><td>", there ? sha256 : "");
	if (linked && str_starts(f->type, STR("image/")) && magic_inline_safe(f->type)) {
		buf_add_cstr(b, "<img width=\"96\" loading=\"lazy\" alt=\"");
		page_text(b, key);
		buf_add_cstr(b, "\" src=\"/files/");
		sigv4_encode(b, key, true);
		buf_add_cstr(b, "\">");
	}
	buf_add_cstr(b, "</td></tr>\n");
}

static void put_form(struct buf *b, struct str by, struct str q)
{
	static const char *const ways[][2] = {{"name", "File name"}, {"checksum", "Checksum (SHA-256)"}, {"ref_id", "Ref id"}};

	buf_add_cstr(b, "<form method=\"get\" action=\"/syncs\"><p><label for=\"by\">Search</label> <select id=\"by\" name=\"by\">");
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		buf_addf(b, "<option value=\"%s\"%s>%s</option>", ways[i][0], str_eq(by, str_of(ways[i][0])) ? " selected" : "",
			 ways[i][1]);
	buf_add_cstr(b, "</select> <input name=\"q\" aria-label=\"for\" value=\"");
	page_text(b, q);
	buf_add_cstr(b, "\"> <button type=\"submit\">Search</button></p></form>\n");
}

struct search {
	struct file_filter filter;
	struct str part; /* of the key, which the catalogue does not know; p NULL = any */
	uint8_t sha256[32];
};

/* ERR_BAD_PARAMETER. */
static int read_search(struct http_request *r, struct search *s, struct err *e)
{
	struct str by = http_query(r, "by"), q = http_query(r, "q");

	*s = (struct search){.filter = {.owner = STR(SYNC_OWNER), .state = -1}};
	if (q.len == 0)
		return 0;
	if (by.p == NULL || str_eq(by, STR("name"))) {
		s->part = q;
	} else if (str_eq(by, STR("ref_id"))) {
		s->filter.label_key = by;
		s->filter.label_value = q;
	} else if (str_eq(by, STR("checksum")) && hex_decode(s->sha256, sizeof(s->sha256), q)) {
		s->filter.sha256 = s->sha256;
	} else {
		err_set(e, ERR_BAD_PARAMETER, "by is name, checksum or ref_id, and a checksum has 64 hex digits");
		return err_field(e, "q");
	}
	return 0;
}

static bool fits(const struct search *s, struct str key)
{
	return s->part.p == NULL || (key.len > 0 && memmem(key.p, key.len, s->part.p, s->part.len) != NULL);
}

/* The rows of one look at the catalogue, as long as there is room; *before is where the next one begins, 0 = there is nothing more. */
static int put_look(struct buf *b, struct http_request *r, const struct search *s, unsigned *rows, int64_t *before, struct err *e)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	const struct page page = {.before = *before, .limit = LIST_LIMIT_DEFAULT};
	struct file *files;
	size_t n = 0;
	int rc = catalog_list_files(front_catalog(r), &s->filter, page, &a, &files, &n, before, e);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct str key = files[i].n_jobs > 0 ? key_of(&files[i].jobs[0], &a) : (struct str){};
		if (key.len == 0 || !fits(s, key))
			continue;
		put_row(b, &files[i], key);
		if (++*rows == ROWS_MAX) {
			*before = i + 1 < n || *before != 0 ? files[i].number : 0;
			break;
		}
	}
	return rc;
}

/* Looks until the page is full or all was seen. What matches seldom comes in short pages, as it does in the catalogue's lists. */
static int put_rows(struct buf *b, struct http_request *r, const struct search *s, int64_t *before, struct err *e)
{
	unsigned rows = 0, looks = s->part.p != NULL ? LOOKS_MAX : 1;
	int rc;

	do
		rc = put_look(b, r, s, &rows, before, e);
	while (rc == 0 && --looks > 0 && rows < ROWS_MAX && *before != 0);
	return rc;
}

static void put_next(struct buf *b, struct http_request *r, struct str scope, int64_t next)
{
	char cursor[64];

	if (next == 0)
		return;
	cursor_make(cursor, next, scope, engine_cursor_key(front_engine(r)));
	buf_add_cstr(b, "<p><a href=\"/syncs?");
	for (size_t i = 0; i < 2; i++) {
		struct str value = http_query(r, sync_page_query[i]);
		if (value.p == NULL)
			continue;
		buf_addf(b, "%s=", sync_page_query[i]);
		sigv4_encode(b, value, false);
		buf_add_cstr(b, "&amp;");
	}
	buf_addf(b, "cursor=%s\">Older</a></p>\n", cursor);
}

static void answer_page(struct http_request *r)
{
	static const char head[] = "<table><thead><tr><th>Id</th><th>File name</th><th>Created</th><th>Synced</th><th>Checksum</th>"
				   "<th>Preview</th></tr></thead>\n<tbody>\n";
	CLEANUP(buf_release) struct buf scope = BUF_INIT;
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct search search;
	struct page page = {};

	list_scope(&scope, r, "syncs", sync_page_query, 2);
	page_open(&b, "Synced objects");
	put_form(&b, http_query(r, "by"), http_query(r, "q"));
	buf_add_cstr(&b, head);
	int rc = read_search(r, &search, &e);
	if (rc == 0)
		rc = list_page(r, &scope, &page, &e);
	if (rc == 0)
		rc = put_rows(&b, r, &search, &page.before, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	buf_add_cstr(&b, "</tbody></table>\n");
	put_next(&b, r, buf_str(&scope), page.before);
	buf_add_cstr(&b, "</main></body></html>\n");
	page_reply_with(r, 200, &b, "default-src 'none'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
}

static void end_page(struct http_request *r)
{
	front_block(r, answer_page);
}

const struct http_handler sync_page = {.end = end_page};
