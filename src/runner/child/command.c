/* The child of a command: takes its one request, builds the place a command lives in, executes the program there, and answers what became of it.
 *
 *	in namespaces        zygote ─► supervisor (number 1 of its processes) ─► program ─► whatever it forks
 *	where there are none zygote ─► outer ─► supervisor ─► program ─► …
 *
 * With namespaces the kernel ends everything with the supervisor, whoever kills it. Without them the outer process is the one the server may kill: the supervisor notices, kills
 * the program's group, which nobody can leave, and ends. The program gets what an argument list says, never a shell; three descriptors; and four variables. */
#include "runner/child/command_impl.h"

#include "base/fd.h"
#include "base/json_out.h"
#include "rt/json_in.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 64 /* words; the op table's OP_ARGV_MAX */
#define SUPERVISOR_MEMORY (4ull << 30) /* bytes of address space: the zygote's libraries are in it; the program gets its own limit */
#define TOLD_FD 4 /* in the program until it is executed */
#define STATUS_NOT_FOUND 127 /* as shells say it */
#define STATUS_NOT_EXECUTABLE 126
enum { EXIT_DONE = 0, EXIT_BAD_BATCH = 70, EXIT_CHANNEL = 71, EXIT_MEMORY = 72 }; /* seen in child_ended only */

static const char *const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/tmp", "TMPDIR=/tmp", NULL};

struct command {
	int channel;
	const struct seal *seal;
	unsigned may_lack;
	struct command_world world;
	struct runner_request request;
	json_t *params; /* keeps the words alive */
	char *argv[ARGUMENTS_MAX + 1];
	bool progress; /* the program tells it */
	int input, output; /* output -1: none */
	volatile pid_t *shared_program; /* without namespaces: where the outer process reads the program's id */
	struct command_run run;
};

/* ---- the request ---- */

static void take_words(struct command *c, struct str params)
{
	json_t *words;

	if (json_read(&c->params, params, NULL) < 0)
		_exit(EXIT_BAD_BATCH);
	words = json_object_get(c->params, "argv");
	c->progress = json_is_true(json_object_get(c->params, "progress"));
	if (json_array_size(words) == 0 || json_array_size(words) > ARGUMENTS_MAX)
		_exit(EXIT_BAD_BATCH);
	for (size_t i = 0; i < json_array_size(words); i++) {
		const char *word = json_string_value(json_array_get(words, i));

		/* argv of execve() is not const for historical reasons; nobody writes to it. */
		if (!word || !(c->argv[i] = strdup(word)))
			_exit(word ? EXIT_MEMORY : EXIT_BAD_BATCH);
	}
	if (c->argv[0][0] != '/')
		_exit(EXIT_BAD_BATCH);
}

static bool request_ok(const struct runner_request *q, size_t n_fds)
{
	uint64_t end;

	return memchr(q->op, '\0', sizeof(q->op)) && q->input >= 0 && (size_t)q->input < n_fds && q->output >= -1 &&
	       q->output < (int)n_fds && q->output != q->input && u64_add(q->offset, q->size, &end) && end <= INT64_MAX;
}

/* One batch of one request; what cannot be right ends the process before anything is done with it. */
static void receive(struct command *c)
{
	static char message[RUNNER_MESSAGE_MAX];
	struct runner_batch head;
	int fds[RUNNER_FDS_MAX];
	size_t n_fds = 0, texts = sizeof(head) + sizeof(c->request);
	ssize_t got = message_recv(c->channel, message, sizeof(message), fds, RUNNER_FDS_MAX, &n_fds);

	if (got == 0 || (got < 0 && errno == ECONNRESET))
		_exit(EXIT_DONE);
	if (got < 0)
		_exit(EXIT_CHANNEL);
	if ((size_t)got < texts)
		_exit(EXIT_BAD_BATCH);
	memcpy(&head, message, sizeof(head));
	memcpy(&c->request, message + sizeof(head), sizeof(c->request));
	if (head.magic != RUNNER_MAGIC || head.n != 1 || head.n_fds != n_fds || head.text_bytes != (size_t)got - texts ||
	    !request_ok(&c->request, n_fds) || c->request.params_at > head.text_bytes ||
	    c->request.params_len > head.text_bytes - c->request.params_at)
		_exit(EXIT_BAD_BATCH);
	c->input = fds[c->request.input];
	c->output = c->request.output >= 0 ? fds[c->request.output] : -1;
	take_words(c, (struct str){message + texts + c->request.params_at, c->request.params_len});
}

