/* People, what they may do, and what they show for it. Plain data and its words; no storage, no secrets but as SHA-256. */
#ifndef FILEMILL_MODEL_ACCOUNT_H
#define FILEMILL_MODEL_ACCOUNT_H

#include "model/model.h"

#define EMAIL_MAX 254 /* bytes (RFC 5321 §4.5.3.1.3, without the brackets) */
#define PERSON_NAME_MAX 255 /* bytes of UTF-8 */
#define PASSWORD_MIN 10 /* characters */
#define PASSWORD_MAX 1024 /* bytes */
#define PASSWORD_HASH_MAX 128 /* bytes of libsodium's text */
#define KEY_NAME_MAX 100 /* bytes of UTF-8 */
#define KEYS_AN_ACCOUNT_MAX 100
#define SECRET_HASH 32 /* bytes of SHA-256 */

/* Each may all that those before it may. Kept as numbers: never renumber. */
enum role { ROLE_USER, ROLE_OPERATOR, ROLE_ADMIN, ROLES };
const char *role_name(enum role r);
bool role_parse(enum role *ret, struct str name);

/* What a key may be used for; a session has all. Kept as bits 1 << n: never renumber. */
enum scope { SCOPE_FILES_READ, SCOPE_FILES_WRITE, SCOPE_JOBS_READ, SCOPE_JOBS_WRITE, SCOPE_ADMIN, SCOPES };
#define SCOPE_ALL ((1u << SCOPES) - 1)
const char *scope_name(enum scope s); /* files:read */
bool scope_parse(enum scope *ret, struct str name);

/* What an owner may have at most: files and bytes stored, jobs that wait. */
enum quota { QUOTA_FILES, QUOTA_BYTES, QUOTA_JOBS, QUOTAS };
const char *quota_name(enum quota q);
#define QUOTA_NONE (-1)
#define QUOTA_MAX (INT64_C(1) << 53) /* what every JSON reader takes for the same number */

/* An account's own. 0 = as the configuration says for all, QUOTA_NONE = no limit. */
struct quotas {
	int64_t max[QUOTAS];
};

struct account {
	struct uuid id; /* as text the owner of what is his */
	int64_t number;
	struct str email;
	struct str name; /* for display; "" = none */
	struct str password; /* libsodium's text of the Argon2id hash; "" = he cannot sign in. Never shown */
	enum role role;
	int64_t created_at;
	int64_t disabled_at; /* 0 = he may come */
	int64_t changed_at; /* of the password: sessions begun before are over */
	struct quotas quotas;
};

struct session {
	struct uuid id;
	struct uuid account;
	uint8_t hash[SECRET_HASH]; /* of the token */
	int64_t created_at, used_at; /* used_at is kept to the minute */
	int64_t expires_at; /* whatever is done */
};

struct api_key {
	struct uuid id; /* the keyid of signatures */
	int64_t number;
	struct uuid account;
	struct str name;
	uint8_t hash[SECRET_HASH]; /* of the secret */
	uint32_t scopes;
	int64_t created_at;
	int64_t expires_at; /* 0 = never */
	int64_t revoked_at; /* 0 = it holds */
};

/* An address as it is kept and compared, in the arena: ASCII letters small, else as it was written. ERR_INVALID_VALUE with the field `email`, ERR_NO_MEMORY. person.c */
[[nodiscard]] int email_clean(struct str *ret, struct str raw, struct arena *a, struct err *e);
/* ERR_INVALID_VALUE with the field `name`. */
[[nodiscard]] int person_name_check(struct str name, struct err *e);

/* As the API shows them. secret and signing: of the one answer that tells them; NULL = not told. account_json.c */
void account_write_json(struct json_out *j, const struct account *a);
void account_write_members(struct json_out *j, const struct account *a); /* into an object that has more */
void api_key_write_json(struct json_out *j, const struct api_key *k, const char *secret, const char *signing);

#endif
