/* glibc's check of longjmp() takes another stack for a mistake. */
#undef _FORTIFY_SOURCE
#include "coop_impl.h"

#include "rng.h"

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_BYTES (512u << 10)
#define GUARD_BYTES 4096u
#define CO_MAX 128

struct co {
	ucontext_t context; /* where it begins; with the address sanitizer, where it goes on */
	jmp_buf here; /* where it goes on */
	bool begun;
	char *stack; /* kept for the next one; the lowest page is the guard */
	void *fake_stack; /* the address sanitizer's */
	enum { CO_FREE, CO_READY, CO_WAITS, CO_ENDED } state;
	const void *place; /* WAITS */
	int64_t until; /* WAITS: mono ns */
	bool condition, timed_out;
	unsigned priority;
	int quiet, locks, domain;
	char name[16];
	void *(*run)(void *);
	void *arg, *result;
};

static struct {
	struct co outside; /* who calls coop_run() */
	struct co *slots[CO_MAX];
	unsigned n_slots; /* used in this run: what ran before must not change what comes */
	struct co *current;
	struct coop_policy policy;
	struct rng rng;
	uint64_t steps, run_steps, hash;
	int64_t mono_ns, wall_offset_ms;
	int64_t next_due; /* no WAITS ends before */
	void (*at_rest)(void *);
	void *rest_arg;
	enum coop_end end;
	char failure[512];
	unsigned lowest; /* priority given so far */
	const char *outside_stack;
	size_t outside_bytes;
} coop;

bool coop_tracing;

/* ---- switching ---- */

static void finish_switch(struct co *c)
{
#if defined(__SANITIZE_ADDRESS__)
	const void *bottom;
	size_t n;

	__sanitizer_finish_switch_fiber(c->fake_stack, &bottom, &n);
	if (coop.outside_stack == NULL && c != &coop.outside) {
		coop.outside_stack = bottom;
		coop.outside_bytes = n;
	}
#endif
}

/* swapcontext() asks the kernel for the signal mask each time, which nobody here changes; jumps do not. */
__attribute__((noinline)) static void swap(struct co *from, struct co *to)
{
#if defined(__SANITIZE_ADDRESS__)
	swapcontext(&from->context, &to->context);
#else
	from->begun = true;
	if (_setjmp(from->here) != 0)
		return;
	if (to->begun)
		_longjmp(to->here, 1);
	setcontext(&to->context);
#endif
}

static void switch_to(struct co *to)
{
	struct co *from = coop.current;

	coop.current = to;
#if defined(__SANITIZE_ADDRESS__)
	if (to == &coop.outside)
		__sanitizer_start_switch_fiber(&from->fake_stack, coop.outside_stack, coop.outside_bytes);
	else
		__sanitizer_start_switch_fiber(&from->fake_stack, to->stack + GUARD_BYTES, STACK_BYTES - GUARD_BYTES);
#endif
	swap(from, to);
	finish_switch(from);
}

_Noreturn static void leave(enum coop_end end)
{
	coop.end = end;
	switch_to(&coop.outside);
	abort(); /* nobody comes back here */
}

/* ---- who is next ---- */

static void ready(struct co *c, bool timed_out)
{
	c->state = CO_READY;
	c->timed_out = timed_out;
}

static void wake_due(void)
{
	coop.next_due = INT64_MAX;
	for (unsigned i = 0; i < coop.n_slots; i++) {
		struct co *c = coop.slots[i];

		if (c->state != CO_WAITS)
			continue;
		if (c->until <= coop.mono_ns)
			ready(c, true);
		else if (c->until < coop.next_due)
			coop.next_due = c->until;
	}
}

static void wake_without_cause(void)
{
	struct co *c = coop.slots[rng_below(&coop.rng, coop.n_slots)];

	if (c->state == CO_WAITS && c->condition)
		ready(c, false);
}

static struct co *draw(void)
{
	struct co *list[CO_MAX], *best = NULL;
	unsigned n = 0;

	for (unsigned i = 0; i < coop.n_slots; i++) {
		struct co *c = coop.slots[i];

		if (c->state != CO_READY)
			continue;
		list[n++] = c;
		if (best == NULL || c->priority > best->priority)
			best = c;
	}
	if (n == 0)
		return NULL;
	if (!coop.policy.priorities)
		best = list[n > 1 ? rng_below(&coop.rng, n) : 0];
	coop.hash = rng_mix(coop.hash ^ (uint64_t)(best->priority + 1));
	return best;
}

static bool all_ended(void)
{
	for (unsigned i = 0; i < coop.n_slots; i++)
		if (coop.slots[i]->state == CO_WAITS)
			return false;
	return true;
}

