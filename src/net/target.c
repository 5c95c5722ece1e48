/* The strict reader of URLs. It takes less than RFC 3986 allows, so that no second reader (libcurl, a proxy, a person) can take the same
 * bytes for another target; docs/adr/0024-outgoing-requests.md says more. */
#include "net/target.h"
#include "base/compiler.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define PORT_FREE 1024 /* from here on ports are allowed but for those below */

/* Ports from 1024 up that speak something else: the Fetch standard's "bad ports", https://fetch.spec.whatwg.org/#port-blocking. */
static const uint16_t bad_ports[] = {
	1719,  1720, 1723, /* H.323, PPTP */
	2049,  3659, 4045, 4190, /* NFS, Apple SASL, NFS locks, ManageSieve */
	5060,  5061, 6000, 6566, /* SIP, X11, SANE */
	6665,  6666, 6667, 6668, 6669, 6679, 6697, /* IRC */
	10080, /* Amanda */
};

static int refuse(struct err *e, const char *why, const char *expected)
{
	err_set(e, ERR_URL_NOT_ALLOWED, "%s", why);
	if (expected)
		err_expected(e, expected);
	return ERR_URL_NOT_ALLOWED;
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool hex_digit(char c)
{
	return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool alnum(char c)
{
	return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool known_char(char c)
{
	return alnum(c) || (c != '\0' && strchr("-._~!$&'()*+,;=:@%/?[]", c) != NULL);
}

/* All of a URL's characters are RFC 3986's, escapes are whole. */
static int check_chars(struct str url, struct err *e)
{
	if (url.len == 0 || url.len > TARGET_URL_MAX) {
		refuse(e, url.len == 0 ? "the URL is empty" : "the URL is too long", NULL);
		return err_limit(e, TARGET_URL_MAX), ERR_URL_NOT_ALLOWED;
	}
	for (size_t i = 0; i < url.len; i++) {
		const char c = url.p[i];

		if (c == '#')
			return refuse(e, "a URL to send to has no fragment", NULL);
		if ((unsigned char)c >= 0x80)
			return refuse(e, "the URL has bytes outside ASCII: names are written in their xn-- form, the rest with % escapes",
				      NULL);
		if (!known_char(c))
			return refuse(e, "the URL has a character that must be written as a % escape", NULL);
		if (c == '%' && (url.len - i < 3 || !hex_digit(url.p[i + 1]) || !hex_digit(url.p[i + 2])))
			return refuse(e, "the URL has a broken % escape", NULL);
	}
	return 0;
}

/* The scheme with "://"; *rest is what follows. */
static int read_scheme(struct target *t, struct str url, const struct target_policy *policy, struct str *rest, struct err *e)
{
	struct str after, scheme = str_split(url, ':', &after);

	t->tls = str_eq_nocase(scheme, STR("https"));
	if (!t->tls && !str_eq_nocase(scheme, STR("http")))
		return refuse(e, "the scheme is not allowed", policy->http ? "https:// or http://" : "https://");
	if (!t->tls && !policy->http)
		return refuse(e, "http is not allowed here", "https://");
	if (after.len < 2 || after.p[0] != '/' || after.p[1] != '/')
		return refuse(e, "two slashes must follow the scheme", "https://host/path");
	*rest = (struct str){after.p + 2, after.len - 2};
	return 0;
}

static int read_port(struct target *t, struct str text, struct err *e)
{
	uint64_t port;

	if (text.len == 0 || text.len > 5 || text.p[0] == '0' || !str_to_u64(text, &port) || port > UINT16_MAX)
		return refuse(e, "the port is no number from 1 to 65535", NULL);
	if (port < PORT_FREE && port != 80 && port != 443)
		return refuse(e, "the port is not allowed", "80, 443 or from 1024 up");
	for (size_t i = 0; i < ARRAY_LEN(bad_ports); i++) {
		if (port == bad_ports[i])
			return refuse(e, "the port belongs to a service that is not HTTP", NULL);
	}
	t->port = (uint16_t)port;
	return 0;
}

static void copy_host(struct target *t, struct str host)
{
	for (size_t i = 0; i < host.len; i++)
		t->host[i] = lower(host.p[i]);
	t->host[host.len] = '\0';
}

/* A label of a name: letters, digits, hyphens within, and underscores, which names inside of networks have. */
static bool good_label(struct str label)
{
	if (label.len == 0 || label.len > 63 || label.p[0] == '-' || label.p[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++) {
		if (!alnum(label.p[i]) && label.p[i] != '-' && label.p[i] != '_')
			return false;
	}
	return true;
}

/* "Ends in a number" (https://url.spec.whatwg.org/#ends-in-a-number-checker): some reader would take it for an IPv4 address. No top-level domain is one. */
static bool looks_numeric(struct str label)
{
	if (label.len >= 2 && label.p[0] == '0' && lower(label.p[1]) == 'x')
		return true;
	for (size_t i = 0; i < label.len; i++) {
		if (!digit(label.p[i]))
			return false;
	}
	return true;
}

static int check_name(struct str host, struct err *e)
{
	struct str label = {}, rest = host;

	if (host.len > TARGET_HOST_MAX)
		return refuse(e, "the host's name is too long", NULL);
	while (rest.p != NULL) {
		label = str_split(rest, '.', &rest);
		if (!good_label(label))
			return refuse(e, "the host is no name and no address", NULL);
	}
	if (looks_numeric(label))
		return refuse(e, "the host is a number that is no address of four decimal numbers", NULL);
	return 0;
}

/* localhost and what lies below it lead here by definition (RFC 6761 §6.3), whatever a resolver says. */
static bool is_localhost(const char *host)
{
	const size_t n = strlen(host), tail = strlen(".localhost");

	return strcmp(host, "localhost") == 0 || (n > tail && strcmp(host + n - tail, ".localhost") == 0);
}

static int check_literal(struct target *t, const struct target_policy *policy, struct err *e)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	struct err why = ERR_INIT;
	int rc;

	if (t->literal == AF_INET && inet_pton(AF_INET, t->host, &in.sin_addr) == 1)
		rc = target_check_address((const struct sockaddr *)&in, policy, &why);
	else if (t->literal == AF_INET6 && inet_pton(AF_INET6, t->host, &in6.sin6_addr) == 1)
		rc = target_check_address((const struct sockaddr *)&in6, policy, &why);
	else
		return refuse(e, "the host is no address", NULL);
	return rc == 0 ? 0 : refuse(e, why.detail, NULL);
}

static int check_localhost(const struct target_policy *policy, struct err *e)
{
	const struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	return target_check_address((const struct sockaddr *)&loopback, policy, NULL) == 0 ? 0
											   : refuse(e, "the host is this machine", NULL);
}

/* "[2001:db8::1]" with what follows in *rest. */
static int read_v6(struct target *t, struct str authority, struct str *rest, struct err *e)
{
	struct str after, host = str_split((struct str){authority.p + 1, authority.len - 1}, ']', &after);

	if (after.p == NULL || host.len >= INET6_ADDRSTRLEN)
		return refuse(e, "the host is no address", NULL);
	t->literal = AF_INET6;
	copy_host(t, host);
	*rest = after;
	return 0;
}

static int read_name_or_v4(struct target *t, struct str authority, struct str *rest, struct err *e)
{
	struct str after, host = str_split(authority, ':', &after);
	struct in_addr v4;
	int rc;

	if (host.len == 0)
		return refuse(e, "the URL has no host", NULL);
	if (host.len < INET_ADDRSTRLEN) {
		copy_host(t, host);
		/* inet_pton() takes four decimal numbers without leading zeros and nothing else. */
		t->literal = inet_pton(AF_INET, t->host, &v4) == 1 ? AF_INET : 0;
	}
	if (!t->literal) {
		rc = check_name(host, e);
		if (rc != 0)
			return rc;
		copy_host(t, host);
	}
	*rest = after.p == NULL ? (struct str){host.p + host.len, 0} : (struct str){after.p - 1, after.len + 1};
	return 0;
}

static int read_authority(struct target *t, struct str authority, struct err *e)
{
	struct str rest;
	int rc;

	if (memchr(authority.p, '@', authority.len))
		return refuse(e, "the URL must not hold a user name or password", NULL);
	if (authority.len == 0)
		return refuse(e, "the URL has no host", NULL);
	rc = authority.p[0] == '[' ? read_v6(t, authority, &rest, e) : read_name_or_v4(t, authority, &rest, e);
	if (rc != 0)
		return rc;
	if (rest.len > 0 && rest.p[0] != ':')
		return refuse(e, "the host is no name and no address", NULL);
	t->port = t->tls ? 443 : 80;
	return rest.len == 0 ? 0 : read_port(t, (struct str){rest.p + 1, rest.len - 1}, e);
}

int target_parse(struct target *ret, struct str url, const struct target_policy *policy, struct err *e)
{
	struct target t = {};
	struct str after;
	size_t end = 0;
	int rc = check_chars(url, e);

	if (rc == 0)
		rc = read_scheme(&t, url, policy, &after, e);
	if (rc != 0)
		return rc;
	while (end < after.len && after.p[end] != '/' && after.p[end] != '?')
		end++;
	rc = read_authority(&t, (struct str){after.p, end}, e);
	if (rc == 0 && t.literal)
		rc = check_literal(&t, policy, e);
	else if (rc == 0 && is_localhost(t.host))
		rc = check_localhost(policy, e);
	if (rc != 0)
		return rc;
	t.rest = (struct str){after.p + end, after.len - end};
	*ret = t;
	return 0;
}
