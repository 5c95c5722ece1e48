#include "http/fields.h"

/* etagc of RFC 9110 §8.8.3 */
static bool is_etag_char(unsigned char c)
{
	return c == 0x21 || (c >= 0x23 && c != 0x7f);
}

/* Takes one entity tag off the front of *rest: its text without quotes. */
static bool take_etag(struct str *rest, struct str *ret, bool *ret_weak)
{
	size_t i = 0;

	*ret_weak = rest->len >= 2 && rest->p[0] == 'W' && rest->p[1] == '/';
	if (*ret_weak)
		*rest = (struct str){rest->p + 2, rest->len - 2};
	if (rest->len < 2 || rest->p[0] != '"')
		return false;
	for (i = 1; i < rest->len && is_etag_char((unsigned char)rest->p[i]); i++)
		;
	if (i == rest->len || rest->p[i] != '"')
		return false;
	*ret = (struct str){rest->p + 1, i - 1};
	*rest = (struct str){rest->p + i + 1, rest->len - i - 1};
	return true;
}

bool etag_list_has(struct str header, struct str etag, bool weak_ok)
{
	struct str rest = str_trim(header), one;
	bool found = false, weak;

	if (str_eq(rest, STR("*")))
		return true;
	while (rest.len) {
		if (rest.p[0] == ',') { /* empty elements are allowed: RFC 9110 §5.6.1.2 */
			rest = str_trim((struct str){rest.p + 1, rest.len - 1});
			continue;
		}
		if (!take_etag(&rest, &one, &weak))
			return false;
		rest = str_trim(rest);
		if (rest.len && rest.p[0] != ',')
			return false;
		found = found || (str_eq(one, etag) && (weak_ok || !weak));
	}
	return found;
}

bool if_range_holds(struct str header, struct str etag)
{
	struct str rest = str_trim(header), one;
	bool weak;

	return take_etag(&rest, &one, &weak) && rest.len == 0 && !weak && str_eq(one, etag);
}
