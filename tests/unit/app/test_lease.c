#include "app/lease.h"
#include "catalog/catalog_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LEASE_MS 30000

/* A clock that goes on when it is told, and a catalogue whose statements take as long as they are told. */
struct world {
	struct env env;
	struct catalog catalog;
	_Atomic int64_t now_ms, statement_ms;
};

static int64_t now(struct env *e)
{
	return atomic_load(&((struct world *)e->ctx)->now_ms);
}

static uint64_t any(struct env *e)
{
	(void)e;
	return 1;
}

/* The row is written at once, and the answer comes late. */
static int hold(struct catalog *c, struct uuid id, struct str holder, int64_t lease_ms, struct err *e)
{
	struct world *w = CONTAINER_OF(c, struct world, catalog);

	(void)id;
	(void)holder;
	(void)lease_ms;
	(void)e;
	atomic_fetch_add(&w->now_ms, atomic_load(&w->statement_ms));
	return 0;
}

static const struct catalog_ops ops = {.shared = true, .hold = hold};

static void begin(struct world *w, struct lease *l, int64_t statement_ms)
{
	struct err e = ERR_INIT;

	*w = (struct world){.env = {.ctx = w, .wall_ms = now, .mono_ms = now, .random = any}, .catalog = {.ops = &ops}, .now_ms = 1000};
	atomic_store(&w->statement_ms, statement_ms);
	assert_int_equal(lease_take(l, &w->env, &w->catalog, &e), 0);
	atomic_store(&w->statement_ms, 0);
}

static void it_is_held_from_before_it_was_said(void **state)
{
	struct world w;
	struct lease l;

	(void)state;
	begin(&w, &l, LEASE_MS - 1);
	assert_true(lease_held(&l));
	lease_end(&l);
	begin(&w, &l, LEASE_MS);
	assert_false(lease_held(&l));
	lease_end(&l);
}

static void it_is_over_also_when_nothing_can_be_said_of_it(void **state)
{
	struct world w;
	struct lease l;

	(void)state;
	begin(&w, &l, 0);
	atomic_fetch_add(&w.now_ms, LEASE_MS - 1);
	assert_true(lease_held(&l));
	atomic_fetch_add(&w.now_ms, 1);
	assert_false(lease_held(&l));
	lease_end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_held_from_before_it_was_said),
		cmocka_unit_test(it_is_over_also_when_nothing_can_be_said_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
