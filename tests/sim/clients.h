/* Between clients.c and listeners.c. */
#ifndef TESTS_SIM_CLIENTS_H
#define TESTS_SIM_CLIENTS_H

#include "world.h"

/* Sends several files in one form. */
int act_form(struct world *w);
/* An answer told a client of this file. */
void note_told(struct world *w, struct told_file file);
/* Waits for a file's jobs, with or without an end of its patience. */
int act_hook(struct world *w);
void act_wait(struct world *w, struct told_file *t);

#endif
