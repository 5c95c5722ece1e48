/* What a sealed child costs: asked for, forked, sealed, ended and told of, one after the other; and how much of it is the seal itself. Prints microseconds and children a second.
 *	bench_seal PROGRAM [CHILDREN] */
#include "zygote_client.h"

#include "base/compiler.h"
#include "runner/child/child.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define CHILDREN 1000

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void through_the_zygote(const char *program, enum seal_policy policy, long n)
{
	struct client c = client_start(program);
	struct zygote_request r = client_request(ZYGOTE_SPAWN, policy);
	double least = 1e12, start = now_us();

	for (long i = 0; i < n; i++) {
		struct client_child child;
		double at = now_us();
		if (client_spawn(&c, &r, &child) != 0)
			exit(1);
		client_end(&child);
		least = now_us() - at < least ? now_us() - at : least;
	}
	double each = (now_us() - start) / (double)n;
	printf("%-5s %.0f us a child (best %.0f), %.0f a second\n", policy == POLICY_MANY ? "many" : "once", each, least, 1e6 / each);
	client_stop(&c);
}

/* In a child of this small process: only what seal_apply() takes. */
static void the_seal_alone(enum seal_policy policy, long n)
{
	double *took = mmap(NULL, sizeof(*took), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), sum = 0, least = 1e12;
	struct seal s;

	if (took == MAP_FAILED || seal_prepare(&s, NULL) != 0)
		exit(1);
	for (long i = 0; i < n; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			struct seal_report report;
			double start = now_us();
			int rc = seal_apply(&s, policy, &client_limits, ~0u, STDERR_FILENO, &report, NULL);
			*took = now_us() - start;
			_exit(rc);
		}
		waitpid(pid, NULL, 0);
		sum += *took;
		least = *took < least ? *took : least;
	}
	printf("%-5s seal_apply: %.0f us (best %.0f)\n", policy == POLICY_MANY ? "many" : "once", sum / (double)n, least);
	seal_release(&s);
}

int main(int argc, char **argv)
{
	long n = argc > 2 ? strtol(argv[2], NULL, 10) : CHILDREN;

	if (argc < 2 || n < 1)
		return 2;
	for (int policy = POLICY_MANY; policy <= POLICY_ONCE; policy++) {
		through_the_zygote(argv[1], (enum seal_policy)policy, n);
		the_seal_alone((enum seal_policy)policy, n);
	}
	return 0;
}
