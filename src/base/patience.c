#include "base/patience.h"

#include <assert.h>
#include <stdbool.h>

static _Thread_local bool never; /* each thread's own: nothing is shared */

void thread_never_waits(void)
{
	never = true;
}

void thread_waits(void)
{
	assert(!PATIENCE_CHECKED || !never);
}
