/* /v1/users, /v1/sessions: accounts made, looked at, changed; signing in and out. */
#include "engine/people.h"
#include "api/api.h"
#include "auth/token.h"
#include "base/wipe.h"
#include "front/caller.h"
#include "front/credentials.h"
#include "front/hop.h"
#include "front/json_body.h"

#include <stdio.h>
#include <string.h>

/* The body with passwords in it is read, used and wiped before the request goes; all of it stays here. */
struct people_request {
	struct json_request base;
	bool cookie;
	union {
		struct engine_sign_in sign_in;
		struct engine_sign_up sign_up;
		struct engine_new_password password;
	};
	struct account account; /* of a sign-up */
};

static void fail(struct http_request *r, int code, struct err *e)
{
	front_challenge(r, code);
	front_problem(r, code, e);
}

/* ---- answers ---- */

static void reply_account(struct http_request *r, int status, const struct account *a)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	account_write_json(&j, a);
	http_set_header(r, "Cache-Control", "no-store");
	http_reply_json(r, status, &b);
}

/* A session as its holder sees it. The token is told once, and not at all to a page that has the cookie. */
static void reply_session(struct http_request *r, int status, int64_t expires_at, const struct account *who, struct str token, bool tell)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	char csrf[CSRF_TEXT + 1];

	token_csrf(csrf, token);
	json_obj_open(&j);
	if (tell)
		json_kstr(&j, "token", token);
	json_ktime(&j, "expires_at", expires_at);
	json_kcstr(&j, "csrf_token", csrf);
	json_key(&j, "user");
	account_write_json(&j, who);
	json_obj_close(&j);
	http_set_header(r, "Cache-Control", "no-store");
	http_reply_json(r, status, &b);
}

/* ---- POST /v1/users ---- */

static void signed_up(struct engine_sign_up *s)
{
	struct people_request *p = CONTAINER_OF(s, struct people_request, sign_up);

	if (s->code != 0)
		front_problem(p->base.r, s->code, &s->err);
	else
		reply_account(p->base.r, 201, &p->account);
}

static int read_role(const struct json_place *p, enum role *ret, struct err *e)
{
	struct str text = {};
	int rc = json_member_str(p, "role", false, &text, e);

	if (rc != 0 || text.p == NULL || role_parse(ret, text))
		return rc;
	err_set(e, ERR_INVALID_VALUE, "there is no such role");
	(void)err_field(e, "role");
	return err_expected(e, "user, operator, admin");
}

static int read_sign_up(struct people_request *p, struct err *e)
{
	static const char *const members[] = {"email", "password", "name", "role", NULL};
	struct json_place place = {p->base.body, ""};
	int rc;

	p->account.name = STR("");
	if ((rc = json_members_only(&place, members, e)) != 0 || (rc = json_member_str(&place, "email", true, &p->account.email, e)) != 0 ||
	    (rc = json_member_str(&place, "password", true, &p->sign_up.password, e)) != 0 ||
	    (rc = json_member_str(&place, "name", false, &p->account.name, e)) != 0)
		return rc;
	return read_role(&place, &p->account.role, e);
}

