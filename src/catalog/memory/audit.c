/* Audit entries on their way into the log, and how far that has come. */
#include "catalog/memory/memory.h"

#include <stdlib.h>
#include <string.h>

bool mem_audit_stage(struct mem *m, struct change *ch)
{
	char *text;

	if (!ch->audit.p)
		return true;
	text = mem_grow(&m->audit, &m->cap_audit, m->n_audit, sizeof(*m->audit)) ? malloc(ch->audit.len) : NULL;
	if (!text) {
		change_refuse(ch, ERR_NO_MEMORY, "no memory for an audit entry");
		return false;
	}
	memcpy(text, ch->audit.p, ch->audit.len);
	m->audit[m->n_audit] = (struct mem_entry){.text = text, .len = ch->audit.len};
	return true;
}

void mem_audit_settle(struct mem *m, const struct change *ch)
{
	struct mem_entry *staged = m->audit + m->n_audit;

	if (!ch->audit.p)
		return;
	if (!change_leaves_entry(ch)) {
		free(staged->text);
		return;
	}
	staged->seq = ++m->last_audit;
	m->n_audit++;
}

static void forget(struct mem *m, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(m->audit[i].text);
	m->n_audit -= n;
	memmove(m->audit, m->audit + n, m->n_audit * sizeof(*m->audit));
}

void mem_audit_release(struct mem *m)
{
	if (m->n_audit > 0)
		forget(m, m->n_audit);
	free(m->audit);
}

void mem_audit_only(struct mem *m, struct change *ch)
{
}

void mem_audit_done(struct mem *m, struct change *ch)
{
	size_t n = 0;

	const struct change_audit_done *d = &ch->audit_done;

	if (d->head.seq > m->last_audit) {
		change_refuse(ch, ERR_CONFLICT, "there was no such audit entry");
		return;
	}
	if (d->after != m->audit_head.seq || !uuid_eq(d->after_home, m->audit_head.home)) {
		change_refuse(ch, ERR_CONFLICT, "the head of the audit log was moved by another");
		return;
	}
	while (n < m->n_audit && m->audit[n].seq <= d->head.seq)
		n++;
	if (n > 0)
		forget(m, n);
	m->audit_head = d->head;
}

int mem_audit(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct audit_entry **ret, size_t *ret_n, struct err *e)
{
	struct mem *m = CONTAINER_OF(c, struct mem, base);
	struct audit_entry *list = arena_alloc(a, max * sizeof(*list));
	bool ok = list != NULL;
	size_t n = 0;

	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; ok && i < m->n_audit && n < max; i++) {
		if (m->audit[i].seq <= after)
			continue;
		list[n] = (struct audit_entry){.seq = m->audit[i].seq,
					       .text = arena_str(a, (struct str){m->audit[i].text, m->audit[i].len})};
		ok = list[n++].text.p != NULL;
	}
	pthread_mutex_unlock(&m->lock);
	if (!ok)
		return err_set(e, ERR_NO_MEMORY, "no memory for a list");
	*ret = list;
	*ret_n = n;
	return 0;
}

int mem_audit_head(struct catalog *c, struct audit_head *ret, struct err *e)
{
	struct mem *m = CONTAINER_OF(c, struct mem, base);

	pthread_mutex_lock(&m->lock);
	*ret = m->audit_head;
	pthread_mutex_unlock(&m->lock);
	return 0;
}
