/* Jobs become one message with descriptors: inline inputs packed into one sealed memfd, stored ones as they are, the output as the writing end of a pipe. */
#include "base/arena.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "base/json_out.h"
#include "runner/sealed_impl.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIPE_BYTES (1 << 20) /* fewer wakings for large outputs; a hint */
#define NAME_BYTES_MAX 255
#define INPUT_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

enum seal_policy sealed_policy_of(const struct op *op)
{
	if (op->kind == OP_COMMAND)
		return POLICY_COMMAND;
	return op->kind == OP_SEALED && op->child == OP_CHILD_ONE ? POLICY_ONCE : POLICY_MANY;
}

struct runner_limits sealed_limits_of(const struct op *op, const struct runner_limits *defaults)
{
	struct runner_limits l = *defaults;

	l.wall_ms = op->wall_ms ? op->wall_ms : l.wall_ms;
	if (op->kind != OP_COMMAND)
		return l;
	l.memory = op->command->memory ? op->command->memory : l.memory;
	l.cpu_s = op->command->cpu_s ? op->command->cpu_s : l.cpu_s;
	l.wall_ms = op->command->wall_ms ? op->command->wall_ms : l.wall_ms;
	l.output_max = op->command->output_max ? op->command->output_max : l.output_max;
	return l;
}

static struct str name_of(const struct runner_job *job)
{
	return (struct str){job->name.p, utf8_prefix(job->name, NAME_BYTES_MAX)};
}

size_t sealed_batch_fit(const struct runner_job *jobs, size_t n)
{
	enum seal_policy policy = sealed_policy_of(jobs[0].op);
	size_t texts = 0, fit = 0;

	if (policy != POLICY_MANY)
		return 1;
	for (; fit < n && sealed_policy_of(jobs[fit].op) == policy; fit++) {
		texts += jobs[fit].params.len + name_of(&jobs[fit]).len;
		if (texts > RUNNER_TEXT_MAX)
			break;
	}
	return fit > 0 ? fit : 1;
}

/* ---- inputs ---- */

static bool same_bytes(const struct runner_job *a, const struct runner_job *b)
{
	return a->input_fd < 0 && b->input_fd < 0 && a->input.p == b->input.p && a->input.len == b->input.len;
}

static int write_vectors(int fd, struct iovec *v, size_t n)
{
	while (n > 0) {
		ssize_t made = writev(fd, v, (int)n);

		if (made < 0 && errno == EINTR)
			continue;
		if (made < 0)
			return -1;
		for (; n > 0 && (size_t)made >= v->iov_len; v++, n--)
			made -= (ssize_t)v->iov_len;
		if (n > 0) {
			v->iov_base = (char *)v->iov_base + made;
			v->iov_len -= (size_t)made;
		}
	}
	return 0;
}

static int add_fd(struct sealed_batch *b, int fd, bool own)
{
	assert(b->n_fds < RUNNER_FDS_MAX);
	if (own)
		b->own[b->n_own++] = fd;
	b->fds[b->n_fds] = fd;
	return (int)b->n_fds++;
}

/* The bytes of all inline inputs one after the other in a memfd that nobody can change any more; the same bytes in a row are there once. */
static int pack_inline(struct sealed_batch *b, const struct runner_job *jobs, size_t n, struct runner_request *q, struct err *e)
{
	struct iovec v[RUNNER_BATCH_MAX];
	uint64_t at = 0;
	size_t n_v = 0;
	int fd, index;

	fd = memfd_create("filemill-inputs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_errno(e, errno, "memfd_create");
	index = add_fd(b, fd, true);
	for (size_t i = 0; i < n; i++) {
		if (jobs[i].input_fd >= 0)
			continue;
		q[i].input = index;
		if (i > 0 && same_bytes(&jobs[i - 1], &jobs[i])) {
			q[i].offset = q[i - 1].offset;
			continue;
		}
		q[i].offset = at;
		at += jobs[i].input.len;
		if (jobs[i].input.len > 0)
			v[n_v++] = (struct iovec){.iov_base = (void *)(uintptr_t)jobs[i].input.p, .iov_len = jobs[i].input.len};
	}
	if (write_vectors(fd, v, n_v) < 0)
		return err_errno(e, errno, "writing inputs to memory");
	if (fcntl(fd, F_ADD_SEALS, INPUT_SEALS) < 0)
		return err_errno(e, errno, "sealing inputs");
	return 0;
}

/* A descriptor that could write must not reach a child: then the file is opened once more. */
static int add_stored(struct sealed_batch *b, int fd, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);
	char name[40];

	if (flags < 0)
		return err_errno(e, errno, "fcntl");
	if ((flags & O_ACCMODE) == O_RDONLY && !(flags & O_PATH))
		return add_fd(b, fd, false);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	int again = open(name, O_RDONLY | O_CLOEXEC);
	if (again < 0)
		return err_errno(e, errno, "opening the input to read");
	return add_fd(b, again, true);
}

