#include "front/link.h"
#include "base/wipe.h"
#include "engine/people.h"
#include "front/caller.h"
#include "front/limits.h"
#include "front/page.h"
#include "http/params.h"

#include <assert.h>
#include <string.h>

static_assert(LINK_SECRET == SERVER_SECRET);
static_assert(LINK_ONCE == ONCE_KEY);

/* Newest first. To be wiped. */
static int read_secrets(struct http_request *r, struct link_secret ret[SERVER_SECRETS_MAX], size_t *ret_n, struct err *e)
{
	struct secret *list = NULL;
	size_t n = 0;
	int rc = catalog_secrets(front_catalog(r), http_arena(r), &list, &n, e);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < n && i < SERVER_SECRETS_MAX; i++) {
		ret[i].number = list[i].number;
		memcpy(ret[i].bytes, list[i].bytes, LINK_SECRET);
	}
	if (n > 0)
		wipe(list, n * sizeof(*list));
	*ret_n = n < SERVER_SECRETS_MAX ? n : SERVER_SECRETS_MAX;
	return 0;
}

/* ---- making ---- */

/* Where no base is configured, the address is the one the request was sent to. */
static void add_base(struct buf *url, struct http_request *r)
{
	struct str base = str_of(front_of(r)->links_base_url);

	if (base.len == 0) {
		buf_add_cstr(url, "http://");
		base = http_header(r, "Host");
	}
	while (base.len > 0 && base.p[base.len - 1] == '/')
		base.len--;
	buf_add_str(url, base);
}

static bool by_key(const struct caller *c)
{
	return c->how == CALLER_KEY || c->how == CALLER_SIGNATURE;
}

static int write_url(struct http_request *r, struct link *l, struct buf *ret_url, struct err *e)
{
	const struct caller *c = front_caller(r);
	struct link_secret secrets[SERVER_SECRETS_MAX];
	char id[UUID_TEXT_LEN + 1];
	size_t n = 0;
	int rc = read_secrets(r, secrets, &n, e);

	if (rc != 0)
		return rc;
	if (n == 0)
		return err_set(e, ERR_INTERNAL, "the server has no secret to sign with");
	l->id = engine_new_id(front_engine(r));
	l->account = c->account;
	l->key = by_key(c) ? c->credential : (struct uuid){};
	uuid_format(id, l->id);
	add_base(ret_url, r);
	buf_add_cstr(ret_url, LINK_PATH);
	buf_add_cstr(ret_url, id);
	buf_add_cstr(ret_url, "?token=");
	rc = link_write(ret_url, l, &secrets[0], e);
	wipe(secrets, sizeof(secrets));
	return rc == 0 && !buf_ok(ret_url) ? err_set(e, ERR_NO_MEMORY, "no memory for a link") : rc;
}

int front_link_note(struct http_request *r, const struct link *l, struct err *e)
{
	const struct audit_by by = front_by(r);
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, l->id);
	return engine_audit_act(front_engine(r), AUDIT_LINK_MADE, &by, e, LF_CSTR("link", id),
				LF_CSTR("method", link_method_name(l->method)), LF_BOOL("single_use", l->single_use),
				LF_INT("expires_at", l->expires_at));
}

int front_link_make(struct http_request *r, struct link *l, int64_t lifetime_ms, struct buf *ret_url, struct err *e)
{
	l->issued_at = front_now(r);
	l->expires_at = l->issued_at + lifetime_ms;
	int rc = write_url(r, l, ret_url, e);
	return rc == 0 ? front_link_note(r, l, e) : rc;
}

/* ---- redeeming ---- */

