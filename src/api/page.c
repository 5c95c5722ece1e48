/* The native page at `/`: upload, and look up by id. Script makes it pleasant; without script the two forms do the same. */
#include "front/page.h"
#include "api/api.h"
#include "api/page_view.h"
#include "front/caller.h"
#include "front/hop.h"
#include "front/upload.h"

#define PAGE_POLICY "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

static void show(struct http_request *r, int status, const struct file *f, const struct err *e)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;

	page_view(&b, f, e);
	page_reply_with(r, status, &b, PAGE_POLICY);
}

static void show_error(struct http_request *r, struct err *e)
{
	front_say_when(r, e);
	show(r, err_info(e->code)->http_status, NULL, e);
}

/* ---- GET / ---- */

static int read_key(struct str id, struct file_key *ret, struct err *e)
{
	uint64_t number;

	id = str_trim(id);
	*ret = (struct file_key){};
	if (uuid_parse(&ret->id, id))
		return 0;
	if (str_to_u64(id, &number) && number > 0 && number <= INT64_MAX) {
		ret->number = (int64_t)number;
		return 0;
	}
	return err_set(e, ERR_BAD_ID, "an id is a UUID of 36 characters in lower case");
}

static void answer_lookup(struct http_request *r)
{
	struct err e = ERR_INIT;
	struct file_key key;
	struct file f;
	int rc = read_key(http_query(r, "id"), &key, &e);

	if (rc == 0)
		rc = catalog_file(front_catalog(r), key, front_owner(r), http_arena(r), &f, &e);
	if (rc != 0) {
		show_error(r, &e);
		return;
	}
	engine_progress(front_engine(r), f.jobs, f.n_jobs);
	show(r, 200, &f, NULL);
}

static void look_up(struct http_request *r)
{
	struct err e = ERR_INIT;

	if (front_require(r, HTTP_FILES_READ, &e) != 0)
		show_error(r, &e);
	else
		front_read(r, answer_lookup);
}

static void end_page(struct http_request *r)
{
	if (http_query(r, "id").len == 0)
		show(r, 200, NULL, NULL);
	else if (engine_reads_are_local(front_engine(r)))
		look_up(r);
	else
		front_ask(r, look_up, show_error);
}

static const struct http_handler get_page = {.end = end_page};
static const char *const page_query[] = {"id", NULL};

/* ---- POST / ---- */

static void stored(struct http_request *r, const struct file *f, bool replayed)
{
	show(r, 201, f, NULL);
}

static void start_page_upload(struct http_request *r)
{
	static const struct upload_rules rules = {
		.form_only = true, .chosen = true, .wait_ms = 10000, .stored = stored, .failed = show_error};

	upload_start(r, &rules);
}

static const struct http_handler post_page = {
	.body_kind = HTTP_BODY_STREAM, .start = start_page_upload, .body = upload_body, .end = upload_end, .release = upload_release};

const struct http_route api_page_routes[] = {
	{HTTP_GET, "/", &get_page, HTTP_ANYONE, "getPage", "The web page", page_query},
	{HTTP_POST, "/", &post_page, HTTP_FILES_WRITE, "storeFileFromPage", "Store one file from the web page", NULL},
	{},
};
