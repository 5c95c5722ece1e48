/* One batch on one child.
 *
 * The normal course: answers come on the channel, output comes through the pipe, and when every job has its answer the output has ended and nothing more is said. What can go
 * wrong: the child ends, stands still, or says what cannot be right. Then drive_run() says so and its caller ends the child; whatever the child does, the loop below wakes
 * every TICK_MS at the latest and leaves at the deadline.
 *
 * The deadline counts from the last answer: a child that collects answers sends them every few milliseconds. Time that the output's taker needs does not count. */
#include "runner/sealed_impl.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* A child that serves one job goes after its answer; one that closed its channel is seen dead; an output that has ended is seen ended: each within this. */
#define EXIT_MAX_MS 1000

static int misbehaved(struct err *e, const char *what)
{
	return err_set(e, ERR_RUNNER_MISBEHAVED, "the process of the op %s", what);
}

static void begin_deadline(struct drive *d)
{
	d->deadline_ms = sealed_now_ms() + (d->child->started ? d->limits.wall_ms : SPAWN_MAX_MS);
}

/* ---- output ---- */

/* Hands bytes over; the taker's error ends the job. */
static int give(struct drive *d, size_t n, struct err *e)
{
	struct runner_job *job = &d->jobs[0];
	int64_t before = sealed_now_ms();
	int r;

	if (d->answered > 0 && n > d->output_said - job->output_size)
		return misbehaved(e, "wrote more than it says");
	if (n > d->limits.output_max - job->output_size) {
		err_set(e, ERR_LIMIT_OUTPUT, "the output is larger than allowed");
		return err_limit(e, (int64_t)d->limits.output_max);
	}
	r = job->output(job->output_arg, d->child->room, n, e);
	job->output_size += n;
	d->deadline_ms += sealed_now_ms() - before;
	return r;
}

/* Takes one piece: 1 when there may be more, 0 when there is none now or the output has ended. */
static int take_output(struct drive *d, struct err *e)
{
	ssize_t got = read(d->output, d->child->room, RUNNER_MESSAGE_MAX);
	int r;

	if (got < 0 && errno == EINTR)
		return 1;
	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got < 0)
		return err_set(e, ERR_IO, "reading the output: %s", strerrordesc_np(errno));
	if (got == 0) {
		d->output_ended = true;
		return 0;
	}
	r = give(d, (size_t)got, e);
	return r < 0 ? r : 1;
}

static int watch(struct drive *d, struct err *e)
{
	int r = runner_may_go_on(d->watch, e);

	if (r < 0)
		d->stopped = true;
	return r;
}

/* What is in the pipe: 0 when it is empty or has ended. However fast somebody fills it, the deadline and the watcher hold. */
static int drain_output(struct drive *d, struct err *e)
{
	int64_t tick_ms = sealed_now_ms() + TICK_MS;
	int r;

	while ((r = take_output(d, e)) > 0) {
		int64_t now = sealed_now_ms();

		if (now >= d->deadline_ms) {
			err_set(e, ERR_LIMIT_TIME, "the op took longer than allowed");
			return err_limit(e, d->limits.wall_ms);
		}
		if (now >= tick_ms && (r = watch(d, e)) < 0)
			return r;
		tick_ms = now >= tick_ms ? now + TICK_MS : tick_ms;
	}
	return r;
}

/* After the answer: its writer has closed the pipe before, so the bytes are there, and the end behind them. Only a zygote that is being executed just now, by another thread, may
 * have the pipe for a moment more: a process that is about to be another program has a copy of everything that is open. So the end may be late, and nothing else. */
static int finish_output(struct drive *d, struct err *e)
{
	const struct runner_job *job = &d->jobs[0];
	struct pollfd p = {.fd = d->output, .events = POLLIN};
	int r;

	if (d->output < 0 || job->code != 0)
		return 0; /* bytes of a job that failed are worth nothing */
	if (job->output_size > d->output_said)
		return misbehaved(e, "wrote more than it says");
	if ((r = drain_output(d, e)) < 0)
		return r;
	if (!d->output_ended && poll(&p, 1, EXIT_MAX_MS) > 0 && (r = take_output(d, e)) < 0)
		return r;
	if (r > 0)
		return misbehaved(e, "went on writing after its answer");
	if (!d->output_ended)
		return misbehaved(e, "did not end its output before its answer");
	if (job->output_size != d->output_said)
		return misbehaved(e, "wrote less than it says");
	return 0;
}

/* ---- channel ---- */

