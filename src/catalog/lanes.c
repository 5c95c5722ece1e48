#include "catalog/lanes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* As a lane was before it changed. */
struct lane_kept {
	struct lane *lane;
	bool stored;
	uint64_t waiting, running;
	int64_t head_at[LEVELS];
};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- finding and making ---- */

void lanes_release(struct lanes *l)
{
	free(l->numbered);
	free(l->buckets);
	free(l->kept);
	arena_release(&l->memory);
	*l = (struct lanes){};
}

static uint64_t hash(struct str owner, struct str op)
{
	uint64_t h = str_hash(str_hash(str_hash(STR_HASH, owner), STR("\xff")), op);

	return h ^ h >> 32;
}

static struct lane **bucket(const struct lanes *l, struct str owner, struct str op)
{
	size_t mask = l->n_buckets - 1, i = (size_t)hash(owner, op) & mask;

	while (l->buckets[i] && !(str_eq(l->buckets[i]->owner->name, owner) && str_eq(l->buckets[i]->op->name, op)))
		i = (i + 1) & mask;
	return &l->buckets[i];
}

static bool grow_buckets(struct lanes *l)
{
	struct lanes bigger = {.n_buckets = l->n_buckets ? l->n_buckets * 2 : 64};

	if (l->n_lanes * 2 < l->n_buckets)
		return true;
	bigger.buckets = calloc(bigger.n_buckets, sizeof(struct lane *));
	if (!bigger.buckets)
		return false;
	for (size_t i = 0; i < l->n_buckets; i++)
		if (l->buckets[i])
			*bucket(&bigger, l->buckets[i]->owner->name, l->buckets[i]->op->name) = l->buckets[i];
	free(l->buckets);
	l->buckets = bigger.buckets;
	l->n_buckets = bigger.n_buckets;
	return true;
}

static bool grow_numbers(struct lanes *l, int64_t number)
{
	size_t cap = l->cap_numbered ? l->cap_numbered : 64;
	struct lane **bigger;

	while (cap < (size_t)number)
		cap *= 2;
	if (cap == l->cap_numbered)
		return true;
	bigger = reallocarray(l->numbered, cap, sizeof(struct lane *));
	if (!bigger)
		return false;
	memset(bigger + l->cap_numbered, 0, (cap - l->cap_numbered) * sizeof(struct lane *));
	l->numbered = bigger;
	l->cap_numbered = cap;
	return true;
}

static struct lane_owner *find_owner(const struct lanes *l, struct str name)
{
	struct lane_owner *o = l->owners;

	while (o && !str_eq(o->name, name))
		o = o->next;
	return o;
}

static struct lane_owner *get_owner(struct lanes *l, struct str name)
{
	struct lane_owner *o = find_owner(l, name);

	if (o)
		return o;
	o = arena_alloc(&l->memory, sizeof(*o));
	if (!o)
		return NULL;
	o->name = arena_str(&l->memory, name);
	if (!o->name.p)
		return NULL;
	o->next_at = INT64_MAX;
	o->next = l->owners;
	l->owners = o;
	return o;
}

static struct lane_op *get_op(struct lanes *l, struct str name)
{
	struct lane_op *op = l->ops;

	while (op && !str_eq(op->name, name))
		op = op->next;
	if (op)
		return op;
	op = arena_alloc(&l->memory, sizeof(*op));
	if (!op)
		return NULL;
	op->name = arena_str(&l->memory, name);
	if (!op->name.p)
		return NULL;
	op->limit = UINT64_MAX;
	op->next = l->ops;
	l->ops = op;
	return op;
}

struct lane *lanes_restore(struct lanes *l, int64_t number, struct str owner, struct str op)
{
	struct lane_owner *o;
	struct lane_op *x;
	struct lane *lane;

	if (!grow_buckets(l) || !grow_numbers(l, number))
		return NULL;
	o = get_owner(l, owner);
	x = o ? get_op(l, op) : NULL;
	lane = x ? arena_alloc(&l->memory, sizeof(*lane)) : NULL;
	if (!lane)
		return NULL;
	*lane = (struct lane){.next = o->lanes, .owner = o, .op = x, .number = number};
	for (unsigned p = 0; p < LEVELS; p++)
		lane->head_at[p] = INT64_MAX;
	o->lanes = lane;
	*bucket(l, owner, op) = lane;
	l->n_lanes++;
	l->numbered[number - 1] = lane;
	if ((size_t)number > l->n_numbered)
		l->n_numbered = (size_t)number;
	return lane;
}

