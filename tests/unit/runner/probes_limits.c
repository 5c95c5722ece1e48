/* Amounts, and the controls: what must work, so that a refusal is not just a child that can do nothing. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static long exceed_memory_at_once(const struct sealed_job *j)
{
	return (long)(intptr_t)mmap(NULL, (size_t)j->limits.memory, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/* Gives everything back: the loop goes on after this. */
static long exceed_memory_bit_by_bit(const struct sealed_job *j)
{
	size_t piece = 1u << 20;
	void **last = NULL;
	long result = 0;

	for (uint64_t n = 0; n <= j->limits.memory && result == 0; n += piece) {
		void **p = mmap(NULL, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED) {
			result = -1;
		} else {
			*p = last;
			last = p;
		}
	}
	for (int error = errno; last != NULL; errno = error) {
		void **before = *last;
		munmap(last, piece);
		last = before;
	}
	return result;
}

/* Eight megabytes, or what is left of the limit. The depth is never reached. */
static long descend(unsigned depth)
{
	volatile char room[64 << 10];

	room[depth % sizeof(room)] = 1;
	return depth == 0 ? 0 : descend(depth - 1) + room[depth % sizeof(room)];
}

static long exceed_memory_by_stack(const struct sealed_job *j)
{
	return descend(100000);
}

static long exceed_time(const struct sealed_job *j)
{
	volatile unsigned long n = 0;
	struct rusage used;

	do
		for (int i = 0; i < 1000000; i++)
			n = n + 1;
	while (getrusage(RUSAGE_SELF, &used) == 0 && used.ru_utime.tv_sec < 30);
	return 0;
}

static long exceed_output(const struct sealed_job *j)
{
	return syscall(SYS_write, j->output_fd, "x", 1);
}

static void *idle(void *arg)
{
	return arg;
}

static void *open_file(void *arg)
{
	long *ret = arg;

	*ret = syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
	*ret = *ret < 0 ? -errno : *ret;
	return NULL;
}

/* The result of a thread, or -1 and errno. */
static long in_thread(void *(*fn)(void *), void *arg)
{
	pthread_t t;
	int error = pthread_create(&t, NULL, fn, arg);

	if (error != 0) {
		errno = error;
		return -1;
	}
	return pthread_join(t, NULL) == 0 ? 0 : -1;
}

static long open_in_thread(const struct sealed_job *j)
{
	long got = 0;
	long rc = in_thread(open_file, &got);

	if (rc != 0)
		return rc;
	if (got >= 0)
		return got;
	errno = (int)-got;
	return -1;
}

static long make_thread(const struct sealed_job *j)
{
	return in_thread(idle, NULL);
}

static long use_memory(const struct sealed_job *j)
{
	size_t n = 64u << 20;
	char *p = malloc(n);

	if (p == NULL)
		return -1;
	memset(p, 1, n);
	p = realloc(p, 2 * n);
	free(p);
	return p != NULL ? 0 : -1;
}

static long abort_self(const struct sealed_job *j)
{
	abort();
}

static long look_at_input(const struct sealed_job *j)
{
	struct stat st;

	return sealed_fstat(j->input_fd, &st) == 0 && (uint64_t)st.st_size == j->offset + j->size ? 0 : -1;
}

static long own_limit(const struct sealed_job *j)
{
	struct rlimit l;

	return getrlimit(RLIMIT_AS, &l) == 0 && l.rlim_max == j->limits.memory ? 0 : -1;
}

/* What cannot be asked from inside any more stands in the process since before; this asks what can. */
static long no_core(const struct sealed_job *j)
{
	struct rlimit core, files, output;

	if (getrlimit(RLIMIT_CORE, &core) != 0 || getrlimit(RLIMIT_NOFILE, &files) != 0 || getrlimit(RLIMIT_FSIZE, &output) != 0)
		return -1;
	return core.rlim_max == 0 && output.rlim_max == 0 && files.rlim_max <= RUNNER_FDS_MAX + 16 ? 0 : 1;
}

static const struct probe limits[] = {
	{"exceed_memory_at_once", exceed_memory_at_once, BOTH_TELL(ENOMEM), PROBE_BARE},
	{"exceed_memory_bit_by_bit", exceed_memory_bit_by_bit, BOTH_TELL(ENOMEM), PROBE_BARE},
	{"exceed_memory_by_stack", exceed_memory_by_stack, BOTH_KILL(SIGSEGV)},
	{"exceed_time", exceed_time, BOTH_KILL(SIGXCPU)},
	{"exceed_output", exceed_output, BOTH_KILL(SIGXFSZ), PROBE_BARE | PROBE_OUTPUT_FILE},
	{"open_in_thread", open_in_thread, .many = {REFUSED, SYS_rt_sigaction}, .once = {TOLD, ENOENT}, PROBE_BARE},
};
const struct probe_list probes_limits = {limits, ARRAY_LEN(limits)};

static const struct probe controls[] = {
	{"make_thread", make_thread, .many = {REFUSED, SYS_rt_sigaction}, .once = {WORKED, 0}},
	{"use_memory", use_memory, BOTH_WORK(0)},
	{"abort_self", abort_self, BOTH_KILL(SIGABRT)},
	{"look_at_input", look_at_input, BOTH_WORK(0)},
	{"own_limit", own_limit, BOTH_WORK(0)},
	{"no_core", no_core, BOTH_WORK(0)},
};
const struct probe_list probes_controls = {controls, ARRAY_LEN(controls)};
