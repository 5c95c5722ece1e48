/* A disk that takes its time: by LD_PRELOAD every flush lasts as long as the file SLOW_FILE is there, at most SLOW_SECONDS. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void pause_if_slow(void)
{
	const char *file = getenv("SLOW_FILE"), *seconds = getenv("SLOW_SECONDS");
	const struct timespec look = {.tv_nsec = 10000000};

	if (file == NULL || seconds == NULL)
		return;
	for (long left = atol(seconds) * 100; left > 0 && access(file, F_OK) == 0; left--)
		nanosleep(&look, NULL);
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