/* The bytes are what they should be, and standard input will begin and end with them. */
static int check_input(struct command *c, struct err *e)
{
	struct sealed_job j = {.input_fd = c->input, .output_fd = -1, .offset = c->request.offset, .size = c->request.size};
	struct stat st;
	int r;

	memcpy(j.sha256, c->request.sha256, sizeof(j.sha256));
	r = sealed_check(&j, e);
	sealed_release(&j);
	if (r < 0)
		return r;
	if (fstat(c->input, &st) != 0 || lseek(c->input, (off_t)c->request.offset, SEEK_SET) < 0)
		return err_set(e, ERR_IO, "the input: %s", strerrordesc_np(errno));
	if ((uint64_t)st.st_size != c->request.offset + c->request.size)
		return err_set(e, ERR_OP_FAILED, "the input is a part of something longer");
	return 0;
}

/* ---- the answer ---- */

static void write_result(const struct command *c, const char *name, int value, struct buf *out)
{
	struct json_out j = json_out(out);
	struct buf text = BUF_INIT;

	command_tail_write(&c->run.tail, &text);
	json_obj_open(&j);
	json_key(&j, name);
	json_i64(&j, value);
	json_kstr(&j, "stderr", buf_ok(&text) ? buf_str(&text) : STR(""));
	json_obj_close(&j);
	buf_release(&text);
}

/* A signal that a limit sends says so; the second that RLIMIT_CPU grants after SIGXCPU may have been used up with it ignored. */
static int code_of_signal(const struct command *c, struct err *e)
{
	const char *name = sigabbrev_np(c->run.status);

	if (c->run.status == SIGXCPU || (c->run.status == SIGKILL && c->run.cpu_s >= (double)c->request.limits.cpu_s)) {
		err_set(e, ERR_LIMIT_TIME, "the command used more processor time than allowed");
		return err_limit(e, c->request.limits.cpu_s);
	}
	if (c->run.status == SIGXFSZ) {
		err_set(e, ERR_LIMIT_OUTPUT, "the command wrote a file larger than an output may be");
		return err_limit(e, (int64_t)c->request.limits.output_max);
	}
	if (c->run.status == SIGSYS)
		return err_set(e, ERR_SEAL_VIOLATION, "the command tried what is not allowed inside the seal");
	return err_set(e, ERR_COMMAND_FAILED, "the command was ended by signal %d (SIG%s)", c->run.status, name ? name : "?");
}

static int code_of_end(const struct command *c, struct buf *result, struct err *e)
{
	if (c->run.code != 0) {
		*e = c->run.why;
		write_result(c, "signal", SIGKILL, result);
		return c->run.code;
	}
	if (c->run.how != CLD_EXITED) {
		write_result(c, "signal", c->run.status, result);
		return code_of_signal(c, e);
	}
	write_result(c, "exit_code", c->run.status, result);
	return c->run.status == 0 ? 0 : err_set(e, ERR_COMMAND_FAILED, "the command ended with status %d", c->run.status);
}

static _Noreturn void answer(const struct command *c, int code, struct buf *result, const struct err *e)
{
	struct str detail = code == 0 ? STR("") : str_of(e->detail);

	if (!buf_ok(result))
		_exit(EXIT_MEMORY);
	/* Codes that are no job's become ERR_OP_FAILED there. */
	_exit(answer_send(c->channel, c->request.serial, code, c->run.written, buf_str(result), detail) == 0 ? EXIT_DONE : EXIT_CHANNEL);
}

/* ---- the program ---- */

