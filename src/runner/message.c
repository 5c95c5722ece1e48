#include "runner/message.h"
#include "base/fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr head; /* for its alignment */
	char room[CMSG_SPACE(sizeof(int) * RUNNER_FDS_MAX)];
};

bool message_code_allowed(int code)
{
	static const int allowed[] = {
		ERR_OK,
		ERR_DAMAGED,
		ERR_IO,
		ERR_OP_FAILED,
		ERR_BAD_OP_PARAMS,
		ERR_IMAGE_TOO_LARGE,
		ERR_TRUNCATED,
		ERR_INVALID_CONTENT,
		ERR_UNSUPPORTED_FORMAT,
		ERR_LIMIT_MEMORY,
		ERR_LIMIT_TIME,
		ERR_LIMIT_OUTPUT,
		ERR_SEAL_VIOLATION,
		ERR_COMMAND_FAILED,
	};

	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		if (allowed[i] == code)
			return true;
	return false;
}

int message_send(int sock, const void *data, size_t n, const int *fds, size_t n_fds)
{
	union control control = {};
	struct iovec io = {.iov_base = (void *)(uintptr_t)data, .iov_len = n};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
	ssize_t sent;

	if (n > RUNNER_MESSAGE_MAX || n_fds > RUNNER_FDS_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (n_fds > 0) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	do
		sent = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -1 : 0; /* a SOCK_SEQPACKET message goes as a whole or not at all */
}

/* Takes the descriptors out of every control part there is: one that is forgotten stays open for ever. */
static size_t take_fds(struct msghdr *m, int *fds, size_t max, bool *ret_fit)
{
	size_t n = 0;

	*ret_fit = (m->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < here; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (n < max) {
				fds[n++] = fd;
			} else {
				*ret_fit = false;
				close(fd);
			}
		}
	}
	return n;
}

ssize_t message_recv(int sock, void *data, size_t max, int *fds, size_t fds_max, size_t *ret_n_fds)
{
	union control control;
	struct iovec io = {.iov_base = data, .iov_len = max};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t got;
	bool fit;

	do
		got = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -1;
	size_t n = take_fds(&m, fds, fds_max, &fit);
	if (!fit) {
		for (size_t i = 0; i < n; i++)
			close(fds[i]);
		errno = EMSGSIZE;
		return -1;
	}
	*ret_n_fds = n;
	return got;
}
