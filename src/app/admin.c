/* filemill admin: the directory's lock is held, so that no server works on it meanwhile (docs/adr/0029-accounts.md says why); each act is one change with its audit entry, which the next start
 * puts into the log. Passwords come from a terminal or from standard input, never from the command line, where everybody on the machine could read them. */
#include "app/admin.h"
#include "app/ask.h"
#include "app/catalogue.h"
#include "app/data_dir.h"
#include "audit/audit.h"
#include "auth/token.h"
#include "base/wipe.h"
#include "catalog/catalog.h"
#include "rt/config.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST_PAGE 200
#define SECRETS_KEPT 3
#define KEY_LASTS_MAX_MS (INT64_C(100) * 365 * 86400000)

static const struct audit_by by = {.how = "command"};

struct work {
	const struct admin_line *line;
	struct catalog *catalog;
	struct arena arena;
	struct buf *out;
	bool json;
	int64_t now;
	struct err *e;
};

static int apply(struct work *w, struct change *ch)
{
	struct change *list[] = {ch};
	int rc = catalog_apply(w->catalog, list, 1, w->e);

	if (rc == 0 && ch->code != 0) {
		*w->e = ch->err;
		rc = ch->code;
	}
	return rc;
}

static void random_bytes(uint8_t dst[32])
{
	for (size_t i = 0; i < 32; i += sizeof(uint64_t)) {
		uint64_t r = env_real.random(&env_real);

		memcpy(dst + i, &r, sizeof(r));
	}
}

static struct uuid new_id(const struct work *w)
{
	struct uuid_gen g = {};

	return uuid_next(&g, w->now, env_real.random(&env_real));
}

static struct str id_text(struct uuid id, char dst[UUID_TEXT_LEN + 1])
{
	uuid_format(dst, id);
	return (struct str){dst, UUID_TEXT_LEN};
}

/* ---- users ---- */

static int parse_role(enum role *ret, const char *word, struct err *e)
{
	if (role_parse(ret, str_of(word)))
		return 0;
	err_set(e, ERR_INVALID_VALUE, "there is no such role; user, operator or admin");
	return err_field(e, "role");
}

/* The user whom the act's first word names. */
static int find_user(struct work *w, struct account *ret)
{
	struct str email;
	int rc = email_clean(&email, str_of(w->line->words[0]), &w->arena, w->e);

	if (rc != 0)
		return rc;
	rc = catalog_account_by_email(w->catalog, email, &w->arena, ret, w->e);
	return rc == ERR_USER_NOT_FOUND ? err_set(w->e, rc, "there is no user %.254s", w->line->words[0]) : rc;
}

/* The text of the hash, in the arena. */
static int ask_hash(struct work *w, struct str *ret)
{
	struct asked asked = {};
	char hash[PASSWORD_TEXT];
	int rc = ask_password(&asked, w->e);

	if (rc == 0)
		rc = password_hash(hash, (struct str){asked.text, asked.len}, w->e);
	wipe(&asked, sizeof(asked));
	if (rc != 0)
		return rc;
	*ret = arena_str(&w->arena, str_of(hash));
	return ret->p ? 0 : err_set(w->e, ERR_NO_MEMORY, "no memory for a password's hash");
}

static int note_user(struct work *w, struct change *ch, enum audit_act act, const struct account *a, const char *what)
{
	char id[UUID_TEXT_LEN + 1];

	return audit_entry(&ch->audit, &w->arena, w->now, act, &by, w->e, LF_STR("user", id_text(a->id, id)), LF_STR("email", a->email),
			   LF_CSTR("what", what));
}

static int user_add(struct work *w)
{
	const struct admin_line *l = w->line;
	struct account a = {.id = new_id(w), .name = str_of(l->name != NULL ? l->name : ""), .created_at = w->now};
	struct change ch = {.kind = CHANGE_ADD_ACCOUNT, .add_account = {.account = &a}};
	struct account other;
	int rc = email_clean(&a.email, str_of(l->words[0]), &w->arena, w->e);

	a.role = catalog_account_count(w->catalog) == 0 ? ROLE_ADMIN : ROLE_USER;
	if (rc == 0 && l->role != NULL)
		rc = parse_role(&a.role, l->role, w->e);
	if (rc == 0)
		rc = person_name_check(a.name, w->e);
	/* Before the password is asked for; the change looks again. */
	if (rc == 0 && catalog_account_by_email(w->catalog, a.email, &w->arena, &other, NULL) == 0)
		rc = err_set(w->e, ERR_EMAIL_TAKEN, "there is an account with this email already");
	if (rc == 0)
		rc = ask_hash(w, &a.password);
	if (rc == 0)
		rc = note_user(w, &ch, AUDIT_USER_ADDED, &a, role_name(a.role));
	if (rc == 0)
		rc = apply(w, &ch);
	if (rc != 0)
		return rc;
	if (w->json) {
		struct json_out j = json_out(w->out);

		account_write_json(&j, &a);
		buf_add_char(w->out, '\n');
	} else {
		buf_addf(w->out, "%.*s may sign in now, as %s\n", STR_FMT(a.email), role_name(a.role));
	}
	return 0;
}

