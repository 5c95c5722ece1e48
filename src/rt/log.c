/* A line is made in memory and leaves in one write(2). It is at most LINE_MAX_BYTES long, which a pipe takes whole
 * (pipe(7), PIPE_BUF), so lines of several threads or processes do not mix. Long values are cut;
 * when all fields together do not fit, the line leaves without them and says so.
 *
 * Values are written by a quoting of our own, which is JSON (RFC 8259) and more careful: DEL, the C1 controls and the characters
 * that turn the direction of text are escaped too, since they act on terminals. */
#include "rt/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/utf8.h"
#include "rt/env.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096
#define VALUE_MAX_BYTES 1024

static struct {
	int fd;
	bool json;
	enum log_level least;
} sink = {.fd = STDERR_FILENO, .least = LOG_INFO};

static const char *const level_words[] = {[LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

void log_setup(int fd, enum log_format format, enum log_level least)
{
	sink.fd = fd;
	sink.json = format == LOG_JSON || (format == LOG_AUTO && !isatty(fd));
	sink.least = least;
}

bool log_enabled(enum log_level level)
{
	return level >= sink.least;
}

/* The character that the n bytes at p encode. */
static unsigned code_point(const unsigned char *p, size_t n)
{
	if (n == 1)
		return p[0];
	if (n == 2)
		return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
	if (n == 3)
		return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	return 0x10000; /* beyond the plane in which characters are looked at one by one */
}

/* Controls (C0, DEL, C1), line and paragraph separators, and the marks, embeddings, overrides and isolates of text direction. */
static bool acts_on_terminal(unsigned c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069) || c == 0x061c;
}

static void add_quoted(struct buf *b, struct str s)
{
	struct str kept = {s.p, utf8_prefix(s, VALUE_MAX_BYTES)};
	const unsigned char *p = (const unsigned char *)kept.p, *end = p + kept.len;

	buf_add_char(b, '"');
	while (p < end) {
		size_t n = utf8_step(p, end);
		unsigned c = code_point(p, n > 0 ? n : 1);

		if (n == 0)
			buf_add_cstr(b, "\xef\xbf\xbd");
		else if (acts_on_terminal(c))
			buf_addf(b, "\\u%04x", c);
		else if (c == '"' || c == '\\')
			buf_addf(b, "\\%c", (char)c);
		else
			buf_add(b, p, n);
		p += n > 0 ? n : 1;
	}
	buf_add_cstr(b, kept.len < s.len ? "\u2026\"" : "\"");
}

/* Values that need no quotes in key=value text. */
static bool is_bare(struct str s)
{
	if (s.len == 0 || s.len > VALUE_MAX_BYTES)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '\\' || s.p[i] == '=')
			return false;
	}
	return true;
}

static void add_value(struct buf *b, const struct log_field *f, bool json)
{
	if (f->kind == LOG_I64)
		buf_addf(b, "%" PRId64, f->i);
	else if (f->kind == LOG_BOOL)
		buf_add_cstr(b, f->i ? "true" : "false");
	else if (!json && is_bare(f->s))
		buf_add_str(b, f->s);
	else
		add_quoted(b, f->s);
}

static void add_field(struct buf *b, const struct log_field *f, bool json)
{
	if (json) {
		buf_add_char(b, ',');
		add_quoted(b, str_of(f->key));
		buf_add_char(b, ':');
	} else {
		buf_addf(b, " %s=", f->key);
	}
	add_value(b, f, json);
}

static void make_line(struct buf *b, enum log_level level, const char *event, const struct log_field *fields, unsigned n)
{
	char time[TIME_TEXT_LEN + 1];

	time_format(time, env_real.wall_ms(&env_real));
	if (sink.json) {
		buf_addf(b, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":", time, level_words[level]);
		add_quoted(b, str_of(event));
	} else {
		buf_addf(b, "%s %-5s %s", time, level_words[level], event);
	}
	for (unsigned i = 0; i < n; i++)
		add_field(b, &fields[i], sink.json);
	buf_add_cstr(b, sink.json ? "}\n" : "\n");
}

void log_event_n(enum log_level level, const char *event, const struct log_field *fields, unsigned n)
{
	struct log_field cut = LF_BOOL("fields_left_out", true);
	CLEANUP(buf_release) struct buf line = {.limit = LINE_MAX_BYTES};

	if (!log_enabled(level))
		return;
	make_line(&line, level, event, fields, n);
	if (!buf_ok(&line)) {
		buf_reset(&line);
		make_line(&line, level, event, &cut, 1);
	}
	/* A log that cannot be written has nowhere to say so. */
	if (buf_ok(&line))
		(void)!fd_write_all(sink.fd, line.p, line.len);
}

void log_err(enum log_level level, const char *event, const struct err *e)
{
	struct log_field fields[4];
	unsigned n = 0;

	fields[n++] = LF_CSTR("code", err_info(e->code)->name);
	fields[n++] = LF_CSTR("detail", e->detail);
	if (e->field[0] != '\0')
		fields[n++] = LF_CSTR("field", e->field);
	if (e->limit >= 0)
		fields[n++] = LF_INT("limit", e->limit);
	log_event_n(level, event, fields, n);
}
