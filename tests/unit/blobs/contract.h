/* The contract of blobs.h, run against every backend and the wrapper. */
#ifndef FILEMILL_TESTS_BLOBS_CONTRACT_H
#define FILEMILL_TESTS_BLOBS_CONTRACT_H

#include "place.h"

struct contract_kind {
	const char *name;
	/* An empty store of its own for each test. */
	struct blobs *(*make)(const struct contract_kind *k, struct place *p);
	/* After the store is freed: looks for what stayed behind. May be NULL. */
	void (*end)(const struct contract_kind *k);
	void *arg;
	bool shared; /* with other processes: that a name is taken may be told at the commit only */
};

/* How many tests failed. */
int contract_run(const struct contract_kind *kind);

#endif
