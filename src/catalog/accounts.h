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

struct change_add_account {
	struct account *account; /* in: id, email (as email_clean() left it), name, password, role, created_at; out: number, changed_at */
	bool first_only; /* ERR_CONFLICT when there is an account already */
	/* ERR_EMAIL_TAKEN; ERR_CONFLICT: the id is taken */
};

/* Disabled, he is refused whatever he shows, and his sessions are over; so they are with a new password. */
struct change_patch_account {
	struct uuid id;
	struct str email, name, password; /* p NULL = keep */
	bool set_role;
	enum role role;
	bool set_disabled, disabled;
	uint32_t set_quotas; /* 1 << enum quota */
	struct quotas quotas;
	int64_t now;
	/* ERR_USER_NOT_FOUND, ERR_EMAIL_TAKEN; ERR_CONFLICT: he is the last administrator who may come, and would not be */
};

/* His sessions and keys go. What he owns stays under his id, which is given to nobody else, until somebody deletes it. */
struct change_delete_account {
	struct uuid id;
	/* ERR_USER_NOT_FOUND; ERR_CONFLICT as above, and for the only account there is: nobody opens the door by leaving */
};

struct change_add_session {
	struct session session; /* in; account by its id */
	uint32_t max; /* an account's; beyond that the one used longest ago goes */
	/* ERR_USER_NOT_FOUND: also when he is disabled. ERR_UNAUTHENTICATED: his password has changed since session.created_at */
};

/* One session, or all of an account. There need be none. */
struct change_end_session {
	uint8_t hash[SECRET_HASH];
	struct uuid account; /* not zero: all of this account instead */
};

struct change_touch_session {
	uint8_t hash[SECRET_HASH];
	int64_t used_at; /* an earlier one than is known changes nothing */
};

struct change_add_key {
	struct api_key *key; /* in: id, account, name, hash, scopes, created_at, expires_at; out: number */
	uint32_t max; /* an account's that hold, 1…KEYS_AN_ACCOUNT_MAX */
	/* ERR_LIMIT_REACHED (limit filled in); ERR_USER_NOT_FOUND: also when he is disabled; ERR_CONFLICT: the id is taken */
};

/* One that is revoked already stays as it is. */
struct change_revoke_key {
	struct uuid id, account; /* account zero: whoever's */
	int64_t now;
	/* ERR_KEY_NOT_FOUND */
};

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

[[nodiscard]] int catalog_account(struct catalog *c, struct uuid id, struct arena *a, struct account *ret,
				  struct err *e); /* ERR_USER_NOT_FOUND */
/* The email as email_clean() leaves it. ERR_USER_NOT_FOUND. */
[[nodiscard]] int catalog_account_by_email(struct catalog *c, struct str email, struct arena *a, struct account *ret, struct err *e);
/* Newest first, as with catalog_list_files(). */
[[nodiscard]] int catalog_list_accounts(struct catalog *c, struct page page, struct arena *a, struct account **ret, size_t *ret_n,
					int64_t *ret_next, struct err *e);
/* All there are, also those who may not come now: as long as it is 0, nobody has said who may; once above, it stays above. A shared catalogue that
 * had none when it was last looked at is asked anew; ACCOUNTS_UNKNOWN where that fails. */
#define ACCOUNTS_UNKNOWN UINT64_MAX
uint64_t catalog_account_count(struct catalog *c);
/* The same where nobody has to be asked, else ACCOUNTS_UNKNOWN. Never waits. */
uint64_t catalog_account_count_known(struct catalog *c);

/* A session and whose it is; looked up by an index, in microseconds. ERR_UNAUTHENTICATED: there is none with this hash, its time is over, it was not used for longer than idle_ms,
 * its account is disabled, or the password has changed since it began. */
[[nodiscard]] int catalog_session(struct catalog *c, const uint8_t hash[SECRET_HASH], int64_t now, int64_t idle_ms, struct arena *a,
				  struct session *ret, struct account *ret_account, struct err *e);
/* Likewise. ERR_UNAUTHENTICATED: there is none, it has expired or was revoked, or its account is disabled. */
[[nodiscard]] int catalog_key(struct catalog *c, const uint8_t hash[SECRET_HASH], int64_t now, struct arena *a, struct api_key *ret,
			      struct account *ret_account, struct err *e);
[[nodiscard]] int catalog_key_by_id(struct catalog *c, struct uuid id, int64_t now, struct arena *a, struct api_key *ret,
				    struct account *ret_account, struct err *e);
/* Newest first; account zero: everybody's. With those that hold no more, until they are purged. */
[[nodiscard]] int catalog_list_keys(struct catalog *c, struct uuid account, struct page page, struct arena *a, struct api_key **ret,
				    size_t *ret_n, int64_t *ret_next, struct err *e);

/* Whether a once-key is used up by now: to refuse early what a change would be refused for. Only the change tells for sure. */
[[nodiscard]] int catalog_once_used(struct catalog *c, const uint8_t key[ONCE_KEY], bool *ret, struct err *e);

struct secret {
	int64_t number;
	uint8_t bytes[SERVER_SECRET];
	int64_t created_at;
};
/* Newest first: the first one signs, all verify. */
[[nodiscard]] int catalog_secrets(struct catalog *c, struct arena *a, struct secret **ret, size_t *ret_n, struct err *e);

#endif
