/* Who comes in, and who waits for it. The password threads are in the test's hand: they ask for the time, and get it when the test likes. */
#include "engine/people.h"
#include "world.h"

#include <stdio.h>
#include <string.h>

#define WAITING 24 /* what src/engine/people.c lets wait of strangers, in all and of one address */
#define WAITING_ADDRESS 8
#define PASSWORD STR("a horse that is correct")
#define SESSION_MAX_MS INT64_C(1000000)

static struct hands {
	struct env env;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool hold; /* password threads wait */
	bool held; /* one does */
	unsigned done;
} hands;

static int64_t wall_in_hand(struct env *e)
{
	char name[16] = "";

	pthread_getname_np(pthread_self(), name, sizeof(name));
	if (strncmp(name, "password", 8) == 0) {
		pthread_mutex_lock(&hands.lock);
		while (hands.hold) {
			hands.held = true;
			pthread_cond_broadcast(&hands.cond);
			pthread_cond_wait(&hands.cond, &hands.lock);
		}
		hands.held = false;
		pthread_mutex_unlock(&hands.lock);
	}
	return env_real.wall_ms(&env_real);
}

static void set_hold(bool hold)
{
	pthread_mutex_lock(&hands.lock);
	hands.hold = hold;
	pthread_cond_broadcast(&hands.cond);
	pthread_mutex_unlock(&hands.lock);
}

static void wait_held(void)
{
	pthread_mutex_lock(&hands.lock);
	while (!hands.held)
		pthread_cond_wait(&hands.cond, &hands.lock);
	pthread_mutex_unlock(&hands.lock);
}

