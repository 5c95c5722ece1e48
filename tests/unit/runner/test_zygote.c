/* The zygote, spoken to through message.h: children come, are told of, end and are told of; nothing stays; garbage changes nothing; nobody outlives anybody. */
#include "zygote_client.h"

#include "base/compiler.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SPAWNS_ENV "FILEMILL_TEST_SPAWNS" /* more of them, to see memory stay flat for longer */
#define SPAWNS 1000
#define WARM_UP 200
#define GROWTH_MAX_KB 64 /* over all spawns */

static const char *program;

static struct client_child spawn(const struct client *c, enum seal_policy policy)
{
	struct zygote_request r = client_request(ZYGOTE_SPAWN, policy);
	struct client_child child;

	assert_int_equal(client_spawn(c, &r, &child), 0);
	return child;
}

static void kill_child(const struct client_child *child)
{
	assert_int_equal(syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0), 0);
}

static void hang_up(struct client_child *child)
{
	fd_close(&child->channel);
	fd_close(&child->status);
	fd_close(&child->pidfd);
}

static void by_hand_it_says_what_it_is_and_returns_2(void **state)
{
	int out[2], status;
	char said[512] = "";

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(RUNNER_ZYGOTE_FD);
		dup2(out[1], STDERR_FILENO);
		execl(program, program, (char *)NULL);
		_exit(99);
	}
	close(out[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 2);
	assert_true(read(out[0], said, sizeof(said) - 1) > 0);
	assert_non_null(strstr(said, "filemill starts it"));
	close(out[0]);
}

static void a_child_ends_when_its_channel_does_and_the_zygote_tells_how(void **state)
{
	struct client c = client_start(program);

	for (int policy = POLICY_MANY; policy <= POLICY_ONCE; policy++) {
		struct client_child child = spawn(&c, (enum seal_policy)policy);
		struct child_ended ended = client_end(&child);
		assert_int_equal(ended.code, CLD_EXITED);
		assert_int_equal(ended.status, 0);
	}
	assert_int_equal(client_stop(&c), 0);
}

static void a_killed_child_is_told_of_with_its_signal(void **state)
{
	struct client c = client_start(program);
	struct client_child child = spawn(&c, POLICY_MANY);

	kill_child(&child);
	struct child_ended ended = client_end(&child);
	assert_int_equal(ended.code, CLD_KILLED);
	assert_int_equal(ended.status, SIGKILL);
	assert_int_equal(client_stop(&c), 0);
}

static void children_end_with_the_zygote_when_the_server_hangs_up(void **state)
{
	struct client c = client_start(program);
	struct client_child children[5];

	for (size_t i = 0; i < ARRAY_LEN(children); i++)
		children[i] = spawn(&c, POLICY_MANY);
	assert_int_equal(client_stop(&c), 0);
	for (size_t i = 0; i < ARRAY_LEN(children); i++) {
		assert_true(client_readable(children[i].pidfd, 0)); /* collected before the zygote ended */
		hang_up(&children[i]);
	}
}

static void children_die_with_a_killed_zygote(void **state)
{
	struct client c = client_start(program);
	struct client_child children[5];

	for (size_t i = 0; i < ARRAY_LEN(children); i++)
		children[i] = spawn(&c, i % 2 == 0 ? POLICY_MANY : POLICY_ONCE);
	assert_int_equal(kill(c.pid, SIGKILL), 0);
	assert_int_equal(client_stop(&c), -SIGKILL);
	for (size_t i = 0; i < ARRAY_LEN(children); i++) {
		assert_true(client_readable(children[i].pidfd, CLIENT_PATIENCE_MS));
		assert_int_equal(client_receive(children[i].status, &(char){0}, 1), 0);
		hang_up(&children[i]);
	}
}

static void *start_in_thread(void *arg)
{
	*(struct client *)arg = client_start(program);
	return NULL;
}

static void outlives_the_thread_that_started_it(void **state)
{
	struct client c;
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, start_in_thread, &c), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
	struct client_child child = spawn(&c, POLICY_MANY);
	assert_int_equal(client_end(&child).status, 0);
	assert_int_equal(client_stop(&c), 0);
}

/* ---- garbage ---- */

#define ENOUGH                                                                                                                             \
	{                                                                                                                                  \
		.memory = 1 << 30, .cpu_s = 1                                                                                              \
	}

