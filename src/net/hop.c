/* One hop: from a URL to an answer. The address is looked at three times: hop_accept() judges all a name has, open_socket() the one libcurl
 * is about to connect to, which must be one of those, and before_request() looks at the connection that stands, be it new or used before. libcurl itself
 * never resolves a name: the addresses are put into its cache beforehand, and before_lookup() forbids what would go past that. */
#include "base/clock.h"
#include "base/compiler.h"
#include "net/client_impl.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IDLE_SECONDS_MAX 30L /* a connection unused for longer is not used again */
#define CONNECTION_SECONDS_MAX 300L
#define UPLOAD_LARGE ((size_t)1 << 20)
#define UPLOAD_BUFFER (256L << 10) /* bytes; libcurl's own is 64 KiB */

static int64_t ms_of(curl_off_t from_us, curl_off_t to_us)
{
	return to_us > from_us ? (to_us - from_us) / 1000 : 0;
}

static bool all_digits(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	}
	return s.len > 0;
}

/* Seconds from now, of either form; -1 when it is neither. More digits than fit are as many seconds as there are. */
static int64_t seconds_of_retry_after(struct str value, int64_t wall_ms)
{
	uint64_t seconds;
	int64_t date_ms;

	if (all_digits(value))
		return str_to_u64(value, &seconds) && seconds < INT64_MAX ? (int64_t)seconds : INT64_MAX;
	if (!http_date_parse(&date_ms, value))
		return -1;
	return date_ms > wall_ms ? (date_ms - wall_ms + 999) / 1000 : 0;
}

/* ---- what libcurl calls ---- */

static bool same_address(const struct sockaddr *a, const struct sockaddr_storage *b)
{
	if (a->sa_family != b->ss_family)
		return false;
	if (a->sa_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr == ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr, &((const struct sockaddr_in6 *)b)->sin6_addr,
		      sizeof(struct in6_addr)) == 0;
}

