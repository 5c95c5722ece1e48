/* From main() to the zygote: who started this, and with what. */
#include "runner/child/child.h"

#include <fcntl.h>
#include <locale.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXIT_ALONE 2
#define ARENAS_MAX 2 /* of malloc: each may reserve 64 MiB of a child's limited address space */

static bool is_ours(int fd)
{
	int domain, type;
	socklen_t size = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
	       domain == AF_UNIX && type == SOCK_SEQPACKET;
}

/* Standard input and output become /dev/null, read-only; standard error stays, for the zygote's own last words. Everything else the server may have forgotten is closed. */
static bool settle_descriptors(void)
{
	int null = open("/dev/null", O_RDONLY);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return false;
	if (fcntl(STDERR_FILENO, F_GETFD) < 0 && dup2(null, STDERR_FILENO) < 0)
		return false;
	return close_range(RUNNER_ZYGOTE_FD + 1, ~0u, 0) == 0 && fcntl(RUNNER_ZYGOTE_FD, F_SETFD, FD_CLOEXEC) == 0;
}

int sealed_main(const struct sealed_op *const *ops, size_t n)
{
	if (!is_ours(RUNNER_ZYGOTE_FD)) {
		fputs("filemill-runner: the part of filemill that works on files, sealed off. filemill starts it and tells it what to do;\n"
		      "by itself it does nothing.\n",
		      stderr);
		return EXIT_ALONE;
	}
	if (!settle_descriptors() || clearenv() != 0) {
		perror("filemill-runner");
		return EXIT_FAILURE;
	}
	setlocale(LC_ALL, "C.UTF-8"); /* names are UTF-8; later no locale could be read */
	mallopt(M_ARENA_MAX, ARENAS_MAX);
	return zygote_run(ops, n);
}
