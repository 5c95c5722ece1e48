/* The network, and sockets of any kind: the one channel is all there is. */
#include "probe.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

CALL(socket_tcp, SYS_socket, AF_INET, SOCK_STREAM, 0)
CALL(socket_tcp6, SYS_socket, AF_INET6, SOCK_STREAM, 0)
CALL(socket_udp, SYS_socket, AF_INET, SOCK_DGRAM, 0)
CALL(socket_raw, SYS_socket, AF_INET, SOCK_RAW, IPPROTO_ICMP)
CALL(socket_packet, SYS_socket, AF_PACKET, SOCK_RAW, 0)
CALL(socket_unix, SYS_socket, AF_UNIX, SOCK_STREAM, 0)
CALL(socket_netlink, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)
CALL(socket_vsock, SYS_socket, AF_VSOCK, SOCK_STREAM, 0)
CALL(socket_crypto, SYS_socket, AF_ALG, SOCK_SEQPACKET, 0)
CALL(socket_pair, SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, (int[2]){})
CALL(make_pipe, SYS_pipe2, (int[2]){}, 0)
CALL(make_event, SYS_eventfd2, 0, 0)
CALL(make_epoll, SYS_epoll_create1, 0)
CALL(make_timer, SYS_timerfd_create, 1, 0)
CALL(listen_on_channel, SYS_listen, RUNNER_ZYGOTE_FD, 1)
CALL(accept_on_channel, SYS_accept4, RUNNER_ZYGOTE_FD, NULL, NULL, 0)
CALL(options_of_channel, SYS_setsockopt, RUNNER_ZYGOTE_FD, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int))
CALL(name_of_channel, SYS_getsockname, RUNNER_ZYGOTE_FD, (char[128]){}, &(socklen_t){128})
CALL(receive_plainly, SYS_recvfrom, RUNNER_ZYGOTE_FD, (char[8]){}, 8, MSG_DONTWAIT, NULL, NULL)
CALL(message_queue, SYS_mq_open, "filemill-probe", 0102, 0600, NULL)

static long connect_abstract(const struct sealed_job *j)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "\0filemill-probe"};

	return syscall(SYS_connect, RUNNER_ZYGOTE_FD, &a, sizeof(a));
}

static long connect_tcp(const struct sealed_job *j)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr = {htonl(INADDR_LOOPBACK)}};

	return syscall(SYS_connect, RUNNER_ZYGOTE_FD, &a, sizeof(a));
}

static long bind_abstract(const struct sealed_job *j)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "\0filemill-probe"};

	return syscall(SYS_bind, RUNNER_ZYGOTE_FD, &a, sizeof(a));
}

static long bind_tcp(const struct sealed_job *j)
{
	struct sockaddr_in a = {.sin_family = AF_INET};

	return syscall(SYS_bind, RUNNER_ZYGOTE_FD, &a, sizeof(a));
}

static long send_elsewhere(const struct sealed_job *j)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "\0filemill-probe"};

	return syscall(SYS_sendto, RUNNER_ZYGOTE_FD, "x", 1, MSG_DONTWAIT, &a, sizeof(a));
}

static const struct probe rows[] = {
	{"socket_tcp", socket_tcp, BOTH_REFUSE(SYS_socket), PROBE_BARE},
	{"socket_tcp6", socket_tcp6, BOTH_REFUSE(SYS_socket)},
	{"socket_udp", socket_udp, BOTH_REFUSE(SYS_socket), PROBE_BARE},
	{"socket_raw", socket_raw, BOTH_REFUSE(SYS_socket)},
	{"socket_packet", socket_packet, BOTH_REFUSE(SYS_socket)},
	{"socket_unix", socket_unix, BOTH_REFUSE(SYS_socket), PROBE_BARE},
	{"socket_netlink", socket_netlink, BOTH_REFUSE(SYS_socket), PROBE_BARE},
	{"socket_vsock", socket_vsock, BOTH_REFUSE(SYS_socket)},
	{"socket_crypto", socket_crypto, BOTH_REFUSE(SYS_socket)},
	{"socket_pair", socket_pair, BOTH_REFUSE(SYS_socketpair), PROBE_BARE},
	{"make_pipe", make_pipe, BOTH_REFUSE(SYS_pipe2), PROBE_BARE},
	{"make_event", make_event, BOTH_REFUSE(SYS_eventfd2), PROBE_BARE},
	{"make_epoll", make_epoll, BOTH_REFUSE(SYS_epoll_create1), PROBE_BARE},
	{"make_timer", make_timer, BOTH_REFUSE(SYS_timerfd_create), PROBE_BARE},
	{"message_queue", message_queue, BOTH_REFUSE(SYS_mq_open)},
	{"connect_tcp", connect_tcp, BOTH_REFUSE(SYS_connect)},
	{"connect_abstract", connect_abstract, BOTH_REFUSE(SYS_connect)},
	{"bind_tcp", bind_tcp, BOTH_REFUSE(SYS_bind)},
	{"bind_abstract", bind_abstract, BOTH_REFUSE(SYS_bind)},
	{"send_elsewhere", send_elsewhere, BOTH_REFUSE(SYS_sendto)},
	{"receive_plainly", receive_plainly, BOTH_REFUSE(SYS_recvfrom)},
	{"listen_on_channel", listen_on_channel, BOTH_REFUSE(SYS_listen)},
	{"accept_on_channel", accept_on_channel, BOTH_REFUSE(SYS_accept4)},
	{"options_of_channel", options_of_channel, BOTH_REFUSE(SYS_setsockopt)},
	{"name_of_channel", name_of_channel, BOTH_REFUSE(SYS_getsockname)},
};
const struct probe_list probes_net = {rows, ARRAY_LEN(rows)};
