/* A running program: its output goes on to the job, its last words are kept, its memory is added up, and in the end nobody of it is left.
 *
 * The normal course: bytes are passed on until the program ends; then everybody it left behind is killed, and what is still in the two pipes is read to their ends.
 * When a limit is passed all of them are killed at once, and what they wrote is worthless. */
#include "runner/child/command_impl.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE (64u << 10)

struct watch {
	struct command_run *r;
	int signals; /* SIGCHLD; and SIGTERM, when the outer process has died */
	int64_t looked_ms; /* when memory was added up last */
	int64_t progress_ms; /* when its progress was looked at last */
	int64_t told_ms; /* and told */
	struct command_progress said;
	bool ended; /* the program, and everybody else with it */
	size_t at, n; /* bytes of the piece that the job's pipe has not taken yet */
	char piece[PIECE];
};

/* ---- ends ---- */

void command_kill_all(bool namespaces, pid_t program)
{
	siginfo_t info;

	/* Each way reaches everybody at the same moment, also whoever is about to fork. As number 1 of a process namespace -1 is everybody here but us; otherwise nobody could leave
	 * the program's group (command_filter.c), and orphans come to us (PR_SET_CHILD_SUBREAPER). Its number is taken while one of them is not reaped. */
	for (;;) {
		if (namespaces) {
			kill(-1, SIGKILL);
		} else if (program > 0) {
			kill(program, SIGKILL); /* has no group of its own for its first moments */
			kill(-program, SIGKILL);
		}
		if (waitid(P_ALL, 0, &info, WEXITED) != 0 && errno == ECHILD)
			return;
	}
}

static void stop(struct watch *w)
{
	struct rusage used;

	command_kill_all(w->r->namespaces, w->r->program);
	if (getrusage(RUSAGE_CHILDREN, &used) == 0)
		w->r->cpu_s = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
			      (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
	w->ended = true;
}

/* Whatever it wrote counts no more. */
static void give_up(struct watch *w, int code)
{
	w->r->code = code;
	stop(w);
	fd_close(&w->r->from);
	fd_close(&w->r->errors);
}

static void collect(struct watch *w)
{
	struct signalfd_siginfo told[8];
	siginfo_t info;
	ssize_t n;

	while ((n = read(w->signals, told, sizeof(told))) > 0) {
		for (size_t i = 0; i < (size_t)n / sizeof(told[0]); i++) {
			/* The program may send it too: then nobody has died. */
			if (told[i].ssi_signo == SIGTERM && !w->r->namespaces && getppid() != w->r->outer) {
				command_kill_all(w->r->namespaces, w->r->program);
				_exit(EXIT_FAILURE);
			}
		}
	}
	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0)
			return;
		if (info.si_pid == w->r->program) {
			w->r->how = info.si_code;
			w->r->status = info.si_status;
			stop(w);
			return;
		}
	}
}

/* ---- memory ---- */