struct lane *lanes_get(struct lanes *l, struct str owner, struct str op)
{
	struct lane *lane = l->n_buckets ? *bucket(l, owner, op) : NULL;

	return lane ? lane : lanes_restore(l, (int64_t)l->n_numbered + 1, owner, op);
}

struct lane *lanes_find(const struct lanes *l, struct str owner, struct str op)
{
	return l->n_buckets ? *bucket(l, owner, op) : NULL;
}

struct lane *lanes_numbered(const struct lanes *l, int64_t number)
{
	return number > 0 && (uint64_t)number <= l->n_numbered ? l->numbered[number - 1] : NULL;
}

uint64_t lanes_waiting_of(const struct lanes *l, struct str owner, struct str op)
{
	const struct lane *lane = l->n_buckets ? *bucket(l, owner, op) : NULL;
	const struct lane_owner *o = lane ? lane->owner : find_owner(l, owner);

	return o ? o->waiting : 0;
}

int64_t lanes_least_run_at(const struct lanes *l)
{
	int64_t at = INT64_MAX;

	for (const struct lane_owner *o = l->first; o; o = o->after)
		at = o->next_at < at ? o->next_at : at;
	return at;
}

/* ---- turns ---- */

static void leave_turns(struct lanes *l, struct lane_owner *o)
{
	*(o->before ? &o->before->after : &l->first) = o->after;
	*(o->after ? &o->after->before : &l->last) = o->before;
	o->before = o->after = NULL;
}

static void join_turns(struct lanes *l, struct lane_owner *o)
{
	o->before = l->last;
	o->after = NULL;
	*(l->last ? &l->last->after : &l->first) = o;
	l->last = o;
}

static bool is_newcomer(const struct lane_owner *o)
{
	return o->waiting > 0 && o->running == 0;
}

/* The counts follow here and nowhere else, and with them who takes turns. */
static void count(struct lanes *l, struct lane *lane, uint64_t waiting, uint64_t running)
{
	struct lane_owner *o = lane->owner;
	bool waited = o->waiting > 0, was_newcomer = is_newcomer(o);

	o->waiting += waiting - lane->waiting;
	o->running += running - lane->running;
	lane->op->running += running - lane->running;
	lane->waiting = waiting;
	lane->running = running;
	l->newcomers += (uint64_t)is_newcomer(o) - (uint64_t)was_newcomer;
	if (!waited && o->waiting > 0)
		join_turns(l, o);
	else if (waited && o->waiting == 0)
		leave_turns(l, o);
}

static int64_t least_head(const struct lane *lane)
{
	int64_t at = lane->head_at[0];

	for (unsigned p = 1; p < LEVELS; p++)
		at = lane->head_at[p] < at ? lane->head_at[p] : at;
	return at;
}

static void look_for_next(struct lane_owner *o)
{
	o->next_at = INT64_MAX;
	for (const struct lane *lane = o->lanes; lane; lane = lane->next) {
		int64_t at = least_head(lane);
		o->next_at = at < o->next_at ? at : o->next_at;
	}
}

/* ---- what happens to jobs ---- */

bool lane_keep(struct lanes *l, struct lane *lane)
{
	struct lane_kept *k;

	if (lane->kept == l->era + 1)
		return true;
	if (l->n_kept == l->cap_kept) {
		size_t cap = l->cap_kept ? l->cap_kept * 2 : 64;
		struct lane_kept *bigger = reallocarray(l->kept, cap, sizeof(*bigger));

		if (!bigger)
			return false;
		l->kept = bigger;
		l->cap_kept = cap;
	}
	k = &l->kept[l->n_kept++];
	*k = (struct lane_kept){.lane = lane, .stored = lane->stored, .waiting = lane->waiting, .running = lane->running};
	memcpy(k->head_at, lane->head_at, sizeof(k->head_at));
	lane->kept = l->era + 1;
	return true;
}

