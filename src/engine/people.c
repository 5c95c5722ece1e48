#include "engine/people.h"
#include "auth/password.h"
#include "engine/engine_impl.h"
#include "rt/metrics.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define WAITING_MAX 32 /* for a thread: about a second of work */
#define WAITING_STRANGERS 24 /* of them whose address is not known for the account */
#define WAITING_ADDRESS 8 /* of them from one address */
#define TOUCH_MS 60000 /* a session's last use is kept to the minute, or to an eighth of the time it may be idle */
#define NICE 10 /* of the threads: whatever else there is to do goes first */

static_assert(PASSWORD_CHARACTERS_MIN == PASSWORD_MIN && PASSWORD_BYTES_MAX == PASSWORD_MAX && PASSWORD_TEXT <= PASSWORD_HASH_MAX + 1);
static_assert(TOKEN_HASH == SECRET_HASH);

struct people {
	struct pool *pool;
	struct throttle *throttle;
	pthread_mutex_t lock;
	struct password_work *works; /* waiting or under way */
	unsigned n;
};

/* ---- the threads ---- */

/* Those who are known first, else who came first. */
static struct pool_task **pick(void *arg, struct pool_task **first)
{
	for (struct pool_task **t = first; *t != NULL; t = &(*t)->next)
		if (CONTAINER_OF(*t, struct password_work, task)->known)
			return t;
	return first;
}

int people_start(struct engine *g, struct err *e)
{
	struct people *p;
	int rc;

	if (g->config.people.threads == 0)
		return 0;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for those who sign in");
	pthread_mutex_init(&p->lock, NULL);
	g->people = p;
	rc = throttle_new(&p->throttle, e);
	if (rc == 0)
		rc = pool_new(&p->pool, "password", g->config.people.threads, e);
	if (rc == 0)
		pool_pick_by(p->pool, pick, NULL);
	return rc;
}

void people_stop(struct engine *g)
{
	struct people *p = g->people;

	if (p == NULL)
		return;
	pool_free(p->pool);
	throttle_free(p->throttle);
	pthread_mutex_destroy(&p->lock);
	free(p);
	g->people = NULL;
}

static void leave(struct password_work *w)
{
	struct people *p = w->g->people;

	pthread_mutex_lock(&p->lock);
	*(w->prev != NULL ? &w->prev->next : &p->works) = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	p->n--;
	pthread_mutex_unlock(&p->lock);
}

static void run_work(struct pool_task *t)
{
	struct password_work *w = CONTAINER_OF(t, struct password_work, task);

	(void)setpriority(PRIO_PROCESS, 0, NICE); /* of this thread alone, on Linux */
	leave(w);
	w->run(w); /* the memory it lies in may be gone afterwards */
}

/* With the lock held. */
static int has_room(const struct people *p, struct str address, bool known, struct err *e)
{
	unsigned same = 0;

	if (p->n >= (known ? WAITING_MAX : WAITING_STRANGERS))
		return err_set(e, ERR_OVERLOADED, "too many are signing in now");
	for (const struct password_work *w = p->works; w != NULL; w = w->next)
		same += throttle_same_address(w->address, address);
	return same < WAITING_ADDRESS ? 0 : err_set(e, ERR_RATE_LIMITED, "too many are signing in from this address now");
}

static int enter(struct engine *g, struct password_work *w, struct str address, bool known, void (*run)(struct password_work *),
		 struct err *e)
{
	struct people *p = g->people;

	*w = (struct password_work){.task = {.run = run_work}, .g = g, .run = run, .address = address, .known = known};
	pthread_mutex_lock(&p->lock);
	int rc = has_room(p, address, known, e);
	if (rc == 0) {
		w->next = p->works;
		if (w->next != NULL)
			w->next->prev = w;
		p->works = w;
		p->n++;
	}
	pthread_mutex_unlock(&p->lock);
	if (rc == 0)
		pool_submit(p->pool, &w->task);
	return rc;
}

