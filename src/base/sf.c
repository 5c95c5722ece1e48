#include "base/sf.h"

#include <string.h>

#define INTEGER_DIGITS_MAX 15 /* RFC 8941 §3.3.1 */

struct sf_reader sf_reader(struct str field)
{
	return (struct sf_reader){.rest = field};
}

static int bad(struct err *e, const char *what)
{
	return err_set(e, ERR_BAD_HEADER, "%s", what);
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_alpha(char c)
{
	return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c);
}

static bool is_token_char(char c)
{
	return is_alpha(c) || is_digit(c) || is_one_of(c, "!#$%&'*+-.^_`|~:/");
}

static bool is_key_char(char c)
{
	return is_lower(c) || is_digit(c) || is_one_of(c, "_-.*");
}

static char front(const struct str *s)
{
	return s->len > 0 ? s->p[0] : '\0';
}

static void advance(struct str *s, size_t n)
{
	s->p += n;
	s->len -= n;
}

static void skip(struct str *s, const char *set)
{
	while (is_one_of(front(s), set))
		advance(s, 1);
}

static struct str take_while(struct str *s, bool (*ok)(char))
{
	struct str taken = {s->p, 0};

	while (s->len > 0 && ok(s->p[0])) {
		advance(s, 1);
		taken.len++;
	}
	return taken;
}

static int read_integer(struct str *s, struct sf_item *ret, struct err *e)
{
	bool negative = front(s) == '-';
	struct str digits;
	int64_t v = 0;

	if (negative)
		advance(s, 1);
	digits = take_while(s, is_digit);
	if (front(s) == '.')
		return bad(e, "a decimal number is not supported here");
	if (digits.len == 0)
		return bad(e, "a minus sign without digits");
	if (digits.len > INTEGER_DIGITS_MAX)
		return bad(e, "an integer has more than 15 digits");
	for (size_t i = 0; i < digits.len; i++)
		v = 10 * v + (digits.p[i] - '0');
	*ret = (struct sf_item){.kind = SF_INTEGER, .integer = negative ? -v : v};
	return 0;
}

/* Copies a string without its escapes behind what the member already keeps in the reader. */
static int resolve(struct sf_reader *s, struct str raw, struct str *ret, struct err *e)
{
	unsigned at = s->scratch_used;

	for (size_t i = 0; i < raw.len; i++) {
		if (raw.p[i] == '\\')
			i++;
		if (at >= sizeof(s->scratch) - 1)
			return bad(e, "a string with escapes is longer than 255 bytes");
		s->scratch[at++] = raw.p[i];
	}
	*ret = (struct str){s->scratch + s->scratch_used, at - s->scratch_used};
	s->scratch_used = at;
	return 0;
}

/* The length of the raw string behind the opening quote, or -1. Only printable ASCII, and only \" and \\ as escapes. */
static long raw_string_len(struct str s, bool *ret_escapes)
{
	*ret_escapes = false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '"')
			return (long)i;
		if (s.p[i] < 0x20 || s.p[i] > 0x7e)
			return -1;
		if (s.p[i] != '\\')
			continue;
		*ret_escapes = true;
		i++;
		if (i >= s.len || !is_one_of(s.p[i], "\"\\"))
			return -1;
	}
	return -1;
}

static int read_string(struct sf_reader *s, bool skipping, struct sf_item *ret, struct err *e)
{
	struct sf_item item = {.kind = SF_STRING};
	bool escapes;
	long n;

	advance(&s->rest, 1);
	n = raw_string_len(s->rest, &escapes);
	if (n < 0)
		return bad(e, "a quoted string is not closed or has a character or escape that is not allowed");
	item.text = (struct str){s->rest.p, (size_t)n};
	if (escapes && !skipping) {
		int r = resolve(s, item.text, &item.text, e);

		if (r < 0)
			return r;
	}
	advance(&s->rest, (size_t)n + 1);
	*ret = item;
	return 0;
}

static int read_boolean(struct str *s, struct sf_item *ret, struct err *e)
{
	if (s->len < 2 || !is_one_of(s->p[1], "01"))
		return bad(e, "a boolean is ?0 or ?1");
	*ret = (struct sf_item){.kind = SF_BOOLEAN, .integer = s->p[1] == '1'};
	advance(s, 2);
	return 0;
}

/* RFC 8941 §4.2.3.1 */
static int read_bare_item(struct sf_reader *s, bool skipping, struct sf_item *ret, struct err *e)
{
	char c = front(&s->rest);

	if (c == '"')
		return read_string(s, skipping, ret, e);
	if (c == '?')
		return read_boolean(&s->rest, ret, e);
	if (c == '-' || is_digit(c))
		return read_integer(&s->rest, ret, e);
	if (is_alpha(c) || c == '*') {
		*ret = (struct sf_item){.kind = SF_TOKEN, .text = take_while(&s->rest, is_token_char)};
		return 0;
	}
	if (c == '(')
		return bad(e, "an inner list is not supported here");
	if (c == ':')
		return bad(e, "a byte sequence is not supported here");
	return bad(e, "expected a token, a string, an integer or a boolean");
}

