/* Range headers. The first eight bytes are the representation's size, the rest the header. What is accepted lies inside the representation. */
#include "http/fields.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t whole, first = 0, length = 0;

	if (size < sizeof(whole))
		return 0;
	memcpy(&whole, data, sizeof(whole));
	const struct str header = {(const char *)data + sizeof(whole), size - sizeof(whole)};
	switch (range_parse(header, whole, &first, &length)) {
	case RANGE_PART:
		require(length > 0 && first < whole && length <= whole - first);
		require(memchr(header.p, ',', header.len) == NULL);
		break;
	case RANGE_UNSATISFIABLE:
	case RANGE_WHOLE:
		break;
	}
	return 0;
}
