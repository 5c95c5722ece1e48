/* What is known of each digest, and how this process computes it. */
#ifndef FILEMILL_OPS_DIGEST_TABLE_H
#define FILEMILL_OPS_DIGEST_TABLE_H

#include "ops/ops.h"

#include <openssl/types.h>

/* Any thread. NULL: not from OpenSSL, or its configuration forbids the algorithm, or there is no memory now. */
const EVP_MD *digest_evp(enum digest_algo algo);
/* Whether this processor can compute MD5 and SHA-256 in one pass. */
bool digest_pair_usable(void);
/* The name of the op that computes it. */
const char *digest_name(enum digest_algo algo);

#endif