static int become(struct http_request *r, const struct link *l, uint64_t seen, struct err *e)
{
	struct caller *c = arena_alloc(http_arena(r), sizeof(*c));
	struct link *kept = arena_alloc(http_arena(r), sizeof(*kept));
	char *owner = arena_alloc(http_arena(r), UUID_TEXT_LEN + 1);

	if (c == NULL || kept == NULL || owner == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a caller");
	uuid_format(owner, l->account);
	*kept = *l;
	*c = (struct caller){
		.owner = uuid_is_zero(l->account) ? STR(OWNER_PUBLIC) : str_of(owner),
		.how = CALLER_LINK,
		.role = ROLE_USER,
		.scopes = 1u << (l->method == LINK_PUT ? SCOPE_FILES_WRITE : SCOPE_FILES_READ),
		.account = l->account,
		.link = kept,
		.credential = l->key,
		.seen = seen,
	};
	http_set_caller(r, c);
	return limits_caller(r, c, e);
}

static int orphan(struct err *e)
{
	return err_set(e, ERR_LINK_INVALID, "whoever made this link may not do it himself any more");
}

/* A link is worth what its maker's credentials are: with the account it ends when that may not come any more or gets a new password, with a key when that ends. What nobody in particular
 * made ends with the first account, unless auth.anonymous is set. */
int front_link_still(struct http_request *r, const struct link *l, struct err *e)
{
	struct catalog *c = front_catalog(r);
	struct api_key key;
	struct account who;
	int rc;

	if (uuid_is_zero(l->account)) {
		uint64_t accounts = catalog_account_count(c);
		if (accounts == 0 || front_of(r)->anonymous)
			return 0;
		return accounts == ACCOUNTS_UNKNOWN ? err_set(e, ERR_CATALOG_UNAVAILABLE, "whether this link holds cannot be looked up now")
						    : orphan(e);
	}
	rc = catalog_account(c, l->account, http_arena(r), &who, e);
	if (rc == 0 && (who.disabled_at != 0 || who.changed_at > l->issued_at))
		return orphan(e);
	if (rc == 0 && !uuid_is_zero(l->key))
		rc = catalog_key_by_id(c, l->key, front_now(r), http_arena(r), &key, &who, e);
	return rc == ERR_USER_NOT_FOUND || rc == ERR_UNAUTHENTICATED ? orphan(e) : rc;
}

/* Before a body is asked for that would be refused in the end. Of those that come at once this stops none. */
static int check_unused(struct http_request *r, const struct link *l, struct err *e)
{
	const struct once once = front_link_once(l);
	bool used = false;
	int rc = l->single_use ? catalog_once_used(front_catalog(r), once.key, &used, e) : 0;

	return rc == 0 && used ? err_set(e, ERR_USED, "this link was for one use, which was made") : rc;
}

int front_link_open(struct http_request *r, struct err *e)
{
	const enum link_method method = http_method(r) == HTTP_GET || http_method(r) == HTTP_HEAD ? LINK_GET : LINK_PUT;
	struct link_secret secrets[SERVER_SECRETS_MAX];
	struct str token = http_query(r, "token");
	const uint64_t seen = engine_people_changes(front_engine(r));
	struct link l;
	size_t n = 0;
	int rc;

	if (token.p == NULL)
		return err_set(e, ERR_LINK_INVALID, "the address has no token, so it is no link");
	if ((rc = read_secrets(r, secrets, &n, e)) != 0)
		return rc;
	rc = link_read(&l, http_param(r, "id"), token, secrets, n, front_now(r), http_arena(r), e);
	wipe(secrets, sizeof(secrets));
	if (rc != 0)
		return rc;
	if (l.method != method) {
		err_set(e, ERR_LINK_INVALID, "this link is for another method");
		return err_expected(e, link_method_name(l.method));
	}
	if ((rc = front_link_still(r, &l, e)) != 0 || (rc = check_unused(r, &l, e)) != 0)
		return rc;
	return become(r, &l, seen, e);
}

/* A browser that sent a form shows what it gets to a person. */
bool front_link_wants_page(struct http_request *r)
{
	struct str accept = http_header(r, "Accept");

	return http_method(r) == HTTP_POST && accept.p != NULL && memmem(accept.p, accept.len, "text/html", 9) != NULL;
}

void front_link_refused(struct http_request *r, struct err *e)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;

	if (!front_link_wants_page(r)) {
		front_problem(r, e->code, e);
		return;
	}
	front_say_when(r, e);
	page_open(&b, "The file was not stored");
	buf_add_cstr(&b, "<p>");
	page_text(&b, str_of(err_info(e->code)->title));
	buf_add_cstr(&b, ": ");
	page_text(&b, str_of(e->detail));
	buf_add_cstr(&b, "</p>\n");
	page_reply(r, err_info(e->code)->http_status, &b);
}

bool link_type_valid(struct str type)
{
	struct str sub, main = str_split(type, '/', &sub);

	for (size_t i = 0; i < type.len; i++)
		if (type.p[i] >= 'A' && type.p[i] <= 'Z')
			return false;
	return type.len <= LINK_TYPE_MAX && sub.p != NULL && is_token(main) && is_token(sub);
}

struct once front_link_once(const struct link *l)
{
	struct once once = {.set = l->single_use, .expires_at = l->expires_at};

	link_once(once.key, l->id);
	return once;
}

/* Bytes of some types cannot be told from those of others that are vessels for them. */
int front_link_types(struct http_request *r, struct str type, const char *const **ret, struct err *e)
{
	static const char *const vessels[] = {"text/plain", "application/octet-stream",  "application/zip",
					      "text/xml",   "application/x-ole-storage", "application/x-empty"};
	const char **list;
	char *own;

	if (type.len == 0 || str_eq(type, STR("application/octet-stream")))
		return 0;
	list = arena_alloc(http_arena(r), (ARRAY_LEN(vessels) + 2) * sizeof(*list));
	own = arena_alloc(http_arena(r), type.len + 1);
	if (list == NULL || own == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for an upload");
	memcpy(own, type.p, type.len);
	own[type.len] = '\0';
	list[0] = own;
	list[1] = NULL;
	if (!magic_tells(type)) {
		memcpy(list + 1, vessels, sizeof(vessels));
		list[ARRAY_LEN(vessels) + 1] = NULL;
	}
	*ret = list;
	return 0;
}

int front_link_label(struct http_request *r, struct uuid link, struct str *ret, struct err *e)
{
	char text[sizeof(LINK_LABEL) + 1 + UUID_TEXT_LEN] = LINK_LABEL ":";

	uuid_format(text + strlen(text), link);
	*ret = arena_str(http_arena(r), str_of(text));
	return ret->p != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for an upload");
}