/* It has ended, or has closed its channel, with jobs open. */
static int judge_end(struct drive *d, struct err *e)
{
	struct sealed_child *c = d->child;
	struct pollfd p = {.fd = c->pidfd, .events = POLLIN};

	sealed_child_note(c);
	if (!c->ended && !c->orphaned && c->pidfd >= 0 && poll(&p, 1, EXIT_MAX_MS) == 0)
		return misbehaved(e, "closed its channel");
	sealed_child_wait(c, END_MAX_MS);
	return blame_ended(c, e);
}

/* Takes every message there is: 0 to go on, also when all is answered. */
static int take_messages(struct drive *d, struct err *e)
{
	while (d->answered < d->n) {
		size_t n_fds, before = d->answered;
		ssize_t got = message_recv(d->child->channel, d->child->room, RUNNER_MESSAGE_MAX, NULL, 0, &n_fds);
		int r;

		if (got < 0 && errno == EAGAIN)
			return d->child->ended || d->child->orphaned ? blame_ended(d->child, e) : 0;
		if (got < 0 && errno == EMSGSIZE)
			return misbehaved(e, "sent a message that is too large, or descriptors");
		if (got <= 0)
			return judge_end(d, e);
		if ((r = progress_take(d, d->child->room, (size_t)got, e)) < 0)
			return r;
		if (r > 0)
			continue; /* what is promised moves no deadline */
		if ((r = answers_take(d, d->child->room, (size_t)got, e)) < 0)
			return r;
		if (d->answered == before)
			return misbehaved(e, "sent what is no answer");
		begin_deadline(d);
	}
	return 0;
}

/* ---- waiting ---- */

static int wait_something(struct drive *d, int64_t until_ms)
{
	struct pollfd p[] = {
		{.fd = d->child->channel, .events = POLLIN},
		{.fd = d->child->ended || d->child->orphaned ? -1 : d->child->status, .events = POLLIN},
		{.fd = d->output_ended ? -1 : d->output, .events = POLLIN},
	};
	int64_t left = until_ms - sealed_now_ms();

	return poll(p, 3, left > 0 ? (int)left : 0);
}

static int check_deadline(struct drive *d, struct err *e)
{
	if (sealed_now_ms() < d->deadline_ms)
		return 0;
	if (!d->child->started) {
		d->child->unheld = true; /* it may begin yet, when nobody waits for it any more */
		return err_set(e, ERR_RUNNER_LOST, "the runner stands still");
	}
	err_set(e, ERR_LIMIT_TIME, "the op took longer than allowed");
	return err_limit(e, d->limits.wall_ms);
}

/* What has come since the last time. The status is read first: when it says that the child has ended, everything it ever said is in the channel already. */
static int step(struct drive *d, struct err *e)
{
	bool was_started = d->child->started;
	int r;

	sealed_child_note(d->child);
	if (!was_started && d->child->started)
		begin_deadline(d);
	if ((r = take_messages(d, e)) < 0 || d->answered == d->n)
		return r;
	if (d->output >= 0 && !d->output_ended && (r = take_output(d, e)) < 0)
		return r;
	return check_deadline(d, e);
}

/* After the last answer there is nothing to say. One that serves one job goes; when it only takes its time to go it is killed by who ends it, and the job is done all the same.
 * One that serves many is still; when it is killed just now the jobs are done all the same. */
static int see_it_quiet(struct drive *d, struct err *e)
{
	struct pollfd p = {.fd = d->child->channel, .events = POLLIN};
	size_t n_fds;

	if (poll(&p, 1, d->child->policy == POLICY_MANY ? 0 : EXIT_MAX_MS) <= 0)
		return 0;
	ssize_t got = message_recv(d->child->channel, d->child->room, RUNNER_MESSAGE_MAX, NULL, 0, &n_fds);
	if (got > 0 || (got < 0 && errno == EMSGSIZE))
		return misbehaved(e, "said more than its answers");
	return 0;
}

int drive_run(struct drive *d, struct err *e)
{
	int64_t tick_ms = sealed_now_ms() + TICK_MS;
	int r;

	begin_deadline(d);
	d->began_ms = sealed_now_ms();
	for (;;) {
		int64_t until = d->deadline_ms < tick_ms ? d->deadline_ms : tick_ms;

		wait_something(d, until);
		if ((r = step(d, e)) < 0)
			return r;
		if (d->answered == d->n)
			break;
		if ((r = watch(d, e)) < 0)
			return r;
		tick_ms = sealed_now_ms() + TICK_MS;
	}
	if ((r = finish_output(d, e)) < 0)
		return r;
	d->child->served += d->n;
	return see_it_quiet(d, e);
}
