/* The normal course: START ─► HEAD ─► DATA ─► (delimiter line) ─► HEAD … ─► EPILOGUE.
 *
 * A delimiter is CRLF "--" boundary, followed by CRLF (another part) or "--" (the end). Data that only begins like one is data. What may
 * still become a delimiter at the end of a piece is not kept: it equals the delimiter's first `matched` bytes, so it can be given out of
 * our own copy when it turns out to be data. CR occurs nowhere in the delimiter but at its start, so after a mismatch
 * the search goes on at the byte that did not match, and the whole is linear. */
#include "http/multipart.h"

#include "http/multipart_head.h"
#include "http/params.h"

#include <stdlib.h>
#include <string.h>

enum state {
	START, /* before the first delimiter, whose CRLF may be missing */
	LINE, /* behind a delimiter: CRLF or "--" */
	HEAD,
	DATA,
	EPILOGUE_LINE, /* behind the closing delimiter: nothing or CRLF */
	EPILOGUE,
};

struct multipart {
	struct multipart_events events;
	void *arg;
	enum state state;
	bool in_part;
	unsigned parts;
	char delimiter[4 + MULTIPART_BOUNDARY_MAX];
	size_t delimiter_len, matched;
	char line[2]; /* LINE, EPILOGUE_LINE: what came so far */
	size_t line_len;
	size_t epilogue; /* bytes */
	size_t head_len;
	char head[MULTIPART_HEADER_MAX], scratch[MULTIPART_HEADER_MAX];
};

static int bad(struct err *e, const char *why)
{
	return err_set(e, ERR_BAD_MULTIPART, "%s", why);
}

/* ---- the boundary ---- */

/* bchars of RFC 2046 §5.1.1 */
static bool is_boundary(struct str s)
{
	if (s.len == 0 || s.len > MULTIPART_BOUNDARY_MAX || s.p[s.len - 1] == ' ')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

		if (!alnum && (!c || !strchr("'()+_,-./:=? ", c)))
			return false;
	}
	return true;
}

static int find_boundary(struct str content_type, struct str *ret, struct err *e)
{
	struct params params;
	struct param one;
	struct str boundary = {};
	int rc;

	if (!str_eq_nocase(params_begin(&params, content_type), STR("multipart/form-data")))
		return err_set(e, ERR_UNSUPPORTED_TYPE, "the body is no multipart/form-data");
	while ((rc = params_next(&params, &one)) > 0) {
		if (str_eq_nocase(one.name, STR("boundary*")) || (boundary.p && str_eq_nocase(one.name, STR("boundary"))))
			return bad(e, "Content-Type has more than one boundary");
		if (str_eq_nocase(one.name, STR("boundary")))
			boundary = one.raw;
	}
	if (rc || !boundary.p || !is_boundary(boundary))
		return bad(e, "Content-Type has no well-formed boundary");
	*ret = boundary;
	return 0;
}

int multipart_new(struct multipart **ret, struct str content_type, const struct multipart_events *events, void *arg, struct err *e)
{
	struct multipart *m;
	struct str boundary = {};
	int rc = find_boundary(content_type, &boundary, e);

	if (rc)
		return rc;
	m = malloc(sizeof(*m)); /* not cleared: the two blocks of 8 KiB need not be */
	if (!m)
		return err_set(e, ERR_NO_MEMORY, "multipart reader");
	memset(m, 0, offsetof(struct multipart, head));
	m->events = *events;
	m->arg = arg;
	memcpy(m->delimiter, "\r\n--", 4);
	memcpy(m->delimiter + 4, boundary.p, boundary.len);
	m->delimiter_len = boundary.len + 4;
	*ret = m;
	return 0;
}

void multipart_free(struct multipart *m)
{
	free(m);
}

/* ---- looking for the delimiter ---- */

typedef unsigned char lanes __attribute__((vector_size(16)));

/* Bytes in which all lanes are equal: 0xff where p[i] is c. */
static inline lanes equal(const char *p, char c)
{
	lanes v, w = {};

	memcpy(&v, p, sizeof(v));
	w += (unsigned char)c;
	return (lanes)(v == w);
}

