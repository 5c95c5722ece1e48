/* A kernel that lacks a part of the seal, made from this one by a filter that answers the part's call with an error. What is missing is reported and nothing runs, unless it may be
 * missing. */
#include "zygote_client.h"

#include "base/compiler.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char *program;

#define LANDLOCK_ALL (1u << SEAL_LANDLOCK | 1u << SEAL_LANDLOCK_TCP | 1u << SEAL_LANDLOCK_SCOPE)
#define ANY_ARG (-1)

static const struct lack {
	const char *what;
	enum seal_policy policy;
	unsigned missing; /* bits */
	long call;
	int arg_at, arg; /* only with this argument */
	int error;
} lacks[] = {
	{"Landlock", POLICY_MANY, LANDLOCK_ALL, SYS_landlock_create_ruleset, 0, ANY_ARG, ENOSYS},
	{"Landlock, switched off at boot", POLICY_ONCE, LANDLOCK_ALL, SYS_landlock_create_ruleset, 0, ANY_ARG, EOPNOTSUPP},
	{"applying Landlock", POLICY_MANY, LANDLOCK_ALL, SYS_landlock_restrict_self, 0, ANY_ARG, EPERM},
	{"seccomp", POLICY_MANY, 1u << SEAL_SECCOMP, SYS_seccomp, 0, ANY_ARG, EINVAL},
	{"seccomp, for decoders", POLICY_ONCE, 1u << SEAL_SECCOMP, SYS_seccomp, 0, ANY_ARG, EINVAL},
	{"no new privileges", POLICY_MANY, 1u << SEAL_NO_NEW_PRIVS, SYS_prctl, 0, PR_SET_NO_NEW_PRIVS, EINVAL},
	{"capabilities", POLICY_MANY, 1u << SEAL_NO_NEW_PRIVS, SYS_capset, 0, ANY_ARG, EPERM},
	{"undumpable", POLICY_MANY, 1u << SEAL_UNDUMPABLE, SYS_prctl, 0, PR_SET_DUMPABLE, EINVAL},
	{"limits", POLICY_MANY, 1u << SEAL_RLIMITS, SYS_prlimit64, 1, RLIMIT_FSIZE, EPERM},
	{"namespaces", POLICY_COMMAND, 1u << SEAL_NAMESPACES, SYS_mount, 0, ANY_ARG, EPERM},
};

/* A filter needs the right to set one, or no_new_privs: the second would be one of the parts, but its call fails all the same. */
static void take_away(const void *arg)
{
	const struct lack *lack = arg;
	bool any = lack->arg == ANY_ARG;
	struct sock_filter rows[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)lack->call, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * (uint32_t)lack->arg_at),
		BPF_JUMP(BPF_JMP | (any ? BPF_JGE : BPF_JEQ) | BPF_K, any ? 0 : (uint32_t)lack->arg, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)lack->error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = {ARRAY_LEN(rows), rows};

	if (geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		_exit(98);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0)
		_exit(98);
}

/* Exit status of the child that reported. */
static int report_of(const struct client *c, enum seal_policy policy, unsigned may_lack, struct seal_report *ret)
{
	struct zygote_request r = client_request(ZYGOTE_REPORT, policy);
	struct client_child child;

	r.may_lack = may_lack;
	assert_int_equal(client_spawn(c, &r, &child), 0);
	assert_int_equal(client_receive(child.channel, ret, sizeof(*ret)), sizeof(*ret));
	struct child_ended ended = client_end(&child);
	assert_int_equal(ended.code, CLD_EXITED);
	return ended.status;
}

/* Exit status of a child that was only let live until its channel ended. */
static int life_of(const struct client *c, enum seal_policy policy, unsigned may_lack)
{
	struct zygote_request r = client_request(ZYGOTE_SPAWN, policy);
	struct client_child child;

	r.may_lack = may_lack;
	assert_int_equal(client_spawn(c, &r, &child), 0);
	struct child_ended ended = client_end(&child);
	assert_int_equal(ended.code, CLD_EXITED);
	return ended.status;
}

static void all_that_this_kernel_has_is_enforced(void **state)
{
	unsigned all = (1u << SEAL_FEATURES) - 1;
	struct client c = client_start(program);
	struct seal_report report;

	for (int policy = 0; policy < POLICIES; policy++) {
		unsigned needed = policy == POLICY_COMMAND ? all : all & ~(1u << SEAL_NAMESPACES);
		int status = report_of(&c, (enum seal_policy)policy, 0, &report);
		for (int f = 0; f < SEAL_FEATURES; f++)
			assert_true((report.enforced & 1u << f) == 0 || report.errors[f] == 0);
		assert_true((report.enforced & 1u << SEAL_LANDLOCK) == 0 || report.landlock_abi >= 1);
		assert_int_equal(report.enforced & ~needed, 0);
		/* Kernels differ; this one's reports and its children's ends must agree. */
		unsigned missing = needed & ~report.enforced & ~(1u << SEAL_LANDLOCK_TCP | 1u << SEAL_LANDLOCK_SCOPE);
		assert_int_equal(status, missing == 0 ? 0 : RUNNER_UNSEALED_STATUS);
		if (missing != 0)
			print_message("policy %d: this kernel lacks 0x%x\n", policy, missing);
	}
	assert_int_equal(client_stop(&c), 0);
}

static void what_is_missing_is_reported_and_nothing_runs(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(lacks); i++) {
		const struct lack *lack = &lacks[i];
		struct client c = client_start_after(program, take_away, lack);
		struct seal_report report;
		print_message("without %s\n", lack->what);
		assert_int_equal(report_of(&c, lack->policy, 0, &report), RUNNER_UNSEALED_STATUS);
		assert_int_equal(report.enforced & lack->missing, 0);
		for (int f = 0; f < SEAL_FEATURES; f++) {
			if ((lack->missing & 1u << f) != 0)
				assert_int_equal(report.errors[f], lack->error);
		}
		if (lack->policy != POLICY_COMMAND)
			assert_int_equal(life_of(&c, lack->policy, 0), RUNNER_UNSEALED_STATUS);
		assert_int_equal(client_stop(&c), 0);
	}
}

static void what_may_be_missing_is_reported_and_the_rest_holds(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(lacks); i++) {
		const struct lack *lack = &lacks[i];
		struct client c = client_start_after(program, take_away, lack);
		struct seal_report report, whole;
		print_message("without %s\n", lack->what);
		assert_int_equal(report_of(&c, lack->policy, lack->missing, &report), 0);
		struct client with = client_start(program);
		report_of(&with, lack->policy, 0, &whole);
		assert_int_equal(client_stop(&with), 0);
		assert_int_equal(report.enforced, whole.enforced & ~lack->missing);
		if (lack->policy != POLICY_COMMAND)
			assert_int_equal(life_of(&c, lack->policy, lack->missing), 0);
		assert_int_equal(client_stop(&c), 0);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_this_kernel_has_is_enforced),
		cmocka_unit_test(what_is_missing_is_reported_and_nothing_runs),
		cmocka_unit_test(what_may_be_missing_is_reported_and_the_rest_holds),
	};

	program = argv[1];
	return argc == 2 ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
