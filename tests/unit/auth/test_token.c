#include "auth/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t random_bits[32] = {1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xfe, 0xfd};

static void a_token_tells_its_kind_and_reads_back(void **state)
{
	struct token session = token_make(TOKEN_SESSION, random_bits), key = token_make(TOKEN_KEY, random_bits);
	uint8_t of_session[TOKEN_HASH], of_key[TOKEN_HASH];
	enum token_kind kind;

	assert_string_equal(session.text, "fms_AQIDBAUGBwj__v0AAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	assert_int_equal(strlen(key.text), TOKEN_TEXT);
	assert_true(token_read(str_of(session.text), &kind, of_session));
	assert_int_equal(kind, TOKEN_SESSION);
	assert_true(token_read(str_of(key.text), &kind, of_key));
	assert_int_equal(kind, TOKEN_KEY);
	assert_memory_not_equal(of_session, of_key, TOKEN_HASH);
}

/* printf 'fms_AQIDBAUGBwj__v0AAAAAAAAAAAAAAAAAAAAAAAAAAAA' | sha256sum */
static void what_is_kept_is_sha256_of_the_whole_text(void **state)
{
	struct token t = token_make(TOKEN_SESSION, random_bits);
	uint8_t hash[TOKEN_HASH];
	enum token_kind kind;
	char hex[65];

	assert_true(token_read(str_of(t.text), &kind, hash));
	hex_encode(hex, hash, sizeof(hash));
	assert_string_equal(hex, "6d43dcd6e00db695b0070dd783884bbfcbdd7bae3280b24005b24e2f9b8feb6c");
}

static void every_other_form_is_refused(void **state)
{
	struct token t = token_make(TOKEN_SESSION, random_bits);
	uint8_t hash[TOKEN_HASH];
	enum token_kind kind;

	assert_false(token_read(STR(""), &kind, hash));
	assert_false(token_read((struct str){t.text, TOKEN_TEXT - 1}, &kind, hash));
	assert_false(token_read((struct str){t.text, TOKEN_TEXT + 1}, &kind, hash));
	t.text[2] = 'x';
	assert_false(token_read(str_of(t.text), &kind, hash));
	t = token_make(TOKEN_SESSION, random_bits);
	t.text[10] = '+';
	assert_false(token_read(str_of(t.text), &kind, hash));
	t.text[10] = '\0';
	assert_false(token_read((struct str){t.text, TOKEN_TEXT}, &kind, hash));
	t = token_make(TOKEN_SESSION, random_bits);
	t.text[TOKEN_TEXT - 1] = 'B'; /* bits beyond the 256th */
	assert_false(token_read(str_of(t.text), &kind, hash));
}

static void a_csrf_token_belongs_to_one_session(void **state)
{
	const uint8_t other_bits[32] = {9};
	struct token one = token_make(TOKEN_SESSION, random_bits), other = token_make(TOKEN_SESSION, other_bits);
	char csrf[CSRF_TEXT + 1];

	token_csrf(csrf, str_of(one.text));
	assert_int_equal(strlen(csrf), CSRF_TEXT);
	assert_true(token_csrf_right(str_of(csrf), str_of(one.text)));
	assert_false(token_csrf_right(str_of(csrf), str_of(other.text)));
	assert_false(token_csrf_right(STR(""), str_of(one.text)));
	assert_false(token_csrf_right((struct str){csrf, CSRF_TEXT - 1}, str_of(one.text)));
	csrf[CSRF_TEXT - 1] ^= 1;
	assert_false(token_csrf_right(str_of(csrf), str_of(one.text)));
}

/* printf 'key-signature:01890a5d-ac96-774b-bcce-b302099a8057' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0102030405060708fffefd…00 */
static void a_signing_secret_is_hmac_over_the_word_and_the_id(void **state)
{
	uint8_t secret[32];
	char hex[65];

	token_signing_secret(secret, random_bits, STR("01890a5d-ac96-774b-bcce-b302099a8057"));
	hex_encode(hex, secret, sizeof(secret));
	assert_string_equal(hex, "e0372d0c53e144614bd04a68909918e59f9ddd7e3b6c82232dbcc5a28f55cb44");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_tells_its_kind_and_reads_back),
		cmocka_unit_test(what_is_kept_is_sha256_of_the_whole_text),
		cmocka_unit_test(every_other_form_is_refused),
		cmocka_unit_test(a_csrf_token_belongs_to_one_session),
		cmocka_unit_test(a_signing_secret_is_hmac_over_the_word_and_the_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
