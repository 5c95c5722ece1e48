#include "zygote_client.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

const struct runner_limits client_limits = {
	.memory = 256ull << 20, .cpu_s = 1, .wall_ms = 20000, .output_max = 1 << 20, .pixels_max = 1000000};

struct client client_start_after(const char *path, void (*before)(const void *arg), const void *arg)
{
	struct client c;
	int pair[2];
	char *argv[] = {(char *)(uintptr_t)path, NULL}, *none[] = {NULL};

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	c.pid = fork();
	assert_true(c.pid >= 0);
	if (c.pid == 0) {
		if (pair[1] == RUNNER_ZYGOTE_FD ? fcntl(pair[1], F_SETFD, 0) != 0 : dup2(pair[1], RUNNER_ZYGOTE_FD) < 0)
			_exit(99);
		if (before != NULL)
			before(arg);
		execve(path, argv, none);
		_exit(99);
	}
	close(pair[1]);
	c.sock = pair[0];
	return c;
}

struct client client_start(const char *path)
{
	return client_start_after(path, NULL, NULL);
}

int client_stop(struct client *c)
{
	int status = 0;

	fd_close(&c->sock);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool client_readable(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

size_t client_receive(int sock, void *dst, size_t max)
{
	int fds[RUNNER_FDS_MAX];
	size_t n_fds = 0;

	assert_true(client_readable(sock, CLIENT_PATIENCE_MS));
	ssize_t got = message_recv(sock, dst, max, fds, RUNNER_FDS_MAX, &n_fds);
	if (got < 0 && errno == ECONNRESET)
		got = 0;
	assert_true(got >= 0);
	assert_int_equal(n_fds, 0);
	return (size_t)got;
}

struct zygote_request client_request(enum zygote_request_kind kind, enum seal_policy policy)
{
	return (struct zygote_request){.magic = RUNNER_MAGIC, .kind = kind, .policy = policy, .limits = client_limits};
}

int client_spawn(const struct client *c, const struct zygote_request *r, struct client_child *ret)
{
	int channel[2], status[2], fds[RUNNER_FDS_MAX];
	struct child_started started = {};
	size_t n_fds = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, status), 0);
	assert_int_equal(message_send(c->sock, r, sizeof(*r), (int[]){channel[1], status[1]}, 2), 0);
	close(channel[1]);
	close(status[1]);
	assert_true(client_readable(status[0], CLIENT_PATIENCE_MS));
	assert_int_equal(message_recv(status[0], &started, sizeof(started), fds, RUNNER_FDS_MAX, &n_fds), sizeof(started));
	assert_int_equal(started.magic, RUNNER_MAGIC);
	assert_int_equal(n_fds, started.error == 0 ? 1 : 0);
	*ret = (struct client_child){channel[0], status[0], n_fds == 1 ? fds[0] : -1, started.pid};
	return started.error;
}

void client_send_job(const struct client_child *child, const char *op, const char *name, int input, uint64_t size, const uint8_t sha256[32],
		     int output)
{
	struct {
		struct runner_batch head;
		struct runner_request request;
		char text[256];
	} m = {};
	size_t n = strlen(name);

	assert_true(n + 2 <= sizeof(m.text));
	m.head = (struct runner_batch){RUNNER_MAGIC, 1, (uint32_t)n + 2, output >= 0 ? 2 : 1};
	m.request = (struct runner_request){.serial = 1,
					    .params_len = 2,
					    .name_at = 2,
					    .name_len = (uint32_t)n,
					    .input = 0,
					    .output = output >= 0 ? 1 : -1,
					    .size = size,
					    .limits = client_limits};
	snprintf(m.request.op, sizeof(m.request.op), "%s", op);
	memcpy(m.request.sha256, sha256, 32);
	memcpy(m.text, "{}", 2);
	memcpy(m.text + 2, name, n);
	assert_int_equal(message_send(child->channel, &m, offsetof(typeof(m), text) + n + 2, (int[]){input, output}, output >= 0 ? 2 : 1),
			 0);
}

struct child_ended client_end(struct client_child *child)
{
	struct child_ended ended = {};

	fd_close(&child->channel);
	assert_int_equal(client_receive(child->status, &ended, sizeof(ended)), sizeof(ended));
	assert_int_equal(ended.magic, RUNNER_MAGIC);
	assert_int_equal(client_receive(child->status, &(char){0}, 1), 0);
	fd_close(&child->status);
	fd_close(&child->pidfd);
	return ended;
}

static size_t count(const char *folder)
{
	DIR *d = opendir(folder);
	size_t n = 0;

	assert_non_null(d);
	for (struct dirent *at = readdir(d); at != NULL; at = readdir(d))
		n += at->d_name[0] != '.';
	closedir(d);
	return n;
}

size_t open_descriptors(int pid)
{
	char folder[64];

	snprintf(folder, sizeof(folder), "/proc/%d/fd", pid);
	if (access(folder, R_OK | X_OK) != 0) {
		assert_int_equal(errno, EACCES); /* undumpable, and this is not root */
		return 0;
	}
	return count(folder) - (pid == getpid() ? 1 : 0);
}

size_t children_of(int pid)
{
	char path[64], line[8192];
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	if (fgets(line, sizeof(line), f) != NULL) {
		for (char *p = line; *p != '\0'; p++)
			n += *p == ' ';
	}
	fclose(f);
	return n;
}
