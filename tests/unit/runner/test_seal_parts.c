/* The parts of the seal one by one, each in a process of its own: where all of them hold, one would hide what another does not do. */
#include "probe.h"

#include "base/fd.h"
#include "runner/child/seal_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct runner_limits limits = {
	.memory = 1ull << 47, .cpu_s = 7, .output_max = 12345}; /* address space that a sanitizer's shadow fits in */

/* What a process of its own found: 0, or the line that was not as it should be. */
static int in_process(int (*fn)(const void *arg), const void *arg)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int line = fn(arg);
		if (line != 0)
			fprintf(stderr, "line %d: %s\n", line, strerrorname_np(errno));
		_exit(line == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* In a process: returns the line when it does not hold. */
#define HOLDS(condition)                                                                                                                   \
	do {                                                                                                                               \
		errno = 0;                                                                                                                 \
		if (!(condition))                                                                                                          \
			return __LINE__;                                                                                                   \
	} while (0)
#define FAILS(call, error) HOLDS((call) < 0 && errno == (error))

/* ---- Landlock ---- */

static int tcp_bind(void)
{
	CLEANUP(fd_close) int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};

	return s < 0 ? -1 : bind(s, (struct sockaddr *)&a, sizeof(a));
}

static int tcp_connect(void)
{
	CLEANUP(fd_close) int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr = {htonl(INADDR_LOOPBACK)}};

	return s < 0 ? -1 : connect(s, (struct sockaddr *)&a, sizeof(a));
}

static int abstract_connect(const char *name)
{
	CLEANUP(fd_close) int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	memcpy(a.sun_path + 1, name, strlen(name));
	return s < 0 ? -1 : connect(s, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
}

struct landlock_case {
	int abi;
	char file[64], name[64]; /* a file that is there; an abstract socket that listens */
};

static int all_is_closed(const void *arg)
{
	const struct landlock_case *c = arg;
	struct seal_report report = {};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	seal_landlock_as(POLICY_MANY, c->abi, &report);
	HOLDS((report.enforced & 1u << SEAL_LANDLOCK) != 0 && report.landlock_abi == c->abi);
	HOLDS(((report.enforced & 1u << SEAL_LANDLOCK_TCP) != 0) == (c->abi >= 4));
	HOLDS(((report.enforced & 1u << SEAL_LANDLOCK_SCOPE) != 0) == (c->abi >= 6));
	FAILS(open(c->file, O_RDONLY | O_CLOEXEC), EACCES);
	FAILS(open(c->file, O_WRONLY | O_CLOEXEC), EACCES);
	FAILS(open("/proc/self/status", O_RDONLY | O_CLOEXEC), EACCES);
	FAILS(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), EACCES);
	FAILS(open("/tmp", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600), EACCES);
	FAILS(mkdir("/tmp/filemill-probe-must-not-be", 0700), EACCES);
	FAILS(symlink("x", "/tmp/filemill-probe-must-not-be"), EACCES);
	FAILS(link(c->file, "/tmp/filemill-probe-must-not-be"), EACCES);
	FAILS(unlink(c->file), EACCES);
	FAILS(execl("/bin/true", "true", (char *)NULL), EACCES);
	if (c->abi >= 3)
		FAILS(truncate(c->file, 0), EACCES);
	if (c->abi >= 4) {
		FAILS(tcp_bind(), EACCES);
		FAILS(tcp_connect(), EACCES);
	} else {
		HOLDS(tcp_bind() == 0);
		FAILS(tcp_connect(), ECONNREFUSED);
	}
	if (c->abi >= 6) {
		FAILS(kill(getppid(), 0), EPERM);
		FAILS(abstract_connect(c->name), EPERM);
	} else {
		HOLDS(kill(getppid(), 0) == 0);
		HOLDS(abstract_connect(c->name) == 0);
	}
	return 0;
}

static int kernel_abi(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static void every_landlock_abi_closes_what_it_knows(void **state)
{
	int last = kernel_abi();
	struct landlock_case c = {.file = "/tmp/filemill-landlock-XXXXXX"};
	CLEANUP(fd_close) int fd = mkostemp(c.file, O_CLOEXEC);
	CLEANUP(fd_close) int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	if (last < 1)
		skip(); /* no Landlock in this kernel */
	assert_true(fd >= 0);
	snprintf(c.name, sizeof(c.name), "filemill-test-%d", getpid());
	memcpy(a.sun_path + 1, c.name, strlen(c.name));
	assert_int_equal(bind(listener, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(c.name))),
			 0);
	assert_int_equal(listen(listener, 16), 0);
	for (c.abi = 1; c.abi <= last; c.abi++) {
		int wrong = in_process(all_is_closed, &c);
		if (wrong != 0)
			fail_msg("ABI %d", c.abi);
	}
	assert_int_equal(unlink(c.file), 0);
}

