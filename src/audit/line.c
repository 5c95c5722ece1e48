#include "audit/audit.h"

#include <assert.h>
#include <string.h>

#define SEQ "{\"seq\":"
#define PREV ",\"prev\":\""
#define HASH ",\"hash\":\""
#define END "\"}"
#define HEX_LEN (2 * AUDIT_HASH)
#define SEQ_DIGITS 18

static int take_hash(uint8_t ret[AUDIT_HASH], struct digest_set *d, const void *p, size_t n, struct err *e)
{
	size_t len;
	int rc = digest_set_reset(d, 1u << DIGEST_SHA256, e);

	if (rc != 0)
		return rc;
	digest_set_update(d, p, n);
	if ((rc = digest_set_finish(d, e)) == 0)
		memcpy(ret, digest_set_get(d, DIGEST_SHA256, &len), AUDIT_HASH);
	return rc;
}

int audit_line(struct buf *out, struct audit_mark *at, struct str entry, struct digest_set *d, struct err *e)
{
	struct audit_mark next = {.seq = at->seq + 1};
	char hex[HEX_LEN + 1];
	size_t begin = out->len;
	int rc;

	assert(entry.len > 2 && entry.p[0] == '{' && entry.p[entry.len - 1] == '}');
	hex_encode(hex, at->hash, AUDIT_HASH);
	buf_add_str(out, STR(SEQ));
	buf_add_u64(out, (uint64_t)next.seq);
	buf_add_str(out, STR(PREV));
	buf_add(out, hex, HEX_LEN);
	buf_add_str(out, STR("\","));
	buf_add(out, entry.p + 1, entry.len - 2);
	if (!buf_ok(out))
		return err_set(e, ERR_NO_MEMORY, "no memory for an audit line");
	if ((rc = take_hash(next.hash, d, out->p + begin, out->len - begin, e)) != 0)
		return rc;
	hex_encode(hex, next.hash, AUDIT_HASH);
	buf_add_str(out, STR(HASH));
	buf_add(out, hex, HEX_LEN);
	buf_add_str(out, STR(END "\n"));
	if (!buf_ok(out))
		return err_set(e, ERR_NO_MEMORY, "no memory for an audit line");
	*at = next;
	return 0;
}

/* Takes a fixed text from the front. */
static bool skip(struct str *s, struct str text)
{
	if (!str_starts(*s, text))
		return false;
	*s = (struct str){s->p + text.len, s->len - text.len};
	return true;
}

/* Only lower case: the other one would be a changed line with the same meaning. */
static bool take_hex(struct str *s, uint8_t ret[AUDIT_HASH])
{
	if (s->len < HEX_LEN)
		return false;
	for (size_t i = 0; i < HEX_LEN; i++)
		if (s->p[i] >= 'A' && s->p[i] <= 'F')
			return false;
	if (!hex_decode(ret, AUDIT_HASH, (struct str){s->p, HEX_LEN}))
		return false;
	*s = (struct str){s->p + HEX_LEN, s->len - HEX_LEN};
	return true;
}

static bool take_seq(struct str *s, int64_t *ret)
{
	size_t n = 0;
	uint64_t v;

	while (n < s->len && s->p[n] >= '0' && s->p[n] <= '9')
		n++;
	if (n == 0 || n > SEQ_DIGITS || s->p[0] == '0' || !str_to_u64((struct str){s->p, n}, &v))
		return false;
	*s = (struct str){s->p + n, s->len - n};
	*ret = (int64_t)v;
	return true;
}

/* The frame around the entry, and where what is hashed ends. */
static bool take_apart(struct audit_read *r, struct str line, size_t *ret_hashed)
{
	struct str tail, s = line;
	size_t n_tail = sizeof(HASH END) - 1 + HEX_LEN;

	if (line.len < n_tail)
		return false;
	*ret_hashed = line.len - n_tail;
	tail = (struct str){line.p + *ret_hashed, n_tail};
	if (!skip(&tail, STR(HASH)) || !take_hex(&tail, r->hash) || !str_eq(tail, STR(END)))
		return false;
	s.len = *ret_hashed;
	if (!skip(&s, STR(SEQ)) || !take_seq(&s, &r->seq) || !skip(&s, STR(PREV)) || !take_hex(&s, r->prev) || !skip(&s, STR("\",")))
		return false;
	r->inner = s;
	return true;
}

int audit_read_line(bool *ret, struct audit_read *ret_line, struct str line, struct digest_set *d, struct err *e)
{
	uint8_t is[AUDIT_HASH];
	size_t hashed;
	int rc;

	*ret = false;
	if (!take_apart(ret_line, line, &hashed))
		return 0;
	if ((rc = take_hash(is, d, line.p, hashed, e)) == 0)
		*ret = memcmp(is, ret_line->hash, AUDIT_HASH) == 0;
	return rc;
}
