#include "app/process.h"
#include "rt/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STOP_MAX_MS 10000 /* whatever is stuck */
#define STOP_SLICE_MS 100
#define STOP_AT_LAST_S 25 /* by any clock: those who run services kill after 30 */

void process_init(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			_exit(1);
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a write beyond RLIMIT_FSIZE fails with EFBIG instead */
}

#define DESCRIPTORS_MOST 100000000 /* what an unlimited number counts as */

unsigned process_descriptors_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 1024;
	return limit.rlim_max > DESCRIPTORS_MOST ? DESCRIPTORS_MOST : (unsigned)limit.rlim_max;
}

unsigned process_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 1024;
	if (limit.rlim_cur < limit.rlim_max) {
		struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			limit = raised;
	}
	return limit.rlim_cur > DESCRIPTORS_MOST ? DESCRIPTORS_MOST : (unsigned)limit.rlim_cur;
}

static sigset_t stop_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	return set;
}

void process_block_signals(void)
{
	sigset_t set = stop_signals();

	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int process_wait_stop(void)
{
	sigset_t set = stop_signals();

	for (;;) {
		int number = sigwaitinfo(&set, NULL);
		if (number == SIGTERM || number == SIGINT)
			return number;
		if (number == SIGHUP)
			log_event(LOG_INFO, "signal_ignored", LF_CSTR("signal", "SIGHUP"));
	}
}

bool process_stop_asked(void)
{
	sigset_t set;

	return sigpending(&set) == 0 && (sigismember(&set, SIGTERM) == 1 || sigismember(&set, SIGINT) == 1);
}

static void end_now(int number)
{
	_exit(1);
}

void process_end_now(void)
{
	_exit(1);
}

/* Called with the lock, which is released meanwhile. */
static bool slice_passes(struct process_stop *s)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += STOP_SLICE_MS * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	return pthread_cond_timedwait(&s->ended, &s->lock, &until) == ETIMEDOUT;
}

/* A thread of its own, for a signal handler may not log. It counts the slices it saw pass, and so not the time in which a busy machine, or who had stopped it, did not let the process run: nothing was stuck
 * then. */
static void *end_late(void *arg)
{
	struct process_stop *s = arg;
	int left = STOP_MAX_MS / STOP_SLICE_MS;

	pthread_mutex_lock(&s->lock);
	while (!s->over && left > 0)
		left -= slice_passes(s);
	bool over = s->over;
	pthread_mutex_unlock(&s->lock);
	if (over)
		return NULL;
	log_event(LOG_ERROR, "stopped_late", LF_CSTR("part", atomic_load(&s->part)), LF_INT("status", 1));
	process_end_now();
	return NULL;
}

static void watch_end(struct process_stop *s)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->ended, &attr);
	pthread_condattr_destroy(&attr);
	s->watched = pthread_create(&s->watch, NULL, end_late, s) == 0;
}

void process_stop_hard(struct process_stop *s)
{
	struct sigaction action = {.sa_handler = end_now};
	sigset_t set = stop_signals();

	sigemptyset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
	watch_end(s);
	alarm(STOP_AT_LAST_S); /* should even that thread be stuck, or there be none */
	sigdelset(&set, SIGHUP);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void process_stop_over(struct process_stop *s)
{
	if (!s->watched)
		return;
	pthread_mutex_lock(&s->lock);
	s->over = true;
	pthread_cond_signal(&s->ended);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->watch, NULL);
	s->watched = false;
	pthread_cond_destroy(&s->ended);
	pthread_mutex_destroy(&s->lock);
}
