/* Signature-Input and Signature, parted by the first line end; the method is behind the second one. What is read has one form, which read again is the same, and no other signature than its own
 * passes. */
#include "auth/signature.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static struct str field_of(const void *arg, struct str name)
{
	return name.len % 3 == 0 ? (struct str){} : name;
}

static void read_again(const struct signature *s, struct arena *a)
{
	struct buf input = BUF_INIT;
	struct err e = ERR_INIT;
	struct signature again;

	buf_add_cstr(&input, "a=");
	buf_add_str(&input, s->params);
	require(buf_ok(&input));
	require(signature_parse(&again, buf_str(&input), STR("a=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"), a, &e) == 0);
	require(str_eq(again.params, s->params) && again.n_components == s->n_components);
	require(again.created == s->created && again.expires == s->expires);
	buf_release(&input);
}

static void use(const struct signature *s, struct str method)
{
	const struct signed_message m = {
		.method = method, .scheme = STR("https"), .authority = STR("Example.com"), .target = STR("/a?b"), .field = field_of};
	struct buf base = BUF_INIT;
	struct err e = ERR_INIT;
	int rc = signature_check(s, true, 1618884473, &e);

	require(rc == 0 || rc == ERR_BAD_HEADER || rc == ERR_BAD_SIGNATURE);
	require(rc != 0 || (signature_covers(s, STR("content-digest")) && s->nonce.len >= SIGNATURE_NONCE_MIN));
	rc = signature_base(&base, s, &m, &e);
	require(rc == 0 || rc == ERR_BAD_SIGNATURE);
	if (rc == 0)
		require(!signature_is_by(s, buf_str(&base), "a key that nothing here was signed with", 39));
	buf_release(&base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest, method, input = str_split((struct str){(const char *)data, size}, '\n', &rest);
	struct str field = str_split(rest.p != NULL ? rest : STR(""), '\n', &method);
	struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct signature s;
	int rc = signature_parse(&s, input, field, &a, &e);

	require(rc == 0 || (rc == ERR_BAD_HEADER && e.detail[0] != '\0' && e.field[0] != '\0'));
	if (rc == 0) {
		read_again(&s, &a);
		use(&s, method.p != NULL ? method : STR("GET"));
	}
	arena_release(&a);
	return 0;
}
