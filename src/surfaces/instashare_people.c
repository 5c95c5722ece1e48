/* instashare: accounts that people make themselves, and signing in. */
#include "auth/password.h"
#include "base/wipe.h"
#include "engine/people.h"
#include "front/caller.h"
#include "front/json_body.h"
#include "surfaces/instashare.h"

#include <string.h>

#define FAULTS_MAX 16 /* more are not told: whoever sends thousands of members is not answered with thousands of lines */

/* The body with the password in it is read, used and wiped before the request goes; all of it stays here. */
struct person {
	struct json_request base;
	struct account account; /* of a registration */
	struct engine_sign_up sign_up;
	struct engine_sign_in sign_in;
};

/* ---- what is wrong of a body, each member named ---- */

struct faults {
	struct buf text;
	struct json_out j;
	unsigned n;
};

static void add_fault(struct faults *f, const struct err *e)
{
	if (f->n++ >= FAULTS_MAX)
		return;
	json_obj_open(&f->j);
	json_kcstr(&f->j, "field", e->field);
	json_kcstr(&f->j, "code", err_info(e->code)->name);
	json_kcstr(&f->j, "detail", e->detail);
	json_obj_close(&f->j);
}

/* One text member; what `check` says of it. An absent one that need not be there is fine. */
static void read_member(struct faults *f, const struct json_place *p, const char *name, bool required, struct str *ret,
			int (*check)(struct http_request *r, struct str text, struct err *e), struct http_request *r)
{
	struct str text = {};
	struct err e = ERR_INIT;
	int rc = json_member_str(p, name, required, &text, &e);

	if (rc == 0 && text.p != NULL && check != NULL)
		rc = check(r, text, &e);
	if (rc != 0)
		add_fault(f, &e);
	else if (text.p != NULL)
		*ret = text;
}

static void read_unknown(struct faults *f, json_t *body, const char *const *known)
{
	const char *name;
	json_t *value;

	json_object_foreach(body, name, value) {
		const char *const *k = known;
		struct err e = ERR_INIT;

		while (*k != NULL && strcmp(*k, name) != 0)
			k++;
		if (*k != NULL)
			continue;
		err_set(&e, ERR_UNKNOWN_MEMBER, "there is no such member");
		(void)err_field(&e, name);
		add_fault(f, &e);
	}
}

static int check_email(struct http_request *r, struct str text, struct err *e)
{
	struct str clean;

	return email_clean(&clean, text, http_arena(r), e);
}

static int check_password(struct http_request *r, struct str text, struct err *e)
{
	return password_allowed(text, e);
}

static int check_name(struct http_request *r, struct str text, struct err *e)
{
	return person_name_check(text, e);
}

/* 422 with everything that is wrong, as an extension of RFC 9457 (§3.2). */
static void reply_faults(struct http_request *r, struct faults *f)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	const struct err_info *info = err_info(ERR_INVALID_VALUE);
	struct json_out j = json_out(&b);

	json_arr_close(&f->j);
	json_obj_open(&j);
	json_kcstr(&j, "type", "/problems/invalid_value");
	json_kcstr(&j, "title", info->title);
	json_ku64(&j, "status", 422);
	json_kcstr(&j, "detail", "what is wrong with the members is told in errors");
	json_kcstr(&j, "code", info->name);
	json_key(&j, "errors");
	json_raw(&j, buf_ok(&f->text) ? buf_str(&f->text) : STR("[]"));
	json_obj_close(&j);
	http_set_header(r, "Cache-Control", "no-store");
	http_reply_buf(r, 422, "application/problem+json", &b);
}

/* True: nothing is wrong. Else that was answered. */
static bool settle(struct http_request *r, struct faults *f)
{
	bool good = f->n == 0;

	if (!good)
		reply_faults(r, f);
	buf_release(&f->text);
	return good;
}

static void faults_init(struct faults *f)
{
	*f = (struct faults){.text = BUF_INIT};
	f->j = json_out(&f->text);
	json_arr_open(&f->j);
}

/* ---- POST /users/register ---- */

static void registered(struct engine_sign_up *s)
{
	struct person *p = CONTAINER_OF(s, struct person, sign_up);
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	char id[UUID_TEXT_LEN + 1];

	if (s->code != 0) {
		front_problem(p->base.r, s->code, &s->err);
		return;
	}
	uuid_format(id, p->account.id);
	json_obj_open(&j);
	json_kcstr(&j, "id", id);
	json_kstr(&j, "email", p->account.email);
	json_kstr(&j, "name", p->account.name);
	json_ktime(&j, "created_at", p->account.created_at);
	json_obj_close(&j);
	http_reply_json(p->base.r, 201, &b);
}

static void end_register(struct http_request *r)
{
	static const char *const known[] = {"email", "password", "name", NULL};
	struct person *p = json_request_begin(r, sizeof(*p));
	struct faults f;

	if (p == NULL)
		return;
	struct json_place place = {p->base.body, ""};
	p->account = (struct account){.name = STR(""), .role = ROLE_USER};
	p->sign_up = (struct engine_sign_up){
		.account = &p->account,
		.address = http_peer(r),
		.by = front_by(r),
		.arena = http_arena(r),
		.err = ERR_INIT,
		.done = registered,
	};
	faults_init(&f);
	read_member(&f, &place, "email", true, &p->account.email, check_email, r);
	read_member(&f, &place, "password", true, &p->sign_up.password, check_password, r);
	read_member(&f, &place, "name", false, &p->account.name, check_name, r);
	read_unknown(&f, p->base.body, known);
	if (settle(r, &f))
		engine_sign_up(front_engine(r), &p->sign_up);
}

const struct http_handler instashare_register = {.body_kind = HTTP_BODY_BUFFER, .end = end_register, .release = json_request_release};

/* ---- POST /users/login ---- */

static void logged_in(struct engine_sign_in *s)
{
	struct person *p = CONTAINER_OF(s, struct person, sign_in);
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	if (s->code != 0) {
		http_answer_late(p->base.r, s->late_ms);
		front_challenge(p->base.r, s->code);
		front_problem(p->base.r, s->code, &s->err);
		return;
	}
	json_obj_open(&j);
	json_kstr(&j, "token", str_of(s->token.text));
	json_kcstr(&j, "token_type", "bearer");
	json_ktime(&j, "expires_at", s->change.add_session.session.expires_at);
	json_obj_close(&j);
	wipe(&s->token, sizeof(s->token)); /* the answer ends the request's memory */
	http_reply_json(p->base.r, 200, &b);
}

static void end_login(struct http_request *r)
{
	static const char *const known[] = {"email", "password", NULL};
	struct person *p = json_request_begin(r, sizeof(*p));
	struct faults f;

	if (p == NULL)
		return;
	struct json_place place = {p->base.body, ""};
	p->sign_in = (struct engine_sign_in){
		.address = http_peer(r), .by = front_by(r), .arena = http_arena(r), .err = ERR_INIT, .done = logged_in};
	faults_init(&f);
	read_member(&f, &place, "email", true, &p->sign_in.email, NULL, r);
	read_member(&f, &place, "password", true, &p->sign_in.password, NULL, r);
	read_unknown(&f, p->base.body, known);
	if (settle(r, &f))
		engine_sign_in(front_engine(r), &p->sign_in);
}

const struct http_handler instashare_login = {.body_kind = HTTP_BODY_BUFFER, .end = end_login, .release = json_request_release};