/* Sixteen places at once are tested for five bytes of the delimiter and its last; few survive, whatever the data. Returns the place where the
 * delimiter stands, or the first place that was not tested. */
static size_t scan(const struct multipart *m, const char *p, size_t n, bool *ret_found)
{
	const char *d = m->delimiter;
	size_t last = m->delimiter_len - 1, i;

	*ret_found = true;
	for (i = 0; i + last + sizeof(lanes) <= n; i += sizeof(lanes)) {
		lanes hit = equal(p + i, d[0]) & equal(p + i + 1, d[1]);
		uint64_t words[2];

		hit &= equal(p + i + 2, d[2]) & equal(p + i + 3, d[3]) & equal(p + i + 4, d[4]) & equal(p + i + last, d[last]);
		memcpy(words, &hit, sizeof(words));
		if ((words[0] | words[1]) == 0)
			continue;
		for (size_t k = 0; k < sizeof(lanes); k++)
			if (memcmp(p + i + k, d, m->delimiter_len) == 0)
				return i + k;
	}
	*ret_found = false;
	return i;
}

static int data(struct multipart *m, const void *p, size_t n, struct err *e)
{
	return n ? m->events.part_data(m->arg, p, n, e) : 0;
}

/* Goes on with a delimiter that began earlier. Takes bytes while they match. */
static size_t match_on(struct multipart *m, const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && m->matched < m->delimiter_len && p[i] == m->delimiter[m->matched]) {
		m->matched++;
		i++;
	}
	return i;
}

/* One step in DATA: up to a delimiter, or to the end of the piece. *ret_taken bytes were dealt with. */
static int feed_data(struct multipart *m, const char *p, size_t n, size_t *ret_taken, struct err *e)
{
	size_t i = match_on(m, p, n), from;
	bool found;
	int rc = 0;

	if (m->matched == m->delimiter_len || i == n) {
		*ret_taken = i;
		m->state = m->matched == m->delimiter_len ? LINE : DATA;
		return 0;
	}
	rc = data(m, m->delimiter, m->matched, e); /* it was none */
	m->matched = 0;
	if (rc)
		return rc;
	from = i;
	i += scan(m, p + i, n - i, &found);
	if (found) {
		m->matched = m->delimiter_len;
		m->state = LINE;
		*ret_taken = i + m->delimiter_len;
		return data(m, p + from, i - from, e);
	}
	while (i < n && m->matched < m->delimiter_len) {
		const char *cr = memchr(p + i, '\r', n - i);

		m->matched = 0;
		if (!cr) {
			i = n;
			break;
		}
		i = (size_t)(cr - p);
		i += match_on(m, cr, n - i);
	}
	if (m->matched == m->delimiter_len)
		m->state = LINE;
	*ret_taken = i;
	return data(m, p + from, i - from - m->matched, e);
}

/* ---- around the delimiter ---- */

static int part_over(struct multipart *m, struct err *e)
{
	if (!m->in_part)
		return 0;
	m->in_part = false;
	return m->events.part_end(m->arg, e);
}

/* The delimiter was data after all: it goes out, and so does what followed it, but for a CR, which may begin the real one. */
static int delimiter_was_data(struct multipart *m, struct err *e)
{
	int rc = data(m, m->delimiter, m->delimiter_len, e);

	if (rc)
		return rc;
	m->state = DATA;
	m->matched = m->line_len && m->line[0] == '\r';
	if (!m->matched)
		rc = data(m, m->line, m->line_len, e);
	m->line_len = 0;
	return rc;
}

