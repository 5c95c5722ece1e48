#include "audit/audit.h"
#include "base/json_out.h"

#include <assert.h>
#include <string.h>

static const struct {
	const char *word, *help;
} acts[AUDIT_ACTS] = {
#define AUDIT_ROW(id, word, help) {word, help},
#include "audit/act_table.h"
#undef AUDIT_ROW
};

const char *audit_act_word(enum audit_act act)
{
	assert((unsigned)act < AUDIT_ACTS);
	return acts[act].word;
}

const char *audit_act_help(enum audit_act act)
{
	assert((unsigned)act < AUDIT_ACTS);
	return acts[act].help;
}

static void put_text(struct json_out *j, const char *key, struct str s)
{
	json_kstr(j, key, (struct str){s.p, utf8_prefix(s, AUDIT_TEXT_MAX)});
}

static void put_who(struct json_out *j, const struct audit_by *by)
{
	json_kcstr(j, "by", by->how);
	if (by->owner.len > 0)
		put_text(j, "owner", by->owner);
	if (by->peer.len > 0)
		put_text(j, "peer", by->peer);
	if (by->request_id.len > 0)
		put_text(j, "request_id", by->request_id);
}

static void put_field(struct json_out *j, const struct log_field *f)
{
	switch (f->kind) {
	case LOG_STR:
		put_text(j, f->key, f->s);
		break;
	case LOG_I64:
		json_key(j, f->key);
		json_i64(j, f->i);
		break;
	case LOG_BOOL:
		json_kbool(j, f->key, f->i != 0);
		break;
	}
}

int audit_entry_n(struct str *ret, struct arena *a, int64_t at, enum audit_act act, const struct audit_by *by,
		  const struct log_field *fields, unsigned n, struct err *e)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	struct str text = {};

	json_obj_open(&j);
	json_ktime(&j, "at", at);
	json_kcstr(&j, "act", audit_act_word(act));
	put_who(&j, by);
	for (unsigned i = 0; i < n; i++)
		put_field(&j, &fields[i]);
	json_obj_close(&j);
	if (buf_ok(&b))
		text = arena_str(a, buf_str(&b));
	if (text.p == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for an audit entry");
	*ret = text;
	return 0;
}