/* The address is one of those that were checked. */
static bool is_checked(const struct call *call, const struct sockaddr *addr)
{
	for (size_t i = 0; i < call->addrs_n; i++) {
		if (same_address(addr, &call->addrs[i]))
			return true;
	}
	return false;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct call *call = arg;

	if (purpose != CURLSOCKTYPE_IPCXN || !is_checked(call, &a->addr) || target_check_address(&a->addr, call->policy, NULL) != 0) {
		call->failure = call_fail(call, ERR_BLOCKED, "the connection would have gone to an address that is not allowed");
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static bool parse_address(struct sockaddr_storage *ret, const char *text)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	*ret = (struct sockaddr_storage){};
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
		ret->ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
		ret->ss_family = AF_INET6;
	else
		return false;
	return true;
}

/* A connection that was used before went to an address checked then, perhaps under another request's policy: it is checked by this one's. */
static int before_request(void *arg, char *remote, char *local, int remote_port, int local_port)
{
	struct call *call = arg;
	struct sockaddr_storage addr;

	if (!parse_address(&addr, remote) || target_check_address((const struct sockaddr *)&addr, call->policy, NULL) != 0 ||
	    remote_port != call->target.port) {
		call->failure = call_fail(call, ERR_BLOCKED, "the connection went to an address that is not allowed");
		return CURL_PREREQFUNC_ABORT;
	}
	call->written = true;
	snprintf(call->result.remote, sizeof(call->result.remote), "%s", remote);
	return CURL_PREREQFUNC_OK;
}

/* libcurl turns literal addresses into itself here too; a name never comes here, because it stands in the cache. */
static int before_lookup(void *state, void *reserved, void *arg)
{
	const struct call *call = arg;

	return call->target.literal ? 0 : 1;
}

static bool is_blank(struct str line)
{
	return str_eq(line, STR("\r\n")) || str_eq(line, STR("\n"));
}

/* The answer is a redirect that hop_end() will follow: libcurl tells where to when the answer has ended. */
static bool will_follow(const struct call *call, const struct net_head *head)
{
	return call->limits.redirects_max > 0 && head->status >= 300 && head->status <= 399 && net_head_field(head, "location").len > 0;
}

/* Neither interim nor out of bounds (RFC 9110 §15): behind `HTTP/2` libcurl takes any number. */
static bool is_final(long status)
{
	return status >= 200 && status <= 999;
}

/* Collects the lines of a head for who wants it, and tells it when it is whole. What comes behind the body are trailers, which nobody asked for. */
static bool tell_head(struct call *call, struct str line)
{
	struct net_head head;
	long status = 0;

	if (!call->head || call->head_told)
		return true;
	if (str_starts(line, STR("HTTP/")))
		buf_reset(&call->fields);
	else
		buf_add_str(&call->fields, line);
	if (!is_blank(line))
		return true;
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (!is_final(status))
		return true;
	if (!buf_ok(&call->fields)) {
		call->failure = call_fail(call, ERR_NO_MEMORY, "no memory for the head of the answer");
		return false;
	}
	head = (struct net_head){.status = (int)status, .fields = buf_str(&call->fields)};
	if (will_follow(call, &head))
		return true;
	call->head_told = true;
	call->enough = !call->head(call->arg, &head);
	return !call->enough;
}

struct str net_head_field(const struct net_head *h, const char *name)
{
	struct str rest = h->fields, line, value;

	while (rest.len > 0) {
		line = str_split(rest, '\n', &rest);
		struct str field = str_split(line, ':', &value);
		if (value.p && str_eq_nocase(field, str_of(name))) {
			if (value.len > 0 && value.p[value.len - 1] == '\r')
				value.len--;
			return str_trim(value);
		}
	}
	return (struct str){};
}

static size_t take_head(char *data, size_t size, size_t n, void *arg)
{
	static const struct str name = STR("retry-after:");
	const struct str line = {data, size * n};
	struct call *call = arg;

	if (line.len > call->limits.head_max - call->head_bytes) {
		call->failure = call_fail(call, ERR_ANSWER_TOO_LARGE, "the head of the answer is larger than %zu bytes",
					  call->limits.head_max);
		return 0;
	}
	call->head_bytes += line.len;
	/* An interim answer's fields are not the final one's. */
	if (str_starts(line, STR("HTTP/")))
		call->result.retry_after_s = -1;
	if (line.len > name.len && str_eq_nocase((struct str){line.p, name.len}, name)) {
		struct str value = {line.p + name.len, line.len - name.len};

		while (value.len > 0 && (value.p[value.len - 1] == '\n' || value.p[value.len - 1] == '\r'))
			value.len--;
		call->result.retry_after_s = seconds_of_retry_after(str_trim(value), client_wall_ms(call->client));
	}
	return tell_head(call, line) ? line.len : 0;
}

static void keep(struct call *call, const char *data, size_t n)
{
	struct net_result *r = &call->result;
	const size_t room = call->limits.body_keep - r->body.len;

	if (room == 0)
		return;
	if (!call->kept)
		call->kept = malloc(call->limits.body_keep);
	if (!call->kept) {
		call->failure = call_fail(call, ERR_NO_MEMORY, "no memory for the body of the answer");
		return;
	}
	n = n < room ? n : room;
	memcpy(call->kept + r->body.len, data, n);
	r->body = (struct str){call->kept, r->body.len + n};
}

/* Of an answer that somebody takes as it comes; that of a redirect is nobody's. */
static size_t pass_on(struct call *call, const char *data, size_t given, size_t taken)
{
	enum net_take t = call->head_told && taken > 0 ? call->take(call->arg, data, taken) : NET_TAKEN;

	if (t == NET_FULL) {
		call->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	call->enough = t == NET_ENOUGH;
	call->result.body_bytes += taken;
	call->result.cut = taken < given;
	return call->enough ? CURL_WRITEFUNC_ERROR : taken;
}

static size_t take_body(char *data, size_t size, size_t n, void *arg)
{
	struct call *call = arg;
	struct net_result *r = &call->result;
	const size_t given = size * n;
	const uint64_t room = call->limits.body_max - r->body_bytes;
	const size_t taken = given < room ? given : (size_t)room;

	if (call->take)
		return pass_on(call, data, given, taken);
	keep(call, data, taken);
	r->body_bytes += taken;
	r->cut = taken < given;
	/* Anything but `given` ends the transfer. */
	return call->failure ? CURL_WRITEFUNC_ERROR : taken;
}

/* ---- the hop's course ---- */

static void literal_address(struct call *call)
{
	if (parse_address(&call->addrs[0], call->target.host))
		call->addrs_n = 1;
}

int hop_aim(struct call *call)
{
	struct err e = ERR_INIT;
	int rc = target_parse(&call->target, str_of(call->url), call->policy, &e);

	if (rc != 0)
		return call_fail(call, rc, "%s", e.detail);
	call->addrs_n = 0;
	if (call->target.literal)
		literal_address(call);
	return 0;
}

/* One refused address refuses the name: who can add an address to a name could else choose by the order in which they are tried. */
int hop_accept(struct call *call, const struct lookup *l)
{
	const struct target_policy *policy = call->policy;
	struct err e = ERR_INIT;

	if (l->code != 0)
		return call_fail(call, l->code, "%s", l->detail);
	for (size_t i = 0; i < l->n; i++) {
		const int rc = target_check_address((const struct sockaddr *)&l->addrs[i], policy, &e);

		if (rc != 0)
			return call_fail(call, rc, "%s", e.detail);
	}
	memcpy(call->addrs, l->addrs, l->n * sizeof(l->addrs[0]));
	call->addrs_n = l->n;
	return 0;
}

/* libcurl's notation: host:port:address,address. The addresses stand in a cache of this hop alone, so no other request's can be taken. */
static bool pin_addresses(struct call *call)
{
	char line[TARGET_HOST_MAX + 8 + NET_ADDRESSES_MAX * (NET_ADDRESS_TEXT + 2)], text[NET_ADDRESS_TEXT];
	size_t at = (size_t)snprintf(line, sizeof(line), "%s:%u:", call->target.host, call->target.port);

	for (size_t i = 0; i < call->addrs_n; i++) {
		const struct sockaddr_storage *a = &call->addrs[i];
		const void *bytes = a->ss_family == AF_INET ? (const void *)&((const struct sockaddr_in *)a)->sin_addr
							    : (const void *)&((const struct sockaddr_in6 *)a)->sin6_addr;

		if (!inet_ntop(a->ss_family, bytes, text, sizeof(text)))
			return false;
		at += (size_t)snprintf(line + at, sizeof(line) - at, a->ss_family == AF_INET ? "%s%s" : "%s[%s]", i ? "," : "", text);
	}
	call->pin = curl_slist_append(NULL, line);
	call->names = curl_share_init();
	return call->pin && call->names && curl_share_setopt(call->names, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) == CURLSHE_OK;
}

/* The URL as libcurl gets it is put together from what was read, so that it cannot read another one. */
static char *plain_url(const struct target *t)
{
	const bool v6 = t->literal == AF_INET6;
	char *url = NULL;

	if (asprintf(&url, "%s://%s%s%s:%u%s%.*s", t->tls ? "https" : "http", v6 ? "[" : "", t->host, v6 ? "]" : "", t->port,
		     t->rest.len > 0 && t->rest.p[0] == '/' ? "" : "/", STR_FMT(t->rest)) < 0)
		return NULL;
	return url;
}

#define SET(option, value) (ok = ok && curl_easy_setopt(h, option, value) == CURLE_OK)

static bool set_target(struct call *call, CURL *h)
{
	char *url = plain_url(&call->target);
	bool ok = url != NULL;

	SET(CURLOPT_URL, url);
	free(url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_PROXY, ""); /* empty: not that of the environment either */
	SET(CURLOPT_NOPROXY, "*");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_MAXAGE_CONN, IDLE_SECONDS_MAX);
	SET(CURLOPT_MAXLIFETIME_CONN, CONNECTION_SECONDS_MAX);
	if (!call->target.literal) {
		SET(CURLOPT_SHARE, call->names);
		SET(CURLOPT_RESOLVE, call->pin);
	}
	return ok;
}

static bool set_tls(const struct hop_config *config, CURL *h)
{
	bool ok = true;

	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	/* Without a directory of certificates the parsed bundle is kept between connections; with one it is read for each. */
	SET(CURLOPT_CAPATH, NULL);
	if (config->ca_file)
		SET(CURLOPT_CAINFO, config->ca_file);
	return ok;
}

static bool set_message(struct call *call, CURL *h)
{
	const char *agent = client_hop_config(call->client)->user_agent;
	bool ok = true;

	if (strcmp(call->method, "HEAD") == 0) {
		SET(CURLOPT_NOBODY, 1L);
	} else if (strcmp(call->method, "POST") == 0 || strcmp(call->method, "PUT") == 0) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
		SET(CURLOPT_POSTFIELDS, call->body.len > 0 ? call->body.p : "");
		/* One turn of the thread sends as much at once; the memory is the transfer's. */
		if (call->body.len >= UPLOAD_LARGE)
			SET(CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER);
	}
	if (strcmp(call->method, "PUT") == 0 || strcmp(call->method, "DELETE") == 0)
		SET(CURLOPT_CUSTOMREQUEST, call->method);
	SET(CURLOPT_HTTPHEADER, call->headers);
	if (agent)
		SET(CURLOPT_USERAGENT, agent);
	return ok;
}

