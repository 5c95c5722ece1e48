/* What a new zygote proves of its seal: a child of each kind in use seals itself and says what holds. */
#include "base/compiler.h"
#include "runner/sealed_impl.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define ALL_FEATURES ((1u << SEAL_FEATURES) - 1)
#define COVERED (1u << SEAL_LANDLOCK_TCP | 1u << SEAL_LANDLOCK_SCOPE) /* by seccomp as well */

struct zygote_request sealed_request(const struct sealed_runner *s, enum zygote_request_kind kind, enum seal_policy policy,
				     const struct runner_limits *limits)
{
	return (struct zygote_request){.magic = RUNNER_MAGIC,
				       .kind = kind,
				       .policy = policy,
				       .may_lack = kind == ZYGOTE_REPORT ? ALL_FEATURES : (s->config.may_lack | COVERED) & ALL_FEATURES,
				       .limits = *limits};
}

/* A child that reported and ended may be seen to have ended first: its report is in the channel all the same. */
static bool reported(const struct sealed_child *c)
{
	struct pollfd p = {.fd = c->channel, .events = POLLIN};

	return poll(&p, 1, 0) > 0 && (p.revents & POLLIN);
}

static int take_report(struct sealed_child *c, struct seal_report *ret, struct err *e)
{
	int64_t until = sealed_now_ms() + START_MAX_MS;
	size_t n_fds;

	for (;;) {
		struct pollfd p[] = {{.fd = c->channel, .events = POLLIN}, {.fd = c->status, .events = POLLIN}};
		int64_t left = until - sealed_now_ms();

		if (left <= 0)
			return err_set(e, ERR_RUNNER_UNAVAILABLE, "the sealed runner does not answer");
		poll(p, 2, (int)left);
		if (p[0].revents)
			break;
		sealed_child_note(c);
		if (reported(c))
			break;
		if (c->orphaned)
			return err_set(e, ERR_RUNNER_UNAVAILABLE, "the sealed runner ended at once");
		if (c->ended)
			return err_set(e, ERR_RUNNER_UNAVAILABLE, "the sealed runner makes no processes: %s", strerrordesc_np(c->error));
	}
	if (message_recv(c->channel, ret, sizeof(*ret), NULL, 0, &n_fds) != sizeof(*ret))
		return err_set(e, ERR_RUNNER_UNAVAILABLE, "the sealed runner does not report");
	return 0;
}

static int ask_report(const struct sealed_runner *s, const struct zygote_link *z, enum seal_policy policy, struct seal_report *ret,
		      struct err *e)
{
	const struct zygote_request q = sealed_request(s, ZYGOTE_REPORT, policy, &s->config.limits);
	struct sealed_child *c;
	int r;

	if (sealed_child_order(&c, z, &q) < 0)
		return err_set(e, ERR_RUNNER_UNAVAILABLE, "the sealed runner takes no request: %s", strerrordesc_np(errno));
	r = take_report(c, ret, e);
	sealed_child_end(c);
	return r;
}

/* A feature holds when it holds for every kind of child; namespaces are for commands only. */
static void merge_reports(struct seal_report *all, const struct seal_report *commands)
{
	const unsigned namespaces = 1u << SEAL_NAMESPACES;

	for (unsigned f = 0; f < SEAL_FEATURES; f++)
		if (f == SEAL_NAMESPACES || (all->enforced & ~commands->enforced) >> f & 1)
			all->errors[f] = commands->errors[f];
	all->enforced = (all->enforced & commands->enforced & ~namespaces) | (commands->enforced & namespaces);
}

static int check_report(const struct sealed_runner *s, const struct seal_report *report, struct err *e)
{
	unsigned needed = ALL_FEATURES, missing;
	CLEANUP(buf_release) struct buf names = BUF_INIT;

	if (!s->config.commands)
		needed &= ~(1u << SEAL_NAMESPACES);
	missing = needed & ~report->enforced & ~s->config.may_lack & ~COVERED;
	if (missing == 0)
		return 0;
	for (unsigned f = 0; f < SEAL_FEATURES; f++)
		if (missing >> f & 1)
			buf_addf(&names, "%s%s (%s)", names.len > 0 ? ", " : "", seal_feature_name(f), strerrordesc_np(report->errors[f]));
	return err_set(e, ERR_SEAL_INCOMPLETE, "this kernel does not give what the sealed runner needs: %s",
		       buf_ok(&names) ? names.p : "?");
}

int sealed_begin_zygote(const struct sealed_runner *s, struct zygote_link **ret, struct seal_report *ret_report, struct err *e)
{
	struct seal_report commands;
	struct zygote_link *z;
	int r = zygote_link_start(&z, s->path, e);

	if (r < 0)
		return r;
	r = ask_report(s, z, POLICY_MANY, ret_report, e);
	if (r == 0 && s->config.commands) {
		r = ask_report(s, z, POLICY_COMMAND, &commands, e);
		if (r == 0)
			merge_reports(ret_report, &commands);
	}
	if (r == 0)
		r = check_report(s, ret_report, e);
	if (r < 0) {
		zygote_link_end(z);
		return r;
	}
	*ret = z;
	return 0;
}
