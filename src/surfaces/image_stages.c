/* image-stages: send an image, see how far its thumbnail is.
 *
 * The original's ids are 20 digits, the UTC time to the microsecond. A file's id is made of them, and they of it, so nothing else has to be kept: milliseconds and microseconds lie
 * where a UUIDv7 has its time and the first of its free bits (RFC 9562 §5.7), the rest is a hash of the digits, which only files stored through this door have. */
#include "base/clock.h"
#include "base/json_out.h"
#include "base/siphash.h"
#include "front/content.h"
#include "front/hop.h"
#include "front/upload.h"
#include "surfaces/surface.h"

#include <stdio.h>
#include <string.h>

#define DIGITS 20 /* yyyymmddhhmmss and six of the second */

/* ---- ids ---- */

static void digits_of_time(char dst[DIGITS + 1], int64_t unix_us)
{
	char text[TIME_TEXT_LEN + 1];
	size_t n = 0;

	time_format(text, unix_us / 1000);
	for (const char *p = text; *p != '\0'; p++)
		if (*p >= '0' && *p <= '9')
			dst[n++] = *p;
	snprintf(dst + n, DIGITS + 1 - n, "%03d", (int)(unix_us % 1000));
}

static struct uuid id_of_time(int64_t unix_us)
{
	static const uint8_t key[16] = "image-stages ids";
	uint64_t ms = (uint64_t)unix_us / 1000;
	unsigned us = (unsigned)(unix_us % 1000);
	char digits[DIGITS + 1];
	struct uuid id;

	digits_of_time(digits, unix_us);
	uint64_t hash = siphash24(key, digits, DIGITS);
	for (int i = 0; i < 6; i++)
		id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
	id.b[6] = (uint8_t)(0x70 | us >> 8);
	id.b[7] = (uint8_t)us;
	for (int i = 8; i < 16; i++)
		id.b[i] = (uint8_t)(hash >> (8 * (i - 8)));
	id.b[8] = (uint8_t)(0x80 | (id.b[8] & 0x3f));
	return id;
}

static int64_t time_of_id(struct uuid id)
{
	int64_t ms = 0;

	for (int i = 0; i < 6; i++)
		ms = ms << 8 | id.b[i];
	return ms * 1000 + ((id.b[6] & 0x0f) << 8 | id.b[7]);
}

/* False for what is no id of ours: every id has one spelling. */
static bool time_of_digits(int64_t *ret_us, struct str s)
{
	char text[TIME_TEXT_LEN + 1], again[DIGITS + 1];
	int64_t ms;

	if (s.len != DIGITS)
		return false;
	for (size_t i = 0; i < DIGITS; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	snprintf(text, sizeof(text), "%.4s-%.2s-%.2sT%.2s:%.2s:%.2s.%.3sZ", s.p, s.p + 4, s.p + 6, s.p + 8, s.p + 10, s.p + 12, s.p + 14);
	if (!time_parse(&ms, str_of(text)) || ms < 0)
		return false;
	*ret_us = ms * 1000 + (s.p[17] - '0') * 100 + (s.p[18] - '0') * 10 + (s.p[19] - '0');
	digits_of_time(again, *ret_us);
	return memcmp(again, s.p, DIGITS) == 0;
}

/* ---- answers ---- */

static void reply(struct http_request *r, int status, const char *result, struct str file_id)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_obj_open(&j);
	json_kcstr(&j, "result", result);
	if (file_id.p != NULL)
		json_kstr(&j, "file_id", file_id);
	json_obj_close(&j);
	http_reply_json(r, status, &b);
}

static void reply_failure(struct http_request *r, const struct err *e, struct str file_id)
{
	const struct err_info *info = err_info(e->code);

	front_say_when(r, e);
	reply(r, info->http_status, info->title, file_id);
}

/* ---- POST /uploadFile ---- */

static int prepare(struct http_request *r, struct intake_spec *spec, struct err *e)
{
	static const char *const types[] = {"image/png", "image/jpeg", NULL};

	spec->types = types;
	spec->id = id_of_time(front_stamp_us(r));
	spec->ops = str_of(front_of(r)->surfaces->image_stages_ops);
	return 0;
}

static int check_name(struct str name, struct err *e)
{
	static const char *const endings[] = {"png", "jpg", "jpeg"};
	const char *dot = name.len > 0 ? memrchr(name.p, '.', name.len) : NULL;

	if (name.len == 0)
		return err_set(e, ERR_MISSING_VALUE, "the file has no name");
	if (dot != NULL) {
		struct str ending = {dot + 1, (size_t)(name.p + name.len - dot - 1)};
		for (size_t i = 0; i < ARRAY_LEN(endings); i++)
			if (str_eq_nocase(ending, str_of(endings[i])))
				return 0;
	}
	return err_set(e, ERR_UNSUPPORTED_TYPE, "the name does not end in png, jpg or jpeg");
}

static void stored(struct http_request *r, const struct file *f, bool replayed)
{
	char digits[DIGITS + 1];

	digits_of_time(digits, time_of_id(f->id));
	reply(r, 200, "File Uploaded successfully !!", str_of(digits));
}