static bool set_limits(const struct call *call, CURL *h, int64_t now_ms)
{
	const int64_t left_ms = call->done_by_ms - now_ms, connect_ms = call->connected_by_ms - now_ms;
	bool ok = true;

	/* 0 would be "no limit". */
	SET(CURLOPT_TIMEOUT_MS, (long)(left_ms > 0 ? left_ms : 1));
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(connect_ms > 0 ? connect_ms : 1));
	SET(CURLOPT_LOW_SPEED_LIMIT, (long)call->limits.rate_min);
	SET(CURLOPT_LOW_SPEED_TIME, (long)call->limits.rate_grace_s);
	return ok;
}

static bool set_callbacks(struct call *call, CURL *h)
{
	bool ok = true;

	SET(CURLOPT_PRIVATE, call);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, call);
	SET(CURLOPT_PREREQFUNCTION, before_request);
	SET(CURLOPT_PREREQDATA, call);
	SET(CURLOPT_RESOLVER_START_FUNCTION, before_lookup);
	SET(CURLOPT_RESOLVER_START_DATA, call);
	SET(CURLOPT_HEADERFUNCTION, take_head);
	SET(CURLOPT_HEADERDATA, call);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, call);
	return ok;
}

int hop_open(struct call *call, int64_t now_ms)
{
	const struct hop_config *config = client_hop_config(call->client);
	CURL *h;

	call->easy = h = curl_easy_init();
	call->written = false;
	call->head_bytes = 0;
	call->head_told = call->enough = call->paused = false;
	call->result.body = (struct str){};
	call->result.body_bytes = 0;
	call->result.cut = false;
	call->result.status = 0;
	call->result.remote[0] = '\0';
	if (!h || (!call->target.literal && !pin_addresses(call)) || !set_target(call, h) || !set_tls(config, h) || !set_message(call, h) ||
	    !set_limits(call, h, now_ms) || !set_callbacks(call, h))
		return call_fail(call, ERR_NO_MEMORY, "no memory for a transfer");
	return 0;
}

