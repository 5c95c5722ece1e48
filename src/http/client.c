/* Who asks, and whom. What a header field says of the client counts only from a proxy that the administrator trusts, and only the one field that this proxy
 * writes: whatever else a client sends along is not looked at. From the connection outward each hop is believed as long as the one before it is trusted. */
#include "http/fields.h"
#include "http/http_impl.h"
#include "rt/log.h"

#include <string.h>

#define TELL_EVERY_MS (60 * 60 * 1000)

bool client_tell_again(_Atomic int64_t *next_ms, int64_t now_ms)
{
	int64_t due = atomic_load(next_ms);

	/* of several threads one tells */
	return now_ms >= due && atomic_compare_exchange_strong(next_ms, &due, now_ms + TELL_EVERY_MS);
}

/* A proxy that nobody has named looks the same as a client who lies. The administrator may want to know of the one; the other must not fill his log. */
static void tell_untrusted(struct http_request *r)
{
	const char *field = http_header(r, "X-Forwarded-For").p != NULL ? "X-Forwarded-For" : "Forwarded";

	if (http_header(r, field).p == NULL || !client_tell_again(&r->server->tell_untrusted_ms, http_now_ms()))
		return;
	log_event(LOG_WARN, "forwarded_not_trusted", LF_CSTR("peer", r->peer), LF_CSTR("field", field),
		  LF_CSTR("setting", "http.trusted_proxies"), LF_STR("request_id", http_request_id(r)));
}

int client_find(struct http_request *r, struct err *e)
{
	const struct http_config *c = &r->server->config;
	const char *name = c->forwarded == HTTP_FORWARDED ? "Forwarded" : "X-Forwarded-For";
	struct forwarded f;

	if (c->n_proxies == 0 || !ip_in(c->proxies, c->n_proxies, &r->client)) {
		tell_untrusted(r);
		return 0;
	}
	struct str said = http_header(r, name);
	if (said.p == NULL)
		return 0; /* the proxy's own question, such as whether we are well */
	if (!(c->forwarded == HTTP_FORWARDED ? forwarded_parse(&f, said) : x_forwarded_for_parse(&f, said))) {
		err_set(e, ERR_BAD_HEADER, "a proxy names the client in a malformed way");
		return err_field(e, name);
	}
	for (unsigned i = 0; i < f.n && ip_in(c->proxies, c->n_proxies, &r->client); i++)
		r->client = f.hops[i];
	if (IN6_IS_ADDR_UNSPECIFIED(&r->client))
		strcpy(r->peer, "unknown");
	else
		ip_format(r->peer, &r->client);
	return 0;
}

/* Without its port; an IPv6 address keeps its brackets. The gate has seen that it is well-formed. */
static struct str without_port(struct str host)
{
	if (host.len == 0) /* HTTP/1.0 may have none */
		return host;
	const char *colon = memchr(host.p, host.p[0] == '[' ? ']' : ':', host.len);
	if (colon == NULL)
		return host;
	return (struct str){host.p, (size_t)(colon - host.p) + (*colon == ']')};
}

int client_check_host(struct http_request *r, struct err *e)
{
	const struct http_config *c = &r->server->config;
	unsigned count;

	if (c->n_hosts == 0)
		return 0;
	struct str host = without_port(request_header(r, "Host", &count));
	for (size_t i = 0; i < c->n_hosts; i++)
		if (str_eq_nocase(host, str_of(c->hosts[i])))
			return 0;
	err_set(e, ERR_MISDIRECTED, "this server has other names than that");
	return err_field(e, "Host");
}