static void who_waits(char *text, size_t n)
{
	size_t at = 0;

	for (unsigned i = 0; i < coop.n_slots && at < n; i++)
		if (coop.slots[i]->state == CO_WAITS)
			at += (size_t)snprintf(text + at, n - at, " %s", coop.slots[i]->name);
}

/* Nobody can go on: time passes. */
static struct co *draw_later(void)
{
	char names[200] = "";
	struct co *c;

	if (all_ended())
		leave(COOP_DONE);
	if (coop.at_rest != NULL) {
		coop.current->quiet++;
		coop.at_rest(coop.rest_arg);
		coop.current->quiet--;
	}
	wake_due();
	if ((c = draw()) != NULL)
		return c;
	if (coop.next_due == INT64_MAX) {
		who_waits(names, sizeof(names));
		coop_fail("everybody waits for ever:%s", names);
	}
	coop.mono_ns = coop.next_due;
	wake_due();
	return draw();
}

static void go_on(struct co *next)
{
	if (next != coop.current)
		switch_to(next);
}

/* A step of who runs: time passes, and its end may come. */
static void step(void)
{
	struct coop_policy *p = &coop.policy;

	coop.steps++;
	coop.run_steps++;
	coop.mono_ns += 1 + rng_below(&coop.rng, p->step_ns);
	if (p->crash_at > 0 && coop.run_steps >= p->crash_at)
		leave(COOP_CRASHED);
	if (coop.run_steps > p->steps_max)
		coop_fail("no end after %llu steps", (unsigned long long)coop.run_steps);
	if (coop.mono_ns >= coop.next_due)
		wake_due();
	if (rng_one_in(&coop.rng, p->spurious_one_in))
		wake_without_cause();
	if (p->priorities && rng_one_in(&coop.rng, p->lower_one_in))
		coop.current->priority = --coop.lowest;
}

void coop_point(void)
{
	struct co *c = coop.current;

	if (c == &coop.outside || c->quiet > 0)
		return;
	step();
	if (coop.policy.priorities || rng_one_in(&coop.rng, coop.policy.switch_one_in))
		go_on(draw());
}

/* ---- waiting ---- */

bool co_wait(const void *place, int64_t until, bool condition)
{
	struct co *c = coop.current;

	if (c == &coop.outside || c->quiet > 0)
		coop_fail("%s waits where nobody may", coop_name());
	c->state = CO_WAITS;
	c->place = place;
	c->until = until;
	c->condition = condition;
	if (until < coop.next_due)
		coop.next_due = until;
	step();
	struct co *next = draw();
	go_on(next != NULL ? next : draw_later());
	return !c->timed_out;
}

void co_wake(const void *place, bool all)
{
	struct co *list[CO_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < coop.n_slots; i++)
		if (coop.slots[i]->state == CO_WAITS && coop.slots[i]->place == place)
			list[n++] = coop.slots[i];
	if (n > 0 && !all) {
		ready(list[n > 1 ? rng_below(&coop.rng, n) : 0], false);
		return;
	}
	while (n > 0)
		ready(list[--n], false);
}

bool coop_wait(const void *place, int64_t ns)
{
	return co_wait(place, ns < 0 ? INT64_MAX : coop.mono_ns + ns, false);
}

void coop_wake(const void *place)
{
	co_wake(place, true);
}

void coop_sleep(int64_t ns)
{
	co_wait(NULL, coop.mono_ns + ns, false);
}

/* ---- life ---- */

static void enter(void)
{
	struct co *c = coop.current;

	finish_switch(c);
	c->result = c->run(c->arg);
	c->state = CO_ENDED;
	co_wake(c, true);
	struct co *next = draw();
	go_on(next != NULL ? next : draw_later());
	abort(); /* who has ended is not drawn */
}

static struct co *slot_new(void)
{
	struct co *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (c->stack != MAP_FAILED && mprotect(c->stack, GUARD_BYTES, PROT_NONE) == 0)
		return c;
	free(c);
	return NULL;
}

/* Slots and their stacks are kept for the next run. */
static struct co *free_slot(void)
{
	for (unsigned i = 0; i < coop.n_slots; i++)
		if (coop.slots[i]->state == CO_FREE)
			return coop.slots[i];
	if (coop.n_slots == CO_MAX)
		return NULL;
	struct co **slot = &coop.slots[coop.n_slots];
	if (*slot == NULL)
		*slot = slot_new();
	coop.n_slots += *slot != NULL;
	return *slot;
}

