/* What MHD 0.9.75 refuses by itself, before or beside our handler. Its answers are not problems, and on a malformed Content-Length it
 * sends two of them. But it logs each such error, on the worker, just before it answers, and from the text it can be told at what point of a
 * request it stood. When exactly one of the worker's requests stands there, we answer on the socket ourselves and shut it down, and MHD's
 * answer goes nowhere. With several it is not known whose it was, and MHD's answer, a refusal too, goes out. */
#include "http/http_impl.h"

#include "rt/log.h"

#include <stdio.h>
#include <string.h>

static const char error_format[] = "Error processing request (HTTP response code is";

enum point { POINT_HEAD = 1, POINT_CHUNKS = 2 };

static const struct {
	unsigned status;
	const char *text; /* occurs in the message */
	unsigned points;
	int code;
	const char *detail;
} errors[] = {
	{400, "Content-Length", POINT_HEAD, ERR_AMBIGUOUS_FRAMING, "Content-Length is malformed"},
	{413, "Content-Length", POINT_HEAD, ERR_TOO_LARGE, "Content-Length is too large"},
	{431, "", POINT_HEAD | POINT_CHUNKS, ERR_HEADERS_TOO_LARGE, "the header block or the trailer is too large"},
	{400, "chunk", POINT_CHUNKS, ERR_AMBIGUOUS_FRAMING, "the chunked body is malformed"},
	{413, "chunk", POINT_CHUNKS, ERR_TOO_LARGE, "a chunk is too large"},
	{500, "", POINT_CHUNKS, ERR_AMBIGUOUS_FRAMING, "a chunk's size line is too long"}, /* its buffer is full of an unfinished one */
};

void mhd_error_expose(struct http_request *r)
{
	struct worker *w = r->conn->worker;

	r->exposed = true;
	r->exposed_next = w->exposed;
	if (w->exposed)
		w->exposed->exposed_prev = r;
	w->exposed = r;
}

void mhd_error_cover(struct http_request *r)
{
	if (!r->exposed)
		return;
	r->exposed = false;
	if (r->exposed_prev)
		r->exposed_prev->exposed_next = r->exposed_next;
	else
		r->conn->worker->exposed = r->exposed_next;
	if (r->exposed_next)
		r->exposed_next->exposed_prev = r->exposed_prev;
}

static struct http_request *only_one(struct worker *w, unsigned points)
{
	struct http_request *found = NULL;

	for (struct http_request *r = w->exposed; r; r = r->exposed_next) {
		if (!(points & (r->stage == STAGE_NEW ? POINT_HEAD : POINT_CHUNKS)))
			continue;
		if (found)
			return NULL;
		found = r;
	}
	return found;
}

static void answer(struct worker *w, unsigned status, const char *text)
{
	struct http_request *r;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		if (errors[i].status != status || !strcasestr(text, errors[i].text))
			continue;
		r = only_one(w, errors[i].points);
		if (!r)
			return;
		err_set(&e, errors[i].code, "%s", errors[i].detail);
		request_refuse_raw(r, &e);
		return;
	}
}

void mhd_error_log(void *cls, const char *format, va_list args)
{
	char line[512];
	va_list again;

	if (strncmp(format, error_format, sizeof(error_format) - 1) == 0) {
		va_copy(again, args);
		unsigned status = va_arg(again, unsigned);

		answer(cls, status, va_arg(again, const char *));
		va_end(again);
	}
	/* What MHD says is about single clients: of interest only when looking for something. */
	if (!log_enabled(LOG_DEBUG))
		return;
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	log_event(LOG_DEBUG, "http_library", LF_CSTR("text", line));
}