static void tell_user(struct work *w, const struct account *a)
{
	char id[UUID_TEXT_LEN + 1];

	if (w->json) {
		struct json_out j = json_out(w->out);

		account_write_json(&j, a);
		buf_add_char(w->out, '\n');
		return;
	}
	uuid_format(id, a->id);
	buf_addf(w->out, "%s  %-8s  %-8s  %.*s\n", id, role_name(a->role), a->disabled_at != 0 ? "disabled" : "enabled", STR_FMT(a->email));
}

static int user_list(struct work *w)
{
	struct page page = {.limit = LIST_PAGE};

	do {
		CLEANUP(arena_release) struct arena a = ARENA_INIT;
		struct account *list;
		size_t n;
		int rc = catalog_list_accounts(w->catalog, page, &a, &list, &n, &page.before, w->e);

		if (rc != 0)
			return rc;
		for (size_t i = 0; i < n; i++)
			tell_user(w, &list[i]);
	} while (page.before != 0);
	return 0;
}

static int user_passwd(struct work *w)
{
	struct change ch = {.kind = CHANGE_PATCH_ACCOUNT, .patch_account = {.now = w->now}};
	struct account a;
	int rc = find_user(w, &a);

	if (rc == 0)
		rc = ask_hash(w, &ch.patch_account.password);
	if (rc == 0)
		rc = note_user(w, &ch, AUDIT_USER_CHANGED, &a, "password");
	if (rc != 0)
		return rc;
	ch.patch_account.id = a.id;
	rc = apply(w, &ch);
	if (rc == 0)
		buf_addf(w->out, "%.*s has a new password; all sessions are over\n", STR_FMT(a.email));
	return rc;
}

static int user_role(struct work *w)
{
	struct change ch = {.kind = CHANGE_PATCH_ACCOUNT, .patch_account = {.set_role = true, .now = w->now}};
	struct account a;
	int rc = find_user(w, &a);

	if (rc == 0)
		rc = parse_role(&ch.patch_account.role, w->line->words[1], w->e);
	if (rc == 0)
		rc = note_user(w, &ch, AUDIT_USER_CHANGED, &a, role_name(ch.patch_account.role));
	if (rc != 0)
		return rc;
	ch.patch_account.id = a.id;
	rc = apply(w, &ch);
	if (rc == 0)
		buf_addf(w->out, "%.*s is %s now\n", STR_FMT(a.email), role_name(ch.patch_account.role));
	return rc;
}

static int bad_quota(struct err *e)
{
	err_set(e, ERR_INVALID_VALUE, "quotas are a list such as files=1000,bytes=10GiB,jobs=none; default is what the configuration says");
	return err_field(e, "quota");
}

static int parse_quota(struct change_patch_account *c, struct str word, struct err *e)
{
	struct str value, name = str_split(word, '=', &value);
	unsigned q = 0;
	uint64_t max = 0;

	while (q < QUOTAS && !str_eq(name, str_of(quota_name((enum quota)q))))
		q++;
	if (q == QUOTAS || value.p == NULL)
		return bad_quota(e);
	if (str_eq(value, STR("default")))
		c->quotas.max[q] = 0;
	else if (str_eq(value, STR("none")))
		c->quotas.max[q] = QUOTA_NONE;
	else if ((q == QUOTA_BYTES ? config_parse_size(&max, value, NULL) == 0 : str_to_u64(value, &max)) && max > 0 && max <= QUOTA_MAX)
		c->quotas.max[q] = (int64_t)max;
	else
		return bad_quota(e);
	c->set_quotas |= 1u << q;
	return 0;
}

