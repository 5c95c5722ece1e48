#include "front/content.h"
#include "base/clock.h"
#include "base/fd.h"
#include "front/passing.h"
#include "http/fields.h"
#include "http/multipart.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct answer {
	struct http_request *r;
	const struct content *content;
	char etag[65]; /* hex of the SHA-256, without quotes; a quote, which is in no list of tags, where it is not known */
	enum range_result range;
	uint64_t first, length; /* bytes to send */
};

static struct str etag_of(const struct answer *a)
{
	return str_of(a->etag);
}

static void set_validators(const struct answer *a)
{
	char quoted[68], date[30], digest[64] = "sha-256=:";

	if (a->content->sha256 != NULL) {
		snprintf(quoted, sizeof(quoted), "\"%s\"", a->etag);
		http_set_header(a->r, "ETag", quoted);
		size_t n = strlen(digest);
		n += base64_encode(digest + n, a->content->sha256, 32);
		memcpy(digest + n, ":", 2);
		http_set_header(a->r, "Repr-Digest", digest);
	}
	http_date_format(date, a->content->made_at);
	http_set_header(a->r, "Last-Modified", date);
	http_set_header(a->r, "Accept-Ranges", "bytes");
	http_set_header(a->r, "Cache-Control", "private, no-cache");
}

/* Bytes from strangers must not run, be guessed at, or be embedded elsewhere (PROMISES: served bytes). */
static void set_safety(const struct answer *a, bool show_inline)
{
	CLEANUP(buf_release) struct buf disposition = BUF_INIT;

	http_set_header(a->r, "X-Content-Type-Options", "nosniff");
	http_set_header(a->r, "Content-Security-Policy", "sandbox; default-src 'none'");
	http_set_header(a->r, "Cross-Origin-Resource-Policy", "same-origin");
	disposition_write(&disposition, show_inline && magic_inline_safe(a->content->type) ? "inline" : "attachment", a->content->name);
	http_set_header(a->r, "Content-Disposition", buf_ok(&disposition) ? disposition.p : "attachment");
}

static bool unchanged_since(struct str date, int64_t created_ms)
{
	int64_t since;

	return date.p != NULL && http_date_parse(&since, date) && created_ms / 1000 <= since / 1000;
}

/* RFC 9110 §13.2.2, in its order. 0: go on; else the status to answer. */
static int check_conditions(const struct answer *a)
{
	struct str etag = etag_of(a);
	struct str match = http_header(a->r, "If-Match"), none = http_header(a->r, "If-None-Match");

	if (match.p != NULL) {
		if (!etag_list_has(match, etag, false))
			return 412;
	} else {
		struct str date = http_header(a->r, "If-Unmodified-Since");
		int64_t since;
		if (date.p != NULL && http_date_parse(&since, date) && a->content->made_at / 1000 > since / 1000)
			return 412;
	}
	if (none.p != NULL)
		return etag_list_has(none, etag, true) ? 304 : 0;
	return unchanged_since(http_header(a->r, "If-Modified-Since"), a->content->made_at) ? 304 : 0;
}

static void choose_range(struct answer *a)
{
	struct str range = http_header(a->r, "Range"), condition = http_header(a->r, "If-Range");

	a->range = RANGE_WHOLE;
	if (range.p != NULL && http_method(a->r) == HTTP_GET && (condition.p == NULL || if_range_holds(condition, etag_of(a))))
		a->range = range_parse(range, a->content->size, &a->first, &a->length);
	if (a->range == RANGE_WHOLE) {
		a->first = 0;
		a->length = a->content->size;
	}
}

static void answer_unsatisfiable(const struct answer *a)
{
	struct err e = ERR_INIT;
	char text[48];

	snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)a->content->size);
	http_set_header(a->r, "Content-Range", text);
	err_set(&e, ERR_RANGE_UNSATISFIABLE, "there are %llu bytes", (unsigned long long)a->content->size);
	err_field(&e, "Range");
	front_problem(a->r, e.code, &e);
}

/* Markup can act when some program takes it at its word: it leaves as bytes. */
static bool is_markup(struct str type)
{
	static const struct str xml = STR("xml");

	if (magic_inline_safe(type))
		return false;
	return str_starts(type, STR("text/")) || (type.len >= xml.len && str_eq((struct str){type.p + type.len - xml.len, xml.len}, xml));
}

