/* The XML of an object storage's answers. It ends, opens and closes evenly, and what is decoded is never longer than what was read. */
#include "blobs/s3/s3_impl.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void decode(struct str text)
{
	char *dst = malloc(text.len + 1);
	long n;

	if (!dst)
		return;
	n = s3_xml_text(dst, text);
	require(n >= -1 && n <= (long)text.len);
	free(dst);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str text = {(const char *)data, size};
	struct s3_xml x = s3_xml(text);
	struct buf code = BUF_INIT;
	unsigned depth = 0;
	enum s3_xml_event event;

	while ((event = s3_xml_next(&x)) == S3_XML_OPEN || event == S3_XML_CLOSE) {
		depth = event == S3_XML_OPEN ? depth + 1 : depth - 1;
		require(x.depth == depth);
		require(x.name.len <= size && x.text.len <= size);
		decode(x.text);
	}
	require(event == S3_XML_BROKEN || depth == 0);
	require(s3_xml_next(&x) == event || event == S3_XML_BROKEN);
	if (s3_xml_find(&code, text, "Code"))
		require(code.len <= size);
	buf_release(&code);
	return 0;
}
