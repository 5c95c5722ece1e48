/* What MHD 0.9.75 forgives and nobody would see: a bare LF as line end, continuation lines, NUL, several spaces in the request line.
 *
 * At a handler's first call the head still lies where it was received, from the method's first letter for as many bytes as MHD says the head
 * has. MHD has written NUL over what ends a part: the space behind the method, the one before the version, the first colon of
 * a line, and each CR and LF. So a line that ended well ends in two NULs, one that ended in a bare LF in one, and a NUL that the
 * client sent stands where none may. The walk must meet the end exactly. This holds for this version only: others are stricter themselves,
 * and server.c asks which one it is. */
#include "http/http_impl.h"

#include <string.h>

static int malformed(struct err *e)
{
	return err_set(e, ERR_BAD_REQUEST, "the head has a line end, a continuation line or a NUL that HTTP does not allow");
}

/* Two NULs at p, which is then moved behind them. */
static bool line_end(const char **p, const char *end)
{
	if (end - *p < 2 || (*p)[0] || (*p)[1])
		return false;
	*p += 2;
	return true;
}

/* Moves behind the NUL that ends what stands at p. */
static bool text(const char **p, const char *end)
{
	const char *nul = memchr(*p, '\0', (size_t)(end - *p));

	if (!nul)
		return false;
	*p = nul + 1;
	return true;
}

static bool field_line(const char **p, const char *end)
{
	if (**p == ' ' || **p == '\t')
		return false; /* obs-fold, RFC 9112 §5.2 */
	if (!text(p, end) || !text(p, end))
		return false;
	--*p;
	return line_end(p, end);
}

int gate_raw_head(struct http_request *r, const char *method, const char *version, size_t head_size, struct err *e)
{
	const char *end = method + head_size, *p = method + strlen(method) + 1;

	p += r->raw_target.len + 1; /* MHD writes into the target, so its length is that of our copy */
	if (p != version || end - p < (ptrdiff_t)sizeof("HTTP/1.1"))
		return malformed(e);
	if (!text(&p, end))
		return malformed(e);
	--p;
	if (!line_end(&p, end))
		return malformed(e);
	while (p < end && *p)
		if (!field_line(&p, end))
			return malformed(e);
	return line_end(&p, end) && p == end ? 0 : malformed(e);
}
