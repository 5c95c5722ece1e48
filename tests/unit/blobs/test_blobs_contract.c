/* The contract on the backends that need no other program, and the wrapper over each. */
#include "contract.h"

#include "base/compiler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* The three above first: cmocka.h needs them. */
#include <cmocka.h>

static struct blobs_fault_plan no_fault;

static struct blobs *memory(const struct contract_kind *k, struct place *p)
{
	struct blobs *b = NULL;

	assert_int_equal(blobs_memory_new(&b, NULL), 0);
	return b;
}

static struct blobs *local(const struct contract_kind *k, struct place *p)
{
	struct blobs *b = NULL;

	assert_int_equal(blobs_local_new(&b, &env_real, p->fd, NULL), 0);
	return b;
}

static struct blobs *fault_over(struct blobs *inner)
{
	struct blobs *b = NULL;

	assert_int_equal(blobs_fault_new(&b, inner, &no_fault, NULL), 0);
	return b;
}

static struct blobs *fault_over_memory(const struct contract_kind *k, struct place *p)
{
	return fault_over(memory(k, p));
}

static struct blobs *fault_over_local(const struct contract_kind *k, struct place *p)
{
	return fault_over(local(k, p));
}

int main(void)
{
	static const struct contract_kind kinds[] = {{.name = "memory", .make = memory},
						     {.name = "local", .make = local},
						     {.name = "fault over memory", .make = fault_over_memory},
						     {.name = "fault over local", .make = fault_over_local}};
	int failed = 0;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		failed += contract_run(&kinds[i]);
	return failed;
}
