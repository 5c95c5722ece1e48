/* Lingering close (RFC 9112 §9.6): the answer is out and the sending side shut, but the client may still be sending. Closing now
 * would answer its bytes with a reset, and the reset can overtake the answer. So what comes is read and thrown away,
 * for a bounded time and number of bytes, on a duplicate of the descriptor that MHD closes. */
#include "http/http_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

void linger_give(struct http_server *s, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	bool taken = false;

	if (copy < 0)
		return; /* descriptors are short: then without */
	pthread_mutex_lock(&s->lock);
	if (s->n_linger_new < LINGERS_MAX && !atomic_load(&s->stopping)) {
		s->linger_new[s->n_linger_new++] = copy;
		taken = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (taken)
		keeper_wake(s);
	else
		close(copy);
}

static void end(struct http_server *s, struct lingering *l)
{
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, l->fd, NULL); /* closing alone would not do while MHD's own copy is open */
	close(l->fd);
	l->fd = -1;
	s->n_lingers--;
}

static void begin(struct http_server *s, int fd, int64_t now_ms)
{
	struct lingering *l = s->lingers;
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};

	while (l < s->lingers + LINGERS_MAX && l->fd >= 0)
		l++;
	if (l == s->lingers + LINGERS_MAX) {
		close(fd);
		return;
	}
	*l = (struct lingering){.fd = fd, .until_ms = now_ms + LINGER_MS, .left = LINGER_BYTES};
	event.data.ptr = l;
	shutdown(fd, SHUT_WR);
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
		close(fd);
		l->fd = -1;
		return;
	}
	s->n_lingers++;
}

void linger_take(struct http_server *s, int64_t now_ms)
{
	int fds[LINGERS_MAX];
	unsigned n;

	pthread_mutex_lock(&s->lock);
	n = s->n_linger_new;
	for (unsigned i = 0; i < n; i++)
		fds[i] = s->linger_new[i];
	s->n_linger_new = 0;
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < n; i++)
		begin(s, fds[i], now_ms);
}

void linger_read(struct http_server *s, struct lingering *l)
{
	for (unsigned turns = 0; turns < 16 && l->fd >= 0; turns++) {
		/* MSG_TRUNC: the kernel drops the bytes without copying them (tcp(7)). */
		ssize_t n = recv(l->fd, NULL, 1 << 20, MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0 || (size_t)n >= l->left)
			end(s, l);
		else
			l->left -= (size_t)n;
	}
}

void linger_check(struct http_server *s, int64_t now_ms)
{
	for (struct lingering *l = s->lingers; s->n_lingers && l < s->lingers + LINGERS_MAX; l++)
		if (l->fd >= 0 && now_ms >= l->until_ms)
			end(s, l);
}