/* ---- what came of it ---- */

/* OpenSSL's words for what is wrong with a certificate say nothing about anything inside, and help. Where it found nothing wrong or did not come to it
 * libcurl leaves X509_V_OK or, as it began with, X509_V_ERR_UNSPECIFIED; the name is checked by libcurl itself. */
static int tls_failure(struct call *call, CURLcode code)
{
	long verify = X509_V_OK;

	curl_easy_getinfo(call->easy, CURLINFO_SSL_VERIFYRESULT, &verify);
	if (verify != X509_V_OK && verify != X509_V_ERR_UNSPECIFIED)
		return call_fail(call, ERR_TLS_FAILED, "the certificate is not accepted: %s", X509_verify_cert_error_string(verify));
	if (code == CURLE_PEER_FAILED_VERIFICATION)
		return call_fail(call, ERR_TLS_FAILED, "the certificate is for another host");
	return call_fail(call, ERR_TLS_FAILED, "the TLS connection could not be set up");
}

/* libcurl reports a line of a head that outgrows its buffer (100 KiB) as a lack of memory. */
static int memory_failure(struct call *call)
{
	if (call->written && call->result.body_bytes == 0)
		return call_fail(call, ERR_ANSWER_TOO_LARGE, "a line in the head of the answer is too long");
	return call_fail(call, ERR_NO_MEMORY, "no memory for a transfer");
}

