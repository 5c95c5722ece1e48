/* The multipart reader. The first byte chooses how the body is cut; the events must be the same as when it comes in one piece, whatever the cuts. */
#include "base/buf.h"
#include "http/multipart.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void note(struct buf *b, char mark, struct str s)
{
	buf_addf(b, "%c%zu:", mark, s.p == NULL ? (size_t)-1 : s.len);
	if (s.p != NULL)
		buf_add(b, s.p, s.len);
}

static int part_begin(void *arg, const struct multipart_part *part, struct err *e)
{
	note(arg, 'B', part->name);
	note(arg, 'F', part->filename);
	note(arg, 'T', part->type);
	require(part->name.p != NULL);
	require(part->filename.p == NULL || utf8_valid(part->filename));
	return 0;
}

static int part_data(void *arg, const void *data, size_t n, struct err *e)
{
	require(n > 0);
	buf_add(arg, data, n);
	return 0;
}

static int part_end(void *arg, struct err *e)
{
	buf_add_char(arg, 'E');
	return 0;
}

static const struct multipart_events events = {.part_begin = part_begin, .part_data = part_data, .part_end = part_end};

/* Reads the body in pieces whose lengths follow from `cut`: 0 = one piece. Returns the code. */
static int run(struct str body, unsigned cut, struct buf *log)
{
	struct multipart *m;
	struct err e = ERR_INIT;
	unsigned x = cut;
	int rc;

	require(multipart_new(&m, STR("multipart/form-data; boundary=AaB03x"), &events, log, &e) == 0);
	rc = 0;
	for (size_t at = 0; rc == 0 && at < body.len;) {
		x = x * 1103515245 + 12345;
		size_t n = cut == 0 ? body.len : cut == 1 ? 1 : 1 + (x >> 16) % (cut * 2);
		if (n > body.len - at)
			n = body.len - at;
		char *piece = malloc(n); /* of its own, so that a read past its end is seen */
		require(piece != NULL);
		memcpy(piece, body.p + at, n);
		rc = multipart_feed(m, piece, n, &e);
		free(piece);
		at += n;
	}
	if (rc == 0)
		rc = multipart_finish(m, &e);
	require(rc == 0 || (rc == e.code && e.detail[0] != '\0'));
	multipart_free(m);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT, cut = BUF_INIT;

	if (size == 0)
		return 0;
	const struct str body = {(const char *)data + 1, size - 1};
	int rc = run(body, 0, &whole), rc_cut = run(body, data[0] == 0 ? 1 : data[0], &cut);
	require(rc == rc_cut);
	if (rc == 0) /* where an error is noticed may differ by what was told before it */
		require(str_eq(buf_str(&whole), buf_str(&cut)));
	buf_release(&whole);
	buf_release(&cut);
	return 0;
}
