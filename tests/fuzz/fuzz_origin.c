/* Origins: of a page that writes with a cookie (Origin, Host and Sec-Fetch-Site, parted by line ends; an empty line is a field that is absent), of a script that reads answers, and in the
 * configuration. Nothing but the origin itself passes for it. */
#include "base/buf.h"
#include "http/fields.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* The field as it stands in a request: NUL and line ends never come, an absent one has no text. */
static struct str next_field(struct str *rest)
{
	struct str field = rest->p != NULL ? str_split(*rest, '\n', rest) : STR("");

	return field.len > 0 ? str_trim(field) : (struct str){};
}

static bool is_scheme_and_host(struct str origin, const char *scheme, struct str host)
{
	struct buf b = BUF_INIT;
	bool same;

	buf_add_cstr(&b, scheme);
	buf_add_str(&b, host);
	require(buf_ok(&b));
	same = origin.len == b.len && str_starts(origin, str_of(scheme)) && str_eq_nocase(origin, buf_str(&b));
	buf_release(&b);
	return same;
}

static void of_a_page(struct str origin, struct str host, struct str site)
{
	const bool own = origin_is_own(site, origin, host);
	const bool from_here = host.len > 0 &&
			       (is_scheme_and_host(origin, "http://", host) || is_scheme_and_host(origin, "https://", host));
	const bool said = site.p == NULL || str_eq(site, STR("same-origin"));

	require(own == (said && (origin.p == NULL || from_here)));
	require(!own || !origin_is_own(STR("cross-site"), origin, host));
	require(!own || origin.p == NULL || !origin_is_own(site, origin, STR("")));
}

/* text: NUL-terminated, as settings are */
static void of_the_configuration(struct str origin, const char *text)
{
	const char *list[] = {"https://app.example.org", text}, *all[] = {"*"};
	const char *allowed = origin_allowed(origin, list, 2);

	require(allowed == NULL || str_eq(str_of(allowed), origin) || strcmp(allowed, "*") == 0);
	require(origin_allowed(origin, all, 1) == all[0]);
	require(origin_allowed(origin, list, 0) == NULL);
	if (!origin_written(str_of(text)))
		return;
	require(strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0);
	require(strcmp(text, "*") != 0);
	for (const char *c = text; *c != '\0'; c++)
		require(*c > ' ' && *c < 0x7f && !(*c >= 'A' && *c <= 'Z'));
	require(strchr(strstr(text, "://") + 3, '/') == NULL);
	require(origin_allowed(str_of(text), list, 2) != NULL);
	/* a letter more or less is another one */
	require(!str_eq(origin, str_of(text)) || allowed != NULL);
	require(origin_allowed((struct str){text, strlen(text) - 1}, list + 1, 1) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = {(const char *)data, size}, origin, host, site;
	char *text;

	if (size == 0)
		return 0;
	origin = next_field(&rest);
	host = next_field(&rest);
	site = next_field(&rest);
	of_a_page(origin, host, site);
	text = calloc(1, origin.len + 1);
	require(text != NULL);
	if (origin.len > 0)
		memcpy(text, origin.p, origin.len);
	of_the_configuration(origin, text);
	of_the_configuration(host.p != NULL ? host : STR(""), text);
	free(text);
	return 0;
}
