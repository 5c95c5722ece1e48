/* A cursor is 8 bytes of row number and 8 bytes of tag, in base64url without padding (RFC 4648 §5): 22 characters.
 * The tag binds the number to the list and its filters, so a cursor made up or carried to another list is told apart. */
#include "base/siphash.h"
#include "model/model.h"

#include <endian.h>
#include <string.h>

#define PLAIN_LEN 16
#define TEXT_LEN 22
#define PADDED_LEN 24

/* The number takes part through the key: it is not a text with a length of its own. */
static uint64_t tag_of(uint64_t before_le, struct str scope, const uint8_t key[16])
{
	uint8_t bound[16];
	uint64_t first = siphash24(key, &before_le, sizeof(before_le));

	first = htole64(first);
	memcpy(bound, key, sizeof(bound));
	for (size_t i = 0; i < sizeof(first); i++)
		bound[i] ^= ((uint8_t *)&first)[i];
	return htole64(siphash24(bound, scope.p, scope.len));
}

void cursor_make(char dst[64], int64_t before, struct str scope, const uint8_t key[16])
{
	uint8_t plain[PLAIN_LEN];
	char padded[PADDED_LEN + 1];
	uint64_t number = htole64((uint64_t)before), tag = tag_of(number, scope, key);

	memcpy(plain, &number, 8);
	memcpy(plain + 8, &tag, 8);
	base64_encode(padded, plain, sizeof(plain));
	for (size_t i = 0; i < TEXT_LEN; i++)
		dst[i] = padded[i] == '+' ? '-' : padded[i] == '/' ? '_' : padded[i];
	dst[TEXT_LEN] = '\0';
}

static bool decode(uint8_t plain[PLAIN_LEN], struct str text)
{
	char padded[PADDED_LEN];

	if (text.len != TEXT_LEN)
		return false;
	for (size_t i = 0; i < TEXT_LEN; i++) {
		char c = text.p[i];

		if (c == '+' || c == '/')
			return false;
		padded[i] = c == '-' ? '+' : c == '_' ? '/' : c;
	}
	memcpy(padded + TEXT_LEN, "==", 2);
	return base64_decode(plain, PLAIN_LEN, (struct str){padded, sizeof(padded)}) == PLAIN_LEN;
}

int cursor_read(int64_t *ret_before, struct str text, struct str scope, const uint8_t key[16], struct err *e)
{
	uint8_t plain[PLAIN_LEN];
	uint64_t number, tag;
	int64_t before;

	if (!decode(plain, text))
		goto refused;
	memcpy(&number, plain, 8);
	tag = tag_of(number, scope, key);
	before = (int64_t)le64toh(number);
	if (!str_eq_const_time((struct str){(const char *)plain + 8, 8}, (struct str){(const char *)&tag, 8}) || before <= 0)
		goto refused;
	*ret_before = before;
	return 0;
refused:
	err_set(e, ERR_BAD_CURSOR, "the cursor does not belong to this list and its filters");
	err_field(e, "cursor");
	return ERR_BAD_CURSOR;
}
