/* Runs the contract against every implementation: the same tests, a fresh catalogue each. */
#include "postgres.h"
#include "world.h"
#include "world_postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TESTS_MAX 340

static const struct {
	const char *name;
	CMFixtureFunction begin;
} BACKENDS[] = {{"memory", world_memory}, {"sqlite", world_sqlite}};

static const struct named_test *const PARTS[] = {
	contract_files,  contract_queue,  contract_jobs,      contract_lists,    contract_outputs,    contract_chains,
	contract_stored, contract_ends,   contract_recurring, contract_webhooks, contract_deliveries, contract_audit,
	contract_turns,  contract_expiry, contract_once,      contract_imports,  contract_accounts,   contract_keys,
	contract_watch,  contract_quotas, contract_several,   contract_holds};

/* Every `step`th test. */
static int run_backend(const char *name, CMFixtureFunction begin, size_t step)
{
	static char names[TESTS_MAX][120];
	struct CMUnitTest tests[TESTS_MAX];
	size_t n = 0, at = 0;

	for (size_t p = 0; p < ARRAY_LEN(PARTS); p++) {
		for (const struct named_test *t = PARTS[p]; t->run; t++) {
			if (at++ % step != 0)
				continue;
			if (n == TESTS_MAX)
				abort();
			snprintf(names[n], sizeof(names[n]), "%s: %s", name, t->name);
			tests[n] = (struct CMUnitTest){names[n], t->run, begin, world_end, NULL};
			n++;
		}
	}
	return _cmocka_run_group_tests(name, tests, n, NULL, NULL);
}

/* Those that need no server; with the name of a kind, it alone, and with a number n after it every nth of its tests. */
int main(int argc, char *argv[])
{
	const char *only = argc > 1 ? argv[1] : NULL;
	size_t step = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
	int failed = 0;

	if (step == 0)
		return 2;
	for (size_t i = 0; i < ARRAY_LEN(BACKENDS); i++)
		if (!only || strcmp(only, BACKENDS[i].name) == 0)
			failed += run_backend(BACKENDS[i].name, BACKENDS[i].begin, step);
	if (only && strcmp(only, "postgres") == 0 && postgres_installed())
		failed += run_backend("postgres", world_postgres, step);
	postgres_end();
	return failed;
}