static int user_quota(struct work *w)
{
	struct change ch = {.kind = CHANGE_PATCH_ACCOUNT, .patch_account = {.now = w->now}};
	struct str rest = str_of(w->line->words[1]);
	struct account a;
	int rc = find_user(w, &a);

	while (rc == 0 && rest.p != NULL)
		rc = parse_quota(&ch.patch_account, str_split(rest, ',', &rest), w->e);
	if (rc == 0)
		rc = note_user(w, &ch, AUDIT_USER_CHANGED, &a, "quotas");
	if (rc != 0)
		return rc;
	ch.patch_account.id = a.id;
	rc = apply(w, &ch);
	if (rc == 0)
		buf_addf(w->out, "%.*s has new quotas\n", STR_FMT(a.email));
	return rc;
}

static int user_switch(struct work *w)
{
	bool off = w->line->act == ADMIN_USER_DISABLE;
	struct change ch = {.kind = CHANGE_PATCH_ACCOUNT, .patch_account = {.set_disabled = true, .disabled = off, .now = w->now}};
	struct account a;
	int rc = find_user(w, &a);

	if (rc == 0)
		rc = note_user(w, &ch, AUDIT_USER_CHANGED, &a, off ? "disabled" : "enabled");
	if (rc != 0)
		return rc;
	ch.patch_account.id = a.id;
	rc = apply(w, &ch);
	if (rc == 0)
		buf_addf(w->out, "%.*s is %s now\n", STR_FMT(a.email), off ? "disabled: neither sessions nor keys hold" : "enabled");
	return rc;
}

static int user_remove(struct work *w)
{
	struct change ch = {.kind = CHANGE_DELETE_ACCOUNT};
	char id[UUID_TEXT_LEN + 1];
	struct account a;
	int rc = find_user(w, &a);

	if (rc == 0)
		rc = note_user(w, &ch, AUDIT_USER_REMOVED, &a, "removed");
	if (rc != 0)
		return rc;
	ch.delete_account.id = a.id;
	rc = apply(w, &ch);
	uuid_format(id, a.id);
	if (rc == 0)
		buf_addf(w->out, "%.*s is gone, with all sessions and keys; files stay, as those of %s\n", STR_FMT(a.email), id);
	return rc;
}

/* ---- keys ---- */

static int parse_scopes(uint32_t *ret, const char *text, struct err *e)
{
	struct str rest = str_of(text != NULL ? text : "files:read,files:write,jobs:read,jobs:write");

	*ret = 0;
	while (rest.p != NULL) {
		struct str word = str_trim(str_split(rest, ',', &rest));
		enum scope s;

		if (!scope_parse(&s, word)) {
			err_set(e, ERR_INVALID_VALUE, "there is no scope \"%.*s\"; files:read, files:write, jobs:read, jobs:write, admin",
				word.len < 40 ? (int)word.len : 40, word.p);
			return err_field(e, "scopes");
		}
		*ret |= 1u << s;
	}
	return 0;
}

static int parse_expires(const struct work *w, int64_t *ret)
{
	int64_t ms;

	if (w->line->expires == NULL)
		return 0;
	if (config_parse_duration(&ms, str_of(w->line->expires), NULL) != 0 || ms <= 0 || ms > KEY_LASTS_MAX_MS) {
		err_set(w->e, ERR_INVALID_VALUE, "a key lasts for a time such as 90d, at most 100 years");
		return err_field(w->e, "expires");
	}
	*ret = w->now + ms;
	return 0;
}

/* The newest of the server's secrets; the first one is made here if no server did. */
static int newest_secret(struct work *w, struct secret *ret)
{
	struct change ch = {.kind = CHANGE_ADD_SECRET, .add_secret = {.now = w->now, .keep = SECRETS_KEPT, .if_none = true}};
	struct secret *list;
	size_t n;

	random_bytes(ch.add_secret.bytes);
	int rc = apply(w, &ch);
	wipe(ch.add_secret.bytes, sizeof(ch.add_secret.bytes));
	if (rc == 0)
		rc = catalog_secrets(w->catalog, &w->arena, &list, &n, w->e);
	if (rc != 0)
		return rc;
	*ret = list[0];
	wipe(list, n * sizeof(*list));
	return 0;
}

