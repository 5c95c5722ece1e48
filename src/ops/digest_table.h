/* What is known of each digest, and how this process computes it. */
#ifndef FILEMILL_OPS_DIGEST_TABLE_H
#define FILEMILL_OPS_DIGEST_TABLE_H

#include "ops/ops.h"

#include <openssl/types.h>

struct digest_table {
	const EVP_MD *md[DIGEST_ALGOS]; /* NULL: not from OpenSSL, or its configuration forbids the algorithm */
	bool pair_usable;
};

/* Never NULL; constant once it is filled. Any thread. */
const struct digest_table *digest_table(void);
/* The name of the op that computes it. */
const char *digest_name(enum digest_algo algo);

#endif