static void not_stored(struct http_request *r, struct err *e)
{
	switch (e->code) {
	case ERR_FILE_MISSING:
		reply(r, 400, "file key not found in request", (struct str){});
		break;
	case ERR_MISSING_VALUE:
		reply(r, 400, "Empty file received", (struct str){});
		break;
	case ERR_UNSUPPORTED_TYPE:
		reply(r, 415, "Files other than jpg,jpeg and png are not allowed", (struct str){});
		break;
	case ERR_CONFLICT: /* the clock was set back and gave an id again: the next request gets another */
		reply_failure(r, &(struct err){.code = ERR_AGAIN}, (struct str){});
		break;
	default:
		reply_failure(r, e, (struct str){});
	}
}

static void start_upload(struct http_request *r)
{
	static const struct upload_rules rules = {.form_only = true,
						  .plain_form = true,
						  .not_empty = true,
						  .prepare = prepare,
						  .check_name = check_name,
						  .stored = stored,
						  .failed = not_stored};

	upload_start(r, &rules);
}

static const struct http_handler upload = {
	.body_kind = HTTP_BODY_STREAM, .start = start_upload, .body = upload_body, .end = upload_end, .release = upload_release};

/* ---- looking up ---- */

/* The job that the file came with: jobs asked for later, through another door, are none of this surface's. */
static const struct job *thumbnail_job(const struct file *f)
{
	for (size_t i = 0; i < f->n_jobs; i++)
		if (str_eq(f->jobs[i].op, STR("resize")))
			return &f->jobs[i];
	return NULL;
}

static const char *stage_of(const struct job *job)
{
	if (job != NULL && job->state == JOB_QUEUED)
		return "STAGING STAGE";
	return job != NULL && job->state == JOB_RUNNING ? "PROCESSING STAGE" : "COMPLETION STAGE";
}

/* The file of the path; false after having answered that there is none. */
static bool read_file(struct http_request *r, struct file *ret)
{
	struct str text = http_param(r, "file_id");
	struct err e = ERR_INIT;
	int64_t us;
	int rc = ERR_FILE_NOT_FOUND;

	if (time_of_digits(&us, text))
		rc = catalog_file(front_catalog(r), (struct file_key){.id = id_of_time(us)}, front_owner(r), http_arena(r), ret, &e);
	if (rc == ERR_FILE_NOT_FOUND || rc == ERR_FILE_GONE)
		reply(r, 400, "ID NOT FOUND !!", text);
	else if (rc != 0)
		reply_failure(r, &e, text);
	return rc == 0;
}

static void answer_stage(struct http_request *r)
{
	struct file f;

	if (read_file(r, &f))
		reply(r, 200, stage_of(thumbnail_job(&f)), http_param(r, "file_id"));
}

static void end_stage(struct http_request *r)
{
	front_read(r, answer_stage);
}

static void answer_thumbnail(struct http_request *r)
{
	const struct job *job;
	struct file f;

	if (!read_file(r, &f))
		return;
	job = thumbnail_job(&f);
	if (job != NULL && !job_state_final(job->state)) {
		http_set_header(r, "Retry-After", "1");
		reply(r, 409, stage_of(job), http_param(r, "file_id"));
	} else if (job == NULL || job->state != JOB_SUCCEEDED || job->n_outputs == 0) {
		reply(r, 422, job != NULL && job->error != 0 ? err_info(job->error)->title : "There is no thumbnail",
		      http_param(r, "file_id"));
	} else {
		struct content c = content_of_output(job, &job->outputs[0]);
		content_answer(r, &c, true);
	}
}

static void end_thumbnail(struct http_request *r)
{
	front_block(r, answer_thumbnail);
}

static void end_no_id(struct http_request *r)
{
	reply(r, 400, "File id is None !!", (struct str){});
}

static void end_heartbeat(struct http_request *r)
{
	reply(r, 200, "beating", (struct str){});
}

static const struct http_handler get_stage = {.end = end_stage};
static const struct http_handler get_thumbnail = {.end = end_thumbnail};
static const struct http_handler get_no_id = {.end = end_no_id};
static const struct http_handler get_heartbeat = {.end = end_heartbeat};

static const struct http_route routes[] = {
	{HTTP_POST, "/uploadFile", &upload, HTTP_ANYONE, "imageStagesStore", "image-stages: store an image", NULL, true, true},
	{HTTP_GET, "/queryFileStatus/{file_id}", &get_stage, HTTP_ANYONE, "imageStagesGet", "image-stages: the stage of an image", NULL,
	 true, true},
	{HTTP_GET, "/queryFileStatus", &get_no_id, HTTP_ANYONE, "", "image-stages: no id was given", NULL, true, true},
	{HTTP_GET, "/thumbnail/{file_id}", &get_thumbnail, HTTP_ANYONE, "imageStagesThumbnail", "image-stages: the resized image", NULL,
	 true, true},
	{HTTP_GET, "/thumbnail", &get_no_id, HTTP_ANYONE, "", "image-stages: no id was given", NULL, true, true},
	{HTTP_GET, "/heartbeat", &get_heartbeat, HTTP_ANYONE, "imageStagesHeartbeat", "image-stages: a sign of life", NULL, true, true},
	{},
};

const struct surface surface_image_stages = {.name = "image-stages", .routes = routes, .summary = "resize images, show the stage"};
