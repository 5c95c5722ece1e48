/* A runner whose ops misbehave: what an attacker might do who has taken over a decoder. Sealed like the genuine one. */
#include "runner/child/child.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHANNEL RUNNER_ZYGOTE_FD
#define FIRST 1 /* the serial of the one job of a child that serves one */

/* ---- ends ---- */

static int evil_exit0(struct sealed_job *j, struct err *e)
{
	_exit(0);
}

static int evil_exit3(struct sealed_job *j, struct err *e)
{
	_exit(3);
}

static int evil_abort(struct sealed_job *j, struct err *e)
{
	abort();
}

static int evil_segfault(struct sealed_job *j, struct err *e)
{
	*(volatile char *)(uintptr_t)j->written = 1; /* NULL, which the compiler does not know */
	return 0;
}

static int evil_stack(struct sealed_job *j, struct err *e)
{
	volatile char room[4096];

	room[0] = (char)j->written;
	return j->size == 0 ? 0 : evil_stack(j, e) + room[0]; /* the input is not empty */
}

static _Noreturn int evil_hang(struct sealed_job *j, struct err *e)
{
	for (;;)
		poll(NULL, 0, -1);
}

static _Noreturn int evil_busy(struct sealed_job *j, struct err *e)
{
	for (volatile uint64_t n = 0;; n++) {}
}

static int evil_socket(struct sealed_job *j, struct err *e)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? 0 : 1;
}

/* ---- words ---- */

static void say(const void *p, size_t n)
{
	if (message_send(CHANNEL, p, n, NULL, 0) < 0)
		_exit(9);
}

static struct runner_answer fine_answer(void)
{
	return (struct runner_answer){.magic = RUNNER_MAGIC, .serial = FIRST, .result_len = 2};
}

/* An answer and its texts as they are, then the end. */
static _Noreturn void say_answer(struct runner_answer a, const char *texts, size_t n)
{
	char message[sizeof(a) + RUNNER_MESSAGE_MAX];

	memcpy(message, &a, sizeof(a));
	memcpy(message + sizeof(a), texts, n);
	say(message, sizeof(a) + n);
	_exit(0);
}

static int evil_garbage(struct sealed_job *j, struct err *e)
{
	say("No answer at all, but long enough to be one, and to be one with a text", 70);
	return evil_hang(j, e);
}

static int evil_empty(struct sealed_job *j, struct err *e)
{
	say("", 0);
	return evil_hang(j, e);
}

static int evil_half(struct sealed_job *j, struct err *e)
{
	struct runner_answer a = fine_answer();

	say(&a, sizeof(a) / 2);
	return evil_hang(j, e);
}

static int evil_huge(struct sealed_job *j, struct err *e)
{
	struct runner_answer a = fine_answer();

	a.result_len = 0xffffffff;
	a.detail_len = 0xffffffff;
	say_answer(a, "{}", 2);
}

static int evil_beyond(struct sealed_job *j, struct err *e)
{
	struct runner_answer a = fine_answer();

	a.result_len = 3; /* there are two */
	say_answer(a, "{}", 2);
}

static int evil_serial(struct sealed_job *j, struct err *e)
{
	struct runner_answer a = fine_answer();

	a.serial = FIRST + 1;
	say_answer(a, "{}", 2);
}

static int evil_large(struct sealed_job *j, struct err *e)
{
	static char text[RUNNER_RESULT_MAX + 1];
	struct runner_answer a = fine_answer();

	memset(text, ' ', sizeof(text));
	text[0] = '{';
	text[1] = '}';
	a.result_len = sizeof(text);
	say_answer(a, text, sizeof(text));
}

static int evil_flood(struct sealed_job *j, struct err *e)
{
	static char text[RUNNER_MESSAGE_MAX + 100];
	struct iovec io = {.iov_base = text, .iov_len = sizeof(text)};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};

	for (;;)
		if (sendmsg(CHANNEL, &m, 0) < 0)
			_exit(0);
}

static int evil_code(struct sealed_job *j, struct err *e)
{
	struct runner_answer a = fine_answer();

	a.code = ERR_CATALOG_UNAVAILABLE;
	say_answer(a, "{}", 2);
}

static int evil_positive(struct sealed_job *j, struct err *e)
{
	struct runner_answer a = fine_answer();

	a.code = 1;
	say_answer(a, "{}", 2);
}