static void tell_new_key(struct work *w, const struct api_key *k, const struct token *token, const struct secret *secret)
{
	char id[UUID_TEXT_LEN + 1], signing_text[4 * ((32 + 2) / 3) + 1];
	uint8_t signing[32];

	token_signing_secret(signing, secret->bytes, id_text(k->id, id));
	base64_encode(signing_text, signing, sizeof(signing));
	if (w->json) {
		struct json_out j = json_out(w->out);

		api_key_write_json(&j, k, token->text, signing_text);
		buf_add_char(w->out, '\n');
	} else {
		buf_addf(w->out,
			 "id              %s\nkey             %s\nsigning secret  %s\nKey and signing secret are not shown again.\n", id,
			 token->text, signing_text);
	}
	wipe(signing, sizeof(signing));
	wipe(signing_text, sizeof(signing_text));
}

static int key_name_check(struct str name, struct err *e)
{
	if (name.len > 0 && name.len <= KEY_NAME_MAX && person_name_check(name, NULL) == 0)
		return 0;
	err_set(e, ERR_INVALID_VALUE, "a key's name is from 1 to %d bytes of UTF-8 without control characters", KEY_NAME_MAX);
	return err_field(e, "name");
}

static int note_key(struct work *w, struct change *ch, enum audit_act act, struct uuid key, const char *email)
{
	char id[UUID_TEXT_LEN + 1];

	return audit_entry(&ch->audit, &w->arena, w->now, act, &by, w->e, LF_STR("key", id_text(key, id)), LF_CSTR("email", email));
}

static int key_add(struct work *w)
{
	struct api_key k = {.id = new_id(w), .name = str_of(w->line->words[1]), .created_at = w->now};
	struct change ch = {.kind = CHANGE_ADD_KEY, .add_key = {.key = &k, .max = KEYS_AN_ACCOUNT_MAX}};
	struct account a;
	struct secret secret;
	struct token token;
	enum token_kind kind;
	uint8_t random[32];
	int rc = find_user(w, &a);

	if (rc == 0)
		rc = key_name_check(k.name, w->e);
	if (rc == 0)
		rc = parse_scopes(&k.scopes, w->line->scopes, w->e);
	if (rc == 0)
		rc = parse_expires(w, &k.expires_at);
	if (rc == 0)
		rc = note_key(w, &ch, AUDIT_KEY_ADDED, k.id, w->line->words[0]);
	if (rc == 0)
		rc = newest_secret(w, &secret);
	if (rc != 0)
		return rc;
	k.account = a.id;
	random_bytes(random);
	token = token_make(TOKEN_KEY, random);
	wipe(random, sizeof(random));
	if (!token_read(str_of(token.text), &kind, k.hash))
		rc = err_set(w->e, ERR_INTERNAL, "the key that was made is none");
	if (rc == 0)
		rc = apply(w, &ch);
	if (rc == 0)
		tell_new_key(w, &k, &token, &secret);
	wipe(&token, sizeof(token));
	wipe(&secret, sizeof(secret));
	return rc;
}

static void tell_key(struct work *w, const struct api_key *k)
{
	char id[UUID_TEXT_LEN + 1], user[UUID_TEXT_LEN + 1];
	const char *state = k->revoked_at != 0 ? "revoked" : k->expires_at != 0 && k->expires_at <= w->now ? "expired" : "holds";

	if (w->json) {
		struct json_out j = json_out(w->out);

		api_key_write_json(&j, k, NULL, NULL);
		buf_add_char(w->out, '\n');
		return;
	}
	uuid_format(id, k->id);
	uuid_format(user, k->account);
	buf_addf(w->out, "%s  %-7s  of %s  ", id, state, user);
	for (unsigned s = 0, n = 0; s < SCOPES; s++)
		if (k->scopes & 1u << s)
			buf_addf(w->out, "%s%s", n++ > 0 ? "," : "", scope_name((enum scope)s));
	buf_addf(w->out, "  %.*s\n", STR_FMT(k->name));
}

static int key_list(struct work *w)
{
	struct page page = {.limit = LIST_PAGE};
	struct account whose = {};
	int rc = w->line->words[0] != NULL ? find_user(w, &whose) : 0;

	if (rc != 0)
		return rc;
	do {
		CLEANUP(arena_release) struct arena a = ARENA_INIT;
		struct api_key *list;
		size_t n;

		rc = catalog_list_keys(w->catalog, whose.id, page, &a, &list, &n, &page.before, w->e);
		if (rc != 0)
			return rc;
		for (size_t i = 0; i < n; i++)
			tell_key(w, &list[i]);
	} while (page.before != 0);
	return 0;
}

