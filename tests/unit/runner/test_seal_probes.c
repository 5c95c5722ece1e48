/* Every probe in either kind of sealed child: what must be impossible is, by the call and in the way the table says. */
#include "probe.h"
#include "zygote_client.h"

#include "base/fd.h"
#include "ops/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define INPUT "the input of every probe"
#define INPUT_SIZE (sizeof(INPUT) - 1)
#define PROBES_AT_LEAST 60
#define SEALS_ALL (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static const char *program;

struct world {
	struct client client;
	uint8_t sha256[32];
	int memfd, file; /* inputs */
	int output_file;
};

/* ---- world ---- */

static int temporary_file(int *ret_writable)
{
	char path[] = "/tmp/filemill-probe-XXXXXX", again[64];
	int fd = mkostemp(path, O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, INPUT, INPUT_SIZE), 0);
	snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
	int reading = open(again, O_RDONLY | O_CLOEXEC);
	assert_true(reading >= 0);
	assert_int_equal(unlink(path), 0);
	*ret_writable = fd;
	return reading;
}

static void world_init(struct world *w)
{
	struct digest_set *d;
	size_t n;

	assert_int_equal(digest_set_new(&d, 1u << DIGEST_SHA256, NULL), 0);
	digest_set_update(d, INPUT, INPUT_SIZE);
	assert_int_equal(digest_set_finish(d, NULL), 0);
	memcpy(w->sha256, digest_set_get(d, DIGEST_SHA256, &n), sizeof(w->sha256));
	digest_set_free(d);
	w->memfd = memfd_create("input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(fd_write_all(w->memfd, INPUT, INPUT_SIZE), 0);
	assert_int_equal(fcntl(w->memfd, F_ADD_SEALS, SEALS_ALL), 0);
	w->file = temporary_file(&w->output_file);
	w->client = client_start(program);
}

static void world_release(struct world *w)
{
	assert_int_equal(children_of(w->client.pid), 0);
	assert_int_equal(client_stop(&w->client), 0);
	close(w->memfd);
	close(w->file);
	close(w->output_file);
}

/* ---- one probe ---- */

struct outcome {
	enum probe_end end;
	int what; /* as in struct probe_expect */
	uint32_t arch; /* REFUSED */
};

static struct outcome outcome_of(const void *message, size_t n, const struct child_ended *ended)
{
	struct runner_refusal refusal;
	struct runner_answer answer;
	long result = 0;
	int error = 0;

	if (n == 0) {
		assert_true(ended->code == CLD_KILLED || ended->code == CLD_EXITED);
		return (struct outcome){.end = KILLED, .what = ended->code == CLD_KILLED ? ended->status : -ended->status};
	}
	memcpy(&refusal, message, sizeof(refusal));
	if (n == sizeof(refusal) && refusal.magic == RUNNER_REFUSED) {
		assert_int_equal(ended->code, CLD_EXITED);
		assert_int_equal(ended->status, RUNNER_REFUSED_STATUS);
		return (struct outcome){.end = REFUSED, .what = refusal.call, .arch = refusal.arch};
	}
	assert_true(n >= sizeof(answer));
	memcpy(&answer, message, sizeof(answer));
	assert_int_equal(answer.magic, RUNNER_MAGIC);
	if (answer.code != 0)
		print_error("the op says %d: %.*s\n", answer.code, (int)answer.detail_len,
			    (const char *)message + sizeof(answer) + answer.result_len);
	assert_int_equal(answer.code, 0);
	assert_int_equal(ended->code, CLD_EXITED);
	assert_int_equal(sscanf((const char *)message + sizeof(answer), "{\"result\":%ld,\"errno\":%d}", &result, &error), 2);
	return (struct outcome){.end = result < 0 ? TOLD : WORKED, .what = result < 0 ? error : (int)result};
}

static struct outcome run_probe(const struct world *w, const struct probe *p, enum seal_policy policy)
{
	struct zygote_request request = client_request(ZYGOTE_SPAWN, policy);
	struct client_child child;
	char message[4096];
	int pipe_fds[2];

	assert_int_equal(client_spawn(&w->client, &request, &child), 0);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	client_send_job(&child, "probe", p->name, (p->flags & PROBE_INPUT_FILE) != 0 ? w->file : w->memfd, INPUT_SIZE, w->sha256,
			(p->flags & PROBE_OUTPUT_FILE) != 0 ? w->output_file : pipe_fds[1]);
	size_t n = client_receive(child.channel, message, sizeof(message) - 1);
	message[n] = '\0';
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	struct child_ended ended = client_end(&child);
	return outcome_of(message, n, &ended);
}

/* false, with what was wrong, when it did not come as the table says. */
static bool check_probe(const struct world *w, const struct probe *p, enum seal_policy policy)
{
	static const char *const words[] = {"refused call", "errno", "signal", "success"};
	const struct probe_expect *expect = policy == POLICY_MANY ? &p->many : &p->once;
	struct outcome got = run_probe(w, p, policy);
	bool native = got.arch == AUDIT_ARCH_X86_64 || got.arch == AUDIT_ARCH_AARCH64;

	if (got.end == expect->end && got.what == expect->what && (got.end != REFUSED || native == ((p->flags & PROBE_FOREIGN) == 0)))
		return true;
	print_error("%s, %s: expected %s %d, got %s %d (architecture 0x%x)\n", p->name, policy == POLICY_MANY ? "many" : "once",
		    words[expect->end], expect->what, words[got.end], got.what, got.arch);
	return false;
}

/* ---- tests ---- */

static void every_probe_ends_as_the_table_says(void **state)
{
	const struct probe_list *const *lists;
	size_t n_lists = probe_lists(&lists), n = 0, wrong = 0, descriptors = open_descriptors(getpid());
	struct world w;

	world_init(&w);
	for (size_t l = 0; l < n_lists; l++) {
		for (size_t i = 0; i < lists[l]->n; i++) {
			n += lists[l] != &probes_controls;
			wrong += !check_probe(&w, &lists[l]->rows[i], POLICY_MANY);
			wrong += !check_probe(&w, &lists[l]->rows[i], POLICY_ONCE);
		}
	}
	print_message("%zu probes in two kinds of children, %zu ends wrong\n", n, wrong);
	assert_int_equal(wrong, 0);
	assert_true(n >= PROBES_AT_LEAST);
	world_release(&w);
	assert_int_equal(open_descriptors(getpid()), descriptors);
	assert_int_not_equal(access("/tmp/filemill-probe-must-not-be", F_OK), 0);
}

static void only_controls_may_work(void **state)
{
	const struct probe_list *const *lists;
	size_t n_lists = probe_lists(&lists);

	for (size_t l = 0; l < n_lists; l++) {
		for (size_t i = 0; i < lists[l]->n; i++) {
			const struct probe *p = &lists[l]->rows[i];
			assert_ptr_equal(probe_find(str_of(p->name)), p);
			assert_true(lists[l] == &probes_controls || (p->many.end != WORKED && p->once.end != WORKED));
		}
	}
}

/* In a process of its own, without a seal: exit status 0 when the attempt works, 1 when it fails. */
static int run_bare(const struct world *w, const struct probe *p)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct sealed_job j = {.input_fd = (p->flags & PROBE_INPUT_FILE) != 0 ? w->file : w->memfd,
				       .output_fd = w->output_file,
				       .size = INPUT_SIZE,
				       .limits = client_limits};
		setsid(); /* group signals reach only itself; failing here is no matter */
		_exit(p->run(&j) < 0 ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void harmless_probes_succeed_where_there_is_no_seal(void **state)
{
	const struct probe_list *const *lists;
	size_t n_lists = probe_lists(&lists), wrong = 0, n = 0;
	struct world w;

	world_init(&w);
	for (size_t l = 0; l < n_lists; l++) {
		for (size_t i = 0; i < lists[l]->n; i++) {
			const struct probe *p = &lists[l]->rows[i];
			if ((p->flags & PROBE_BARE) == 0)
				continue;
			int got = run_bare(&w, p);
			n++;
			if (got != 0)
				print_error("%s does not even work without a seal: %d\n", p->name, got);
			wrong += got != 0;
		}
	}
	print_message("%zu probes without a seal\n", n);
	assert_int_equal(wrong, 0);
	world_release(&w);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_probe_ends_as_the_table_says),
		cmocka_unit_test(only_controls_may_work),
		cmocka_unit_test(harmless_probes_succeed_where_there_is_no_seal),
	};

	program = argv[1];
	return argc == 2 ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
