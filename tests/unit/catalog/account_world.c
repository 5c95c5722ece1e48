#include "account_world.h"

#include <stdio.h>
#include <string.h>

int add_account_as(struct world *w, unsigned n, const char *email, enum role role)
{
	struct account a = {.id = test_id(n),
			    .email = str_of(email),
			    .name = STR("Ada"),
			    .password = STR("$argon2id$of$this"),
			    .role = role,
			    .created_at = NOW};
	struct change ch = {.kind = CHANGE_ADD_ACCOUNT, .add_account = {.account = &a}};
	int rc = apply1(w, &ch);

	if (rc == 0)
		assert_true(a.number > 0);
	return rc;
}

void add_account(struct world *w, unsigned n, enum role role)
{
	char email[40];

	snprintf(email, sizeof(email), "%u@example.org", n);
	assert_int_equal(add_account_as(w, n, email, role), 0);
}

struct account read_account(struct world *w, unsigned n)
{
	struct account a = {};

	assert_int_equal(catalog_account(w->c, test_id(n), &w->arena, &a, &w->err), 0);
	return a;
}

int account_code(struct world *w, unsigned n)
{
	struct account a;

	return catalog_account(w->c, test_id(n), &w->arena, &a, &w->err);
}

int patch(struct world *w, struct change_patch_account p)
{
	struct change ch = {.kind = CHANGE_PATCH_ACCOUNT, .patch_account = p};

	return apply1(w, &ch);
}

int disable(struct world *w, unsigned n, bool disabled)
{
	return patch(w, (struct change_patch_account){.id = test_id(n), .set_disabled = true, .disabled = disabled, .now = NOW + 50});
}

int delete_account(struct world *w, unsigned n)
{
	struct change ch = {.kind = CHANGE_DELETE_ACCOUNT, .delete_account = {.id = test_id(n)}};

	return apply1(w, &ch);
}

int add_session(struct world *w, unsigned account, uint8_t fill, int64_t used_at, uint32_t max)
{
	struct change ch = {.kind = CHANGE_ADD_SESSION,
			    .add_session = {.session = {.id = test_id(1000u + fill),
							.account = test_id(account),
							.created_at = NOW,
							.used_at = used_at,
							.expires_at = NOW + LASTS},
					    .max = max}};

	memset(ch.add_session.session.hash, fill, SECRET_HASH);
	return apply1(w, &ch);
}

int session_code(struct world *w, uint8_t fill, int64_t now)
{
	uint8_t hash[SECRET_HASH];
	struct session s;
	struct account a;

	memset(hash, fill, sizeof(hash));
	return catalog_session(w->c, hash, now, IDLE, &w->arena, &s, &a, &w->err);
}

struct api_key build_key(unsigned n, unsigned account)
{
	struct api_key k = {.id = test_id(n),
			    .account = test_id(account),
			    .name = STR("of the nightly run"),
			    .scopes = 1u << SCOPE_FILES_READ | 1u << SCOPE_JOBS_WRITE,
			    .created_at = NOW};

	memset(k.hash, (int)n, sizeof(k.hash));
	return k;
}

int add_key(struct world *w, struct api_key k, uint32_t max)
{
	struct change ch = {.kind = CHANGE_ADD_KEY, .add_key = {.key = &k, .max = max}};
	int rc = apply1(w, &ch);

	if (rc == 0)
		assert_true(k.number > 0);
	return rc;
}

int key_code(struct world *w, unsigned n, int64_t now)
{
	uint8_t hash[SECRET_HASH];
	struct account a;
	struct api_key k;
	int rc;

	memset(hash, (int)n, sizeof(hash));
	rc = catalog_key(w->c, hash, now, &w->arena, &k, &a, &w->err);
	assert_int_equal(catalog_key_by_id(w->c, test_id(n), now, &w->arena, &k, &a, &w->err), rc);
	return rc;
}

int revoke_key(struct world *w, unsigned n, unsigned account)
{
	struct change ch = {.kind = CHANGE_REVOKE_KEY,
			    .revoke_key = {.id = test_id(n), .account = account > 0 ? test_id(account) : (struct uuid){}, .now = NOW + 10}};

	return apply1(w, &ch);
}