static int set_limit(int resource, uint64_t n)
{
	struct rlimit had, want = {.rlim_cur = n, .rlim_max = n};

	if (getrlimit(resource, &had) != 0)
		return errno;
	if (had.rlim_max < want.rlim_max)
		return 0;
	return setrlimit(resource, &want) == 0 ? 0 : errno;
}

/* In namespaces the supervisor wears the seal, and what it forks with it: so the two may signal each other, and nobody else. Without them only the program does, for the supervisor
 * has to see the machine's processes to find its own. 0 or errno. */
static int seal_program(const struct command *c)
{
	struct seal_report report;
	struct err e = ERR_INIT;
	int error = 0;

	/* Without Landlock its standard input could be opened again for writing, through /proc. */
	if (!c->world.namespaces && (seal_apply(c->seal, POLICY_COMMAND, &c->request.limits, c->may_lack, -1, &report, &e) != 0 ||
				     ((report.enforced & 1u << SEAL_LANDLOCK) == 0 && !c->world.other_user)))
		error = EPERM;
	if (error == 0)
		error = command_filter(&c->world);
	if (error == 0)
		error = set_limit(RLIMIT_AS, c->request.limits.memory);
	if (error == 0 && c->world.own_user)
		error = set_limit(RLIMIT_NPROC, COMMAND_PROCESSES_MAX);
	return error;
}

