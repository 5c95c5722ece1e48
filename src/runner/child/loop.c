/* The sealed child at work: takes a batch, runs its ops, answers, closes what came with it, takes the next.
 *
 * Digests are computed here: requests that follow each other and have the same input share one pass, and their answers leave in few messages. Every other op answers at once.
 * The server is on the other side and is believed, but what cannot be right ends the process before anything is done with it. */
#include "base/compiler.h"
#include "base/fd.h"
#include "ops/ops.h"
#include "rt/json_in.h"
#include "runner/child/child.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_LATE_MS 10 /* the server's deadline counts from the last answer: collecting them must not look like standing still */
#define BUDGET_MS                                                                                                                          \
	100 /* what the next job's processor time may be short of: a question to the system for each small digest would cost as much as the digest */
#define ANSWER_ROOM (sizeof(struct runner_answer) + RUNNER_RESULT_MAX + RUNNER_DETAIL_MAX)

enum { EXIT_DONE = 0, EXIT_BAD_BATCH = 70, EXIT_CHANNEL = 71, EXIT_MEMORY = 72 }; /* seen in child_ended only */

struct loop {
	int channel;
	enum seal_policy policy;
	const struct sealed_op *const *ops;
	size_t n_ops;
	uint64_t serial; /* of the last request */
	struct sealed_job job; /* its memory is kept from job to job */
	struct buf answers; /* not sent yet */
	int64_t sent_ms; /* when the last ones were */
	int64_t budget_ms, budget_s; /* when the processor time was last set, and to what */
};

/* One batch as it arrived. */
struct batch {
	struct runner_batch head;
	struct runner_request requests[RUNNER_BATCH_MAX];
	const char *texts; /* borrowed from the message */
	int fds[RUNNER_FDS_MAX];
	size_t n_fds;
};

int loop_prepare(struct err *e)
{
	struct digest_set *d;
	int r;

	json_object_seed(0); /* jansson would open /dev/urandom at its first object */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return err_errno(e, errno, "signal");
	r = digest_set_new(&d, (1u << DIGEST_ALGOS) - 1, e); /* OpenSSL loads its configuration and fetches algorithms once */
	if (r < 0)
		return r;
	digest_set_free(d);
	return 0;
}

static void send_answers(struct loop *l)
{
	if (!buf_ok(&l->answers))
		_exit(EXIT_MEMORY);
	if (l->answers.len > 0 && message_send(l->channel, l->answers.p, l->answers.len, NULL, 0) < 0)
		_exit(EXIT_CHANNEL);
	buf_reset(&l->answers);
	l->sent_ms = child_now_ms();
}

static void answer(struct loop *l, uint64_t serial, int code, struct str result, const struct err *e)
{
	if (l->answers.len + ANSWER_ROOM > RUNNER_MESSAGE_MAX)
		send_answers(l);
	answer_add(&l->answers, serial, code, l->job.written, result, code == ERR_OK ? STR("") : str_of(e->detail));
}

/* ---- receiving ---- */

static bool within(uint32_t at, uint32_t len, uint32_t whole)
{
	return at <= whole && len <= whole - at;
}

static bool request_ok(const struct loop *l, const struct batch *b, size_t i)
{
	const struct runner_request *q = &b->requests[i];
	uint64_t end;

	return q->serial == l->serial + 1 + i && memchr(q->op, '\0', sizeof(q->op)) &&
	       within(q->params_at, q->params_len, b->head.text_bytes) && within(q->name_at, q->name_len, b->head.text_bytes) &&
	       q->input >= 0 && (size_t)q->input < b->n_fds &&
	       (q->output == -1 || (b->head.n == 1 && q->output >= 0 && (size_t)q->output < b->n_fds && q->output != q->input)) &&
	       u64_add(q->offset, q->size, &end) && end <= INT64_MAX;
}

static bool batch_ok(const struct loop *l, struct batch *b, const char *message, size_t len)
{
	size_t requests;

	if (len < sizeof(b->head))
		return false;
	memcpy(&b->head, message, sizeof(b->head));
	if (b->head.magic != RUNNER_MAGIC || b->head.n == 0 || b->head.n > RUNNER_BATCH_MAX || b->head.text_bytes > RUNNER_TEXT_MAX ||
	    b->head.n_fds != b->n_fds || (l->policy == POLICY_ONCE && b->head.n != 1))
		return false;
	requests = b->head.n * sizeof(b->requests[0]);
	if (len != sizeof(b->head) + requests + b->head.text_bytes)
		return false;
	memcpy(b->requests, message + sizeof(b->head), requests);
	b->texts = message + sizeof(b->head) + requests;
	for (size_t i = 0; i < b->head.n; i++)
		if (!request_ok(l, b, i))
			return false;
	return true;
}

static void receive(struct loop *l, struct batch *b, char *message)
{
	ssize_t got = message_recv(l->channel, message, RUNNER_MESSAGE_MAX, b->fds, RUNNER_FDS_MAX, &b->n_fds);

	if (got == 0 || (got < 0 && errno == ECONNRESET))
		_exit(EXIT_DONE);
	if (got < 0)
		_exit(EXIT_CHANNEL);
	if (!batch_ok(l, b, message, (size_t)got))
		_exit(EXIT_BAD_BATCH);
}

/* ---- running ---- */