static void send_bytes(const struct answer *a, int status, struct engine_bytes *bytes)
{
	struct buf *inlined = &bytes->inlined;
	struct str type = is_markup(a->content->type) ? STR("application/octet-stream") : a->content->type;
	char text[TYPE_MAX_BYTES + 32];

	snprintf(text, sizeof(text), "%.*s%s", STR_FMT(type), str_eq(type, STR("text/plain")) ? "; charset=utf-8" : "");
	if (bytes->fd >= 0) {
		http_reply_fd(a->r, status, text, fd_steal(&bytes->fd), a->first, a->length);
		return;
	}
	if (bytes->reader != NULL) {
		struct blob_reader *reader = bytes->reader;
		bytes->reader = NULL;
		passing_answer(a->r, status, text, reader, a->length);
		return;
	}
	if (a->range == RANGE_PART && inlined->p != NULL) {
		memmove(inlined->p, inlined->p + a->first, a->length);
		inlined->len = a->length;
	}
	http_reply_buf(a->r, status, text, inlined);
}

/* Who asks for the head alone is told of bytes that are there: one of them is asked for. */
static struct engine_part part_of(const struct answer *a)
{
	struct engine_part part = {a->first, a->length};

	if (http_method(a->r) == HTTP_HEAD && part.length > 1)
		part.length = 1;
	return part;
}

/* The bytes are all there: a short blob must be told before a status is sent that promises more. */
static int open_bytes(const struct answer *a, int *own, struct engine_bytes *bytes, struct err *e)
{
	const struct content *c = a->content;
	struct stat st;
	int rc = 0;

	if (c->file != NULL)
		rc = engine_open_content(front_engine(a->r), c->file, part_of(a), bytes, e);
	else if (c->output != NULL)
		rc = engine_open_output(front_engine(a->r), c->output, part_of(a), bytes, e);
	else
		bytes->fd = fd_steal(own);
	if (rc != 0 || bytes->reader != NULL)
		return rc;
	if (bytes->fd < 0 && (!buf_ok(&bytes->inlined) || bytes->inlined.len != c->size))
		return err_set(e, buf_ok(&bytes->inlined) ? ERR_DAMAGED : ERR_NO_MEMORY, "the bytes could not be read whole");
	if (bytes->fd >= 0 && (fstat(bytes->fd, &st) != 0 || (uint64_t)st.st_size != c->size))
		return err_set(e, ERR_DAMAGED, "the stored bytes do not have the length they should");
	return 0;
}

struct content content_of_file(const struct file *f)
{
	return (struct content){
		.name = f->name, .type = f->type, .size = f->size, .sha256 = f->sha256, .made_at = f->created_at, .file = f};
}

struct content content_of_output(const struct job *job, const struct output *o)
{
	return (struct content){
		.name = o->name, .type = o->type, .size = o->size, .sha256 = o->sha256, .made_at = job->finished_at, .output = o};
}

int content_inline_wanted(const struct http_request *r, bool *ret, struct err *e)
{
	struct str show = http_query(r, "inline");

	if (show.p != NULL && !str_eq(show, STR("1")) && !str_eq(show, STR("0"))) {
		err_set(e, ERR_BAD_PARAMETER, "inline is 1 or 0");
		return err_field(e, "inline");
	}
	*ret = show.p != NULL && str_eq(show, STR("1"));
	return 0;
}

void content_answer(struct http_request *r, const struct content *c, bool show_inline)
{
	struct answer a = {.r = r, .content = c};
	CLEANUP(engine_bytes_release) struct engine_bytes bytes = ENGINE_BYTES_INIT;
	CLEANUP(fd_close) int own = c->file == NULL && c->output == NULL ? c->fd : -1;
	struct err e = ERR_INIT;

	strcpy(a.etag, "\"");
	if (c->sha256 != NULL)
		hex_encode(a.etag, c->sha256, 32);
	int status = check_conditions(&a);
	if (status == 412) {
		err_set(&e, ERR_PRECONDITION_FAILED, "the entity tag or date does not fit the condition");
		front_problem(r, e.code, &e);
		return;
	}
	if (status == 304) {
		set_validators(&a);
		http_reply_empty(r, 304);
		return;
	}
	choose_range(&a);
	if (a.range == RANGE_UNSATISFIABLE) {
		answer_unsatisfiable(&a);
		return;
	}
	int rc = open_bytes(&a, &own, &bytes, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	set_validators(&a);
	set_safety(&a, show_inline);
	if (a.range == RANGE_PART) {
		char text[80];
		snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)a.first,
			 (unsigned long long)(a.first + a.length - 1), (unsigned long long)c->size);
		http_set_header(r, "Content-Range", text);
	}
	send_bytes(&a, a.range == RANGE_PART ? 206 : 200, &bytes);
}
