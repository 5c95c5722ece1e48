/* The server's own secrets. */
#include "catalog/memory/memory.h"

#include <string.h>

void mem_add_secret(struct mem *m, struct change *ch)
{
	struct change_add_secret *n = &ch->add_secret;
	size_t kept = m->n_secrets < n->keep - 1 ? m->n_secrets : n->keep - 1;

	n->added = false;
	if (n->if_none && m->n_secrets > 0)
		return;
	memmove(&m->secrets[1], &m->secrets[0], kept * sizeof(m->secrets[0]));
	m->secrets[0] = (struct secret){.number = ++m->last_secret, .created_at = n->now};
	memcpy(m->secrets[0].bytes, n->bytes, sizeof(n->bytes));
	m->n_secrets = kept + 1;
	n->added = true;
}

int mem_secrets(struct catalog *c, struct arena *a, struct secret **ret, size_t *ret_n, struct err *e)
{
	struct secret *list = arena_alloc(a, SERVER_SECRETS_MAX * sizeof(*list));
	struct mem *m;

	if (!list)
		return mem_nothing_read(e);
	m = mem_locked(c);
	memcpy(list, m->secrets, m->n_secrets * sizeof(*list));
	*ret = list;
	*ret_n = m->n_secrets;
	return mem_unlocked(m, 0);
}