/* Also asked by those who have waited: a stop does not wait for all of them to be hashed. */
static int may_go_on(struct engine *g, struct err *e)
{
	return g->people != NULL && !engine_stopping(g) ? 0 : err_set(e, ERR_SHUTTING_DOWN, "the server is stopping and takes no new work");
}

/* What is asked before anything is begun. */
static int may_begin(struct engine *g, enum change_kind kind, struct err *e)
{
	int rc = may_go_on(g, e);

	if (rc != 0)
		return rc;
	rc = engine_takes_change(g, kind, e);
	return rc == 0 ? engine_admits(g, e) : rc;
}

/* Too long for any password there is: not hashed, which the sender knows beforehand. */
static int check_length(struct str password, struct err *e)
{
	if (password.len <= PASSWORD_BYTES_MAX)
		return 0;
	err_set(e, ERR_INVALID_VALUE, "a password is at most 1024 bytes long");
	(void)err_field(e, "password");
	return err_limit(e, PASSWORD_BYTES_MAX);
}

static int wrong(struct err *e)
{
	metric_add(METRIC_SIGN_INS_WRONG, 1);
	return err_set(e, ERR_BAD_CREDENTIALS, "there is no account with this email and password");
}

static int throttle(struct engine *g, struct str email, struct str address, struct throttle_try *ret, struct err *e)
{
	int rc = throttle_take(g->people->throttle, email, address, engine_mono(g), ret, e);

	if (rc == ERR_RATE_LIMITED)
		metric_add(METRIC_SIGN_INS_THROTTLED, 1);
	return rc;
}

/* ---- signing in ---- */

static void end_sign_in(struct engine_sign_in *s, int code)
{
	s->code = code;
	s->done(s);
}

static void session_committed(void *arg, struct change *c)
{
	struct engine_sign_in *s = arg;

	if (c->code == ERR_USER_NOT_FOUND || c->code == ERR_UNAUTHENTICATED) /* removed, switched off or changed since it was read */
		c->code = wrong(&c->err);
	if (c->code == 0)
		metric_add(METRIC_SIGN_INS, 1);
	else
		s->err = c->err;
	end_sign_in(s, c->code);
}

static int add_session(struct engine *g, struct engine_sign_in *s, int64_t now)
{
	struct change_add_session *c = &s->change.add_session;
	const struct webhook_secret random = engine_new_secret(g);
	enum token_kind kind;
	char id[UUID_TEXT_LEN + 1], session[UUID_TEXT_LEN + 1];

	static_assert(sizeof(random.b) >= 32);
	s->token = token_make(TOKEN_SESSION, random.b);
	s->change = (struct change){.kind = CHANGE_ADD_SESSION, .err = ERR_INIT};
	c->max = SESSIONS_AN_ACCOUNT_MAX;
	c->session = (struct session){
		.id = engine_new_id(g),
		.account = s->account.id,
		.created_at = now,
		.used_at = now,
		.expires_at = now + g->config.people.session_max_ms,
	};
	bool made = token_read(str_of(s->token.text), &kind, c->session.hash);
	assert(made);
	uuid_format(id, s->account.id);
	uuid_format(session, c->session.id);
	s->by.owner = arena_str(s->arena, (struct str){id, UUID_TEXT_LEN});
	return engine_audit(g, &s->change, s->arena, AUDIT_SESSION_BEGUN, &s->by, &s->err, LF_CSTR("session", session));
}

/* The account's, if he may come; an empty hash else, which costs the same. */
static int find_account(struct engine *g, struct engine_sign_in *s, struct str *ret_hash)
{
	int rc = catalog_account_by_email(g->catalog, s->email, s->arena, &s->account, &s->err);

	*ret_hash = rc == 0 && s->account.disabled_at == 0 ? s->account.password : STR("");
	return rc == ERR_USER_NOT_FOUND ? 0 : rc;
}

