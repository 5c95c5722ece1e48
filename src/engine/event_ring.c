#include "engine/event_ring.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool event_ring_init(struct event_ring *r, uint32_t cap, size_t bytes_max)
{
	*r = (struct event_ring){.cap = cap, .bytes_max = bytes_max, .first = 1, .next = 1};
	r->slots = calloc(cap, sizeof(struct event *));
	return r->slots != NULL;
}

void event_unref(struct event *e)
{
	if (e != NULL && atomic_fetch_sub(&e->refs, 1) == 1)
		free(e);
}

static void drop_first(struct event_ring *r)
{
	struct event **slot = &r->slots[r->first++ % r->cap];

	r->bytes -= (*slot)->n_text;
	event_unref(*slot);
	*slot = NULL;
}

void event_ring_release(struct event_ring *r)
{
	while (r->slots != NULL && r->first < r->next)
		drop_first(r);
	free(r->slots);
	r->slots = NULL;
}

struct event *event_new(const struct event_ring *r, int64_t life, const char *name, struct str owner, struct uuid file, struct str data)
{
	char head[128];
	int n = snprintf(head, sizeof(head), "id: %lld-%llu\nevent: %s\ndata: ", (long long)life, (unsigned long long)r->next, name);
	size_t n_head = (size_t)n;

	assert(n > 0 && n_head < sizeof(head) && owner.len <= OWNER_MAX);
	struct event *e = malloc(sizeof(*e) + n_head + data.len + 2);
	if (e == NULL)
		return NULL;
	atomic_init(&e->refs, 1);
	e->seq = r->next;
	e->file = file;
	e->n_owner = owner.len;
	memcpy(e->owner, owner.p, owner.len);
	memcpy(e->text, head, n_head);
	for (size_t i = 0; i < data.len; i++)
		e->text[n_head + i] = data.p[i] == '\n' || data.p[i] == '\r' ? ' ' : data.p[i];
	memcpy(e->text + n_head + data.len, "\n\n", 2);
	e->n_text = n_head + data.len + 2;
	return e;
}

void event_ring_put(struct event_ring *r, struct event *e)
{
	assert(e->seq == r->next);
	while (r->first < r->next && (r->next - r->first == r->cap || r->bytes + e->n_text > r->bytes_max))
		drop_first(r);
	r->slots[r->next++ % r->cap] = e;
	r->bytes += e->n_text;
}

void event_ring_forget(struct event_ring *r)
{
	while (r->first < r->next)
		drop_first(r);
	r->first = ++r->next;
}

bool event_is_for(const struct event *e, struct str owner, struct uuid file)
{
	return str_eq((struct str){e->owner, e->n_owner}, owner) && (uuid_is_zero(file) || uuid_eq(file, e->file));
}

struct event *event_ring_find(struct event_ring *r, uint64_t *seq, struct str owner, struct uuid file)
{
	assert(*seq >= r->first);
	while (*seq < r->next) {
		struct event *e = r->slots[(*seq)++ % r->cap];
		if (event_is_for(e, owner, file)) {
			atomic_fetch_add(&e->refs, 1);
			return e;
		}
	}
	return NULL;
}

bool event_ring_resume(const struct event_ring *r, int64_t life, struct str id, uint64_t *ret_seq)
{
	struct str number, of_life = str_split(id, '-', &number);
	uint64_t lived, seq;

	if (number.p == NULL || !str_to_u64(of_life, &lived) || lived != (uint64_t)life || !str_to_u64(number, &seq))
		return false;
	if (seq >= r->next || seq + 1 < r->first)
		return false;
	*ret_seq = seq + 1;
	return true;
}
