/* From where a request comes: the cookie it brings and the page that sent it. */
#include "http/fields.h"

#include <string.h>

bool cookie_find(struct str *ret, struct str header, struct str name)
{
	struct str rest = header, found = {};

	while (rest.p != NULL) {
		struct str value, one = str_split(str_split(rest, ';', &rest), '=', &value);
		if (!str_eq(str_trim(one), name))
			continue;
		if (found.p != NULL)
			return false;
		found = value.p != NULL ? str_trim(value) : STR("");
	}
	*ret = found;
	return true;
}

static struct str after_scheme(struct str origin)
{
	static const struct str schemes[] = {STR("https://"), STR("http://")};

	for (size_t i = 0; i < 2; i++)
		if (str_starts(origin, schemes[i]))
			return (struct str){origin.p + schemes[i].len, origin.len - schemes[i].len};
	return (struct str){};
}

bool origin_is_own(struct str site, struct str origin, struct str host)
{
	struct str from;

	if (site.p != NULL && !str_eq(site, STR("same-origin")))
		return false;
	if (origin.p == NULL)
		return true;
	from = after_scheme(origin);
	/* An empty Host is nothing to be the origin of (HTTP/1.0). */
	return host.len > 0 && from.p != NULL && str_eq_nocase(from, host);
}

const char *origin_allowed(struct str origin, const char *const *allowed, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(str_of(allowed[i]), STR("*")) || str_eq(str_of(allowed[i]), origin))
			return allowed[i];
	return NULL;
}

bool origin_written(struct str s)
{
	struct str host = after_scheme(s);

	for (size_t i = 0; i < host.len; i++)
		if ((host.p[i] >= 'A' && host.p[i] <= 'Z') || host.p[i] <= ' ' || host.p[i] > '~' || strchr("/?#@\\,*", host.p[i]) != NULL)
			return false;
	return host.len > 0;
}