static int failure_of(struct call *call, CURLcode code)
{
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_COULDNT_CONNECT:
		return call_fail(call, ERR_CONNECT_FAILED, "the connection was refused or there is no way to the host");
	case CURLE_OPERATION_TIMEDOUT:
		return call_fail(call, ERR_PEER_TIMEOUT,
				 call->written ? "the answer took too long" : "the connection took too long to be set up");
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_ISSUER_ERROR:
		return tls_failure(call, code);
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
		return call_fail(call, ERR_CONNECTION_LOST, "the connection was closed before the answer was complete");
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9 */
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_HTTP2:
	case CURLE_TOO_MANY_REDIRECTS:
		return call_fail(call, ERR_BAD_ANSWER, "the answer is not HTTP/1.1");
	case CURLE_OUT_OF_MEMORY:
		return memory_failure(call);
	default:
		return call_fail(call, ERR_CONNECTION_LOST, "the request failed: %s", curl_easy_strerror(code));
	}
}

static void read_times(struct call *call)
{
	curl_off_t connected = 0, secured = 0, answered = 0;

	curl_easy_getinfo(call->easy, CURLINFO_CONNECT_TIME_T, &connected);
	curl_easy_getinfo(call->easy, CURLINFO_APPCONNECT_TIME_T, &secured);
	curl_easy_getinfo(call->easy, CURLINFO_STARTTRANSFER_TIME_T, &answered);
	connected = secured > connected ? secured : connected;
	if (call->written)
		call->result.connect_ms = ms_of(0, connected);
	if (call->result.status > 0)
		call->result.answer_ms = ms_of(connected, answered);
}

/* To another origin none of the caller's headers go: they may hold what is meant for the first. */
static bool same_origin(const struct target *a, const struct target *b)
{
	return a->tls == b->tls && a->port == b->port && strcmp(a->host, b->host) == 0;
}

static int redirect(struct call *call, const char *to)
{
	const struct target_policy *policy = call->policy;
	struct err e = ERR_INIT;
	struct target next;
	char *url;
	int rc;

	if (call->result.redirects == call->limits.redirects_max)
		return call_fail(call, ERR_TOO_MANY_REDIRECTS, "more than %u redirects", call->limits.redirects_max);
	rc = target_parse(&next, str_of(to), policy, &e);
	if (rc != 0)
		return call_fail(call, rc, "redirected to a URL that is not allowed: %.120s", e.detail);
	if (call->target.tls && !next.tls)
		return call_fail(call, ERR_URL_NOT_ALLOWED, "redirected from https to http");
	url = strdup(to);
	if (!url)
		return call_fail(call, ERR_NO_MEMORY, "no memory for a URL");
	if (!same_origin(&next, &call->target)) {
		curl_slist_free_all(call->headers);
		call->headers = call->anywhere;
		call->anywhere = NULL;
	}
	free(call->url);
	call->url = url;
	call->result.redirects++;
	return 1;
}

int hop_end(struct call *call, CURLcode code)
{
	struct net_result *r = &call->result;
	const char *to = NULL;
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	r->status = status >= 100 && status <= 999 ? (int)status : 0;
	read_times(call);
	if (call->failure)
		return call->failure;
	if (code == CURLE_WRITE_ERROR && (r->cut || call->enough))
		code = CURLE_OK;
	if (code != CURLE_OK)
		return failure_of(call, code);
	/* libcurl ends at a 101, which only an Upgrade may bring (RFC 9110 §15.2.2), and that is never sent. */
	if (!is_final(status))
		return call_fail(call, ERR_BAD_ANSWER, "the answer is not one to this request");
	if (call->limits.redirects_max == 0 || status < 300 || status > 399)
		return 0;
	curl_easy_getinfo(call->easy, CURLINFO_REDIRECT_URL, &to);
	return to ? redirect(call, to) : 0;
}

void hop_close(struct call *call)
{
	/* The handle first: it uses the other two. */
	curl_easy_cleanup(call->easy);
	call->easy = NULL;
	curl_share_cleanup(call->names);
	call->names = NULL;
	curl_slist_free_all(call->pin);
	call->pin = NULL;
}
