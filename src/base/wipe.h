/* Secrets are wiped with this, and not with explicit_bzero(3): the sanitizers do not see what that one writes, so that memory which was another's by then went unnoticed. */
#ifndef FILEMILL_BASE_WIPE_H
#define FILEMILL_BASE_WIPE_H

#include <stddef.h>
#include <string.h>

/* Also where nothing reads it any more, and the compiler would leave a memset() out. NULL with 0 bytes is fine. */
static inline void wipe(void *p, size_t n)
{
	if (n > 0)
		memset(p, 0, n);
	__asm__ volatile("" : : "r"(p) : "memory"); /* whoever reads it, for all the compiler knows */
}

#endif