static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL); /* refused for those that cannot be changed */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Between fork and exec. What goes wrong is told through `told` as an errno; exec closes it. */
static _Noreturn void program_run(const struct command *c, int out, int errors, int progress, int told)
{
	int error = 0, first_unused = COMMAND_PROGRESS_FD + (progress >= 0), tell = fcntl(told, F_DUPFD_CLOEXEC, TOLD_FD + 1);

	if (dup2(c->input, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(errors, STDERR_FILENO) < 0 ||
	    (progress >= 0 && dup2(progress, COMMAND_PROGRESS_FD) < 0) || dup3(tell, TOLD_FD, O_CLOEXEC) < 0 ||
	    (first_unused < TOLD_FD && close_range((unsigned)first_unused, TOLD_FD - 1, 0) != 0) || close_range(TOLD_FD + 1, ~0u, 0) != 0)
		_exit(STATUS_NOT_EXECUTABLE);
	setsid();
	reset_signals();
	umask(077);
	if (chdir(c->world.namespaces ? "/tmp" : "/") != 0)
		error = errno;
	if (error == 0)
		error = seal_program(c);
	if (error == 0) {
		execve(c->argv[0], c->argv, (char *const *)(uintptr_t)environment);
		error = errno;
	}
	[[maybe_unused]] int r = fd_write_all(TOLD_FD, &error, sizeof(error));
	_exit(STATUS_NOT_EXECUTABLE);
}

static int system_error(struct err *e, const char *call)
{
	return err_set(e, ERR_OP_FAILED, "starting the command: %s: %s", call, strerrordesc_np(errno));
}

/* The program runs, or *ret_error says why it does not. */
static int start(struct command *c, int *ret_error, struct err *e)
{
	CLEANUP(fd_close) int out = -1, errors = -1, progress = -1, told = -1, hear = -1;
	int pair[2], error = 0;

	if (pipe2(pair, O_CLOEXEC) != 0)
		return system_error(e, "pipe2");
	c->run.from = pair[0];
	out = pair[1];
	if (pipe2(pair, O_CLOEXEC) != 0)
		return system_error(e, "pipe2");
	c->run.errors = pair[0];
	errors = pair[1];
	if (c->progress) {
		if (pipe2(pair, O_CLOEXEC) != 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0)
			return system_error(e, "pipe2");
		c->run.progress = pair[0];
		progress = pair[1];
	}
	if (pipe2(pair, O_CLOEXEC) != 0)
		return system_error(e, "pipe2");
	hear = pair[0];
	told = pair[1];
	c->run.program = fork();
	if (c->run.program == 0)
		program_run(c, out, errors, progress, told);
	if (c->shared_program)
		*c->shared_program = c->run.program;
	if (c->run.program < 0)
		return system_error(e, "fork");
	fd_close(&told);
	/* Nothing comes when exec worked. */
	if (read(hear, &error, sizeof(error)) != (ssize_t)sizeof(error))
		error = 0;
	*ret_error = error;
	return 0;
}

/* As shells do: nothing by that name, or nothing that can be executed. */
static void answer_not_started(struct command *c, int error)
{
	struct buf result = BUF_INIT;
	struct err e = ERR_INIT;
	int code = err_set(&e, ERR_COMMAND_FAILED, "the command cannot be executed: %s", strerrordesc_np(error));

	command_kill_all(c->world.namespaces, c->run.program);
	fd_close(&c->output);
	write_result(c, "exit_code", error == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE, &result);
	answer(c, code, &result, &e);
}

/* ---- the supervisor ---- */

static int seal_supervisor(const struct command *c, struct err *e)
{
	struct runner_limits limits = c->request.limits;
	struct seal_report report;
	int r;

	if (!c->world.namespaces)
		return 0;
	limits.memory = limits.memory > SUPERVISOR_MEMORY ? limits.memory : SUPERVISOR_MEMORY;
	r = seal_apply(c->seal, POLICY_COMMAND, &limits, c->may_lack, c->channel, &report, e);
	if (r == 0 && (report.enforced & 1u << SEAL_LANDLOCK) == 0 && !c->world.other_user)
		r = err_set(e, ERR_SEAL_INCOMPLETE, "without Landlock a command must not have the server's user");
	return r;
}

static _Noreturn void supervise(struct command *c, int world, struct err *e)
{
	struct buf result = BUF_INIT;
	int error = 0, r = world;

	receive(c);
	if (r == 0)
		r = check_input(c, e);
	if (r == 0)
		r = seal_supervisor(c, e);
	if (r == 0)
		r = start(c, &error, e);
	fd_close(&c->input);
	if (r < 0) {
		fd_close(&c->output);
		answer(c, r, &result, e);
	}
	if (error != 0)
		answer_not_started(c, error);
	c->run.output = c->output;
	c->run.channel = c->channel;
	c->run.serial = c->request.serial;
	c->run.limits = &c->request.limits;
	c->run.namespaces = c->world.namespaces;
	command_watch(&c->run);
	r = code_of_end(c, &result, e);
	answer(c, r, &result, e);
}

/* Stays behind as the process that the server knows and may kill. */
static _Noreturn void outer_run(const struct command *c, pid_t supervisor)
{
	siginfo_t info;

	close_range(0, ~0u, 0);
	while (waitid(P_PID, (id_t)supervisor, &info, WEXITED) != 0 && errno == EINTR)
		;
	if (info.si_code == CLD_EXITED)
		_exit(info.si_status);
	command_kill_all(false, *c->shared_program); /* what it left behind came here */
	_exit(EXIT_FAILURE);
}

/* Without namespaces. Orphans of either process come to it, and the death of the outer one is told by SIGTERM. */
static void split(struct command *c)
{
	pid_t outer = getpid(), supervisor;

	c->shared_program = mmap(NULL, sizeof(*c->shared_program), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c->shared_program == MAP_FAILED || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0 || (supervisor = fork()) < 0)
		_exit(EXIT_FAILURE);
	if (supervisor > 0)
		outer_run(c, supervisor);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) != 0 || getppid() != outer)
		_exit(EXIT_FAILURE);
	c->run.outer = outer;
}

void command_run(int channel, const struct seal *s, unsigned may_lack, const struct runner_limits *limits)
{
	static struct command c; /* once in a process */
	struct err e = ERR_INIT;
	sigset_t set;
	int r;

	c = (struct command){.channel = channel,
			     .seal = s,
			     .may_lack = may_lack,
			     .input = -1,
			     .output = -1,
			     .run = {.from = -1, .errors = -1, .progress = -1}};
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	r = command_world_enter(&c.world, s, limits, &e);
	/* A change of user forgets it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		_exit(EXIT_FAILURE);
	if (!c.world.namespaces && r == 0)
		split(&c);
	supervise(&c, r, &e);
}