static void end_sign_up(struct http_request *r)
{
	struct people_request *p = json_request_begin(r, sizeof(*p));
	struct err e = ERR_INIT;
	int rc;

	if (p == NULL)
		return;
	p->sign_up = (struct engine_sign_up){
		.account = &p->account,
		.address = http_peer(r),
		.by = front_by(r),
		.arena = http_arena(r),
		.err = ERR_INIT,
		.done = signed_up,
	};
	rc = read_sign_up(p, &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		engine_sign_up(front_engine(r), &p->sign_up);
}

static const struct http_handler add_user = {.body_kind = HTTP_BODY_BUFFER, .end = end_sign_up, .release = json_request_release};

/* ---- /v1/users/me ---- */

/* What holds in the end, as files_max and so on. Null where there is no quota. */
static void write_allowance(struct json_out *j, const struct allowance *a)
{
	for (unsigned i = 0; i < QUOTAS; i++) {
		char name[32];
		snprintf(name, sizeof(name), "%s_max", quota_name((enum quota)i));
		json_key(j, name);
		if (a->max[i] > 0)
			json_u64(j, a->max[i]);
		else
			json_put_null(j);
	}
}

static void answer_me(struct http_request *r)
{
	struct catalog *c = front_catalog(r);
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	struct err e = ERR_INIT;
	struct usage used;
	int rc = catalog_usage(c, front_owner(r), &used, &e);

	if (rc != 0) {
		fail(r, rc, &e);
		return;
	}
	const struct allowance allowance = catalog_allowance(c, used.own);
	json_obj_open(&j);
	account_write_members(&j, front_caller(r)->who);
	json_key(&j, "usage");
	json_obj_open(&j);
	json_ku64(&j, "files", used.files);
	json_ku64(&j, "bytes", used.bytes);
	write_allowance(&j, &allowance);
	json_obj_close(&j);
	json_obj_close(&j);
	http_set_header(r, "Cache-Control", "no-store");
	http_reply_json(r, 200, &b);
}

static void end_me(struct http_request *r)
{
	struct err e = ERR_INIT;

	if (front_caller(r)->who != NULL)
		front_read(r, answer_me);
	else
		fail(r, err_set(&e, ERR_UNAUTHENTICATED, "nobody is signed in"), &e);
}

static const struct http_handler get_me = {.end = end_me};

static void password_changed(struct engine_new_password *s)
{
	struct people_request *p = CONTAINER_OF(s, struct people_request, password);

	if (s->code == 0) {
		http_reply_empty(p->base.r, 204);
		return;
	}
	if (s->code == ERR_BAD_CREDENTIALS) { /* who asks is known: it is the body that is wrong */
		err_set(&s->err, ERR_INVALID_VALUE, "this is not the password that there is now");
		s->code = err_field(&s->err, "old_password");
	}
	http_answer_late(p->base.r, s->late_ms);
	front_problem(p->base.r, s->code, &s->err);
}

static void end_change_password(struct http_request *r)
{
	static const char *const members[] = {"old_password", "password", NULL};
	const struct caller *c = front_caller(r);
	struct people_request *p = json_request_begin(r, sizeof(*p));
	struct err e = ERR_INIT;
	int rc;

	if (p == NULL)
		return;
	struct json_place place = {p->base.body, ""};
	struct engine_new_password *s = &p->password;
	*s = (struct engine_new_password){
		.account = c->account,
		.email = c->who->email,
		.address = http_peer(r),
		.by = front_by(r),
		.arena = http_arena(r),
		.err = ERR_INIT,
		.done = password_changed,
	};
	if ((rc = json_members_only(&place, members, &e)) == 0 && (rc = json_member_str(&place, "old_password", true, &s->old, &e)) == 0)
		rc = json_member_str(&place, "password", true, &s->password, &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		engine_change_password(front_engine(r), s);
}

static const struct http_handler change_password = {
	.body_kind = HTTP_BODY_BUFFER, .end = end_change_password, .release = json_request_release};

/* ---- POST /v1/sessions ---- */

static void signed_in(struct engine_sign_in *s)
{
	struct people_request *p = CONTAINER_OF(s, struct people_request, sign_in);
	const struct session *session = &s->change.add_session.session;

	if (s->code != 0) {
		http_answer_late(p->base.r, s->late_ms);
		fail(p->base.r, s->code, &s->err);
		return;
	}
	struct token token = s->token; /* the answer ends the request's memory */
	wipe(&s->token, sizeof(s->token));
	if (p->cookie)
		credentials_set_cookie(p->base.r, str_of(token.text), (session->expires_at - session->created_at) / 1000);
	reply_session(p->base.r, 201, session->expires_at, &s->account, str_of(token.text), !p->cookie);
	wipe(&token, sizeof(token));
}

static int read_cookie(const struct json_place *p, bool *ret, struct err *e)
{
	json_t *v = json_object_get(p->object, "cookie");

	if (v != NULL && !json_is_boolean(v)) {
		err_set(e, ERR_INVALID_VALUE, "cookie is true or false");
		return err_field(e, "cookie");
	}
	*ret = json_is_true(v);
	return 0;
}

static void end_sign_in(struct http_request *r)
{
	static const char *const members[] = {"email", "password", "cookie", NULL};
	struct people_request *p = json_request_begin(r, sizeof(*p));
	struct err e = ERR_INIT;
	int rc;

	if (p == NULL)
		return;
	struct json_place place = {p->base.body, ""};
	struct engine_sign_in *s = &p->sign_in;
	*s = (struct engine_sign_in){
		.address = http_peer(r),
		.by = front_by(r),
		.arena = http_arena(r),
		.err = ERR_INIT,
		.done = signed_in,
	};
	if ((rc = json_members_only(&place, members, &e)) == 0 && (rc = json_member_str(&place, "email", true, &s->email, &e)) == 0 &&
	    (rc = json_member_str(&place, "password", true, &s->password, &e)) == 0)
		rc = read_cookie(&place, &p->cookie, &e);
	if (rc == 0 && p->cookie) /* or another site could sign somebody in as somebody else */
		rc = credentials_same_origin(r, &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		engine_sign_in(front_engine(r), s);
}

static const struct http_handler sign_in = {.body_kind = HTTP_BODY_BUFFER, .end = end_sign_in, .release = json_request_release};

/* ---- /v1/sessions/current ---- */

static void end_current(struct http_request *r)
{
	const struct caller *c = front_caller(r);

	reply_session(r, 200, c->expires_at, c->who, c->token, false);
}

static void signed_out(struct http_request *r)
{
	credentials_set_cookie(r, (struct str){}, 0);
	http_reply_empty(r, 204);
}

static void end_sign_out(struct http_request *r)
{
	struct front_write *w = front_write_new(r, CHANGE_END_SESSION);
	char session[UUID_TEXT_LEN + 1];
	struct err e = ERR_INIT;
	enum token_kind kind;

	if (w == NULL)
		return;
	w->change.end_session = (struct change_end_session){};
	uuid_format(session, front_caller(r)->credential);
	int rc = front_write_audit(w, AUDIT_SESSION_ENDED, &e, LF_CSTR("session", session));
	if (rc == 0 && !token_read(front_caller(r)->token, &kind, w->change.end_session.hash))
		rc = err_set(&e, ERR_INTERNAL, "%s", "");
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		front_write_submit(w, signed_out);
}

static const struct http_handler get_session = {.end = end_current};
static const struct http_handler sign_out = {.end = end_sign_out};

const struct http_route api_people_routes[] = {
	{HTTP_POST, "/v1/users", &add_user, HTTP_ADMIN, "addUser", "Add an account", NULL},
	{HTTP_GET, "/v1/users/me", &get_me, HTTP_CALLER, "getMe", "Whose credentials these are", NULL},
	{HTTP_POST, "/v1/users/me/password", &change_password, HTTP_PERSON, "changeMyPassword",
	 "Change one's password, which ends all sessions", NULL},
	{HTTP_POST, "/v1/sessions", &sign_in, HTTP_ANYONE, "signIn", "Sign in", NULL},
	{HTTP_GET, "/v1/sessions/current", &get_session, HTTP_PERSON, "getSession", "The session these credentials are of", NULL},
	{HTTP_DELETE, "/v1/sessions/current", &sign_out, HTTP_PERSON, "signOut", "Sign out", NULL},
	{},
};