static int evil_detail(struct sealed_job *j, struct err *e)
{
	static const char text[] = "a\033[31mb\n\xff\xc2\x85ü";
	struct runner_answer a = fine_answer();

	a.code = ERR_TRUNCATED;
	a.result_len = 0;
	a.detail_len = sizeof(text) - 1;
	say_answer(a, text, sizeof(text) - 1);
}

static int evil_refusal(struct sealed_job *j, struct err *e)
{
	struct runner_refusal r = {.magic = RUNNER_REFUSED, .call = 123456, .arch = 7};

	say(&r, sizeof(r) - 1);
	return evil_hang(j, e);
}

static int evil_invented(struct sealed_job *j, struct err *e)
{
	struct runner_refusal r = {.magic = RUNNER_REFUSED, .call = -5, .arch = 0xffffffff};

	say(&r, sizeof(r));
	return evil_hang(j, e);
}

/* The loop answers a second time, in a message of its own. */
static int evil_twice(struct sealed_job *j, struct err *e)
{
	struct runner_answer a = fine_answer();
	char message[sizeof(a) + 2];

	memcpy(message, &a, sizeof(a));
	memcpy(message + sizeof(a), "{}", 2);
	say(message, sizeof(message));
	return 0;
}

static int evil_twice_in_one(struct sealed_job *j, struct err *e)
{
	struct runner_answer a = fine_answer();
	char message[2 * (sizeof(a) + 2)];

	for (size_t i = 0; i < 2; i++, a.serial++) {
		memcpy(message + i * (sizeof(a) + 2), &a, sizeof(a));
		memcpy(message + i * (sizeof(a) + 2) + sizeof(a), "{}", 2);
	}
	say(message, sizeof(message));
	_exit(0);
}

static int evil_descriptors(struct sealed_job *j, struct err *e)
{
	struct runner_answer a = fine_answer();
	char message[sizeof(a) + 2];
	int fds[] = {j->input_fd, j->input_fd, CHANNEL};

	memcpy(message, &a, sizeof(a));
	memcpy(message + sizeof(a), "{}", 2);
	if (message_send(CHANNEL, message, sizeof(message), fds, 3) < 0)
		_exit(9);
	_exit(0);
}

static int evil_closed(struct sealed_job *j, struct err *e)
{
	close(CHANNEL);
	return evil_hang(j, e);
}

/* ---- progress ---- */

static void say_progress(unsigned permille, uint64_t serial)
{
	const struct runner_progress p = {.magic = RUNNER_PROGRESS, .permille = permille, .serial = serial};

	say(&p, sizeof(p));
}

static _Noreturn int evil_progress_flood(struct sealed_job *j, struct err *e)
{
	for (;;)
		say_progress(500, FIRST);
}

static int evil_progress_more(struct sealed_job *j, struct err *e)
{
	say_progress(1001, FIRST);
	return evil_hang(j, e);
}

static int evil_progress_negative(struct sealed_job *j, struct err *e)
{
	say_progress((unsigned)-1, FIRST);
	return evil_hang(j, e);
}

static int evil_progress_before(struct sealed_job *j, struct err *e)
{
	say_progress(1, FIRST - 1);
	return evil_hang(j, e);
}

static int evil_progress_beyond(struct sealed_job *j, struct err *e)
{
	say_progress(1, FIRST + 1);
	return evil_hang(j, e);
}

static int evil_progress_half(struct sealed_job *j, struct err *e)
{
	const struct runner_progress p = {.magic = RUNNER_PROGRESS, .serial = FIRST};

	say(&p, sizeof(p) - 1);
	return evil_hang(j, e);
}

/* Behind its answer. */
static _Noreturn int evil_progress_late(struct sealed_job *j, struct err *e)
{
	struct runner_answer a = fine_answer();
	char message[sizeof(a) + 2];

	memcpy(message, &a, sizeof(a));
	memcpy(message + sizeof(a), "{}", 2);
	say(message, sizeof(message));
	say_progress(1000, FIRST);
	_exit(0);
}

/* Two jobs in turns: the first one's number could go back and forth that way. */
static int evil_progress_back(struct sealed_job *j, struct err *e)
{
	say_progress(500, FIRST);
	say_progress(10, FIRST + 1);
	say_progress(400, FIRST);
	return evil_hang(j, e);
}

/* Promises for ever. */
static _Noreturn int evil_progress_only(struct sealed_job *j, struct err *e)
{
	for (unsigned n = 0;; n++) {
		say_progress(n % 1001, FIRST);
		poll(NULL, 0, 100);
	}
}

