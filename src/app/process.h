/* The process itself: descriptors, limits, signals. */
#ifndef FILEMILL_APP_PROCESS_H
#define FILEMILL_APP_PROCESS_H

#include "base/err.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* First of all: descriptors 0 to 2 exist, so that no database file gets one of these numbers; files are for their owner alone; a closed pipe is an error code. */
void process_init(void);
/* How many descriptors the process may open at most, once it has raised its limit. */
unsigned process_descriptors_max(void);
/* Raises the limit of open descriptors as far as it goes and returns it. */
unsigned process_raise_descriptors(void);
/* Before any other thread: the signals below come to process_wait_stop() only. */
void process_block_signals(void);
/* Returns the number of the signal that asks for an end: SIGTERM or SIGINT. SIGHUP, with nothing to read anew, is passed over. */
int process_wait_stop(void);
/* For programs that work and do not wait: after process_block_signals(), whether SIGTERM or SIGINT came. */
bool process_stop_asked(void);
/* An orderly end under way. */
struct process_stop {
	const char *_Atomic part; /* what is waited for now: a constant */
	pthread_t watch;
	bool watched;
	pthread_mutex_t lock;
	pthread_cond_t ended; /* CLOCK_MONOTONIC */
	bool over; /* under the lock */
};

/* From now on SIGTERM, SIGINT and the end of ten seconds, without those in which the process was not let run, end it at once, with status 1; after ten seconds the log says what could not be ended. At the latest it
 * ends after 25 s, without a word. */
void process_stop_hard(struct process_stop *s);
/* All was ended in time. */
void process_stop_over(struct process_stop *s);
/* The same without a signal: nothing that was acknowledged depends on an orderly end. */
void process_end_now(void);

#endif
