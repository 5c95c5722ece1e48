/* A wrong clock: by LD_PRELOAD the wall clock shows CLOCK_AHEAD_S seconds more than it is. The C library's own function is asked, since sealed processes may not make the system call. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *t)
{
	int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	const char *ahead = getenv("CLOCK_AHEAD_S");
	int rc = real(clock, t);

	if (rc == 0 && clock == CLOCK_REALTIME && ahead != NULL)
		t->tv_sec += atol(ahead);
	return rc;
}
