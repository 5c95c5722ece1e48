/* Help for the tests of blob stores: a directory of their own, descriptors counted, whole blobs written and read. */
#ifndef FILEMILL_TESTS_BLOBS_PLACE_H
#define FILEMILL_TESTS_BLOBS_PLACE_H

#include "blobs/blobs.h"

struct place {
	char path[64];
	int fd; /* of the directory */
	unsigned descriptors; /* open before it was made */
};

void place_make(struct place *p);
/* Removes the directory with all in it and fails the test when more descriptors are open than before place_make(). */
void place_remove(struct place *p);

unsigned open_descriptors(void);

/* Deterministic bytes: blob `seed`, byte i. */
void fill_pattern(char *dst, size_t n, unsigned seed);

/* Writes n bytes of pattern `seed` in pieces and commits: the code of the first call that failed, after abandoning. */
int put_blob(struct blobs *b, const char *name, size_t n, unsigned seed, size_t piece, struct err *e);
/* True when the blob is there with exactly these bytes. */
bool holds_blob(struct blobs *b, const char *name, size_t n, unsigned seed);

#endif