static const struct garbage {
	const char *what;
	size_t size, fds;
	struct zygote_request r;
} garbage[] = {
	{"nothing", 0, 2, {RUNNER_MAGIC, ZYGOTE_SPAWN, POLICY_MANY, 0, ENOUGH}},
	{"another magic", sizeof(struct zygote_request), 2, {RUNNER_MAGIC + 1, ZYGOTE_SPAWN, POLICY_MANY, 0, ENOUGH}},
	{"another kind", sizeof(struct zygote_request), 2, {RUNNER_MAGIC, ZYGOTE_REPORT + 1, POLICY_MANY, 0, ENOUGH}},
	{"another policy", sizeof(struct zygote_request), 2, {RUNNER_MAGIC, ZYGOTE_SPAWN, POLICIES, 0, ENOUGH}},
	{"a feature that is none",
	 sizeof(struct zygote_request),
	 2,
	 {RUNNER_MAGIC, ZYGOTE_SPAWN, POLICY_MANY, 1u << SEAL_FEATURES, ENOUGH}},
	{"no memory", sizeof(struct zygote_request), 2, {RUNNER_MAGIC, ZYGOTE_SPAWN, POLICY_MANY, 0, {.memory = 0, .cpu_s = 1}}},
	{"no time", sizeof(struct zygote_request), 2, {RUNNER_MAGIC, ZYGOTE_SPAWN, POLICY_MANY, 0, {.memory = 1 << 30, .cpu_s = 0}}},
	{"time that went back",
	 sizeof(struct zygote_request),
	 2,
	 {RUNNER_MAGIC, ZYGOTE_SPAWN, POLICY_MANY, 0, {.memory = 1 << 30, .cpu_s = -1}}},
	{"a byte too few", sizeof(struct zygote_request) - 1, 2, {RUNNER_MAGIC, ZYGOTE_SPAWN, POLICY_MANY, 0, ENOUGH}},
	{"a byte too many", sizeof(struct zygote_request) + 1, 2, {RUNNER_MAGIC, ZYGOTE_SPAWN, POLICY_MANY, 0, ENOUGH}},
	{"no descriptor", sizeof(struct zygote_request), 0, {RUNNER_MAGIC, ZYGOTE_SPAWN, POLICY_MANY, 0, ENOUGH}},
	{"one descriptor", sizeof(struct zygote_request), 1, {RUNNER_MAGIC, ZYGOTE_SPAWN, POLICY_MANY, 0, ENOUGH}},
	{"three descriptors", sizeof(struct zygote_request), 3, {RUNNER_MAGIC, ZYGOTE_SPAWN, POLICY_MANY, 0, ENOUGH}},
	{"as many descriptors as fit", sizeof(struct zygote_request), RUNNER_FDS_MAX, {RUNNER_MAGIC, ZYGOTE_SPAWN, POLICY_MANY, 0, ENOUGH}},
};

static void garbage_gets_no_answer_and_leaves_nothing_open(void **state)
{
	struct client c = client_start(program);
	struct client_child child = spawn(&c, POLICY_MANY);

	assert_int_equal(client_end(&child).status, 0);
	size_t before = open_descriptors(c.pid);
	for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
		char bytes[sizeof(struct zygote_request) + 1] = {};
		int pair[2], fds[RUNNER_FDS_MAX];
		memcpy(bytes, &garbage[i].r, sizeof(garbage[i].r));
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		for (size_t f = 0; f < RUNNER_FDS_MAX; f++)
			fds[f] = pair[1];
		assert_int_equal(message_send(c.sock, bytes, garbage[i].size, fds, garbage[i].fds), 0);
		close(pair[1]);
		if (client_receive(pair[0], bytes, sizeof(bytes)) != 0)
			fail_msg("%s was answered", garbage[i].what);
		close(pair[0]);
	}
	child = spawn(&c, POLICY_MANY);
	assert_int_equal(client_end(&child).status, 0);
	assert_int_equal(open_descriptors(c.pid), before);
	assert_int_equal(client_stop(&c), 0);
}

static void descriptors_that_are_no_sockets_do_no_harm(void **state)
{
	struct client c = client_start(program);
	struct zygote_request r = client_request(ZYGOTE_SPAWN, POLICY_MANY);
	CLEANUP(fd_close) int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_int_equal(message_send(c.sock, &r, sizeof(r), (int[]){null, null}, 2), 0);
	struct client_child child = spawn(&c, POLICY_MANY);
	assert_int_equal(client_end(&child).status, 0);
	assert_int_equal(client_stop(&c), 0);
}

static void a_child_that_nobody_can_kill_any_more_is_killed(void **state)
{
	struct client c = client_start(program);
	struct zygote_request r = client_request(ZYGOTE_SPAWN, POLICY_MANY);
	int channel[2], status[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, status), 0);
	close(status[0]);
	assert_int_equal(message_send(c.sock, &r, sizeof(r), (int[]){channel[1], status[1]}, 2), 0);
	close(channel[1]);
	close(status[1]);
	assert_int_equal(client_receive(channel[0], &(char){0}, 1), 0); /* its end: the channel is still open on this side */
	close(channel[0]);
	assert_int_equal(client_stop(&c), 0);
}

/* ---- amounts ---- */

