/* Recurring entries of the configuration, by name. */
#include "catalog/memory/memory.h"

#include <stdlib.h>
#include <string.h>

/* Where it stands, or where it would. */
static size_t place_of(const struct mem *m, struct str name, bool *ret_there)
{
	size_t i = 0;

	for (; i < m->n_recurring; i++) {
		struct str other = m->recurring[i].state.name;
		size_t n = name.len < other.len ? name.len : other.len;
		int order = memcmp(other.p, name.p, n);
		if (order > 0 || (order == 0 && other.len >= name.len))
			break;
	}
	*ret_there = i < m->n_recurring && str_eq(m->recurring[i].state.name, name);
	return i;
}

static bool state_new(struct mem_recurring *ret, const struct recurring_state *s)
{
	char *text = malloc(s->name.len + s->schedule.len + 1);

	if (!text)
		return false;
	memcpy(text, s->name.p, s->name.len);
	memcpy(text + s->name.len, s->schedule.p, s->schedule.len);
	*ret = (struct mem_recurring){.state = *s, .text = text};
	ret->state.name.p = text;
	ret->state.schedule.p = text + s->name.len;
	return true;
}

static void forget(struct mem *m, size_t at)
{
	free(m->recurring[at].text);
	memmove(&m->recurring[at], &m->recurring[at + 1], (m->n_recurring - at - 1) * sizeof(m->recurring[0]));
	m->n_recurring--;
}

static void put(struct mem *m, size_t at, bool there, struct mem_recurring row)
{
	if (there) {
		free(m->recurring[at].text);
	} else {
		memmove(&m->recurring[at + 1], &m->recurring[at], (m->n_recurring - at) * sizeof(m->recurring[0]));
		m->n_recurring++;
	}
	m->recurring[at] = row;
}

void mem_recurring_write(struct mem *m, struct change *ch)
{
	const struct recurring_state *to = &ch->recurring.to;
	struct mem_recurring row = {};
	bool there;
	size_t at = place_of(m, to->name, &there);

	if (!recurring_as_it_was(ch, there ? &m->recurring[at].state : NULL))
		return;
	if (ch->recurring.forget) {
		if (there)
			forget(m, at);
		return;
	}
	if (!mem_grow(&m->recurring, &m->cap_recurring, m->n_recurring, sizeof(m->recurring[0])) || !state_new(&row, to)) {
		change_refuse(ch, ERR_NO_MEMORY, "no memory for this change");
		return;
	}
	if (ch->recurring.add.n > 0)
		mem_add_jobs(m, ch);
	if (ch->code == 0)
		put(m, at, there, row);
	else
		free(row.text);
}

int mem_recurring(struct catalog *c, struct arena *a, struct recurring_state **ret, size_t *ret_n, struct err *e)
{
	struct mem *m = CONTAINER_OF(c, struct mem, base);

	pthread_mutex_lock(&m->lock);
	size_t n = m->n_recurring;
	struct recurring_state *list = arena_alloc(a, (n + 1) * sizeof(*list));
	bool whole = list;
	for (size_t i = 0; whole && i < n; i++) {
		list[i] = m->recurring[i].state;
		list[i].name = arena_str(a, list[i].name);
		list[i].schedule = arena_str(a, list[i].schedule);
		whole = list[i].name.p && list[i].schedule.p;
	}
	pthread_mutex_unlock(&m->lock);
	if (!whole)
		return err_set(e, ERR_NO_MEMORY, "no memory for a list");
	*ret = list;
	*ret_n = n;
	return 0;
}

void mem_recurring_release(struct mem *m)
{
	for (size_t i = 0; i < m->n_recurring; i++)
		free(m->recurring[i].text);
	free(m->recurring);
}