static void open_world(struct world *w)
{
	struct engine_config c = world_config();

	hands = (struct hands){.env = env_real, .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	hands.env.wall_ms = wall_in_hand;
	*w = (struct world){.env = &hands.env};
	c.people = (struct engine_people){.threads = 1, .session_idle_ms = SESSION_MAX_MS, .session_max_ms = SESSION_MAX_MS};
	world_open(w, &c);
}

static void count_done(void)
{
	pthread_mutex_lock(&hands.lock);
	hands.done++;
	pthread_cond_broadcast(&hands.cond);
	pthread_mutex_unlock(&hands.lock);
}

static unsigned how_many_done(void)
{
	pthread_mutex_lock(&hands.lock);
	unsigned n = hands.done;
	pthread_mutex_unlock(&hands.lock);
	return n;
}

static void wait_done(unsigned n)
{
	pthread_mutex_lock(&hands.lock);
	while (hands.done < n)
		pthread_cond_wait(&hands.cond, &hands.lock);
	pthread_mutex_unlock(&hands.lock);
}

static void sign_up_done(struct engine_sign_up *s)
{
	count_done();
}

/* One who signs in; begun and ended apart. */
struct comer {
	struct arena arena;
	char email[64], address[64];
	unsigned order; /* how many were done before */
	struct engine_sign_in in;
};

static void sign_in_done(struct engine_sign_in *s)
{
	struct comer *c = CONTAINER_OF(s, struct comer, in);

	pthread_mutex_lock(&hands.lock);
	c->order = hands.done++; /* under the lock: whoever sees the count may look at it */
	pthread_cond_broadcast(&hands.cond);
	pthread_mutex_unlock(&hands.lock);
}

static void come(struct world *w, struct comer *c, struct str password)
{
	c->in = (struct engine_sign_in){
		.email = str_of(c->email),
		.password = password,
		.address = str_of(c->address),
		.by = {.how = "request"},
		.arena = &c->arena,
		.err = ERR_INIT,
		.done = sign_in_done,
	};
	engine_sign_in(w->g, &c->in);
}

static int come_in(struct world *w, const char *email, struct str password, struct comer *c)
{
	unsigned before = how_many_done();

	*c = (struct comer){.arena = ARENA_INIT};
	snprintf(c->email, sizeof(c->email), "%s", email);
	snprintf(c->address, sizeof(c->address), "192.0.2.1");
	come(w, c, password);
	wait_done(before + 1);
	return c->in.code;
}

static int add(struct world *w, struct arena *a, struct account *account, const char *email, struct str password)
{
	unsigned before = how_many_done();
	struct engine_sign_up up = {.account = account,
				    .password = password,
				    .address = STR("192.0.2.1"),
				    .by = {.how = "request"},
				    .arena = a,
				    .err = ERR_INIT,
				    .done = sign_up_done};

	*account = (struct account){.email = str_of(email), .name = STR(""), .role = ROLE_ADMIN};
	engine_sign_up(w->g, &up);
	wait_done(before + 1);
	return up.code;
}

static void the_right_password_begins_a_session_and_no_other_does(void **state)
{
	struct arena a = ARENA_INIT;
	struct account ann, who;
	struct session session;
	struct comer c;
	struct world w;
	struct err e = ERR_INIT;
	uint8_t hash[TOKEN_HASH];
	enum token_kind kind;

	open_world(&w);
	assert_int_equal(add(&w, &a, &ann, "Ann@example.org", PASSWORD), 0);
	assert_int_equal(come_in(&w, "ann@EXAMPLE.org", PASSWORD, &c), 0);
	assert_true(token_read(str_of(c.in.token.text), &kind, hash));
	assert_int_equal(kind, TOKEN_SESSION);
	int64_t now = env_real.wall_ms(&env_real);
	assert_int_equal(catalog_session(w.catalog, hash, now, SESSION_MAX_MS, &a, &session, &who, &e), 0);
	assert_true(uuid_eq(who.id, ann.id) && uuid_eq(session.account, ann.id));
	assert_int_equal(session.expires_at - session.created_at, SESSION_MAX_MS);
	arena_release(&c.arena);
	assert_int_equal(come_in(&w, "ann@example.org", STR("a horse that is wrong"), &c), ERR_BAD_CREDENTIALS);
	arena_release(&c.arena);
	assert_int_equal(come_in(&w, "nobody@example.org", PASSWORD, &c), ERR_BAD_CREDENTIALS);
	arena_release(&c.arena);
	arena_release(&a);
	world_close(&w);
}

static void an_account_that_is_switched_off_cannot_be_told_from_a_wrong_password(void **state)
{
	struct arena a = ARENA_INIT;
	struct account admin, ann;
	struct comer off, wrong;
	struct world w;

	open_world(&w);
	assert_int_equal(add(&w, &a, &admin, "admin@example.org", PASSWORD), 0);
	assert_int_equal(add(&w, &a, &ann, "ann@example.org", PASSWORD), 0);
	struct change c = {.kind = CHANGE_PATCH_ACCOUNT, .err = ERR_INIT};
	c.patch_account =
		(struct change_patch_account){.id = ann.id, .set_disabled = true, .disabled = true, .now = env_real.wall_ms(&env_real)};
	assert_int_equal(apply(&w, &c), 0);
	assert_int_equal(come_in(&w, "ann@example.org", PASSWORD, &off), ERR_BAD_CREDENTIALS);
	assert_int_equal(come_in(&w, "ann@example.org", STR("a horse that is wrong"), &wrong), ERR_BAD_CREDENTIALS);
	assert_string_equal(off.in.err.detail, wrong.in.err.detail);
	arena_release(&off.arena);
	arena_release(&wrong.arena);
	arena_release(&a);
	world_close(&w);
}

static struct comer comers[WAITING + 1 + WAITING_ADDRESS + 1];

static struct comer *next(unsigned n, unsigned address)
{
	struct comer *c = &comers[n];

	*c = (struct comer){.arena = ARENA_INIT};
	snprintf(c->email, sizeof(c->email), "user%u@example.org", n);
	if (address == 1) /* one customer's, as IPv6 is handed out */
		snprintf(c->address, sizeof(c->address), "2001:db8::%x:1", n + 1);
	else
		snprintf(c->address, sizeof(c->address), "198.51.100.%u", address);
	return c;
}

static int code_now(struct world *w, unsigned n, unsigned address)
{
	struct comer *c = next(n, address);
	unsigned before = how_many_done();

	come(w, c, PASSWORD);
	return how_many_done() > before ? c->in.code : 0;
}

static void of_one_address_eight_wait_and_of_all_strangers_twenty_four(void **state)
{
	unsigned n = 0, waiting = 0;
	struct world w;

	open_world(&w);
	set_hold(true);
	assert_int_equal(code_now(&w, n++, 250), 0); /* has the thread */
	wait_held();
	while (waiting < WAITING_ADDRESS) {
		assert_int_equal(code_now(&w, n++, 1), 0);
		waiting++;
	}
	assert_int_equal(code_now(&w, n++, 1), ERR_RATE_LIMITED);
	while (waiting < WAITING) {
		assert_int_equal(code_now(&w, n++, 2 + waiting / WAITING_ADDRESS), 0);
		waiting++;
	}
	assert_int_equal(code_now(&w, n++, 200), ERR_OVERLOADED);
	set_hold(false);
	wait_done(n);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(comers[i].in.code == 0, false); /* there are no accounts */
		arena_release(&comers[i].arena);
	}
	assert_int_equal(code_now(&w, 0, 1), 0);
	wait_done(n + 1);
	arena_release(&comers[0].arena);
	assert_int_equal(how_many_done(), n + 1);
	world_close(&w);
}

