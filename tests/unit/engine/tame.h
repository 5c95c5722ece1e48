/* A runner in the test's hand. Digests are computed by the inline kind; any other op gives `made of ` and its input as output, which no op of the table does, so that the
 * engine can be tried without a process. Runs can be held up, before or behind their work, and made to fail. */
#ifndef TESTS_UNIT_ENGINE_TAME_H
#define TESTS_UNIT_ENGINE_TAME_H

#include "runner/runner.h"

#include <pthread.h>

struct tame;

/* What the next runs do; changed under the lock by tame_set(). */
struct tame_plan {
	bool hold; /* wait before the work while set, asking the watcher as the real one does */
	bool hold_end; /* the same behind it, when the output was given */
	int code; /* jobs end with this … */
	unsigned times; /* … in so many runs */
	const char *result; /* and with this result */
	bool anew; /* or gives some bytes and begins anew, as the real one does on another child */
};

struct tame_counts {
	unsigned begun, ended; /* runs */
	unsigned held; /* runs that wait now */
	unsigned jobs; /* all of them */
	unsigned largest; /* jobs of one run */
	unsigned shared; /* jobs whose input was their neighbour's */
	unsigned most; /* runs at once */
	char order[128]; /* the first letter of the input's name of each run that began, as far as there is room */
};

void tame_new(struct tame **ret);
struct runner *tame_runner(struct tame *t);
void tame_set(struct tame *t, struct tame_plan plan);
struct tame_counts tame_counts(struct tame *t);
void tame_wait_held(struct tame *t, unsigned n); /* until so many runs wait */
void tame_wait_ended(struct tame *t, unsigned n); /* until so many runs ended */

#endif
