/* What server and children say to each other, over one SOCK_SEQPACKET socketpair a child. Fixed structs in host order: both ends are built together, and the greeting says so.
 *
 *	server ──► zygote    struct zygote_request + [child's end of its channel, child's end of its status socket]
 *	zygote ──► server    on the status socket: struct child_started + [pidfd]; later struct child_ended; its end without one: the zygote died
 *	server ──► child     struct runner_batch, its requests, their texts + [descriptors]
 *	child  ──► server    one or more struct runner_answer with their texts; or one struct runner_refusal, its last word; struct runner_progress now and then before them
 *
 * The server checks every field of what a child says. Children check what the server says too, to fail early. */
#ifndef FILEMILL_RUNNER_MESSAGE_H
#define FILEMILL_RUNNER_MESSAGE_H

#include "runner/runner.h"

#include <stdint.h>
#include <sys/types.h>

#define RUNNER_MAGIC 0x464d5232u /* "FMR2": grows with every change here */
#define RUNNER_OP_NAME_MAX 40 /* bytes */
#define RUNNER_TEXT_MAX (64u << 10) /* params and names of one batch */
#define RUNNER_RESULT_MAX (16u << 10) /* bytes of one result */
#define RUNNER_DETAIL_MAX 256 /* bytes of one error's detail */
#define RUNNER_MESSAGE_MAX (128u << 10)
#define RUNNER_FDS_MAX (RUNNER_BATCH_MAX + 1)
#define ZYGOTE_CHILDREN_MAX 512 /* at once; a request beyond gets EAGAIN in child_started */
#define RUNNER_ZYGOTE_FD 3 /* the zygote's end of the socketpair with the server, when it is executed */

/* Which seal a child wears. */
enum seal_policy {
	POLICY_MANY, /* digests and compression: serves until its channel ends */
	POLICY_ONCE, /* decoders: may make threads; serves one batch of one job and exits */
	POLICY_COMMAND, /* in namespaces of its own; executes one program for one job and exits */
	POLICIES
};

struct zygote_request {
	uint32_t magic;
	uint32_t kind; /* enum zygote_request_kind */
	uint32_t policy; /* ZYGOTE_SPAWN */
	uint32_t may_lack; /* bit 1u << seal_feature: go on without it */
	struct runner_limits limits; /* memory, cpu_s, output_max become rlimits */
};
enum zygote_request_kind {
	ZYGOTE_SPAWN, /* two descriptors: channel, status socket */
	ZYGOTE_REPORT, /* two descriptors, the same; the child seals itself, sends one struct seal_report on its channel and exits. policy COMMAND: with namespaces */
};

struct child_started { /* with the pidfd */
	uint32_t magic;
	int32_t pid;
	int32_t error; /* errno: no child came to be, no pidfd */
};

struct child_ended {
	uint32_t magic;
	int32_t code, status; /* siginfo_t's si_code and si_status */
};

struct runner_batch {
	uint32_t magic;
	uint32_t n; /* requests that follow, 1 … RUNNER_BATCH_MAX */
	uint32_t text_bytes; /* behind the requests */
	uint32_t n_fds;
};

struct runner_request {
	uint64_t serial; /* 1 more than the request before it on this channel; the answer repeats it */
	char op[RUNNER_OP_NAME_MAX];
	uint32_t params_at, params_len; /* in the texts. For a command: {"argv":["…",…],"progress":true} */
	uint32_t name_at, name_len;
	int32_t input; /* index of a descriptor: a regular file or a memfd with all seals */
	int32_t output; /* index of a pipe's writing end; -1 = none */
	uint64_t offset, size; /* of the input's bytes in its descriptor */
	uint8_t sha256[32];
	struct runner_limits limits;
};

struct runner_answer {
	uint32_t magic; /* RUNNER_MAGIC; see RUNNER_REFUSED */
	int32_t code; /* 0 or one of the codes a job may end with */
	uint64_t serial;
	uint64_t output_size; /* bytes written to the pipe, which was closed before this was sent */
	uint32_t result_len, detail_len; /* texts that follow */
};

#define RUNNER_PROGRESS 0x464d5250u /* "FMRP": a message of its own, never with answers */
#define RUNNER_PROGRESS_MS 200 /* a child leaves this between two of them … */
#define RUNNER_PROGRESS_BURST 16 /* … and who sends this many more than that would make misbehaves */
struct runner_progress {
	uint32_t magic;
	uint32_t permille; /* of the work that is done, at most 1000 */
	uint64_t serial; /* of a request without an answer */
};

#define RUNNER_REFUSED 0x464d5258u /* "FMRX" in the magic: a system call was refused */
#define RUNNER_REFUSED_STATUS                                                                                                              \
	159 /* exit status after that, or without it when the channel took nothing more. 128 + SIGSYS, as shells say it */
#define RUNNER_UNSEALED_STATUS 157 /* exit status of a child that could not be sealed: it has read nothing */
struct runner_refusal {
	uint32_t magic;
	int32_t call; /* its number */
	uint32_t arch; /* AUDIT_ARCH_… */
};

/* One of the codes that a child may give a job, 0 among them. */
bool message_code_allowed(int code);

/* message.c: sends one message with up to RUNNER_FDS_MAX descriptors; receives one (MSG_CMSG_CLOEXEC) and says how many there were. Both retry EINTR.
 * Results as sendmsg and recvmsg: -1 and errno; EMSGSIZE for a message or a control part that did not fit (all descriptors are closed then). */
[[nodiscard]] int message_send(int sock, const void *data, size_t n, const int *fds, size_t n_fds);
[[nodiscard]] ssize_t message_recv(int sock, void *data, size_t max, int *fds, size_t fds_max, size_t *ret_n_fds);

#endif