static int add_inputs(struct sealed_batch *b, const struct runner_job *jobs, size_t n, struct runner_request *q, struct err *e)
{
	bool any_inline = false;

	for (size_t i = 0; i < n; i++) {
		if (jobs[i].input_fd < 0) {
			any_inline = true;
			continue;
		}
		q[i].input = i > 0 && jobs[i - 1].input_fd == jobs[i].input_fd ? q[i - 1].input : add_stored(b, jobs[i].input_fd, e);
		if (q[i].input < 0)
			return q[i].input;
	}
	return any_inline ? pack_inline(b, jobs, n, q, e) : 0;
}

static int add_output(struct sealed_batch *b, struct runner_request *q, struct err *e)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(e, errno, "pipe");
	b->output = ends[0];
	q->output = add_fd(b, ends[1], true);
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		return err_errno(e, errno, "fcntl");
	(void)fcntl(ends[0], F_SETPIPE_SZ, PIPE_BYTES);
	return 0;
}

/* ---- texts ---- */

/* A command is sent as the words it is to be started with: its templates are the server's business. */
static int command_params(struct buf *ret, const struct runner_job *job, struct err *e)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct json_out j = json_out(ret);
	char **words;
	size_t n;
	int r = op_command_argv(job->op, job->params, &words, &n, &a, e);

	if (r < 0)
		return r;
	json_obj_open(&j);
	json_key(&j, "argv");
	json_arr_open(&j);
	for (size_t i = 0; i < n; i++)
		json_cstr(&j, words[i]);
	json_arr_close(&j);
	if (job->op->command->progress)
		json_kbool(&j, "progress", true);
	json_obj_close(&j);
	return 0;
}

static int add_texts(struct buf *texts, const struct runner_job *job, struct runner_request *q, struct err *e)
{
	int r;

	q->params_at = (uint32_t)texts->len;
	if (job->op->kind == OP_COMMAND) {
		if ((r = command_params(texts, job, e)) < 0)
			return r;
	} else {
		buf_add_str(texts, job->params);
	}
	q->params_len = (uint32_t)texts->len - q->params_at;
	q->name_at = (uint32_t)texts->len;
	buf_add_str(texts, name_of(job));
	q->name_len = (uint32_t)texts->len - q->name_at;
	if (!buf_ok(texts))
		return err_set(e, ERR_NO_MEMORY, "no memory for the parameters");
	if (texts->len > RUNNER_TEXT_MAX)
		return err_set(e, ERR_OP_FAILED, "the parameters are larger than a runner takes");
	return 0;
}

/* ---- the whole ---- */

static void set_request(struct runner_request *q, const struct runner_job *job, uint64_t serial, const struct runner_limits *defaults)
{
	*q = (struct runner_request){.serial = serial, .input = -1, .output = -1, .size = job->size};
	snprintf(q->op, sizeof(q->op), "%s", job->op->name);
	memcpy(q->sha256, job->sha256, sizeof(q->sha256));
	q->limits = sealed_limits_of(job->op, defaults);
}

static void put_message(struct sealed_batch *b, const struct runner_request *q, size_t n, const struct buf *texts)
{
	struct runner_batch head = {
		.magic = RUNNER_MAGIC, .n = (uint32_t)n, .text_bytes = (uint32_t)texts->len, .n_fds = (uint32_t)b->n_fds};

	buf_reserve(&b->message, sizeof(head) + n * sizeof(*q) + texts->len);
	buf_add(&b->message, &head, sizeof(head));
	buf_add(&b->message, q, n * sizeof(*q));
	buf_add_str(&b->message, buf_str(texts));
}

static void requests_release(struct runner_request **q)
{
	free(*q);
}

int sealed_batch_make(struct sealed_batch *ret, const struct runner_job *jobs, size_t n, uint64_t serial,
		      const struct runner_limits *defaults, struct err *e)
{
	CLEANUP(requests_release) struct runner_request *q = calloc(n, sizeof(*q));
	CLEANUP(buf_release) struct buf texts = BUF_INIT;
	int r;

	*ret = (struct sealed_batch){.output = -1};
	if (!q)
		return err_set(e, ERR_NO_MEMORY, "no memory for a batch");
	for (size_t i = 0; i < n; i++) {
		set_request(&q[i], &jobs[i], serial + i, defaults);
		if ((r = add_texts(&texts, &jobs[i], &q[i], e)) < 0)
			return r;
	}
	if ((r = add_inputs(ret, jobs, n, q, e)) < 0)
		return r;
	if (jobs[0].output && (r = add_output(ret, &q[0], e)) < 0)
		return r;
	put_message(ret, q, n, &texts);
	return buf_ok(&ret->message) ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a batch");
}

void sealed_batch_sent(struct sealed_batch *b)
{
	while (b->n_own > 0)
		fd_close(&b->own[--b->n_own]);
	b->n_fds = 0;
}

void sealed_batch_release(struct sealed_batch *b)
{
	sealed_batch_sent(b);
	fd_close(&b->output);
	buf_release(&b->message);
}