/* ---- results ---- */

static int evil_not_json(struct sealed_job *j, struct err *e)
{
	buf_add_cstr(&j->result, "{\"width\": 1");
	return 0;
}

static int evil_array(struct sealed_job *j, struct err *e)
{
	buf_add_cstr(&j->result, "[1]");
	return 0;
}

static int evil_utf8(struct sealed_job *j, struct err *e)
{
	buf_add_cstr(&j->result, "{\"a\":\"\xc3\x28\"}");
	return 0;
}

static int evil_deep(struct sealed_job *j, struct err *e)
{
	buf_add_cstr(&j->result, "{\"a\":");
	for (int i = 0; i < 6000; i++)
		buf_add_char(&j->result, '[');
	for (int i = 0; i < 6000; i++)
		buf_add_char(&j->result, ']');
	buf_add_char(&j->result, '}');
	return 0;
}

/* ---- output ---- */

static void put(const struct sealed_job *j, size_t n)
{
	static char bytes[4096];

	while (n > 0) {
		ssize_t made = write(j->output_fd, bytes, n < sizeof(bytes) ? n : sizeof(bytes));

		if (made < 0)
			_exit(8);
		n -= (size_t)made;
	}
}

static _Noreturn int evil_too_much(struct sealed_job *j, struct err *e)
{
	for (;;)
		put(j, 4096);
}

static int evil_too_much_said(struct sealed_job *j, struct err *e)
{
	char bytes[100] = {};

	return sealed_write(j, bytes, j->limits.output_max + 1 < sizeof(bytes) ? j->limits.output_max + 1 : sizeof(bytes), e);
}

static int evil_shorter(struct sealed_job *j, struct err *e)
{
	put(j, 10);
	j->written = 11;
	return 0;
}

static int evil_longer(struct sealed_job *j, struct err *e)
{
	put(j, 10);
	j->written = 9;
	return 0;
}

static int evil_early(struct sealed_job *j, struct err *e)
{
	put(j, 10);
	close(j->output_fd);
	j->written = 20;
	return 0;
}

static _Noreturn int evil_growing(struct sealed_job *j, struct err *e)
{
	struct runner_answer a = fine_answer();
	char message[sizeof(a) + 2];

	a.output_size = 10;
	put(j, 10);
	memcpy(message, &a, sizeof(a));
	memcpy(message + sizeof(a), "{}", 2);
	say(message, sizeof(message));
	for (;;)
		put(j, 1);
}

/* A byte now and then, for as long as what it says is not all there. */
static _Noreturn int evil_dripping(struct sealed_job *j, struct err *e)
{
	struct runner_answer a = fine_answer();
	char message[sizeof(a) + 2];

	a.output_size = 1000;
	put(j, 10);
	memcpy(message, &a, sizeof(a));
	memcpy(message + sizeof(a), "{}", 2);
	say(message, sizeof(message));
	for (;;) {
		poll(NULL, 0, 100);
		put(j, 1);
	}
}

/* Where no output was asked for. */
static int evil_growing_nowhere(struct sealed_job *j, struct err *e)
{
	struct runner_answer a = fine_answer();

	a.output_size = 10;
	say_answer(a, "{}", 2);
}

static int evil_open(struct sealed_job *j, struct err *e)
{
	struct runner_answer a = fine_answer();
	char message[sizeof(a) + 2];

	a.output_size = 10;
	put(j, 10);
	memcpy(message, &a, sizeof(a));
	memcpy(message + sizeof(a), "{}", 2);
	say(message, sizeof(message));
	return evil_hang(j, e);
}

/* ---- ops that behave, more or less ---- */

/* Copies its input. */
static int good_copy(struct sealed_job *j, struct err *e)
{
	const void *piece;
	size_t n;
	int r;

	while ((r = sealed_next(j, &piece, &n, e)) > 0)
		if ((r = sealed_write(j, piece, n, e)) < 0)
			return r;
	buf_addf(&j->result, "{\"copied\":%llu}", (unsigned long long)j->written);
	return r;
}