static void run_sign_in(struct password_work *w)
{
	struct engine_sign_in *s = CONTAINER_OF(w, struct engine_sign_in, work);
	struct engine *g = w->g;
	int64_t now = engine_now(g); /* before the account is read: a password that is changed from now on ends this session too */
	bool right = false;
	struct str hash = {};
	int rc = may_go_on(g, &s->err);

	if (rc == 0)
		rc = find_account(g, s, &hash);
	if (rc == 0)
		rc = password_check(hash, s->password, &right, &s->err);
	s->late_ms = rc != 0 || right ? 0 : s->counted.late_ms;
	if (rc != 0)
		throttle_back(g->people->throttle, &s->counted);
	else if (!right)
		rc = wrong(&s->err);
	else
		throttle_right(g->people->throttle, &s->counted, engine_mono(g));
	if (rc == 0)
		rc = add_session(g, s, now);
	if (rc != 0)
		end_sign_in(s, rc);
	else
		engine_submit(g, &s->change, session_committed, s);
}

void engine_sign_in(struct engine *g, struct engine_sign_in *s)
{
	int rc = check_length(s->password, &s->err);

	s->late_ms = rc != 0 ? 0 : THROTTLE_LATE_MS; /* unless it comes to comparing the password */
	if (rc == 0)
		rc = may_begin(g, CHANGE_ADD_SESSION, &s->err);
	if (rc == 0)
		rc = email_clean(&s->email, s->email, s->arena, NULL) == ERR_NO_MEMORY ? err_set(&s->err, ERR_NO_MEMORY, "no memory") : 0;
	if (rc == 0)
		rc = throttle(g, s->email, s->address, &s->counted, &s->err);
	if (rc == 0 && (rc = enter(g, &s->work, s->address, s->counted.known, run_sign_in, &s->err)) != 0)
		throttle_back(g->people->throttle, &s->counted);
	if (rc != 0)
		end_sign_in(s, rc);
}

/* ---- adding an account ---- */

static void end_sign_up(struct engine_sign_up *s, int code)
{
	s->code = code;
	s->done(s);
}

static void account_committed(void *arg, struct change *c)
{
	struct engine_sign_up *s = arg;

	if (c->code != 0)
		s->err = c->err;
	end_sign_up(s, c->code);
}

/* A new text of the password's hash, in the arena. */
static int make_hash(struct str *ret, struct str password, struct arena *a, struct err *e)
{
	char text[PASSWORD_TEXT];
	int rc = password_hash(text, password, e);

	if (rc != 0)
		return rc;
	*ret = arena_str(a, str_of(text));
	return ret->p != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a password");
}

static void run_sign_up(struct password_work *w)
{
	struct engine_sign_up *s = CONTAINER_OF(w, struct engine_sign_up, work);
	struct engine *g = w->g;
	char id[UUID_TEXT_LEN + 1];
	int rc = may_go_on(g, &s->err);

	if (rc == 0)
		rc = make_hash(&s->account->password, s->password, s->arena, &s->err);
	s->account->id = engine_new_id(g);
	s->account->created_at = s->account->changed_at = engine_now(g);
	s->change = (struct change){.kind = CHANGE_ADD_ACCOUNT, .err = ERR_INIT, .add_account = {.account = s->account}};
	uuid_format(id, s->account->id);
	if (rc == 0)
		rc = engine_audit(g, &s->change, s->arena, AUDIT_USER_ADDED, &s->by, &s->err, LF_CSTR("user", id),
				  LF_CSTR("role", role_name(s->account->role)));
	if (rc != 0)
		end_sign_up(s, rc);
	else
		engine_submit(g, &s->change, account_committed, s);
}

void engine_sign_up(struct engine *g, struct engine_sign_up *s)
{
	int rc = may_begin(g, CHANGE_ADD_ACCOUNT, &s->err);

	if (rc == 0)
		rc = email_clean(&s->account->email, s->account->email, s->arena, &s->err);
	if (rc == 0)
		rc = person_name_check(s->account->name, &s->err);
	if (rc == 0)
		rc = password_allowed(s->password, &s->err);
	if (rc == 0)
		rc = enter(g, &s->work, s->address, true, run_sign_up, &s->err);
	if (rc != 0)
		end_sign_up(s, rc);
}

