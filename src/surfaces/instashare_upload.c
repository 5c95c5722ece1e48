/* instashare: files that come in by forms. */
#include "front/upload.h"
#include "surfaces/instashare.h"

/* ---- POST /upload_files ---- */

static void stored(struct http_request *r, const struct file *const *files, size_t n)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_arr_open(&j);
	for (size_t i = 0; i < n; i++) {
		json_obj_open(&j);
		instashare_write_file(&j, files[i]);
		json_obj_close(&j);
	}
	json_arr_close(&j);
	http_reply_json(r, 201, &b);
}

static void not_stored(struct http_request *r, struct err *e)
{
	front_problem(r, e->code, e);
}

static void start_upload(struct http_request *r)
{
	static const struct upload_rules rules = {
		.ops = INSTASHARE_OPS, .form_only = true, .plain_form = true, .many = true, .stored_all = stored, .failed = not_stored};

	upload_start(r, &rules);
}

const struct http_handler instashare_upload = {
	.body_kind = HTTP_BODY_STREAM, .start = start_upload, .body = upload_body, .end = upload_end, .release = upload_release};