void lane_waits(struct lanes *l, struct lane *lane, uint32_t priority, int64_t run_at)
{
	count(l, lane, lane->waiting + 1, lane->running);
	if (run_at >= lane->head_at[priority])
		return;
	lane->head_at[priority] = run_at;
	if (run_at < lane->owner->next_at)
		lane->owner->next_at = run_at;
}

void lane_no_longer_waits(struct lanes *l, struct lane *lane)
{
	assert(lane->waiting > 0);
	count(l, lane, lane->waiting - 1, lane->running);
}

void lane_runs(struct lanes *l, struct lane *lane, int one)
{
	assert(one > 0 || lane->running > 0);
	count(l, lane, lane->waiting, one > 0 ? lane->running + 1 : lane->running - 1);
}

void lane_set_head(struct lanes *l, struct lane *lane, uint32_t priority, int64_t run_at)
{
	if (lane->head_at[priority] == run_at)
		return;
	lane->head_at[priority] = run_at;
	look_for_next(lane->owner);
}

void lane_count(struct lanes *l, struct lane *lane, uint64_t waiting, uint64_t running)
{
	count(l, lane, waiting, running);
}

void lanes_forget_heads(struct lanes *l)
{
	for (struct lane_owner *o = l->owners; o; o = o->next) {
		o->next_at = INT64_MAX;
		for (struct lane *lane = o->lanes; lane; lane = lane->next)
			for (unsigned p = 0; p < LEVELS; p++)
				lane->head_at[p] = INT64_MAX;
	}
}

size_t lanes_mark(struct lanes *l)
{
	l->era++;
	return l->n_kept;
}

void lanes_undo(struct lanes *l, size_t mark)
{
	while (l->n_kept > mark) {
		const struct lane_kept *k = &l->kept[--l->n_kept];

		k->lane->stored = k->stored;
		memcpy(k->lane->head_at, k->head_at, sizeof(k->head_at));
		count(l, k->lane, k->waiting, k->running);
		look_for_next(k->lane->owner);
	}
	l->era++;
}

void lanes_commit(struct lanes *l)
{
	l->n_kept = 0;
	l->era++;
}

/* ---- claiming ---- */

/* A claim under way. */
struct claiming {
	struct lanes *l;
	const struct change_claim *c;
	lane_take_fn *take;
	void *arg;
};

static void set_limits(struct lanes *l, const struct change_claim *c)
{
	for (struct lane_op *op = l->ops; op; op = op->next) {
		op->limit = op->may_run = c->listed_only ? 0 : UINT64_MAX; /* and it stays so where it is not listed */
		for (size_t i = 0; i < c->n_limits; i++)
			if (str_eq(c->limits[i].op, op->name))
				op->limit = op->may_run = c->limits[i].running;
	}
}

/* How many more of this op may run. */
static uint64_t room_of_op(const struct lane_op *op)
{
	return op->running < op->may_run ? op->may_run - op->running : 0;
}

/* What is left under the limits is divided too. */
static void share_limits(struct lanes *l, uint32_t sharers)
{
	for (struct lane_op *op = l->ops; op; op = op->next) {
		uint64_t room = op->running < op->limit ? op->limit - op->running : 0;

		if (op->limit != UINT64_MAX)
			op->may_run = op->running + (room > sharers ? room / sharers : room > 0);
	}
}

static uint64_t room_of_owner(const struct claiming *x, const struct lane_owner *o)
{
	if (x->c->newcomers)
		return o->running == 0;
	if (x->c->owner_limit == 0)
		return UINT64_MAX;
	return o->running < x->c->owner_limit ? x->c->owner_limit - o->running : 0;
}

/* The highest priority of which something is ready that may run, and the one whose ready job has waited longest. */
static bool choose(const struct claiming *x, const struct lane_owner *o, uint32_t *ret_highest, uint32_t *ret_longest)
{
	int64_t longest_at = INT64_MAX;
	bool found = false;

	if (o->next_at > x->c->now)
		return false;
	for (uint32_t p = 0; p < LEVELS; p++)
		for (const struct lane *lane = o->lanes; lane; lane = lane->next) {
			int64_t at = lane->head_at[p];

			if (at > x->c->now || room_of_op(lane->op) == 0)
				continue;
			if (!found)
				*ret_highest = p;
			found = true;
			if (at < longest_at) {
				longest_at = at;
				*ret_longest = p;
			}
		}
	return found;
}