/* ---- another password ---- */

static void end_new_password(struct engine_new_password *s, int code)
{
	s->code = code;
	s->done(s);
}

static void password_committed(void *arg, struct change *c)
{
	struct engine_new_password *s = arg;

	if (c->code != 0)
		s->err = c->err;
	end_new_password(s, c->code);
}

static int check_old(struct engine *g, struct engine_new_password *s)
{
	struct account account;
	bool right = false;
	int rc = may_go_on(g, &s->err);

	if (rc == 0)
		rc = catalog_account(g->catalog, s->account, s->arena, &account, &s->err);
	if (rc == 0)
		rc = password_check(account.password, s->old, &right, &s->err);
	s->late_ms = rc != 0 || right ? 0 : s->counted.late_ms;
	if (rc != 0)
		throttle_back(g->people->throttle, &s->counted);
	else if (!right)
		rc = wrong(&s->err);
	else
		throttle_right(g->people->throttle, &s->counted, engine_mono(g));
	return rc;
}

static void run_new_password(struct password_work *w)
{
	struct engine_new_password *s = CONTAINER_OF(w, struct engine_new_password, work);
	struct engine *g = w->g;
	char id[UUID_TEXT_LEN + 1];
	int rc = check_old(g, s);

	s->change =
		(struct change){.kind = CHANGE_PATCH_ACCOUNT, .err = ERR_INIT, .patch_account = {.id = s->account, .now = engine_now(g)}};
	uuid_format(id, s->account);
	if (rc == 0)
		rc = make_hash(&s->change.patch_account.password, s->password, s->arena, &s->err);
	if (rc == 0)
		rc = engine_audit(g, &s->change, s->arena, AUDIT_USER_CHANGED, &s->by, &s->err, LF_CSTR("user", id),
				  LF_BOOL("password", true));
	if (rc != 0)
		end_new_password(s, rc);
	else
		engine_submit(g, &s->change, password_committed, s);
}

void engine_change_password(struct engine *g, struct engine_new_password *s)
{
	int rc = may_begin(g, CHANGE_PATCH_ACCOUNT, &s->err);

	if (rc == 0)
		rc = check_length(s->old, &s->err);
	if (rc == 0)
		rc = password_allowed(s->password, &s->err);
	if (rc == 0) {
		s->late_ms = THROTTLE_LATE_MS;
		rc = throttle(g, s->email, s->address, &s->counted, &s->err);
	}
	if (rc == 0 && (rc = enter(g, &s->work, s->address, true, run_new_password, &s->err)) != 0)
		throttle_back(g->people->throttle, &s->counted);
	if (rc != 0)
		end_new_password(s, rc);
}

/* ---- sessions in use ---- */

uint64_t engine_people_changes(struct engine *g)
{
	return atomic_load(&g->people_changes);
}

uint64_t engine_key_changes(struct engine *g)
{
	return atomic_load(&g->key_changes);
}

void people_changed(struct engine *g, bool keys)
{
	if (keys)
		atomic_fetch_add(&g->key_changes, 1);
	atomic_fetch_add(&g->people_changes, 1);
}

static void touched(void *arg, struct change *c)
{
	free(c); /* refused or not: nobody waits, and the next use tries again */
}

void engine_session_used(struct engine *g, const struct session *session)
{
	int64_t now = engine_now(g), eighth = g->config.people.session_idle_ms / 8;
	struct change *c;
	struct err e = ERR_INIT;

	if (now - session->used_at < (eighth < TOUCH_MS ? eighth : TOUCH_MS) || engine_stopping(g) || engine_admits(g, &e) != 0)
		return;
	c = malloc(sizeof(*c));
	if (c == NULL)
		return;
	*c = (struct change){.kind = CHANGE_TOUCH_SESSION, .err = ERR_INIT, .touch_session = {.used_at = now}};
	memcpy(c->touch_session.hash, session->hash, sizeof(session->hash));
	engine_submit(g, c, touched, NULL);
}
