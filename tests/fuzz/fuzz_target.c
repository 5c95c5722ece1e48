/* URLs and address ranges. What is accepted is of characters no second reader can take for others, and a literal host passes the check of addresses. */
#include "net/target.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void require_public(const struct target *t, const struct target_policy *policy)
{
	struct sockaddr_storage addr = {.ss_family = (sa_family_t)t->literal};
	void *bytes = t->literal == AF_INET ? (void *)&((struct sockaddr_in *)&addr)->sin_addr
					    : (void *)&((struct sockaddr_in6 *)&addr)->sin6_addr;

	require(inet_pton(t->literal, t->host, bytes) == 1);
	require(target_check_address((const struct sockaddr *)&addr, policy, NULL) == 0);
}

/* A name is not one that some resolver takes for an address. */
static void require_name(const struct target *t)
{
	struct in_addr any;

	require(inet_aton(t->host, &any) == 0);
	require(strspn(t->host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == strlen(t->host));
	require(t->host[strlen(t->host) - 1] != '.');
}

static void check_url(struct str url, const struct target_policy *policy)
{
	struct err e = ERR_INIT;
	struct target t;

	if (target_parse(&t, url, policy, &e) != 0) {
		require(e.code == ERR_URL_NOT_ALLOWED && e.detail[0] != '\0');
		return;
	}
	require(t.tls || policy->http);
	require(t.port == 80 || t.port == 443 || t.port >= 1024);
	require(t.host[0] != '\0' && strlen(t.host) <= TARGET_HOST_MAX);
	require(t.rest.len == 0 || t.rest.p[0] == '/' || t.rest.p[0] == '?');
	require(t.rest.p + t.rest.len == url.p + url.len);
	for (size_t i = 0; i < url.len; i++)
		require(url.p[i] > ' ' && url.p[i] < 0x7f && url.p[i] != '\\' && url.p[i] != '#');
	if (t.literal)
		require_public(&t, policy);
	else
		require_name(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct target_policy strict = {}, loose = {.http = true};
	const struct str text = {(const char *)data, size};
	struct ip_range range;

	check_url(text, &strict);
	check_url(text, &loose);
	if (ip_range_parse(&range, text, NULL) == 0)
		require((range.family == AF_INET && range.bits <= 32) || (range.family == AF_INET6 && range.bits <= 128));
	return 0;
}