/* Bytes of a process that are its own, or the share of them that falls to it: of pages that several have after a fork each counts its part. */
static uint64_t memory_of(const char *pid, bool shares)
{
	char path[64], text[2048];
	unsigned long long resident, shared, proportional;
	CLEANUP(fd_close) int fd = -1;
	const char *p;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%.16s/%s", pid, shares ? "smaps_rollup" : "statm");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return shares ? memory_of(pid, false) : 0;
	text[n] = '\0';
	if (shares && (p = strstr(text, "\nPss:")) && sscanf(p, " Pss: %llu", &proportional) == 1)
		return proportional * 1024;
	if (!shares && sscanf(text, "%*u %llu %llu", &resident, &shared) == 2)
		return (resident > shared ? resident - shared : 0) * (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

static uint64_t memory_of_all(bool shares)
{
	DIR *d = opendir("/proc");
	struct dirent *entry;
	uint64_t sum = 0;

	while (d && (entry = readdir(d))) {
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && strcmp(entry->d_name, "1") != 0)
			sum += memory_of(entry->d_name, shares);
	}
	if (d)
		closedir(d);
	return sum;
}

/* RLIMIT_AS bounds one process; this all of them together. Only where /proc shows nobody else. The exact sum costs a walk through page tables, so it is made only when the quick one,
 * which counts pages that several processes share several times, is too high. */
static void look_at_memory(struct watch *w)
{
	int64_t now_ms = child_now_ms();

	if (now_ms - w->looked_ms < COMMAND_LOOK_MS)
		return;
	w->looked_ms = now_ms;
	if (!w->r->namespaces || memory_of_all(false) <= w->r->limits->memory || memory_of_all(true) <= w->r->limits->memory)
		return;
	err_set(&w->r->why, ERR_LIMIT_MEMORY, "the command's processes together needed more memory than allowed");
	err_limit(&w->r->why, (int64_t)w->r->limits->memory);
	give_up(w, ERR_LIMIT_MEMORY);
}

/* ---- bytes ---- */

static void take_errors(struct watch *w)
{
	char text[COMMAND_STDERR_MAX];
	ssize_t n = read(w->r->errors, text, sizeof(text));

	if (n > 0)
		command_tail_add(&w->r->tail, text, (size_t)n);
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		fd_close(&w->r->errors);
}

static void take_output(struct watch *w)
{
	ssize_t n = read(w->r->from, w->piece, sizeof(w->piece));

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		fd_close(&w->r->from);
	if (n <= 0 || w->r->output < 0)
		return;
	if ((uint64_t)n > w->r->limits->output_max - w->r->written) {
		err_set(&w->r->why, ERR_LIMIT_OUTPUT, "the output is larger than allowed");
		err_limit(&w->r->why, (int64_t)w->r->limits->output_max);
		give_up(w, ERR_LIMIT_OUTPUT);
		return;
	}
	w->at = 0;
	w->n = (size_t)n;
}

static void give_output(struct watch *w)
{
	ssize_t n = write(w->r->output, w->piece + w->at, w->n);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		err_set(&w->r->why, ERR_IO, "writing the output: %s", strerrordesc_np(errno));
		give_up(w, ERR_IO);
		return;
	}
	w->at += (size_t)n;
	w->n -= (size_t)n;
	w->r->written += (uint64_t)n;
}

/* Looked at now and then, however fast it is written: the pipe is bounded, and who fills it waits. */
static void take_progress(struct watch *w)
{
	char text[4096];
	int64_t now = child_now_ms();

	if (w->r->progress < 0 || now - w->progress_ms < COMMAND_LOOK_MS)
		return;
	w->progress_ms = now;
	ssize_t n = read(w->r->progress, text, sizeof(text));
	if (n > 0) {
		if (command_progress_add(&w->said, text, (size_t)n))
			progress_tell(w->r->channel, w->r->serial, &w->told_ms, w->said.permille);
	} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
		fd_close(&w->r->progress);
	}
}

/* ---- the loop ---- */

static void step(struct watch *w)
{
	struct command_run *r = w->r;
	struct pollfd fds[] = {
		{.fd = w->ended ? -1 : w->signals, .events = POLLIN},
		{.fd = r->errors, .events = POLLIN},
		{.fd = w->n > 0 ? -1 : r->from, .events = POLLIN},
		{.fd = w->n > 0 ? r->output : -1, .events = POLLOUT},
	};
	int n = poll(fds, ARRAY_LEN(fds), w->ended ? -1 : COMMAND_LOOK_MS);

	if (!w->ended) {
		look_at_memory(w);
		take_progress(w);
	}
	if (n <= 0 || r->code != 0)
		return;
	if (fds[1].revents != 0)
		take_errors(w);
	if (fds[2].revents != 0)
		take_output(w);
	if (fds[3].revents != 0 && r->code == 0)
		give_output(w);
	if (fds[0].revents != 0 && !w->ended)
		collect(w);
}

void command_watch(struct command_run *r)
{
	static struct watch w; /* once in a process */
	sigset_t set;

	w = (struct watch){.r = r};
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	w.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (w.signals < 0)
		_exit(EXIT_FAILURE);
	if (r->output >= 0)
		fcntl(r->output, F_SETFL, O_NONBLOCK);
	while (r->code == 0 && (!w.ended || r->from >= 0 || r->errors >= 0 || w.n > 0))
		step(&w);
	fd_close(&r->output);
	fd_close(&r->progress);
	fd_close(&w.signals);
}
