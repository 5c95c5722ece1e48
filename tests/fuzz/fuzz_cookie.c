/* The field Cookie, in which one cookie is looked for. What is found stands in the field and holds nothing that parts cookies; the same cookie once more is one too many, and another one changes nothing. */
#include "base/buf.h"
#include "http/fields.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAME STR("__Host-a")

static void require(bool holds)
{
	if (!holds)
		abort();
}

static bool find_with(struct str *ret, struct str before, struct str field, struct str behind, struct buf *b)
{
	buf_reset(b);
	buf_add_str(b, before);
	buf_add_str(b, field);
	buf_add_str(b, behind);
	require(buf_ok(b));
	return cookie_find(ret, buf_str(b), NAME);
}

static void require_plain(struct str found, struct str field)
{
	if (found.len == 0)
		return;
	require(found.p >= field.p && found.p + found.len <= field.p + field.len);
	require(memchr(found.p, ';', found.len) == NULL);
	require(str_eq(str_trim(found), found));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str field = {(const char *)data, size};
	struct str found = {}, again = {};
	struct buf b = BUF_INIT;
	bool one = cookie_find(&found, field, NAME);

	if (one && found.p != NULL)
		require_plain(found, field);
	/* others before and behind */
	require(find_with(&again, STR("__Host-b=1; __host-a=2;"), field, STR(";a=3; x__Host-a=4; __Host-a2=5"), &b) == one);
	require(!one || (str_eq(again, found) && (again.p == NULL) == (found.p == NULL)));
	/* the very one, before and behind */
	require(find_with(&again, STR("__Host-a=1; "), field, STR(""), &b) == (one && found.p == NULL));
	require(find_with(&again, STR(""), field, STR("; __Host-a = 1 ; c=d"), &b) == (one && found.p == NULL));
	require(!(one && found.p == NULL) || str_eq(again, STR("1")));
	buf_release(&b);
	return 0;
}