static int key_revoke(struct work *w)
{
	struct change ch = {.kind = CHANGE_REVOKE_KEY, .revoke_key = {.now = w->now}};
	struct uuid *id = &ch.revoke_key.id;
	int rc;

	if (!uuid_parse(id, str_of(w->line->words[0])))
		return err_set(w->e, ERR_BAD_ID, "this is no id of a key; filemill admin key list tells them");
	rc = note_key(w, &ch, AUDIT_KEY_REVOKED, *id, NULL);
	if (rc == 0)
		rc = apply(w, &ch);
	if (rc == 0)
		buf_addf(w->out, "the key holds no more\n");
	return rc;
}

/* ---- the bucket ---- */

/* The server acts on it: at once where one is at work, else when it starts. */
static int storage_sole(struct work *w)
{
	struct change ch = {.kind = CHANGE_LINE, .line = {.step = LINE_SOLE}};
	int rc = audit_entry(&ch.audit, &w->arena, w->now, AUDIT_STORAGE_SOLE, &by, w->e);

	if (rc == 0)
		rc = apply(w, &ch);
	if (rc != 0)
		return rc;
	if (w->json)
		buf_add_cstr(w->out, "{\"sole\":true}\n");
	else
		buf_add_cstr(
			w->out,
			"from now on, or from its next start on, the server takes this catalogue for the only one that uses its bucket\n");
	return 0;
}

/* ---- all ---- */

static int (*const ACTS[ADMIN_ACTS])(struct work *w) = {
	[ADMIN_USER_ADD] = user_add,       [ADMIN_USER_LIST] = user_list,     [ADMIN_USER_PASSWD] = user_passwd,
	[ADMIN_USER_ROLE] = user_role,     [ADMIN_USER_QUOTA] = user_quota,   [ADMIN_USER_DISABLE] = user_switch,
	[ADMIN_USER_ENABLE] = user_switch, [ADMIN_USER_REMOVE] = user_remove, [ADMIN_KEY_ADD] = key_add,
	[ADMIN_KEY_LIST] = key_list,       [ADMIN_KEY_REVOKE] = key_revoke,   [ADMIN_STORAGE_SOLE] = storage_sole,
};

/* Files that somebody else makes here, the server could not open. */
static int check_owner(const char *data_dir, struct err *e)
{
	struct stat st;

	if (stat(data_dir, &st) != 0 || st.st_uid == geteuid())
		return 0;
	return err_set(
		e, ERR_BAD_CONFIG,
		"it belongs to the user with number %u, and the server could not use what another one makes in it: run this as that user",
		(unsigned)st.st_uid);
}

static int open_dir(struct data_dir *d, const struct settings *s, enum admin_act act, struct err *e)
{
	const struct data_dir_options options = {.allow_network_fs = s->allow_network_fs, .catalogue_elsewhere = catalogue_is_shared(s)};
	int rc = check_owner(s->data_dir, e);

	/* The first account may come before the first start, which may need one. */
	if (rc == 0)
		rc = act == ADMIN_USER_ADD ? data_dir_open(d, s->data_dir, &options, &env_real, e)
					   : data_dir_open_complete(d, s->data_dir, &options, e);
	if (rc == ERR_IN_USE)
		rc = err_set(e, rc, "a server works on it: stop it first, or ask it by its API (/v1/users, /v1/keys)");
	return rc;
}

static int open_and_work(struct work *w, const struct settings *s, struct data_dir *d)
{
	const struct catalog_options options = {.keep_schema = w->line->act != ADMIN_USER_ADD};
	bool anywhere = w->line->act == ADMIN_STORAGE_SOLE &&
			catalogue_is_shared(s); /* beside the nodes, whose directories are not touched */
	int rc = anywhere ? 0 : open_dir(d, s, w->line->act, w->e);

	if (rc == 0)
		rc = catalogue_open(&w->catalog, s, &options, w->e);
	if (rc == 0 && w->line->act == ADMIN_USER_ADD)
		rc = data_dir_complete(d, w->e);
	if (rc != 0)
		return err_wrap(w->e, "data directory %.100s", s->data_dir);
	return ACTS[w->line->act](w);
}

int admin(struct buf *out, const struct settings *s, const struct admin_line *line, bool json, struct err *e)
{
	struct data_dir d = DATA_DIR_INIT;
	struct work w = {.line = line, .out = out, .json = json, .now = env_real.wall_ms(&env_real), .e = e};
	int rc = open_and_work(&w, s, &d);

	catalog_free(w.catalog);
	data_dir_close(&d);
	arena_release(&w.arena);
	return rc == 0 && !buf_ok(out) ? err_set(e, ERR_NO_MEMORY, "no memory for what is to be told") : rc;
}
