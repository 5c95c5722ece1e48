/* A layer between SQLite and the file system that fails on purpose. */
#ifndef FILEMILL_TESTS_CATALOG_FAULT_VFS_H
#define FILEMILL_TESTS_CATALOG_FAULT_VFS_H

#include <stdbool.h>

enum fault_call { FAULT_WRITE, FAULT_SYNC, FAULT_OPEN, FAULT_READ, FAULT_CALLS };

/* Makes the layer SQLite's default. Once, before anything is opened. */
void fault_install(void);
/* The n-th call of this kind from now on fails with SQLite's code rc; with `goes_on` all later ones too. n 0: nothing fails any more. */
void fault_plan(enum fault_call call, unsigned n, int rc, bool goes_on);
unsigned fault_calls(enum fault_call call); /* made since the program began, failed or not */
unsigned fault_hits(void); /* calls failed since the plan was made */

#endif
