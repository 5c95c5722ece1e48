/* What every call about accounts, sessions, keys and secrets passes, as with catalog.c. */
#include "catalog/catalog_impl.h"

int change_used(struct change *ch)
{
	return change_refuse(ch, ERR_USED, "this may happen once only, and it has happened");
}

static bool invalid(struct change *ch, const char *field)
{
	change_refuse(ch, ERR_INVALID_VALUE, "the change cannot be stored as it is");
	err_field(&ch->err, field);
	return false;
}

bool once_allowed(struct change *ch)
{
	if (ch->kind == CHANGE_ONCE && !ch->once.set)
		return invalid(ch, "once");
	return ch->once.expires_at >= 0 ? true : invalid(ch, "once");
}

static bool secret_allowed(struct change *ch)
{
	const struct change_add_secret *s = &ch->add_secret;

	if (s->keep == 0 || s->keep > SERVER_SECRETS_MAX)
		return invalid(ch, "keep");
	return s->now > 0 ? true : invalid(ch, "now");
}

bool account_change_allowed(struct change *ch)
{
	switch (ch->kind) {
	case CHANGE_ADD_SECRET:
		return secret_allowed(ch);
	default:
		return true;
	}
}

/* ---- reading ---- */

int catalog_secrets(struct catalog *c, struct arena *a, struct secret **ret, size_t *ret_n, struct err *e)
{
	return c->ops->secrets(c, a, ret, ret_n, e);
}