static struct str text_of(const struct batch *b, uint32_t at, uint32_t len)
{
	return (struct str){b->texts + at, len};
}

/* This process has one thread: it cannot have used more processor time than time has passed. */
static void renew_budget(struct loop *l, int64_t cpu_s)
{
	int64_t now = child_now_ms();

	if (l->policy != POLICY_MANY || (cpu_s == l->budget_s && now - l->budget_ms < BUDGET_MS))
		return;
	sealed_cpu_budget(cpu_s);
	l->budget_ms = now;
	l->budget_s = cpu_s;
}

static void prepare_job(struct loop *l, const struct batch *b, const struct runner_request *q)
{
	struct sealed_job *j = &l->job;

	sealed_reset(j);
	j->params = text_of(b, q->params_at, q->params_len);
	j->name = text_of(b, q->name_at, q->name_len);
	j->input_fd = b->fds[q->input];
	j->offset = q->offset;
	j->size = q->size;
	memcpy(j->sha256, q->sha256, sizeof(j->sha256));
	j->output_fd = q->output >= 0 ? b->fds[q->output] : -1;
	j->limits = q->limits;
	j->channel = l->channel;
	j->serial = q->serial;
	j->told_ms = q->size > SEALED_PIECE ? child_now_ms() : 0;
	renew_budget(l, q->limits.cpu_s);
}

static const struct op *digest_op(const struct runner_request *q)
{
	const struct op *op = op_table_find(op_builtin_table(), str_of(q->op));

	return op && op->kind == OP_STREAMING ? op : NULL;
}

static bool same_input(const struct runner_request *a, const struct runner_request *b)
{
	return a->input == b->input && a->offset == b->offset && a->size == b->size && memcmp(a->sha256, b->sha256, sizeof(a->sha256)) == 0;
}

/* The digests that begin at request `first`, in one pass; the number of requests answered. */
static size_t run_digests(struct loop *l, const struct batch *b, size_t first)
{
	const struct op *ops[RUNNER_BATCH_MAX];
	struct err e = ERR_INIT;
	size_t n = 0;
	int r;

	prepare_job(l, b, &b->requests[first]);
	for (; first + n < b->head.n && same_input(&b->requests[first], &b->requests[first + n]); n++) {
		ops[n] = digest_op(&b->requests[first + n]);
		if (!ops[n])
			break;
		l->job.also |= 1u << ops[n]->algo;
	}
	r = sealed_check(&l->job, &e);
	for (size_t i = 0; i < n; i++) {
		size_t size;

		buf_reset(&l->job.result);
		if (r == 0)
			digest_write_result(&l->job.result, ops[i]->algo, digest_set_get(l->job.check, ops[i]->algo, &size));
		if (!buf_ok(&l->job.result))
			_exit(EXIT_MEMORY);
		answer(l, b->requests[first + i].serial, r, buf_str(&l->job.result), &e);
	}
	if (child_now_ms() - l->sent_ms >= ANSWER_LATE_MS)
		send_answers(l);
	return n;
}

static int run_op(struct loop *l, const struct runner_request *q, struct err *e)
{
	struct sealed_job *j = &l->job;

	const struct sealed_op *op = NULL;
	int r;

	for (size_t i = 0; i < l->n_ops && !op; i++)
		if (strcmp(l->ops[i]->name, q->op) == 0 && l->ops[i]->policy == l->policy)
			op = l->ops[i];
	if (!op)
		return err_set(e, ERR_OP_FAILED, "this runner does not know the op");
	if ((r = op->run(j, e)) < 0)
		return r;
	if ((r = sealed_check(j, e)) < 0)
		return r;
	return buf_ok(&j->result) ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for the result");
}

static void run_sealed(struct loop *l, struct batch *b, const struct runner_request *q)
{
	struct err e = ERR_INIT;

	prepare_job(l, b, q);
	int r = run_op(l, q, &e);
	if (q->output >= 0)
		fd_close(&b->fds[q->output]); /* the answer says that nothing more will come */
	struct str result = r == 0 ? buf_str(&l->job.result) : STR("");
	answer(l, q->serial, r, r == 0 && result.len == 0 ? STR("{}") : result, &e);
	send_answers(l);
}

static void run_batch(struct loop *l, struct batch *b)
{
	l->sent_ms = child_now_ms();
	for (size_t i = 0; i < b->head.n;) {
		if (digest_op(&b->requests[i])) {
			i += run_digests(l, b, i);
		} else {
			run_sealed(l, b, &b->requests[i]);
			i++;
		}
	}
	l->serial += b->head.n;
	sealed_reset(&l->job);
	/* Closed before the last answer leaves: who has all answers may count on nothing of theirs being open here. */
	for (size_t i = 0; i < b->n_fds; i++)
		fd_close(&b->fds[i]);
	send_answers(l);
}

void loop_run(int channel, enum seal_policy policy, const struct sealed_op *const *ops, size_t n)
{
	struct loop l = {.channel = channel, .policy = policy, .ops = ops, .n_ops = n};
	struct batch *b = calloc(1, sizeof(*b));
	char *message = malloc(RUNNER_MESSAGE_MAX);

	if (!b || !message)
		_exit(EXIT_MEMORY);
	sealed_reset(&l.job);
	do {
		receive(&l, b, message);
		run_batch(&l, b);
	} while (policy != POLICY_ONCE);
	_exit(EXIT_DONE);
}
