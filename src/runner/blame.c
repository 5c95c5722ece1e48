/* How a child ended says what becomes of the job it had. */
#include "base/compiler.h"
#include "runner/sealed_impl.h"

#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	int signal;
	int code;
	const char *what;
} signals[] = {
	{SIGXCPU, ERR_LIMIT_TIME, "the op used more processor time than allowed"},
	{SIGXFSZ, ERR_LIMIT_OUTPUT, "the op wrote more than allowed"},
	{SIGSYS, ERR_SEAL_VIOLATION, "the op made a system call that is not allowed"},
	{SIGKILL, ERR_RUNNER_LOST, "the process of the op was killed from outside, perhaps for lack of memory"},
	{SIGTERM, ERR_RUNNER_LOST, "the process of the op was ended from outside"},
};

static int blame_signal(int signal, struct err *e)
{
	const char *name = sigabbrev_np(signal);

	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (signals[i].signal == signal)
			return err_set(e, signals[i].code, "%s", signals[i].what);
	return err_set(e, ERR_RUNNER_CRASHED, "the process of the op crashed (SIG%s)", name ? name : "?");
}

static int blame_exit(int status, struct err *e)
{
	if (status == RUNNER_REFUSED_STATUS)
		return err_set(e, ERR_SEAL_VIOLATION, "the op made a system call that is not allowed");
	if (status == RUNNER_UNSEALED_STATUS)
		return err_set(e, ERR_RUNNER_UNAVAILABLE, "a process for the op could not be sealed");
	return err_set(e, ERR_RUNNER_CRASHED, "the process of the op ended without an answer (status %d)", status);
}

int blame_ended(const struct sealed_child *c, struct err *e)
{
	if (c->refused)
		return blame_refusal(&c->refusal, e);
	if (c->error)
		return err_set(e, ERR_RUNNER_UNAVAILABLE, "no process for the op: %s", strerrordesc_np(c->error));
	if (!c->ended)
		return err_set(e, ERR_RUNNER_LOST, "the runner was killed from outside");
	if (c->end.code == CLD_EXITED)
		return blame_exit(c->end.status, e);
	return blame_signal(c->end.status, e);
}

int blame_refusal(const struct runner_refusal *refusal, struct err *e)
{
	char *name = seccomp_syscall_resolve_num_arch(refusal->arch, refusal->call);

	if (name)
		err_set(e, ERR_SEAL_VIOLATION, "the op made a system call that is not allowed: %s", name);
	else
		err_set(e, ERR_SEAL_VIOLATION, "the op made a system call that is not allowed: number %d", refusal->call);
	free(name);
	return ERR_SEAL_VIOLATION;
}
