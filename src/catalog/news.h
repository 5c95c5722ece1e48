/* For catalogues that are shared: what a batch means to other nodes, packed. */
#ifndef FILEMILL_CATALOG_NEWS_H
#define FILEMILL_CATALOG_NEWS_H

#include "catalog/catalog_impl.h"

/* Of a batch that is about to be committed; empty when others need not know of it. Ask buf_ok(). */
void news_pack(struct buf *b, const struct catalog *c, struct change *const *changes, size_t n);
/* The other way round: adds to what *list has. Texts are borrowed from the bytes. False: no memory, or they are none. */
struct news_list {
	struct arena *arena;
	struct news *list;
	size_t n, cap;
};
[[nodiscard]] bool news_unpack(struct news_list *to, struct str bytes);

#endif
