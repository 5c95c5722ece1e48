/* The child's loop by itself, without a seal: what it makes of batches that are wrong, and what it leaves open. */
#include "base/fd.h"
#include "runner/child/child.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define BAD_BATCH 70

struct message {
	struct runner_batch head;
	struct runner_request requests[2];
	char texts[8];
};

static int count_fds(struct sealed_job *j, struct err *e)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	buf_addf(&j->result, "{\"open\":%d}", n);
	return 0;
}

static const struct sealed_op op_count = {.name = "count", .policy = POLICY_MANY, .run = count_fds};
static const struct sealed_op op_once = {.name = "once", .policy = POLICY_ONCE, .run = count_fds};
static const struct sealed_op *const ops[] = {&op_count, &op_once};

static pid_t start(int *ret_channel, enum seal_policy policy)
{
	int ends[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		if (loop_prepare(NULL) < 0)
			_exit(1);
		loop_run(ends[1], policy, ops, 2);
	}
	close(ends[1]);
	*ret_channel = ends[0];
	return pid;
}

static int end(pid_t pid, int channel)
{
	int status;

	close(channel);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Two requests over an empty input. */
static struct message message_of(const char *op, uint64_t serial)
{
	struct message m = {.head = {.magic = RUNNER_MAGIC, .n = 2, .text_bytes = sizeof(m.texts), .n_fds = 1}, .texts = "{}a.b"};

	for (unsigned i = 0; i < 2; i++) {
		struct runner_request *q = &m.requests[i];

		*q = (struct runner_request){.serial = serial + i, .params_len = 2, .name_at = 2, .name_len = 3, .output = -1};
		strcpy(q->op, op);
		assert_true(hex_decode(q->sha256, 32, STR("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")));
		q->limits = (struct runner_limits){.memory = 256 << 20, .cpu_s = 10, .wall_ms = 1000};
	}
	return m;
}

static int empty_input(void)
{
	int fd = memfd_create("empty", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Each spoils one thing that was right. */
static void spoil(struct message *m, size_t *n, size_t *n_fds, unsigned how)
{
	switch (how) {
	case 0:
		*n = sizeof(m->head) - 1;
		break;
	case 1:
		m->head.magic++;
		break;
	case 2:
		m->head.n = 0;
		break;
	case 3:
		m->head.n = RUNNER_BATCH_MAX + 1;
		break;
	case 4:
		m->head.n = 1;
		break;
	case 5:
		m->head.text_bytes = UINT32_MAX;
		break;
	case 6:
		--*n;
		break;
	case 7:
		m->head.n_fds = 2;
		break;
	case 8:
		*n_fds = 0;
		break;
	case 9:
		m->requests[1].serial++;
		break;
	case 10:
		memset(m->requests[0].op, 'x', sizeof(m->requests[0].op));
		break;
	case 11:
		m->requests[0].params_at = sizeof(m->texts) - 1;
		break;
	case 12:
		m->requests[0].name_len = UINT32_MAX;
		break;
	case 13:
		m->requests[1].input = 1;
		break;
	case 14:
		m->requests[1].input = -1;
		break;
	case 15:
		m->requests[0].output = 0;
		break;
	case 16:
		m->requests[0].output = -2;
		break;
	case 17:
		m->requests[0].offset = UINT64_MAX;
		m->requests[0].size = 2;
		break;
	case 18:
		m->requests[0].size = (uint64_t)INT64_MAX + 1;
		break;
	}
}

static void a_batch_that_cannot_be_right_ends_the_child(void **state)
{
	for (unsigned how = 0; how < 19; how++) {
		struct message m = message_of("md5", 1);
		size_t n = sizeof(m), n_fds = 1;
		CLEANUP(fd_close) int fd = empty_input();
		int channel;
		pid_t pid = start(&channel, POLICY_MANY);

		spoil(&m, &n, &n_fds, how);
		assert_int_equal(message_send(channel, &m, n, &fd, n_fds), 0);
		char answer[64];
		assert_true(recv(channel, answer, sizeof(answer), 0) <= 0);
		int status = end(pid, channel);
		if (status != BAD_BATCH)
			fail_msg("case %u: status %d", how, status);
	}
}

static void receive_answers(int channel, uint64_t serial, char *ret_result, size_t max)
{
	for (unsigned i = 0; i < 2;) {
		char text[4096];
		ssize_t got = recv(channel, text, sizeof(text), 0);

		assert_true(got > 0);
		for (ssize_t at = 0; at < got; i++) {
			struct runner_answer a;

			memcpy(&a, text + at, sizeof(a));
			assert_int_equal(a.magic, RUNNER_MAGIC);
			assert_int_equal(a.serial, serial + i);
			assert_int_equal(a.code, 0);
			assert_true(a.result_len < max);
			memcpy(ret_result, text + at + sizeof(a), a.result_len);
			ret_result[a.result_len] = '\0';
			at += (ssize_t)(sizeof(a) + a.result_len + a.detail_len);
		}
	}
}

static void nothing_of_a_batch_stays_open(void **state)
{
	CLEANUP(fd_close) int fd = empty_input();
	char first[64], result[64];
	uint64_t serial = 1;
	int channel;
	pid_t pid = start(&channel, POLICY_MANY);

	for (unsigned i = 0; i < 50; i++, serial += 2) {
		struct message m = message_of(i % 2 ? "md5" : "count", serial);

		assert_int_equal(message_send(channel, &m, sizeof(m), &fd, 1), 0);
		receive_answers(channel, serial, result, sizeof(result));
		if (i == 0)
			strcpy(first, result);
		else if (i % 2 == 0)
			assert_string_equal(first, result);
	}
	assert_int_equal(end(pid, channel), 0);
}

static void a_child_for_one_job_takes_no_batch_of_two_and_ends_after_one(void **state)
{
	struct message m = message_of("once", 1);
	CLEANUP(fd_close) int fd = empty_input();
	char answer[256];
	int channel;
	pid_t pid = start(&channel, POLICY_ONCE);

	assert_int_equal(message_send(channel, &m, sizeof(m), &fd, 1), 0);
	assert_true(recv(channel, answer, sizeof(answer), 0) <= 0);
	assert_int_equal(end(pid, channel), BAD_BATCH);

	pid = start(&channel, POLICY_ONCE);
	m.head.n = 1;
	memmove(&m.requests[1], m.texts, sizeof(m.texts));
	assert_int_equal(message_send(channel, &m, sizeof(m) - sizeof(m.requests[1]), &fd, 1), 0);
	assert_true(recv(channel, answer, sizeof(answer), 0) > 0);
	assert_int_equal(recv(channel, answer, sizeof(answer), 0), 0);
	assert_int_equal(end(pid, channel), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_that_cannot_be_right_ends_the_child),
		cmocka_unit_test(nothing_of_a_batch_stays_open),
		cmocka_unit_test(a_child_for_one_job_takes_no_batch_of_two_and_ends_after_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