/* Outside namespaces: what stands in /tmp and /proc is the machine's. */
static int command_reads_the_system_only(const void *arg)
{
	struct seal_report report = {};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	seal_landlock(POLICY_COMMAND, &report);
	HOLDS((report.enforced & 1u << SEAL_LANDLOCK) != 0);
	HOLDS(open("/usr/bin/env", O_RDONLY | O_CLOEXEC) >= 0);
	HOLDS(open("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0);
	HOLDS(open("/dev/null", O_RDWR | O_CLOEXEC) >= 0);
	FAILS(open("/usr/bin/env", O_RDWR | O_CLOEXEC), EACCES);
	FAILS(open("/etc/shadow", O_RDONLY | O_CLOEXEC), EACCES);
	FAILS(open("/proc/self/environ", O_RDONLY | O_CLOEXEC), EACCES);
	FAILS(open("/tmp", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600), EACCES);
	FAILS(open("/var", O_RDONLY | O_DIRECTORY | O_CLOEXEC), EACCES);
	FAILS(mkdir("/usr/filemill-probe-must-not-be", 0700), EACCES);
	execl("/bin/true", "true", (char *)NULL);
	return __LINE__;
}

static void a_command_may_read_and_execute_the_system_and_change_nothing(void **state)
{
	if (kernel_abi() < 1)
		skip(); /* no Landlock in this kernel */
	assert_int_equal(in_process(command_reads_the_system_only, NULL), 0);
}

/* ---- limits ---- */

static const struct limit_case {
	enum seal_policy policy;
	int resource;
	rlim_t soft, hard;
} limit_cases[] = {
	{POLICY_MANY, RLIMIT_AS, 1ull << 47, 1ull << 47},
	{POLICY_MANY, RLIMIT_CPU, 7, RLIM_INFINITY},
	{POLICY_MANY, RLIMIT_FSIZE, 0, 0},
	{POLICY_MANY, RLIMIT_NPROC, 0, 0},
	{POLICY_MANY, RLIMIT_NOFILE, RUNNER_FDS_MAX + 16, RUNNER_FDS_MAX + 16},
	{POLICY_MANY, RLIMIT_CORE, 0, 0},
	{POLICY_MANY, RLIMIT_MEMLOCK, 0, 0},
	{POLICY_MANY, RLIMIT_MSGQUEUE, 0, 0},
	{POLICY_ONCE, RLIMIT_CPU, 7, 8},
	{POLICY_ONCE, RLIMIT_FSIZE, 0, 0},
	{POLICY_ONCE, RLIMIT_CORE, 0, 0},
	{POLICY_COMMAND, RLIMIT_CPU, 7, 8},
	{POLICY_COMMAND, RLIMIT_FSIZE, 12345, 12345},
	{POLICY_COMMAND, RLIMIT_CORE, 0, 0},
};

static int limit_is_set(const void *arg)
{
	const struct limit_case *c = arg;
	struct rlimit got;

	HOLDS(seal_limits(c->policy, &limits) == 0);
	HOLDS(getrlimit((__rlimit_resource_t)c->resource, &got) == 0);
	HOLDS(got.rlim_cur == c->soft && got.rlim_max == c->hard);
	return 0;
}

static void every_limit_is_what_the_job_asked_for(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(limit_cases); i++) {
		if (in_process(limit_is_set, &limit_cases[i]) != 0)
			fail_msg("row %zu", i);
	}
}

static int lower_limits_stay(const void *arg)
{
	const struct rlimit lower = {16, 16};
	struct rlimit got;

	HOLDS(setrlimit(RLIMIT_NOFILE, &lower) == 0);
	HOLDS(seal_limits(POLICY_MANY, &limits) == 0);
	HOLDS(getrlimit(RLIMIT_NOFILE, &got) == 0 && got.rlim_max == 16);
	return 0;
}

static int cpu_seconds_are_given_again(const void *arg)
{
	struct rlimit got;

	HOLDS(seal_limits(POLICY_MANY, &limits) == 0);
	sealed_cpu_budget(100);
	HOLDS(getrlimit(RLIMIT_CPU, &got) == 0 && got.rlim_cur >= 100 && got.rlim_cur <= 102 && got.rlim_max == RLIM_INFINITY);
	sealed_cpu_budget(2);
	HOLDS(getrlimit(RLIMIT_CPU, &got) == 0 && got.rlim_cur >= 2 && got.rlim_cur <= 4);
	return 0;
}

static void limits_that_were_lower_stay_and_cpu_seconds_are_given_job_by_job(void **state)
{
	assert_int_equal(in_process(lower_limits_stay, NULL), 0);
	assert_int_equal(in_process(cpu_seconds_are_given_again, NULL), 0);
}

/* ---- the table of calls ---- */

static void every_row_says_why_and_what_may_be(void **state)
{
	size_t n, sealed = 0;
	const struct seal_call *rows = seal_calls(&n);

	for (size_t i = 0; i < n; i++) {
		bool command = rows[i].policies == 1u << POLICY_COMMAND;
		assert_true(rows[i].policies > 0 && rows[i].policies < 1u << POLICIES);
		assert_true(command || (rows[i].policies & 1u << POLICY_COMMAND) == 0);
		assert_non_null(rows[i].why);
		assert_true(rows[i].why[0] != '\0');
		assert_true(command == (rows[i].answer != 0) || !command); /* what a command may is everything without a row */
		for (unsigned a = 0; a < rows[i].n_args; a++)
			assert_true(command || rows[i].args[a].how == SCMP_CMP_EQ || rows[i].args[a].how == SCMP_CMP_MASKED_EQ);
		sealed += !command && rows[i].answer == 0;
	}
	assert_in_range(sealed, 30, 60); /* grows knowingly */
}

static void a_filter_is_built_for_every_policy(void **state)
{
	struct err e = ERR_INIT;
	struct sealed_filter *f;

	for (int policy = 0; policy < POLICIES; policy++) {
		assert_int_equal(sealed_filter_new(&f, (enum seal_policy)policy, &e), 0);
		sealed_filter_free(f);
	}
	sealed_filter_free(NULL);
}

/* ---- what a command is told ---- */

static const struct told {
	const char *probe;
	int error;
} told[] = {
	{"mount_over", EPERM},
	{"unmount", EPERM},
	{"change_root", EPERM},
	{"pivot", EPERM},
	{"open_mounts", EPERM},
	{"open_filesystem", EPERM},
	{"quotas", EPERM},
	{"io_rings", ENOSYS},
	{"io_rings_enter", ENOSYS},
	{"load_bpf", EPERM},
	{"perf_events", EPERM},
	{"keyrings", EPERM},
	{"new_key", EPERM},
	{"ask_for_key", EPERM},
	{"user_faults", EPERM},
	{"own_users", EPERM},
	{"own_mounts", EPERM},
	{"enter_namespace", EPERM},
	{"capabilities", EPERM},
	{"restart_machine", EPERM},
	{"host_name", EPERM},
	{"domain_name", EPERM},
	{"swapping", EPERM},
	{"load_module", EPERM},
	{"load_module_file", EPERM},
	{"remove_module", EPERM},
	{"next_kernel", EPERM},
	{"next_kernel_file", EPERM},
	{"kernel_log", EPERM},
	{"accounting", EPERM},
	{"set_clock", EPERM},
	{"tune_clock", EPERM},
	{"type_for_somebody", EPERM},
	{"readable_is_executable", EPERM},
	{"trace_other", EPERM},
	{"be_traced", EPERM},
	{"read_memory_of_other", EPERM},
	{"write_memory_of_other", EPERM},
	{"descriptor_of_other", EPERM},
	{"compare_with_other", EPERM},
	{"make_memfd", EPERM},
	{"make_secret_memory", EPERM},
	{"clone_thread_elsewhere", EPERM},
	{"clone_by_struct", ENOSYS},
	{"open_by_handle", EPERM},
	{"handle_of", EPERM},
	{"watch_all_files", EPERM},
	{"socket_netlink", EAFNOSUPPORT},
	{"socket_packet", EAFNOSUPPORT},
	{"socket_vsock", EAFNOSUPPORT},
	{"socket_crypto", EAFNOSUPPORT},
	{"create_file", EACCES},
	{"open_own_memory", EACCES},
	{"more_memory", EPERM},
};

struct command_case {
	const struct seal *seal;
	const struct told *row;
	int input;
};

static int command_is_told(const void *arg)
{
	const struct command_case *c = arg;
	const struct probe *p = probe_find(str_of(c->row->probe));
	struct sealed_job j = {.input_fd = c->input, .output_fd = -1, .limits = limits};
	struct seal_report report;
	struct err e = ERR_INIT;

	HOLDS(p != NULL);
	HOLDS(seal_apply(c->seal, POLICY_COMMAND, &limits, 1u << SEAL_NAMESPACES | 1u << SEAL_LANDLOCK, STDERR_FILENO, &report, &e) == 0);
	FAILS(p->run(&j), c->row->error);
	return 0;
}

static void a_command_is_told_that_it_may_not(void **state)
{
	struct seal s;
	struct err e = ERR_INIT;
	CLEANUP(fd_close) int input = memfd_create("input", MFD_CLOEXEC);

	assert_int_equal(seal_prepare(&s, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(told); i++) {
		struct command_case c = {&s, &told[i], input};
		if (in_process(command_is_told, &c) != 0)
			fail_msg("%s", told[i].probe);
	}
	seal_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_landlock_abi_closes_what_it_knows),
		cmocka_unit_test(a_command_may_read_and_execute_the_system_and_change_nothing),
		cmocka_unit_test(every_limit_is_what_the_job_asked_for),
		cmocka_unit_test(limits_that_were_lower_stay_and_cpu_seconds_are_given_job_by_job),
		cmocka_unit_test(every_row_says_why_and_what_may_be),
		cmocka_unit_test(a_filter_is_built_for_every_policy),
		cmocka_unit_test(a_command_is_told_that_it_may_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
