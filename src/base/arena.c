#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK 2048
#define LARGEST_BLOCK 65536

struct arena_block {
	struct arena_block *next; /* older */
	size_t size, used; /* of data, bytes */
	alignas(max_align_t) char data[];
};

void arena_release(struct arena *a)
{
	struct arena_block *block, *next;

	if (!a)
		return;
	for (block = a->blocks; block; block = next) {
		next = block->next;
		free(block);
	}
	*a = ARENA_INIT;
}

static struct arena_block *block_new(size_t size)
{
	struct arena_block *block;

	if (size > SIZE_MAX - sizeof(*block))
		return NULL;
	block = calloc(1, sizeof(*block) + size);
	if (block)
		block->size = size;
	return block;
}

/* A block with room for n bytes, as the newest one; or, for a large n, one of its own behind
 * the newest, so that what is left there stays in use. */
static struct arena_block *block_for(struct arena *a, size_t n)
{
	struct arena_block *newest = a->blocks, *block;
	size_t size = newest ? 2 * newest->size : FIRST_BLOCK;

	if (newest && n <= newest->size - newest->used)
		return newest;
	if (size > LARGEST_BLOCK)
		size = LARGEST_BLOCK;
	if (newest && n > size / 2) {
		block = block_new(n);
		if (!block)
			return NULL;
		block->next = newest->next;
		newest->next = block;
		return block;
	}
	block = block_new(n > size ? n : size);
	if (!block)
		return NULL;
	block->next = newest;
	a->blocks = block;
	return block;
}

void *arena_alloc(struct arena *a, size_t n)
{
	const size_t align = alignof(max_align_t);
	struct arena_block *block;
	void *p;

	if (n > SIZE_MAX - align)
		return NULL;
	n = n > 0 ? (n + align - 1) / align * align : align;
	block = block_for(a, n);
	if (!block)
		return NULL;
	p = block->data + block->used;
	block->used += n;
	a->used += n;
	return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *copy = n < SIZE_MAX ? arena_alloc(a, n + 1) : NULL;

	if (copy && n > 0)
		memcpy(copy, s, n);
	return copy;
}

struct str arena_str(struct arena *a, struct str s)
{
	return (struct str){arena_strndup(a, s.p, s.len), s.len};
}
