#include "app/ask.h"
#include "base/wipe.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* The next byte, as read() tells it. The signals of the mask come while it is waited for and at no other time; NULL = the mask stays as it is. */
static ssize_t next_byte(char *ret, const sigset_t *mask)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

	return ppoll(&in, 1, NULL, mask) < 0 ? -1 : read(STDIN_FILENO, ret, 1);
}

/* Byte by byte: what comes behind the line is not ours. A line that is too long is read to its end and keeps one byte more than allowed. */
static int read_line(struct asked *ret, bool *ret_any, const sigset_t *mask, struct err *e)
{
	char c;
	ssize_t n;

	ret->len = 0;
	*ret_any = false;
	while ((n = next_byte(&c, mask)) == 1 && c != '\n') {
		*ret_any = true;
		if (ret->len < sizeof(ret->text))
			ret->text[ret->len++] = c;
	}
	wipe(&c, 1);
	if (n < 0)
		return errno == EINTR ? err_set(e, ERR_CANCELLED, "interrupted; nothing was changed") : err_errno(e, errno, "read");
	*ret_any |= n == 1;
	if (ret->len > 0 && ret->text[ret->len - 1] == '\r')
		ret->len--;
	return 0;
}

static int check(const struct asked *a, bool any, struct err *e)
{
	if (!any)
		return err_set(e, ERR_INVALID_VALUE, "no password on standard input");
	return password_allowed((struct str){a->text, a->len}, e);
}

static int prompt(const char *text, struct asked *ret, const sigset_t *mask, struct err *e)
{
	bool any;
	int rc;

	fputs(text, stderr);
	fflush(stderr);
	rc = read_line(ret, &any, mask, e);
	fputc('\n', stderr);
	return rc == 0 ? check(ret, any, e) : rc;
}

static int ask_twice(struct asked *ret, const sigset_t *mask, struct err *e)
{
	struct asked again = {};
	int rc = prompt("Password: ", ret, mask, e);

	if (rc == 0)
		rc = prompt("The same again: ", &again, mask, e);
	if (rc == 0 && (again.len != ret->len || memcmp(again.text, ret->text, ret->len) != 0))
		rc = err_set(e, ERR_INVALID_VALUE, "the second is not the first");
	wipe(&again, sizeof(again));
	return rc;
}

static void do_nothing(int number)
{
}

/* A signal ends the wait, so that the terminal shows again what is typed; one that comes just before the wait ends it too, for it is held back until then. */
static int ask_terminal(struct asked *ret, const struct termios *shown, struct err *e)
{
	static const int ENDING[] = {SIGINT, SIGTERM, SIGQUIT, SIGHUP};
	const struct sigaction wake = {.sa_handler = do_nothing};
	struct sigaction before[ARRAY_LEN(ENDING)];
	struct termios hidden = *shown;
	sigset_t ending, mask;
	int rc;

	hidden.c_lflag &= ~(tcflag_t)ECHO;
	sigemptyset(&ending);
	for (size_t i = 0; i < ARRAY_LEN(ENDING); i++)
		sigaddset(&ending, ENDING[i]);
	sigprocmask(SIG_BLOCK, &ending, &mask);
	for (size_t i = 0; i < ARRAY_LEN(ENDING); i++)
		sigaction(ENDING[i], &wake, &before[i]);
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) == 0) {
		rc = ask_twice(ret, &mask, e);
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, shown);
	} else {
		rc = err_errno(e, errno, "tcsetattr");
	}
	for (size_t i = 0; i < ARRAY_LEN(ENDING); i++)
		sigaction(ENDING[i], &before[i], NULL);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return rc;
}

int ask_password(struct asked *ret, struct err *e)
{
	struct termios shown;
	bool any;
	int rc;

	if (tcgetattr(STDIN_FILENO, &shown) == 0)
		return ask_terminal(ret, &shown, e);
	rc = read_line(ret, &any, NULL, e);
	return rc == 0 ? check(ret, any, e) : rc;
}
