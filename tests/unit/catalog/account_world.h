/* Accounts, sessions and keys to put into a world. Account n has the id test_id(n) and the email n@example.org. */
#ifndef FILEMILL_TESTS_CATALOG_ACCOUNT_WORLD_H
#define FILEMILL_TESTS_CATALOG_ACCOUNT_WORLD_H

#include "world.h"

#define IDLE INT64_C(10000)
#define LASTS INT64_C(100000)

int add_account_as(struct world *w, unsigned n, const char *email, enum role role);
void add_account(struct world *w, unsigned n, enum role role);
struct account read_account(struct world *w, unsigned n);
int account_code(struct world *w, unsigned n);
int patch(struct world *w, struct change_patch_account p);
int disable(struct world *w, unsigned n, bool disabled);
int delete_account(struct world *w, unsigned n);

/* A session whose hash is filled with `fill`, begun at NOW. */
int add_session(struct world *w, unsigned account, uint8_t fill, int64_t used_at, uint32_t max);
int session_code(struct world *w, uint8_t fill, int64_t now);

struct api_key build_key(unsigned n, unsigned account); /* id test_id(n), hash filled with n */
int add_key(struct world *w, struct api_key k, uint32_t max);
int key_code(struct world *w, unsigned n, int64_t now); /* by hash and by id, which must agree */
int revoke_key(struct world *w, unsigned n, unsigned account); /* 0: whoever's */

#endif