/* RFC 8941 §4.2.3.3 */
static int read_key(struct str *s, struct str *ret, struct err *e)
{
	if (!is_lower(front(s)) && front(s) != '*')
		return bad(e, "a name begins with a lower-case letter or *");
	*ret = take_while(s, is_key_char);
	return 0;
}

/* RFC 8941 §4.2.3.2; when skipping, strings are checked but kept nowhere. */
static int read_param(struct sf_reader *s, bool skipping, struct str *ret_key, struct sf_item *ret, struct err *e)
{
	struct sf_item item = {.kind = SF_BOOLEAN, .integer = 1}; /* a key alone is true */
	struct str key;
	int r;

	if (front(&s->rest) != ';')
		return 0;
	advance(&s->rest, 1);
	skip(&s->rest, " ");
	r = read_key(&s->rest, &key, e);
	if (r < 0)
		return r;
	if (front(&s->rest) == '=') {
		advance(&s->rest, 1);
		r = read_bare_item(s, skipping, &item, e);
		if (r < 0)
			return r;
	}
	*ret_key = key;
	*ret = item;
	return 1;
}

int sf_next_param(struct sf_reader *s, struct str *ret_key, struct sf_item *ret, struct err *e)
{
	return read_param(s, false, ret_key, ret, e);
}

/* Checks those that were not asked for. */
static int skip_params(struct sf_reader *s, struct err *e)
{
	struct sf_item ignored;
	struct str key;
	int r;

	while ((r = read_param(s, true, &key, &ignored, e)) > 0)
		;
	return r;
}

/* From behind a member to the start of the next one: 1, 0 at the end, or an error. */
static int to_next_member(struct sf_reader *s, struct err *e)
{
	int r = skip_params(s, e);

	if (r < 0)
		return r;
	skip(&s->rest, " \t");
	if (s->rest.len == 0)
		return 0;
	if (front(&s->rest) != ',')
		return bad(e, "expected a comma between the members of a list");
	advance(&s->rest, 1);
	skip(&s->rest, " \t");
	return s->rest.len > 0 ? 1 : bad(e, "a list ends with a comma");
}

/* At the start of a member: 1, 0 at the end, or an error. */
static int begin_member(struct sf_reader *s, struct err *e)
{
	int r = 1;

	if (s->started) {
		r = to_next_member(s, e);
	} else {
		skip(&s->rest, " ");
		s->started = true;
		if (s->rest.len == 0)
			return 0;
	}
	s->scratch_used = 0;
	return r;
}

int sf_next_item(struct sf_reader *s, struct sf_item *ret, struct err *e)
{
	int r = begin_member(s, e);

	if (r <= 0)
		return r;
	r = read_bare_item(s, false, ret, e);
	return r < 0 ? r : 1;
}

int sf_next_key(struct sf_reader *s, struct str *ret_key, struct err *e)
{
	int r = begin_member(s, e);

	if (r <= 0)
		return r;
	r = read_key(&s->rest, ret_key, e);
	return r < 0 ? r : 1;
}

int sf_open_inner(struct sf_reader *s, struct err *e)
{
	if (!str_starts(s->rest, STR("=(")))
		return bad(e, "expected a list in parentheses");
	advance(&s->rest, 2);
	s->inner_begun = false;
	return 0;
}

int sf_next_inner(struct sf_reader *s, struct sf_item *ret, struct err *e)
{
	size_t before;
	int r;

	if (s->inner_begun && (r = skip_params(s, e)) < 0)
		return r;
	before = s->rest.len;
	skip(&s->rest, " ");
	if (front(&s->rest) == ')') {
		advance(&s->rest, 1);
		return 0;
	}
	if (s->inner_begun && s->rest.len == before)
		return bad(e, "expected a space or the end of a list in parentheses");
	s->inner_begun = true;
	r = read_bare_item(s, false, ret, e);
	return r < 0 ? r : 1;
}

int sf_bytes(struct sf_reader *s, void *dst, size_t size, size_t *ret_n, struct err *e)
{
	struct str text;
	const char *end;
	long n;

	if (!str_starts(s->rest, STR("=:")))
		return bad(e, "expected base64 between colons");
	advance(&s->rest, 2);
	end = s->rest.len > 0 ? memchr(s->rest.p, ':', s->rest.len) : NULL;
	if (end == NULL)
		return bad(e, "base64 without the colon behind it");
	text = (struct str){s->rest.p, (size_t)(end - s->rest.p)};
	n = base64_decode(dst, size, text);
	if (n < 0)
		return bad(e, "what stands between colons is no base64, or too long");
	advance(&s->rest, text.len + 1);
	*ret_n = (size_t)n;
	return 0;
}