static void takes_as_many_children_as_it_says_and_not_one_more(void **state)
{
	struct rlimit files, more;
	struct client_child *children = calloc(ZYGOTE_CHILDREN_MAX, sizeof(*children)), one;
	struct zygote_request r = client_request(ZYGOTE_SPAWN, POLICY_MANY);

	assert_non_null(children);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	more = (struct rlimit){4 * ZYGOTE_CHILDREN_MAX, files.rlim_max};
	if (files.rlim_max < more.rlim_cur)
		skip(); /* the hard limit of descriptors is too low for this many children */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &more), 0);
	struct client c = client_start(program);
	for (size_t i = 0; i < ZYGOTE_CHILDREN_MAX; i++)
		children[i] = spawn(&c, POLICY_MANY);
	assert_int_equal(client_spawn(&c, &r, &one), EAGAIN);
	hang_up(&one);
	assert_int_equal(client_end(&children[0]).status, 0);
	children[0] = spawn(&c, POLICY_MANY);
	for (size_t i = 0; i < ZYGOTE_CHILDREN_MAX; i++)
		assert_int_equal(client_end(&children[i]).status, 0);
	assert_int_equal(children_of(c.pid), 0);
	assert_int_equal(client_stop(&c), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	free(children);
}

static size_t resident_kb(int pid)
{
	char path[64], line[256];
	size_t kb = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL && sscanf(line, "VmRSS: %zu kB", &kb) != 1)
		;
	fclose(f);
	assert_true(kb > 0);
	return kb;
}

static void neither_memory_nor_descriptors_nor_zombies_grow_with_the_number_of_children(void **state)
{
	const char *more = getenv(SPAWNS_ENV);
	long n = more != NULL ? strtol(more, NULL, 10) : SPAWNS;
	struct client c = client_start(program);
	size_t memory = 0, descriptors = 0;

	for (long i = 0; i < WARM_UP + n; i++) {
		struct client_child child = spawn(&c, i % 2 == 0 ? POLICY_MANY : POLICY_ONCE);
		if (i % 3 == 0)
			kill_child(&child);
		client_end(&child);
		if (i == WARM_UP) {
			memory = resident_kb(c.pid);
			descriptors = open_descriptors(c.pid);
		}
	}
	print_message("%ld children: resident %zu kB, then %zu kB\n", n, memory, resident_kb(c.pid));
	assert_true(resident_kb(c.pid) <= memory + GROWTH_MAX_KB);
	assert_int_equal(open_descriptors(c.pid), descriptors);
	assert_int_equal(children_of(c.pid), 0);
	assert_int_equal(client_stop(&c), 0);
}

static void nothing_of_the_servers_is_in_the_zygote(void **state)
{
	CLEANUP(fd_close) int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	CLEANUP(fd_close) int leaked = fcntl(zero, F_DUPFD, 20); /* without close-on-exec, as somebody's library would */
	char path[64], target[256];
	struct client c;

	assert_true(leaked >= 0);
	assert_int_equal(setenv("FILEMILL_SECRET", "x", 1), 0);
	c = client_start(program);
	struct client_child child = spawn(&c, POLICY_MANY);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", c.pid, leaked);
	ssize_t n = readlink(path, target, sizeof(target));
	assert_true(n < 0 || strncmp(target, "/dev/zero", (size_t)n) != 0);
	snprintf(path, sizeof(path), "/proc/%d/environ", c.pid);
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd < 0 || read(fd, target, sizeof(target)) <= 0);
	assert_int_equal(client_end(&child).status, 0);
	assert_int_equal(client_stop(&c), 0);
}

static int leaves_nothing(void **state)
{
	static size_t before;

	if (*state == NULL) {
		before = open_descriptors(getpid());
		*state = &before;
		return 0;
	}
	*state = NULL;
	return open_descriptors(getpid()) == before && waitpid(-1, NULL, WNOHANG) == -1 ? 0 : -1;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, leaves_nothing, leaves_nothing)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(by_hand_it_says_what_it_is_and_returns_2),
		TEST(a_child_ends_when_its_channel_does_and_the_zygote_tells_how),
		TEST(a_killed_child_is_told_of_with_its_signal),
		TEST(children_end_with_the_zygote_when_the_server_hangs_up),
		TEST(children_die_with_a_killed_zygote),
		TEST(outlives_the_thread_that_started_it),
		TEST(garbage_gets_no_answer_and_leaves_nothing_open),
		TEST(descriptors_that_are_no_sockets_do_no_harm),
		TEST(a_child_that_nobody_can_kill_any_more_is_killed),
		TEST(takes_as_many_children_as_it_says_and_not_one_more),
		TEST(neither_memory_nor_descriptors_nor_zombies_grow_with_the_number_of_children),
		TEST(nothing_of_the_servers_is_in_the_zygote),
	};

	program = argv[1];
	return argc == 2 ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