static void make_context(struct co *c)
{
	getcontext(&c->context);
	c->context.uc_stack.ss_sp = c->stack + GUARD_BYTES;
	c->context.uc_stack.ss_size = STACK_BYTES - GUARD_BYTES;
	c->context.uc_link = NULL;
	c->begun = false;
	makecontext(&c->context, enter, 0);
}

struct co *co_new(void *(*run)(void *), void *arg)
{
	int domain = coop_set_domain(0); /* of the simulation itself */
	struct co *c = free_slot();

	coop_set_domain(domain);
	if (c == NULL)
		return NULL;
#if defined(__SANITIZE_ADDRESS__)
	__asan_unpoison_memory_region(c->stack + GUARD_BYTES, STACK_BYTES - GUARD_BYTES);
#endif
	make_context(c);
	c->run = run;
	c->arg = arg;
	c->quiet = c->locks = 0;
	c->domain = domain;
	c->priority = 1u << 30 | rng_below(&coop.rng, 1u << 30);
	snprintf(c->name, sizeof(c->name), "main");
	ready(c, false);
	return c;
}

void *co_join(struct co *c)
{
	while (c->state != CO_ENDED)
		co_wait(c, INT64_MAX, false);
	c->state = CO_FREE;
	return c->result;
}

void co_rename(struct co *c, const char *name)
{
	snprintf(c->name, sizeof(c->name), "%s", name);
}

struct co *co_current(void)
{
	return coop.current != &coop.outside ? coop.current : NULL;
}

void co_count_lock(int change)
{
	coop.current->locks += change;
}

void coop_reset(uint64_t seed, int64_t wall_ms)
{
	coop.current = &coop.outside;
	coop.rng = (struct rng){seed};
	coop.steps = coop.hash = 0;
	coop.mono_ns = 1000 * 1000 * MS;
	coop_set_wall(wall_ms);
	coop.failure[0] = '\0';
}

enum coop_end coop_run(const struct coop_policy *policy, void *(*main)(void *), void *arg, void (*at_rest)(void *), void *rest_arg)
{
	assert(coop.current == &coop.outside);
	coop.policy = *policy;
	coop.at_rest = at_rest;
	coop.rest_arg = rest_arg;
	coop.run_steps = 0;
	coop.next_due = INT64_MAX;
	coop.lowest = 1u << 30;
	switch_to(co_new(main, arg));
	for (unsigned i = 0; i < coop.n_slots; i++)
		coop.slots[i]->state = CO_FREE;
	coop.n_slots = 0;
	return coop.end;
}

void coop_crash(void)
{
	leave(COOP_CRASHED);
}

void coop_between(void)
{
	if (coop.policy.crash_at > 0 && rng_one_in(&coop.rng, 4))
		leave(COOP_CRASHED);
}

void coop_fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(coop.failure, sizeof(coop.failure), fmt, args);
	va_end(args);
	TRACE("FAILED: %s", coop.failure);
	if (coop.current == &coop.outside) {
		fprintf(stderr, "outside of a run: %s\n", coop.failure);
		abort();
	}
	leave(COOP_FAILED);
}

const char *coop_failure(void)
{
	return coop.failure;
}

uint64_t coop_steps(void)
{
	return coop.steps;
}

uint64_t coop_hash(void)
{
	return coop.hash;
}

/* ---- of who runs ---- */

void coop_quiet_begin(void)
{
	coop.current->quiet++;
}

void coop_quiet_end(void)
{
	coop.current->quiet--;
}

unsigned coop_locks(void)
{
	return (unsigned)coop.current->locks;
}

const char *coop_name(void)
{
	return coop.current == &coop.outside ? "outside" : coop.current->name;
}

int coop_set_domain(int domain)
{
	struct co *c = coop.current != NULL ? coop.current : &coop.outside;
	int before = c->domain;

	c->domain = domain;
	return before;
}

int coop_domain(void)
{
	return coop.current != NULL ? coop.current->domain : 0;
}

/* ---- the clock ---- */

void coop_freeze(int64_t ns)
{
	coop.mono_ns += ns;
	coop_point();
}

int64_t coop_mono_ns(void)
{
	return coop.mono_ns;
}

int64_t coop_wall_ms(void)
{
	return coop.mono_ns / MS + coop.wall_offset_ms;
}

void coop_set_wall(int64_t ms)
{
	coop.wall_offset_ms = ms - coop.mono_ns / MS;
}

void coop_trace(const char *fmt, ...)
{
	va_list args;

	printf("%10.6f s  %-12s ", (double)(coop.mono_ns - 1000 * 1000 * MS) / 1e9, coop_name());
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}
