/* filemill-runner with evil ops: the genuine zygote, seal and loop, and ops that try what must be impossible. The input's name says which probe. */
#include "probe.h"

#include <errno.h>
#include <stdlib.h>

static int run(struct sealed_job *j, struct err *e)
{
	const struct probe *p = probe_find(j->name);
	long result;
	int error;

	if (p == NULL)
		return err_set(e, ERR_OP_FAILED, "no such probe");
	errno = 0;
	result = p->run(j);
	error = result < 0 ? errno : 0;
	buf_addf(&j->result, "{\"result\":%ld,\"errno\":%d}", result, error);
	return 0;
}

static const struct sealed_op many = {.name = "probe", .policy = POLICY_MANY, .run = run};
static const struct sealed_op once = {.name = "probe", .policy = POLICY_ONCE, .run = run};
static const struct sealed_op *const ops[] = {&many, &once};

int main(void)
{
	return sealed_main(ops, ARRAY_LEN(ops));
}
