/* The part of the catalogue that keeps people and what they show: accounts, sessions, keys; the server's own secrets; and what may happen once only. catalog.h includes it.
 *
 * Tokens and keys are here as their SHA-256 only, passwords as libsodium's text of their hash. The server's secrets are here as they are: whoever can read the catalogue
 * can sign as any key, and a backup carries them. */
#ifndef FILEMILL_CATALOG_ACCOUNTS_H
#define FILEMILL_CATALOG_ACCOUNTS_H

#include "base/arena.h"
#include "base/err.h"
#include "model/account.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalog;

/* What may happen once only. Any change may carry one: the key is used up in the same transaction, or the change is refused with ERR_USED and leaves no trace. A change that is
 * refused for another reason uses nothing up. CHANGE_ONCE does nothing else. */
#define ONCE_KEY 32 /* bytes: SHA-256 of a domain word, a NUL and the thing */
struct once {
	bool set;
	uint8_t key[ONCE_KEY];
	int64_t expires_at; /* Unix ms: it is remembered at least so long; 0 = for ever */
};

/* ---- changes ---- */

/* A secret of the server's own. */
#define SERVER_SECRET 32 /* bytes */
#define SERVER_SECRETS_MAX 16 /* that are kept at once */
struct change_add_secret {
	uint8_t bytes[SERVER_SECRET];
	int64_t now;
	uint32_t keep; /* so many of the newest stay, 1…SERVER_SECRETS_MAX; the rest goes */
	bool if_none; /* nothing happens when there is one */
	bool added; /* out */
};

/* ---- reads ---- */

struct secret {
	int64_t number;
	uint8_t bytes[SERVER_SECRET];
	int64_t created_at;
};
/* Newest first: the first one signs, all verify. */
[[nodiscard]] int catalog_secrets(struct catalog *c, struct arena *a, struct secret **ret, size_t *ret_n, struct err *e);

#endif
