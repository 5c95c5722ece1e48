#include "sealed_world.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define GONE_MAX_MS 60000

const struct runner_limits world_limits = {
	.memory = 256 << 20, .cpu_s = 10, .wall_ms = 30000, .output_max = 64 << 20, .pixels_max = 1000000};

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

void world_begin(struct world *w, const char *path, const struct runner_config *config)
{
	struct runner_config c = {.limits = world_limits, .children_max = 4};
	struct err e = ERR_INIT;

	*w = (struct world){.fds = count_fds()};
	if (config)
		c = *config;
	c.path = path;
	if (runner_start(&w->runner, &c, &e) != 0)
		fail_msg("%s", e.detail);
	assert_true(world_zygote(w) > 0);
}

int world_zygote(struct world *w)
{
	struct runner_stats stats;

	runner_stats(w->runner, &stats);
	if (stats.zygote_pid > 0 && (w->n_zygotes == 0 || w->zygotes[w->n_zygotes - 1] != stats.zygote_pid)) {
		assert_true(w->n_zygotes < sizeof(w->zygotes) / sizeof(w->zygotes[0]));
		w->zygotes[w->n_zygotes++] = stats.zygote_pid;
	}
	return stats.zygote_pid;
}

/* Third and later fields of /proc/PID/stat: state, parent, group, session. */
static bool read_stat(int pid, char *ret_state, int *ret_session)
{
	char name[64], text[512], *p;
	FILE *f;
	size_t n;

	snprintf(name, sizeof(name), "/proc/%d/stat", pid);
	f = fopen(name, "re");
	if (!f)
		return false;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	p = strrchr(text, ')'); /* the program's name may hold anything */
	return p && sscanf(p + 1, " %c %*d %*d %d", ret_state, ret_session) == 2;
}

/* Processes of the sessions that our zygotes led. */
static unsigned count_of_ours(const struct world *w)
{
	DIR *d = opendir("/proc");
	unsigned n = 0;

	assert_non_null(d);
	for (struct dirent *i = readdir(d); i; i = readdir(d)) {
		int session;
		char state;

		if (atoi(i->d_name) <= 0 || !read_stat(atoi(i->d_name), &state, &session))
			continue;
		for (unsigned z = 0; z < w->n_zygotes; z++)
			n += w->zygotes[z] == session;
	}
	closedir(d);
	return n;
}

void world_end(struct world *w)
{
	world_zygote(w);
	runner_free(w->runner);
	assert_int_equal(count_of_ours(w), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(count_fds(), w->fds);
}

unsigned world_children(int pid, int *ret, unsigned max)
{
	assert_int_equal(kill(pid, 0), 0);
	return world_living(pid, ret, max);
}

unsigned world_living(int pid, int *ret, unsigned max)
{
	char name[64], text[4096] = {};
	unsigned n = 0;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%d/task/%d/children", pid, pid);
	f = fopen(name, "re");
	if (!f)
		return 0;
	size_t got = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	assert_true(got < sizeof(text));
	for (char *p = text, *end; n < max; p = end) {
		long child = strtol(p, &end, 10);
		int session;
		char state;

		if (end == p)
			break;
		if (read_stat((int)child, &state, &session) && state != 'Z')
			ret[n++] = (int)child;
	}
	return n;
}

void world_kill(int pid)
{
	struct pollfd p = {.fd = pidfd_open(pid, 0), .events = POLLIN};

	assert_true(p.fd >= 0);
	assert_int_equal(pidfd_send_signal(p.fd, SIGKILL, NULL, 0), 0);
	assert_int_equal(poll(&p, 1, GONE_MAX_MS), 1);
	close(p.fd);
}

static void digest_of(uint8_t ret[32], struct str s)
{
	struct digest_set *d;
	size_t n;

	assert_int_equal(digest_set_new(&d, 1u << DIGEST_SHA256, NULL), 0);
	digest_set_update(d, s.p, s.len);
	assert_int_equal(digest_set_finish(d, NULL), 0);
	memcpy(ret, digest_set_get(d, DIGEST_SHA256, &n), 32);
	digest_set_free(d);
}

struct runner_job world_job(const struct op *op, struct str input)
{
	struct runner_job j = {.op = op, .params = STR("{}"), .name = STR("a.bin"), .input_fd = -1, .input = input, .size = input.len};

	assert_non_null(op);
	digest_of(j.sha256, input);
	return j;
}

struct runner_job world_job_of_file(const struct op *op, int fd, struct str content)
{
	struct runner_job j = world_job(op, content);

	j.input_fd = fd;
	j.input = (struct str){};
	return j;
}

struct op world_op(const char *name, enum op_child child, bool output)
{
	return (struct op){.name = name, .version = 1, .summary = "for tests", .kind = OP_SEALED, .child = child, .output = output};
}

int world_run_one(struct world *w, struct runner_job *job)
{
	runner_run(w->runner, job, 1, NULL);
	buf_release(&job->result);
	return job->code;
}

int world_take_output(void *arg, const void *data, size_t n, struct err *e)
{
	buf_add(arg, data, n);
	return 0;
}
