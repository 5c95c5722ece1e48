/* Tokens of links. An even first byte: what follows is the token. Odd: it is what a token allows, signed here as the server would. What is read is the same when it is written again. */
#include "auth/link.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define ID "018bcfe5-6800-7000-8000-00000000000a"
#define PAYLOAD_MAX 1700 /* a little more than a link may have */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct link_secret secret = {.number = 1, .bytes = "a secret of thirty-two bytes...."};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void read_token(struct str token)
{
	struct arena a = ARENA_INIT;
	struct buf again = BUF_INIT;
	struct err e = ERR_INIT;
	struct link l;

	if (link_read(&l, STR(ID), token, &secret, 1, 0, &a, &e) == 0) {
		require((l.method == LINK_GET) == !uuid_is_zero(l.file) && l.expires_at > 0);
		require(link_write(&again, &l, &secret, &e) == 0 && str_eq(buf_str(&again), token));
	} else {
		require((e.code == ERR_LINK_INVALID || e.code == ERR_LINK_EXPIRED) && e.detail[0] != '\0');
	}
	buf_release(&again);
	arena_release(&a);
}

static void sign(struct buf *b)
{
	static const char before[] = "link:" ID "?";
	uint8_t mac[crypto_auth_hmacsha256_BYTES];
	char text[sodium_base64_ENCODED_LEN(sizeof(mac), sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
	crypto_auth_hmacsha256_state s;

	crypto_auth_hmacsha256_init(&s, secret.bytes, sizeof(secret.bytes));
	crypto_auth_hmacsha256_update(&s, (const unsigned char *)before, sizeof(before) - 1);
	crypto_auth_hmacsha256_update(&s, (const unsigned char *)b->p, b->len);
	crypto_auth_hmacsha256_final(&s, mac);
	buf_add_char(b, '.');
	buf_add_cstr(b, sodium_bin2base64(text, sizeof(text), mac, sizeof(mac), sodium_base64_VARIANT_URLSAFE_NO_PADDING));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[sodium_base64_ENCODED_LEN(PAYLOAD_MAX, sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
	struct buf b = BUF_INIT;

	if (size == 0)
		return 0;
	if (data[0] % 2 == 0) {
		read_token((struct str){(const char *)data + 1, size - 1});
		return 0;
	}
	size_t n = size - 1 < PAYLOAD_MAX ? size - 1 : PAYLOAD_MAX;
	buf_add_cstr(&b, "1.");
	buf_add_cstr(&b, sodium_bin2base64(text, sizeof(text), data + 1, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING));
	sign(&b);
	require(buf_ok(&b));
	read_token(buf_str(&b));
	buf_release(&b);
	return 0;
}
