/* Whose memory it is: what a process took is gone when it dies, what lies on the simulated disk stays. Allocations of the code under test are led here by the linker. */
#ifndef TESTS_SIM_HEAP_H
#define TESTS_SIM_HEAP_H

#include "base/arena.h"

#include <stddef.h>

enum heap_domain {
	HEAP_SIM, /* the simulation's own: not looked after */
	HEAP_PROCESS,
	HEAP_DISK,
	HEAP_DOMAINS
};

/* What is taken now belongs to this domain; the one before is returned, and given back at the end. */
enum heap_domain heap_enter(enum heap_domain d);
/* In the midst of a change to the disk this arena is the process's all the same, and those that were named before; NULL = none any more. */
#define HEAP_ARENAS 8
void heap_process_arena(const struct arena *a);
size_t heap_count(enum heap_domain d); /* not yet freed */
/* The process is gone: its memory and its descriptors. */
void heap_drop_process(void);
void heap_drop_disk(void);
/* Descriptors from the lowest free one on are the process's. */
void heap_note_descriptors(void);
unsigned heap_descriptors(void); /* that it has open; 0 or more than 0 */

#endif
