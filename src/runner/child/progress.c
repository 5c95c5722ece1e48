/* How far a job is, told to the server a few times a second at most. */
#include "runner/child/child.h"

#include <sys/socket.h>
#include <time.h>

int64_t child_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void progress_tell(int channel, uint64_t serial, int64_t *told_ms, unsigned permille)
{
	const struct runner_progress p = {.magic = RUNNER_PROGRESS, .permille = permille > 1000 ? 1000 : permille, .serial = serial};
	struct iovec io = {.iov_base = (void *)(uintptr_t)&p, .iov_len = sizeof(p)};
	const struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
	int64_t now = child_now_ms();

	if (now - *told_ms < RUNNER_PROGRESS_MS)
		return;
	*told_ms = now;
	/* one that is lost is followed by another; whether the server is still there shows with the answer */
	[[maybe_unused]] ssize_t n = sendmsg(channel, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}
