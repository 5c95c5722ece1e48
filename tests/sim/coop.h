/* Threads as coroutines of one OS thread. pthread_create() and the calls that wait and wake lead here (coop_wrap.c, by the linker's --wrap), so the code under test is
 * the real one; who runs next is drawn from a seed at each of these calls, and the clock stands still but for what the simulation lets pass. The same seed gives the same
 * run, instruction for instruction.
 *
 * What is no choice point: atomics and plain memory. Races on those are for the thread sanitizer. */
#ifndef TESTS_SIM_COOP_H
#define TESTS_SIM_COOP_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

#define MS INT64_C(1000000) /* nanoseconds */

/* How the next one is drawn. */
struct coop_policy {
	bool priorities; /* the highest of random priorities runs, and some steps lower that of who runs (Burckhardt et al. 2010); else anybody */
	unsigned switch_one_in; /* without priorities: how often another one is drawn at all */
	unsigned lower_one_in; /* with priorities */
	unsigned spurious_one_in; /* a condition is woken that nobody signalled, as POSIX allows; 0 = never */
	unsigned step_ns; /* a step takes up to this */
	uint64_t steps_max; /* more is taken for a loop without end */
	uint64_t crash_at; /* the process dies at this step; 0 = it does not */
};

enum coop_end {
	COOP_DONE, /* everybody ended */
	COOP_CRASHED, /* at crash_at, or by coop_crash() */
	COOP_FAILED, /* coop_fail(): what it was says coop_failure() */
};

/* Begins a history: the clock starts anew. */
void coop_reset(uint64_t seed, int64_t wall_ms);
/* Runs `main` as the first thread, until all have ended or the process dies; then nothing of them is left but what they allocated. at_rest, if not NULL, is called whenever nobody
 * can run before time passes. */
enum coop_end coop_run(const struct coop_policy *policy, void *(*main)(void *), void *arg, void (*at_rest)(void *), void *rest_arg);
const char *coop_failure(void);
uint64_t coop_steps(void); /* since coop_reset() */
uint64_t coop_hash(void); /* of all that was drawn since then */

/* ---- for those who run ---- */
/* Another one may go on here, or the process dies. */
void coop_point(void);
void coop_sleep(int64_t ns);
/* All stand still for so long: a suspended machine. */
void coop_freeze(int64_t ns);
_Noreturn void coop_crash(void);
/* For wrong variants: in the midst of what should be one step. A process that is to die may die here. */
void coop_between(void);
/* An invariant does not hold: ends the run. The first one counts. */
ATTR_PRINTF(1, 2) _Noreturn void coop_fail(const char *fmt, ...);
/* Between these nobody else runs and nothing dies: for what is one step. */
void coop_quiet_begin(void);
void coop_quiet_end(void);
/* A place to sleep at, woken by its address. False: the time came first; ns < 0 = for ever. */
bool coop_wait(const void *place, int64_t ns);
void coop_wake(const void *place);
unsigned coop_locks(void); /* that who runs holds */
const char *coop_name(void);
/* Which memory who runs takes (heap.h); returns the one before. */
int coop_set_domain(int domain);
int coop_domain(void);

/* ---- the clock ---- */
int64_t coop_mono_ns(void);
int64_t coop_wall_ms(void);
void coop_set_wall(int64_t ms); /* somebody set the clock */

/* ---- tracing ---- */
extern bool coop_tracing;
ATTR_PRINTF(1, 2) void coop_trace(const char *fmt, ...);
#define TRACE(...)                                                                                                                         \
	do {                                                                                                                               \
		if (coop_tracing)                                                                                                          \
			coop_trace(__VA_ARGS__);                                                                                           \
	} while (0)

#endif
