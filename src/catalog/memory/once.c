/* What may happen once only: the keys that are used up, in a hash table of lists. The keys are SHA-256 sums, so their first bytes spread them. */
#include "catalog/memory/memory.h"

#include <stdlib.h>
#include <string.h>

struct mem_once {
	struct once once;
	struct mem_once *next;
};

static struct mem_once **bucket(struct mem_onces *t, const uint8_t key[ONCE_KEY])
{
	uint64_t h;

	memcpy(&h, key, sizeof(h));
	return &t->buckets[h & (t->cap - 1)];
}

static bool grow(struct mem_onces *t)
{
	struct mem_onces wider = {.cap = t->cap > 0 ? 2 * t->cap : 64, .n = t->n};

	if (t->n < t->cap)
		return true;
	wider.buckets = calloc(wider.cap, sizeof(struct mem_once *));
	if (!wider.buckets)
		return false;
	for (size_t i = 0; i < t->cap; i++) {
		for (struct mem_once *o = t->buckets[i], *next; o; o = next) {
			struct mem_once **to = bucket(&wider, o->once.key);

			next = o->next;
			o->next = *to;
			*to = o;
		}
	}
	free(t->buckets);
	wider.spare = t->spare;
	*t = wider;
	return true;
}

static bool used(struct mem_onces *t, const uint8_t key[ONCE_KEY])
{
	if (t->cap == 0)
		return false;
	for (const struct mem_once *o = *bucket(t, key); o; o = o->next)
		if (memcmp(o->once.key, key, ONCE_KEY) == 0)
			return true;
	return false;
}

bool mem_once_stage(struct mem *m, struct change *ch)
{
	struct mem_onces *t = &m->onces;

	if (!ch->once.set)
		return true;
	if (used(t, ch->once.key)) {
		change_used(ch);
		return false;
	}
	if (!t->spare)
		t->spare = malloc(sizeof(*t->spare));
	if (t->spare && grow(t))
		return true;
	mem_no_memory(ch);
	return false;
}

void mem_once_settle(struct mem *m, const struct change *ch)
{
	struct mem_onces *t = &m->onces;
	struct mem_once **at;

	if (!ch->once.set || ch->code != 0)
		return;
	at = bucket(t, ch->once.key);
	*t->spare = (struct mem_once){.once = ch->once, .next = *at};
	*at = t->spare;
	t->spare = NULL;
	t->n++;
}

void mem_once_only(struct mem *m, struct change *ch)
{
}

int mem_once_used(struct catalog *c, const uint8_t key[ONCE_KEY], bool *ret, struct err *e)
{
	struct mem *m = mem_locked(c);

	*ret = used(&m->onces, key);
	return mem_unlocked(m, 0);
}

void mem_purge_once(struct mem *m, int64_t before, uint32_t max)
{
	struct mem_onces *t = &m->onces;

	for (size_t i = 0; i < t->cap && max > 0; i++) {
		for (struct mem_once **at = &t->buckets[i]; *at && max > 0;) {
			struct mem_once *o = *at;

			if (o->once.expires_at == 0 || o->once.expires_at >= before) {
				at = &o->next;
				continue;
			}
			*at = o->next;
			free(o);
			t->n--;
			max--;
		}
	}
}

void mem_once_release(struct mem *m)
{
	struct mem_onces *t = &m->onces;

	for (size_t i = 0; i < t->cap; i++) {
		for (struct mem_once *o = t->buckets[i], *next; o; o = next) {
			next = o->next;
			free(o);
		}
	}
	free(t->buckets);
	free(t->spare);
}