/* Does what the input says. */
static int good_or_not(struct sealed_job *j, struct err *e)
{
	char word[8] = {};
	size_t n;
	int r = sealed_first(j, word, sizeof(word) - 1, &n, e);

	if (r < 0)
		return r;
	if (strcmp(word, "crash") == 0)
		abort();
	if (strcmp(word, "hang") == 0)
		evil_hang(j, e);
	if (strcmp(word, "fail") == 0)
		return err_set(e, ERR_UNSUPPORTED_FORMAT, "the input says so");
	if (strcmp(word, "lie") == 0)
		say("a lie", 5);
	buf_addf(&j->result, "{\"said\":\"%s\",\"params\":%.*s,\"name\":\"%.*s\"}", word, STR_FMT(j->params), STR_FMT(j->name));
	return 0;
}

/* Works on the next job only: a child that an earlier job has spoilt. */
static int good_once(struct sealed_job *j, struct err *e)
{
	static bool spoilt;

	if (spoilt)
		abort();
	spoilt = true;
	return 0;
}

/* The same, but the second job has given more away than the pipe holds. */
static int good_once_output(struct sealed_job *j, struct err *e)
{
	static bool spoilt;

	if (spoilt) {
		put(j, 2 << 20);
		abort();
	}
	spoilt = true;
	return 0;
}

/* Forwards, backwards, and the same again: nothing that could not be. */
static int good_progress(struct sealed_job *j, struct err *e)
{
	static const unsigned said[] = {100, 300, 200, 300, 0, 1000, 1000};

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		say_progress(said[i], FIRST);
	buf_add_cstr(&j->result, "{}");
	return 0;
}

/* Reads its input slowly enough for the progress of reading to be told. */
static int good_slowly(struct sealed_job *j, struct err *e)
{
	const void *piece;
	size_t n;
	int r;

	while ((r = sealed_next(j, &piece, &n, e)) > 0)
		poll(NULL, 0, RUNNER_PROGRESS_MS + 10);
	buf_add_cstr(&j->result, "{}");
	return r;
}

/* What its input's descriptor lets it do. */
static int good_rights(struct sealed_job *j, struct err *e)
{
	int flags = fcntl(j->input_fd, F_GETFL), seals = fcntl(j->input_fd, F_GET_SEALS);

	buf_addf(&j->result, "{\"mode\":%d,\"seals\":%d}", flags & O_ACCMODE, seals);
	return 0;
}

#define ONCE(op)                                                                                                                           \
	&(const struct sealed_op)                                                                                                          \
	{                                                                                                                                  \
		.name = #op, .policy = POLICY_ONCE, .run = op                                                                              \
	}
#define MANY(op)                                                                                                                           \
	&(const struct sealed_op)                                                                                                          \
	{                                                                                                                                  \
		.name = #op, .policy = POLICY_MANY, .run = op                                                                              \
	}

static const struct sealed_op *const ops[] = {
	ONCE(evil_progress_flood),
	ONCE(evil_progress_more),
	ONCE(evil_progress_negative),
	ONCE(evil_progress_before),
	ONCE(evil_progress_beyond),
	ONCE(evil_progress_half),
	ONCE(evil_progress_late),
	ONCE(evil_progress_only),
	ONCE(good_progress),
	ONCE(good_slowly),
	ONCE(evil_exit0),
	ONCE(evil_exit3),
	ONCE(evil_abort),
	ONCE(evil_segfault),
	ONCE(evil_stack),
	ONCE(evil_hang),
	ONCE(evil_busy),
	ONCE(evil_socket),
	ONCE(evil_garbage),
	ONCE(evil_empty),
	ONCE(evil_half),
	ONCE(evil_huge),
	ONCE(evil_beyond),
	ONCE(evil_serial),
	ONCE(evil_large),
	ONCE(evil_flood),
	ONCE(evil_code),
	ONCE(evil_positive),
	ONCE(evil_detail),
	ONCE(evil_refusal),
	ONCE(evil_invented),
	ONCE(evil_twice),
	ONCE(evil_twice_in_one),
	ONCE(evil_descriptors),
	ONCE(evil_closed),
	ONCE(evil_not_json),
	ONCE(evil_array),
	ONCE(evil_utf8),
	ONCE(evil_deep),
	ONCE(evil_too_much),
	ONCE(evil_too_much_said),
	ONCE(evil_shorter),
	ONCE(evil_longer),
	ONCE(evil_early),
	ONCE(evil_growing),
	ONCE(evil_dripping),
	ONCE(evil_open),
	ONCE(evil_growing_nowhere),
	ONCE(good_copy),
	MANY(good_or_not),
	MANY(evil_progress_back),
	MANY(good_once),
	MANY(good_once_output),
	MANY(good_rights),
};

int main(void)
{
	return sealed_main(ops, ARRAY_LEN(ops));
}