static int feed_line(struct multipart *m, const char *p, size_t n, size_t *ret_taken, struct err *e)
{
	static const char ends[2][2] = {{'\r', '\n'}, {'-', '-'}};
	const char *end = (m->line_len ? m->line[0] : *p) == '-' ? ends[1] : ends[0];
	int rc;

	if (*p != end[m->line_len]) {
		*ret_taken = 0;
		/* A boundary that goes on is another text; a blank or a bare LF behind it is a delimiter line we do not repair. */
		if (!m->in_part || (m->line_len == 0 && strchr(" \t\n", *p) && *p))
			return bad(e, "a boundary is not followed by CRLF");
		return delimiter_was_data(m, e);
	}
	*ret_taken = 1;
	m->line[m->line_len++] = *p;
	if (m->line_len < 2)
		return 0;
	m->line_len = 0;
	m->matched = 0;
	m->head_len = 0;
	m->state = end == ends[1] ? EPILOGUE_LINE : HEAD;
	rc = part_over(m, e);
	if (rc || m->state == EPILOGUE_LINE)
		return rc;
	if (++m->parts > MULTIPART_PARTS_MAX) {
		err_set(e, ERR_TOO_LARGE, "the form has too many parts");
		return err_limit(e, MULTIPART_PARTS_MAX);
	}
	return 0;
}

static int feed_start(struct multipart *m, const char *p, size_t n, size_t *ret_taken, struct err *e)
{
	if (m->matched == 0 && *p == '-')
		m->matched = 2; /* as if the CRLF had been there */
	*ret_taken = match_on(m, p, n);
	if (m->matched == m->delimiter_len)
		m->state = LINE;
	else if (*ret_taken < n)
		return bad(e, "the body does not begin with its boundary");
	return 0;
}

static int head_done(struct multipart *m, struct err *e)
{
	struct multipart_part part;
	int rc = multipart_read_head(&part, (struct str){m->head, m->head_len}, m->scratch, e);

	if (rc)
		return rc;
	m->state = DATA;
	m->in_part = true;
	return m->events.part_begin(m->arg, &part, e);
}

/* Up to the end of one line. */
static int feed_head(struct multipart *m, const char *p, size_t n, size_t *ret_taken, struct err *e)
{
	const char *lf = memchr(p, '\n', n);
	size_t take = lf ? (size_t)(lf - p) + 1 : n;

	if (take > MULTIPART_HEADER_MAX - m->head_len) {
		err_set(e, ERR_BAD_MULTIPART, "a part's header is too long");
		return err_limit(e, MULTIPART_HEADER_MAX);
	}
	memcpy(m->head + m->head_len, p, take);
	m->head_len += take;
	*ret_taken = take;
	if (!lf)
		return 0;
	if (m->head_len < 2 || m->head[m->head_len - 2] != '\r')
		return bad(e, "a part's header has a bare LF");
	if (m->head_len > 2 && m->head[m->head_len - 3] != '\n')
		return 0;
	m->head_len -= 2;
	return head_done(m, e);
}

static int feed_epilogue(struct multipart *m, const char *p, size_t n, size_t *ret_taken, struct err *e)
{
	if (m->state == EPILOGUE_LINE) {
		if (*p != "\r\n"[m->line_len])
			return bad(e, "the last boundary is not followed by CRLF");
		if (++m->line_len == 2)
			m->state = EPILOGUE;
		*ret_taken = 1;
		return 0;
	}
	if (n > MULTIPART_EPILOGUE_MAX - m->epilogue)
		return bad(e, "too much follows the last boundary");
	m->epilogue += n;
	*ret_taken = n;
	return 0;
}

int multipart_feed(struct multipart *m, const void *bytes, size_t n, struct err *e)
{
	const char *p = bytes;

	while (n) {
		size_t taken = 0;
		int rc;

		switch (m->state) {
		case START:
			rc = feed_start(m, p, n, &taken, e);
			break;
		case LINE:
			rc = feed_line(m, p, n, &taken, e);
			break;
		case HEAD:
			rc = feed_head(m, p, n, &taken, e);
			break;
		case DATA:
			rc = feed_data(m, p, n, &taken, e);
			break;
		default:
			rc = feed_epilogue(m, p, n, &taken, e);
			break;
		}
		if (rc)
			return rc;
		p += taken;
		n -= taken;
	}
	return 0;
}

int multipart_finish(struct multipart *m, struct err *e)
{
	if (m->state == EPILOGUE || (m->state == EPILOGUE_LINE && m->line_len == 0))
		return 0;
	return bad(e, "the body ends before its last boundary");
}
