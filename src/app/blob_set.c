#include "app/blob_set.h"
#include "base/siphash.h"
#include "blobs/blobs.h"

#include <stdlib.h>
#include <string.h>

static struct blob_tag tag_of(struct str name, uint64_t size)
{
	static const uint8_t keys[2][16] = {"blobs, one half", "blobs, the rest"};
	uint8_t text[BLOB_NAME_MAX + sizeof(size)];
	size_t n = name.len < BLOB_NAME_MAX ? name.len : BLOB_NAME_MAX;

	memcpy(text, &size, sizeof(size));
	memcpy(text + sizeof(size), name.p, n);
	struct blob_tag tag = {siphash24(keys[0], text, sizeof(size) + n), siphash24(keys[1], text, sizeof(size) + n)};
	if (tag.a == 0 && tag.b == 0)
		tag.a = 1;
	return tag;
}

static struct blob_tag *place_of(const struct blob_set *s, struct blob_tag tag)
{
	size_t at = tag.a & (s->cap - 1);

	while ((s->tags[at].a != 0 || s->tags[at].b != 0) && (s->tags[at].a != tag.a || s->tags[at].b != tag.b))
		at = (at + 1) & (s->cap - 1);
	return &s->tags[at];
}

void blob_set_release(struct blob_set *s)
{
	free(s->tags);
	*s = (struct blob_set){};
}

bool blob_set_has(const struct blob_set *s, struct str name, uint64_t size)
{
	if (s->cap == 0)
		return false;
	const struct blob_tag *at = place_of(s, tag_of(name, size));
	return at->a != 0 || at->b != 0;
}

static bool grow(struct blob_set *s)
{
	struct blob_set larger = {.cap = s->cap > 0 ? 2 * s->cap : 1024, .n = s->n};

	larger.tags = calloc(larger.cap, sizeof(*larger.tags));
	if (larger.tags == NULL)
		return false;
	for (size_t i = 0; i < s->cap; i++)
		if (s->tags[i].a != 0 || s->tags[i].b != 0)
			*place_of(&larger, s->tags[i]) = s->tags[i];
	free(s->tags);
	*s = larger;
	return true;
}

bool blob_set_add(struct blob_set *s, struct str name, uint64_t size)
{
	struct blob_tag tag = tag_of(name, size);

	if (2 * (s->n + 1) > s->cap && !grow(s))
		return false;
	struct blob_tag *at = place_of(s, tag);
	s->n += at->a == 0 && at->b == 0;
	*at = tag;
	return true;
}
