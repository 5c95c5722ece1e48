/* Between coop.c and coop_wrap.c. */
#ifndef TESTS_SIM_COOP_IMPL_H
#define TESTS_SIM_COOP_IMPL_H

#include "coop.h"

#include <stddef.h>

struct co;

/* NULL: there are too many. */
struct co *co_new(void *(*run)(void *), void *arg);
void *co_join(struct co *c);
void co_rename(struct co *c, const char *name);
struct co *co_current(void); /* NULL outside of a run */
/* Waits for a wake at this place. condition: may be woken without cause. False: the time `until` came first. */
bool co_wait(const void *place, int64_t until, bool condition);
void co_wake(const void *place, bool all);
void co_count_lock(int change);

#endif
