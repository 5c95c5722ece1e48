/* What a child may use up. Memory, CPU seconds and output are the job's; the rest is what an op can need at most. */
#include "runner/child/seal_impl.h"

#include <errno.h>
#include <sys/resource.h>

#define CHILD_FILES (RUNNER_FDS_MAX + 16) /* a batch's descriptors, 0 to 2, the channel, some to spare */
#define COMMAND_FILES 256
/* The kernel counts a user's threads, not a process's. So this only ends a storm of them; an ordinary server's user is far below. */
#define USER_THREADS 4096
#define COMMAND_PROCESSES 256

enum amount { NOTHING, MEMORY, CPU, OUTPUT, FILES, PROCESSES };

static const struct {
	int resource;
	enum amount amount;
} rows[] = {
	{RLIMIT_AS, MEMORY},    {RLIMIT_CPU, CPU},         {RLIMIT_FSIZE, OUTPUT},     {RLIMIT_NOFILE, FILES},   {RLIMIT_NPROC, PROCESSES},
	{RLIMIT_CORE, NOTHING}, {RLIMIT_MEMLOCK, NOTHING}, {RLIMIT_MSGQUEUE, NOTHING}, {RLIMIT_RTPRIO, NOTHING}, {RLIMIT_NICE, NOTHING},
};

static struct rlimit exactly(uint64_t n)
{
	return (struct rlimit){.rlim_cur = n, .rlim_max = n};
}

static struct rlimit limit_of(enum amount amount, enum seal_policy policy, const struct runner_limits *limits)
{
	rlim_t cpu = limits->cpu_s > 0 ? (rlim_t)limits->cpu_s : 1;

	switch (amount) {
	case MEMORY:
		return exactly(limits->memory);
	case CPU:
		/* First SIGXCPU, which says what happened; a second later SIGKILL. A child that serves many jobs gets its seconds job by job. */
		return (struct rlimit){.rlim_cur = cpu, .rlim_max = policy == POLICY_MANY ? RLIM_INFINITY : cpu + 1};
	case OUTPUT:
		return exactly(policy == POLICY_COMMAND ? limits->output_max
							: 0); /* the others write to pipes, which this does not count */
	case FILES:
		return exactly(policy == POLICY_COMMAND ? COMMAND_FILES : CHILD_FILES);
	case PROCESSES:
		return exactly(policy == POLICY_MANY ? 0 : policy == POLICY_ONCE ? USER_THREADS : COMMAND_PROCESSES);
	case NOTHING:
		break;
	}
	return exactly(0);
}

int seal_limits(enum seal_policy policy, const struct runner_limits *limits)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rlimit had;
		struct rlimit want = limit_of(rows[i].amount, policy, limits);

		if (getrlimit(rows[i].resource, &had) != 0)
			return errno;
		if (want.rlim_max > had.rlim_max) /* whoever started the server wanted less still */
			want.rlim_max = had.rlim_max;
		if (want.rlim_cur > want.rlim_max)
			want.rlim_cur = want.rlim_max;
		if (setrlimit(rows[i].resource, &want) != 0)
			return errno;
	}
	return 0;
}

void sealed_cpu_budget(int64_t cpu_s)
{
	struct rusage used;
	struct rlimit limit;

	if (getrusage(RUSAGE_SELF, &used) != 0 || getrlimit(RLIMIT_CPU, &limit) != 0)
		return;
	limit.rlim_cur = (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec + 1 + (cpu_s > 0 ? cpu_s : 1));
	if (limit.rlim_cur > limit.rlim_max)
		limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_CPU, &limit); /* fails when it was set lower from outside: then that holds */
}
