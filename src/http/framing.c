/* Where the body ends: RFC 9112 §§6-7, read strictly. */
#include "http/http_impl.h"

#include <string.h>

#define CHUNK_DIGITS 10
#define CHUNK_EXTENSION_MAX 64 /* bytes of one */
#define CHUNK_EXTENSIONS_MAX 16384 /* bytes of all in one body */

static int check_coding(struct http_request *r, struct str coding, struct err *e)
{
	static const char *const known[] = {"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd"};
	struct str rest = coding;

	if (str_eq_nocase(coding, STR("chunked"))) {
		r->chunked = true;
		return 0;
	}
	while (rest.p) {
		struct str one = str_trim(str_split(rest, ',', &rest));

		for (unsigned i = 0; i < ARRAY_LEN(known); i++)
			if (str_eq_nocase(one, str_of(known[i])))
				return err_set(e, ERR_NOT_IMPLEMENTED, "the transfer coding %s is not supported", known[i]);
	}
	err_set(e, ERR_AMBIGUOUS_FRAMING, "chunked is the only transfer coding");
	return err_field(e, "Transfer-Encoding");
}

int framing_check(struct http_request *r, struct err *e)
{
	unsigned lengths, codings;
	struct str length = request_header(r, "Content-Length", &lengths);
	struct str coding = request_header(r, "Transfer-Encoding", &codings);

	if (lengths + codings > 1)
		return err_set(e, ERR_AMBIGUOUS_FRAMING, "Content-Length and Transfer-Encoding: one of them, once");
	if (codings && r->http10)
		return err_set(e, ERR_AMBIGUOUS_FRAMING, "HTTP/1.0 has no transfer codings");
	if (codings)
		return check_coding(r, coding, e);
	if (lengths == 0)
		return 0;
	if (length.len <= 19 && str_to_u64(length, &r->length))
		return 0;
	err_set(e, ERR_AMBIGUOUS_FRAMING, "Content-Length is malformed");
	return err_field(e, "Content-Length");
}

struct trailer_check {
	const char *wrong;
};

/* RFC 9110 §6.5.1: what would change framing, routing or authority must not come late. */
static enum MHD_Result check_trailer_field(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	static const char *const forbidden[] = {
		"Content-Length", "Transfer-Encoding",   "Host",   "Authorization", "Content-Type",    "Content-Encoding",
		"Content-Range",  "Content-Disposition", "Cookie", "Expect",        "Idempotency-Key", "Range",
		"Trailer"};
	struct trailer_check *check = cls;

	for (unsigned i = 0; i < ARRAY_LEN(forbidden); i++)
		if (strcasecmp(key, forbidden[i]) == 0)
			check->wrong = forbidden[i];
	for (const char *p = key; *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
			check->wrong = "trailer";
	for (const char *p = value ? value : ""; *p; p++)
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			check->wrong = "trailer";
	return MHD_YES;
}

int framing_check_trailer(struct http_request *r, struct err *e)
{
	struct trailer_check check = {};

	MHD_get_connection_values(r->mhd, MHD_FOOTER_KIND, check_trailer_field, &check);
	if (!check.wrong)
		return 0;
	err_set(e, ERR_BAD_HEADER, "a trailer field is malformed or may not stand there");
	return err_field(e, check.wrong);
}

static int bad_chunk(struct err *e)
{
	return err_set(e, ERR_AMBIGUOUS_FRAMING, "the chunked body is malformed");
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* chunk-size [ chunk-ext ] without its line end. */
static int check_chunk_line(struct http_request *r, const char *p, const char *end, struct err *e)
{
	const char *start = p;

	while (p < end && is_hex(*p))
		p++;
	if (p == start || p - start > CHUNK_DIGITS)
		return bad_chunk(e);
	if (p < end && *p != ';')
		return bad_chunk(e);
	if (end - p > CHUNK_EXTENSION_MAX)
		return bad_chunk(e);
	r->chunk_extensions += (uint64_t)(end - p);
	if (r->chunk_extensions > CHUNK_EXTENSIONS_MAX)
		return bad_chunk(e);
	for (; p < end; p++)
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			return bad_chunk(e);
	return 0;
}

/* MHD gives data out of its read buffer, which begins at body_base, and what stands between there and the data is as it came: either the
 * line of a chunk that begins here, or, at the buffer's very start, nothing, because the line was taken in an earlier round or the chunk goes on. */
int framing_check_chunk(struct http_request *r, const char *data, struct err *e)
{
	const char *base = r->body_base, *line, *end = data - 2;

	if (!base || data == base)
		return 0;
	if (data < base + 3 || end[0] != '\r' || end[1] != '\n')
		return bad_chunk(e);
	for (line = end; line > base && line[-1] != '\n'; line--)
		;
	if (line > base && (line - base < 2 || line[-2] != '\r'))
		return bad_chunk(e);
	return check_chunk_line(r, line, end, e);
}