/* So many strangers that nobody else gets in, and the thread is held. Returns how many. */
static unsigned crowd(struct world *w)
{
	unsigned n = 0;

	set_hold(true);
	assert_int_equal(code_now(w, n++, 250), 0);
	wait_held();
	for (; n < 1 + WAITING; n++)
		assert_int_equal(code_now(w, n, 10 + n / 4), 0);
	assert_int_equal(code_now(w, n++, 200), ERR_OVERLOADED);
	return n;
}

static void release_crowd(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		arena_release(&comers[i].arena);
}

static void what_was_not_checked_for_want_of_room_does_not_count_as_a_try(void **state)
{
	struct arena a = ARENA_INIT;
	struct account ann;
	struct comer c;
	struct world w;

	open_world(&w);
	assert_int_equal(add(&w, &a, &ann, "ann@example.org", PASSWORD), 0);
	unsigned before = how_many_done(), n = crowd(&w);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(come_in(&w, "ann@example.org", PASSWORD, &c), ERR_OVERLOADED);
		arena_release(&c.arena);
	}
	set_hold(false);
	wait_done(before + n + 50);
	assert_int_equal(come_in(&w, "ann@example.org", PASSWORD, &c), 0);
	arena_release(&c.arena);
	release_crowd(n);
	arena_release(&a);
	world_close(&w);
}

static void only_who_was_refused_often_waits_for_his_answer(void **state)
{
	struct arena a = ARENA_INIT;
	struct account ann;
	struct comer c;
	struct world w;

	open_world(&w);
	assert_int_equal(add(&w, &a, &ann, "ann@example.org", PASSWORD), 0);
	for (int i = 0; i < 11; i++) {
		assert_int_equal(come_in(&w, "nobody@example.org", PASSWORD, &c), i < 10 ? ERR_BAD_CREDENTIALS : ERR_RATE_LIMITED);
		assert_int_equal(c.in.late_ms, i < 5 ? 0 : i < 10 ? 200 * (i - 4) : THROTTLE_LATE_MS);
		arena_release(&c.arena);
	}
	for (int i = 0; i < 9; i++) {
		assert_int_equal(come_in(&w, "ann@example.org", STR("a horse that is wrong"), &c), ERR_BAD_CREDENTIALS);
		assert_int_equal(c.in.late_ms, i < 5 ? 0 : 200 * (i - 4)); /* as with the one that there is not */
		arena_release(&c.arena);
	}
	assert_int_equal(come_in(&w, "ann@example.org", PASSWORD, &c), 0);
	assert_int_equal(c.in.late_ms, 0);
	arena_release(&c.arena);
	unsigned before = how_many_done(), n = crowd(&w);
	assert_int_equal(comers[n - 1].in.late_ms, THROTTLE_LATE_MS); /* no room */
	set_hold(false);
	wait_done(before + n);
	release_crowd(n);
	arena_release(&a);
	world_close(&w);
}

static void whoever_came_in_from_there_before_goes_first(void **state)
{
	struct arena a = ARENA_INIT;
	struct account ann;
	struct comer c, again = {.arena = ARENA_INIT};
	struct world w;

	open_world(&w);
	assert_int_equal(add(&w, &a, &ann, "ann@example.org", PASSWORD), 0);
	assert_int_equal(come_in(&w, "ann@example.org", PASSWORD, &c), 0);
	unsigned before = how_many_done(), n = crowd(&w);
	again = c;
	again.arena = ARENA_INIT;
	come(&w, &again, PASSWORD);
	assert_int_equal(how_many_done(), before + 1); /* the one stranger too many */
	set_hold(false);
	wait_done(before + n + 1);
	assert_int_equal(again.in.code, 0);
	for (unsigned i = 1; i < 1 + WAITING; i++) /* the first one had the thread */
		assert_true(again.order < comers[i].order);
	arena_release(&c.arena);
	arena_release(&again.arena);
	release_crowd(n);
	arena_release(&a);
	world_close(&w);
}

static void a_stop_does_not_wait_for_those_who_wait(void **state)
{
	struct world w;

	open_world(&w);
	unsigned n = crowd(&w);
	engine_quiesce(w.g);
	set_hold(false);
	wait_done(n);
	for (unsigned i = 1; i < 1 + WAITING; i++)
		assert_int_equal(comers[i].in.code, ERR_SHUTTING_DOWN);
	release_crowd(n);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_right_password_begins_a_session_and_no_other_does),
		cmocka_unit_test(an_account_that_is_switched_off_cannot_be_told_from_a_wrong_password),
		cmocka_unit_test(of_one_address_eight_wait_and_of_all_strangers_twenty_four),
		cmocka_unit_test(what_was_not_checked_for_want_of_room_does_not_count_as_a_try),
		cmocka_unit_test(only_who_was_refused_often_waits_for_his_answer),
		cmocka_unit_test(whoever_came_in_from_there_before_goes_first),
		cmocka_unit_test(a_stop_does_not_wait_for_those_who_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
