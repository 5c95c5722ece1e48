#include "base/json_out.h"
#include "model/account.h"

static void write_id(struct json_out *j, struct uuid id)
{
	char text[UUID_TEXT_LEN + 1];

	uuid_format(text, id);
	json_kcstr(j, "id", text);
}

/* null: as the configuration says; 0: no limit, as there. */
static void write_quotas(struct json_out *j, const struct quotas *q)
{
	json_obj_open(j);
	for (unsigned i = 0; i < QUOTAS; i++) {
		json_key(j, quota_name((enum quota)i));
		if (q->max[i] == 0)
			json_put_null(j);
		else
			json_u64(j, q->max[i] == QUOTA_NONE ? 0 : (uint64_t)q->max[i]);
	}
	json_obj_close(j);
}

void account_write_members(struct json_out *j, const struct account *a)
{
	write_id(j, a->id);
	json_ku64(j, "number", (uint64_t)a->number);
	json_kstr(j, "email", a->email);
	json_kstr(j, "name", a->name);
	json_kcstr(j, "role", role_name(a->role));
	json_ktime(j, "created_at", a->created_at);
	json_ktime(j, "disabled_at", a->disabled_at);
	json_key(j, "quotas");
	write_quotas(j, &a->quotas);
}

void account_write_json(struct json_out *j, const struct account *a)
{
	json_obj_open(j);
	account_write_members(j, a);
	json_obj_close(j);
}

void api_key_write_json(struct json_out *j, const struct api_key *k, const char *secret, const char *signing)
{
	json_obj_open(j);
	write_id(j, k->id);
	json_ku64(j, "number", (uint64_t)k->number);
	json_kstr(j, "name", k->name);
	json_key(j, "scopes");
	json_arr_open(j);
	for (unsigned s = 0; s < SCOPES; s++)
		if (k->scopes & 1u << s)
			json_cstr(j, scope_name((enum scope)s));
	json_arr_close(j);
	json_ktime(j, "created_at", k->created_at);
	json_ktime(j, "expires_at", k->expires_at);
	json_ktime(j, "revoked_at", k->revoked_at);
	if (secret != NULL)
		json_kcstr(j, "secret", secret);
	if (signing != NULL)
		json_kcstr(j, "signing_secret", signing);
	json_obj_close(j);
}
