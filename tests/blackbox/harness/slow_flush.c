/* A disk that takes its time: by LD_PRELOAD every flush lasts SLOW_SECONDS while the file SLOW_FILE is there. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void pause_if_slow(void)
{
	const char *file = getenv("SLOW_FILE"), *seconds = getenv("SLOW_SECONDS");
	struct timespec t = {};

	if (file == NULL || seconds == NULL || access(file, F_OK) != 0)
		return;
	t.tv_sec = atoi(seconds);
	nanosleep(&t, NULL);
}

int fsync(int fd)
{
	pause_if_slow();
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	pause_if_slow();
	return (int)syscall(SYS_fdatasync, fd);
}