static bool has_turn(const struct claiming *x, const struct lane_owner *o)
{
	uint32_t highest, longest;

	return room_of_owner(x, o) > 0 && choose(x, o, &highest, &longest);
}

static int take_level(const struct claiming *x, const struct lane_owner *o, uint32_t priority, uint32_t max, uint32_t *ret_taken)
{
	struct lane *lanes[LANES_A_TURN];
	uint64_t most[LANES_A_TURN];
	size_t n = 0;

	for (struct lane *lane = o->lanes; lane && n < LANES_A_TURN; lane = lane->next) {
		if (lane->head_at[priority] > x->c->now || room_of_op(lane->op) == 0)
			continue;
		lanes[n] = lane;
		most[n++] = room_of_op(lane->op);
	}
	return x->take(x->arg, lanes, most, n, priority, max, ret_taken);
}

/* Up to `want` of this owner's ready jobs. */
static int serve(const struct claiming *x, struct lane_owner *o, uint32_t want, uint32_t *ret_taken)
{
	uint32_t highest, longest;

	*ret_taken = 0;
	want = (uint32_t)least(want, room_of_owner(x, o));
	while (*ret_taken < want && choose(x, o, &highest, &longest)) {
		bool overtakes = longest != highest, give_way = overtakes && o->passed >= PRIORITY_TURN - 1;
		uint64_t max = want - *ret_taken;
		uint32_t taken = 0;

		if (overtakes)
			max = give_way ? 1 : least(max, PRIORITY_TURN - 1 - o->passed);
		int rc = take_level(x, o, give_way ? longest : highest, (uint32_t)max, &taken);
		if (rc != 0 || taken == 0)
			return rc;
		o->passed = give_way || !overtakes ? 0 : o->passed + taken;
		*ret_taken += taken;
	}
	return 0;
}

/* Everybody's turn once: what is wanted, divided by who may have some of it. Those who had their turn come last, so that the next claim begins where this one ended. */
static int serve_all(const struct claiming *x, uint32_t want, uint32_t *ret_taken)
{
	struct lane_owner *o, *next, *last = x->l->last;
	uint32_t n = 0, share;

	*ret_taken = 0;
	if (x->c->n_limits > 0)
		share_limits(x->l, 1);
	for (o = x->l->first; o; o = o->after)
		n += has_turn(x, o);
	share = n > 0 && want / n > 1 ? want / n : 1;
	for (o = x->l->first; n > 0 && o && *ret_taken < want; o = next) {
		uint32_t taken;
		int rc;

		next = o == last ? NULL : o->after;
		if (x->c->n_limits > 0)
			share_limits(x->l, n);
		if (!has_turn(x, o))
			continue;
		rc = serve(x, o, (uint32_t)least(share, want - *ret_taken), &taken);
		if (rc != 0)
			return rc;
		*ret_taken += taken;
		if (o->waiting > 0 && taken > 0) {
			leave_turns(x->l, o);
			join_turns(x->l, o);
		}
	}
	return 0;
}

static int64_t next_after(const struct lane_owner *o, int64_t now)
{
	int64_t next = INT64_MAX;

	for (const struct lane *lane = o->lanes; lane; lane = lane->next)
		for (unsigned p = 0; p < LEVELS; p++)
			if (lane->head_at[p] > now && lane->head_at[p] < next)
				next = lane->head_at[p];
	return next;
}

/* What is left, for whoever has to know when to ask again. */
static void tell_rest(const struct lanes *l, struct change_claim *c)
{
	c->left = false;
	c->next_at = INT64_MAX;
	for (const struct lane_owner *o = l->first; o; o = o->after) {
		int64_t at = o->next_at;

		if (at <= c->now) {
			c->left = true;
			at = next_after(o, c->now);
		}
		c->next_at = at < c->next_at ? at : c->next_at;
	}
}

int lanes_claim(struct lanes *l, struct change_claim *c, lane_take_fn *take, void *arg)
{
	const struct claiming x = {.l = l, .c = c, .take = take, .arg = arg};
	uint32_t left = c->max, taken = 1;

	set_limits(l, c);
	while (left > 0 && taken > 0) {
		int rc = serve_all(&x, left, &taken);
		if (rc != 0)
			return rc;
		left -= taken;
	}
	tell_rest(l, c);
	return 0;
}
