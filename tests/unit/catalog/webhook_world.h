/* Short ways to make webhooks, to end jobs, and to ask what was told: for the parts of the contract that are about webhooks. */
#ifndef FILEMILL_TESTS_CATALOG_WEBHOOK_WORLD_H
#define FILEMILL_TESTS_CATALOG_WEBHOOK_WORLD_H

#include "world.h"

struct uuid hook_id(unsigned n);
int add_hook_of(struct world *w, unsigned n, struct str owner, uint32_t events, struct str ops, uint32_t max);
void add_hook(struct world *w, unsigned n);
struct webhook read_hook(struct world *w, unsigned n);
int hook_code(struct world *w, unsigned n);
int patch_enabled(struct world *w, unsigned n, bool enabled);
int delete_hook(struct world *w, unsigned n);
size_t told(struct world *w, unsigned hook, struct delivery **ret);
size_t count_told(struct world *w, unsigned hook);
struct delivery read_delivery(struct world *w, unsigned hook, struct uuid id);
size_t due(struct world *w, int64_t number, int64_t now, uint32_t max, struct delivery **ret);
void add_ended(struct world *w, unsigned n);
struct change attempt_of(const struct delivery *d, int64_t at, int status, enum delivery_state state);
struct change_attempt attempt(struct world *w, const struct delivery *d, int64_t at, int status, enum delivery_state state);
int replay(struct world *w, unsigned hook, struct uuid id, int64_t since, uint32_t max, uint32_t *ret);
struct webhook_stats sums(struct world *w);
bool holds(struct str text, const char *part);

#endif
