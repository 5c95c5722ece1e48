#include "front/content.h"
#include "base/clock.h"
#include "base/fd.h"
#include "http/fields.h"
#include "http/multipart.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct content {
	struct http_request *r;
	const struct file *f;
	char etag[65]; /* hex of the SHA-256, without quotes */
	enum range_result range;
	uint64_t first, length; /* bytes to send */
};

static void set_validators(const struct content *c)
{
	char quoted[68], date[30], digest[64] = "sha-256=:";

	snprintf(quoted, sizeof(quoted), "\"%s\"", c->etag);
	http_set_header(c->r, "ETag", quoted);
	http_date_format(date, c->f->created_at);
	http_set_header(c->r, "Last-Modified", date);
	size_t n = strlen(digest);
	n += base64_encode(digest + n, c->f->sha256, sizeof(c->f->sha256));
	memcpy(digest + n, ":", 2);
	http_set_header(c->r, "Repr-Digest", digest);
	http_set_header(c->r, "Accept-Ranges", "bytes");
	http_set_header(c->r, "Cache-Control", "private, no-cache");
}

/* Bytes from strangers must not run, be guessed at, or be embedded elsewhere (PROMISES: served bytes). */
static void set_safety(const struct content *c, bool show_inline)
{
	CLEANUP(buf_release) struct buf disposition = BUF_INIT;

	http_set_header(c->r, "X-Content-Type-Options", "nosniff");
	http_set_header(c->r, "Content-Security-Policy", "sandbox; default-src 'none'");
	http_set_header(c->r, "Cross-Origin-Resource-Policy", "same-origin");
	disposition_write(&disposition, show_inline && magic_inline_safe(c->f->type) ? "inline" : "attachment", c->f->name);
	http_set_header(c->r, "Content-Disposition", buf_ok(&disposition) ? disposition.p : "attachment");
}

static bool unchanged_since(struct str date, int64_t created_ms)
{
	int64_t since;

	return date.p != NULL && http_date_parse(&since, date) && created_ms / 1000 <= since / 1000;
}

/* RFC 9110 §13.2.2, in its order. 0: go on; else the status to answer. */
static int check_conditions(const struct content *c)
{
	struct str etag = {c->etag, 64};
	struct str match = http_header(c->r, "If-Match"), none = http_header(c->r, "If-None-Match");

	if (match.p != NULL) {
		if (!etag_list_has(match, etag, false))
			return 412;
	} else {
		struct str date = http_header(c->r, "If-Unmodified-Since");
		int64_t since;
		if (date.p != NULL && http_date_parse(&since, date) && c->f->created_at / 1000 > since / 1000)
			return 412;
	}
	if (none.p != NULL)
		return etag_list_has(none, etag, true) ? 304 : 0;
	return unchanged_since(http_header(c->r, "If-Modified-Since"), c->f->created_at) ? 304 : 0;
}

static void choose_range(struct content *c)
{
	struct str range = http_header(c->r, "Range"), condition = http_header(c->r, "If-Range");

	c->range = RANGE_WHOLE;
	if (range.p != NULL && http_method(c->r) == HTTP_GET &&
	    (condition.p == NULL || if_range_holds(condition, (struct str){c->etag, 64})))
		c->range = range_parse(range, c->f->size, &c->first, &c->length);
	if (c->range == RANGE_WHOLE) {
		c->first = 0;
		c->length = c->f->size;
	}
}

static void answer_unsatisfiable(const struct content *c)
{
	struct err e = ERR_INIT;
	char text[48];

	snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)c->f->size);
	http_set_header(c->r, "Content-Range", text);
	err_set(&e, ERR_RANGE_UNSATISFIABLE, "the file has %llu bytes", (unsigned long long)c->f->size);
	err_field(&e, "Range");
	front_problem(c->r, e.code, &e);
}

/* Markup can act when some program takes it at its word: it leaves as bytes. */
static bool is_markup(struct str type)
{
	static const struct str xml = STR("xml");

	if (magic_inline_safe(type))
		return false;
	return str_starts(type, STR("text/")) || (type.len >= xml.len && str_eq((struct str){type.p + type.len - xml.len, xml.len}, xml));
}

static void send_bytes(const struct content *c, int status, int *fd, struct buf *bytes)
{
	struct str type = is_markup(c->f->type) ? STR("application/octet-stream") : c->f->type;
	char text[TYPE_MAX_BYTES + 32];

	snprintf(text, sizeof(text), "%.*s%s", STR_FMT(type), str_eq(type, STR("text/plain")) ? "; charset=utf-8" : "");
	if (*fd >= 0) {
		http_reply_fd(c->r, status, text, fd_steal(fd), c->first, c->length);
		return;
	}
	if (c->range == RANGE_PART) {
		memmove(bytes->p, bytes->p + c->first, c->length);
		bytes->len = c->length;
	}
	http_reply_buf(c->r, status, text, bytes);
}

/* The bytes are all there: a short blob must be told before a status is sent that promises more. */
static int open_bytes(const struct content *c, int *fd, struct buf *bytes, struct err *e)
{
	struct stat st;
	int rc = engine_open_content(front_engine(c->r), c->f, fd, bytes, e);

	if (rc != 0)
		return rc;
	if (*fd < 0 && (!buf_ok(bytes) || bytes->len != c->f->size))
		return err_set(e, buf_ok(bytes) ? ERR_DAMAGED : ERR_NO_MEMORY, "the bytes of the file could not be read whole");
	if (*fd >= 0 && (fstat(*fd, &st) != 0 || (uint64_t)st.st_size != c->f->size))
		return err_set(e, ERR_DAMAGED, "the stored bytes do not have the length of the file");
	return 0;
}

void content_answer(struct http_request *r, const struct file *f, bool show_inline)
{
	struct content c = {.r = r, .f = f};
	CLEANUP(buf_release) struct buf bytes = BUF_INIT;
	CLEANUP(fd_close) int fd = -1;
	struct err e = ERR_INIT;

	hex_encode(c.etag, f->sha256, sizeof(f->sha256));
	int status = check_conditions(&c);
	if (status == 412) {
		err_set(&e, ERR_PRECONDITION_FAILED, "the file's entity tag or date does not fit the condition");
		front_problem(r, e.code, &e);
		return;
	}
	if (status == 304) {
		set_validators(&c);
		http_reply_empty(r, 304);
		return;
	}
	choose_range(&c);
	if (c.range == RANGE_UNSATISFIABLE) {
		answer_unsatisfiable(&c);
		return;
	}
	int rc = open_bytes(&c, &fd, &bytes, &e);
	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	set_validators(&c);
	set_safety(&c, show_inline);
	if (c.range == RANGE_PART) {
		char text[80];
		snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)c.first,
			 (unsigned long long)(c.first + c.length - 1), (unsigned long long)f->size);
		http_set_header(r, "Content-Range", text);
	}
	send_bytes(&c, c.range == RANGE_PART ? 206 : 200, &fd, &bytes);
}
