/* Header fields with a grammar: entity tag lists, If-Range, digests, preferences, media types, Content-Disposition both ways. The first byte chooses. */
#include "base/arena.h"
#include "base/buf.h"
#include "http/fields.h"
#include "http/multipart.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void digests(struct str field, bool md5)
{
	struct digest_want w = {};
	struct err e = ERR_INIT;
	int rc = md5 ? digest_want_md5(&w, field, &e) : digest_want_parse(&w, field, &e);

	require(rc == 0 ? w.md5 || w.sha256 || w.sha512 : e.code == rc);
}

/* A name that is read is one that, written again, reads the same. */
static void disposition(struct str field)
{
	struct arena a = ARENA_INIT;
	struct buf out = BUF_INIT;
	struct str name = {}, again = {};
	struct err e = ERR_INIT;
	int rc = disposition_filename(&name, field, &a, &e);

	require(rc == 0 || e.code == rc);
	if (rc == 0 && name.p != NULL) {
		require(utf8_valid(name));
		disposition_write(&out, "attachment", name);
		if (buf_ok(&out)) {
			for (size_t i = 0; i < out.len; i++)
				require(out.p[i] >= ' ' && out.p[i] <= '~'); /* nothing that could split a header */
			require(disposition_filename(&again, buf_str(&out), &a, &e) == 0);
		}
	}
	buf_release(&out);
	arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const struct str field = {(const char *)data + 1, size - 1};
	switch (data[0] % 7) {
	case 0:
		(void)etag_list_has(field, STR("abc"), true);
		break;
	case 1:
		(void)if_range_holds(field, STR("abc"));
		break;
	case 2:
		digests(field, false);
		break;
	case 3:
		digests(field, true);
		break;
	case 4:
		require(prefer_wait_s(field) >= -1);
		break;
	case 5:
		(void)media_type_is(field, "application/json");
		break;
	case 6:
		disposition(field);
		break;
	default:
		break;
	}
	return 0;
}
