#include "api/assets.h"
#include "api/api.h"
#include "front/hop.h"
#include "http/fields.h"
#include "web_assets.h"

#include <assert.h>
#include <string.h>
#include <zlib.h>

#define PAGE_POLICY "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
#define DOCS_POLICY                                                                                                                        \
	"default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

static int compare(struct str path, const char *name)
{
	size_t n = strlen(name), least = path.len < n ? path.len : n;
	int order = memcmp(path.p, name, least);

	return order != 0 ? order : (path.len > n) - (path.len < n);
}

const struct web_asset *asset_find(struct str path)
{
	size_t low = 0, high = WEB_ASSETS_N;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare(path, web_assets[middle].path);
		if (order == 0)
			return &web_assets[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

struct str asset_text(const char *path)
{
	const struct web_asset *a = asset_find(str_of(path));

	assert(a != NULL && a->identity != NULL);
	return (struct str){(const char *)a->identity, a->identity_len};
}

/* The weight 0, in one of its spellings. */
static bool weighs_nothing(struct str params)
{
	while (params.p != NULL) {
		struct str rest, param = str_trim(str_split(params, ';', &rest));
		params = rest;
		if (param.len < 3 || (param.p[0] != 'q' && param.p[0] != 'Q') || param.p[1] != '=')
			continue;
		for (size_t i = 2; i < param.len; i++)
			if (param.p[i] != '0' && param.p[i] != '.')
				return false;
		return true;
	}
	return false;
}

bool accepts_gzip(struct str header)
{
	bool any = false;

	while (header.p != NULL) {
		struct str rest, params, member = str_trim(str_split(header, ',', &rest));
		struct str coding = str_trim(str_split(member, ';', &params));
		header = rest;
		if (str_eq_nocase(coding, STR("gzip")) || str_eq_nocase(coding, STR("x-gzip")))
			return !weighs_nothing(params);
		if (str_eq(coding, STR("*")))
			any = !weighs_nothing(params);
	}
	return any;
}

static const struct web_asset *asset_of(const struct http_request *r)
{
	struct str path = http_path(r);

	if (str_eq(path, STR("/docs")) || str_eq(path, STR("/docs/")))
		path = STR("/docs/index.html");
	else if (str_eq(path, STR("/admin")) || str_eq(path, STR("/admin/")))
		path = STR("/admin/index.html");
	return asset_find(path);
}

static void set_headers(struct http_request *r, const struct web_asset *a)
{
	http_set_header(r, "ETag", a->etag);
	http_set_header(r, "Vary", "Accept-Encoding");
	http_set_header(r, "X-Content-Type-Options", "nosniff");
	http_set_header(r, "Cross-Origin-Resource-Policy", "same-origin");
	http_set_header(r, "Cache-Control",
			str_starts(str_of(a->path), STR("/assets/")) ? "public, max-age=31536000, immutable" : "no-cache");
	if (str_starts(str_of(a->content_type), STR("text/html")))
		http_set_header(r, "Content-Security-Policy", str_starts(str_of(a->path), STR("/docs/")) ? DOCS_POLICY : PAGE_POLICY);
}

static bool caller_has_it(struct http_request *r, const struct web_asset *a)
{
	struct str none = http_header(r, "If-None-Match"), tag = str_of(a->etag);

	if (none.p == NULL || tag.len < 4)
		return false;
	return etag_list_has(none, (struct str){tag.p + 3, tag.len - 4}, true); /* without W/" and " */
}

/* For the few callers that take no gzip, of the few files that are kept only compressed. */
static void answer_inflated(struct http_request *r)
{
	const struct web_asset *a = asset_of(r);
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	z_stream z = {.next_in = (unsigned char *)(uintptr_t)a->gzip, .avail_in = (unsigned)a->gzip_len};
	bool ok = false;

	buf_reserve(&b, a->identity_len);
	if (buf_ok(&b) && inflateInit2(&z, 15 + 16) == Z_OK) {
		z.next_out = (unsigned char *)b.p;
		z.avail_out = (unsigned)a->identity_len;
		ok = inflate(&z, Z_FINISH) == Z_STREAM_END && z.total_out == a->identity_len;
		inflateEnd(&z);
	}
	if (!ok) {
		struct err e = ERR_INIT;
		front_problem(r, ERR_NO_MEMORY, &e);
		return;
	}
	b.len = a->identity_len;
	set_headers(r, a);
	http_reply_buf(r, 200, a->content_type, &b);
}

static void end_asset(struct http_request *r)
{
	const struct web_asset *a = asset_of(r);
	struct str accepted = http_header(r, "Accept-Encoding");

	if (a == NULL) {
		struct err e = ERR_INIT;
		front_problem(r, ERR_NOT_FOUND, &e);
		return;
	}
	if (caller_has_it(r, a)) {
		set_headers(r, a);
		http_reply_empty(r, 304);
	} else if (accepted.p != NULL && accepts_gzip(accepted)) {
		set_headers(r, a);
		http_set_header(r, "Content-Encoding", "gzip");
		http_reply_static(r, 200, a->content_type, a->gzip, a->gzip_len);
	} else if (a->identity != NULL) {
		set_headers(r, a);
		http_reply_static(r, 200, a->content_type, a->identity, a->identity_len);
	} else {
		front_block(r, answer_inflated);
	}
}

static const struct http_handler get_asset = {.end = end_asset};

const struct http_route api_asset_routes[] = {
	{HTTP_GET, "/openapi.json", &get_asset, HTTP_ANYONE, "getOpenApi", "The OpenAPI document", NULL},
	{HTTP_GET, "/docs", &get_asset, HTTP_ANYONE, "getDocs", "The OpenAPI document as an interactive page", NULL, true},
	{HTTP_GET, "/admin", &get_asset, HTTP_ANYONE, "getAdminPage", "The operators' pages", NULL, true},
	{HTTP_GET, "/docs/{name}", &get_asset, HTTP_ANYONE, "", "What the interactive page loads", NULL},
	{HTTP_GET, "/assets/{name}", &get_asset, HTTP_ANYONE, "", "What the web page loads", NULL},
	{HTTP_GET, "/licenses.txt", &get_asset, HTTP_ANYONE, "", "Licences of what the pages are made of", NULL},
	{},
};
