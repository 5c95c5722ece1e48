#include "net/sign.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

static void release_mac(EVP_MAC **mac)
{
	EVP_MAC_free(*mac);
}

static void release_ctx(EVP_MAC_CTX **ctx)
{
	EVP_MAC_CTX_free(*ctx);
}

int sign_hmac_sha256(uint8_t dst[32], struct str key, const struct str *parts, size_t n, struct err *e)
{
	CLEANUP(release_mac) EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	CLEANUP(release_ctx) EVP_MAC_CTX *ctx = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
	size_t len = 0;
	bool ok = ctx != NULL && EVP_MAC_init(ctx, (const unsigned char *)key.p, key.len, params) == 1;

	for (size_t i = 0; ok && i < n; i++)
		ok = EVP_MAC_update(ctx, (const unsigned char *)parts[i].p, parts[i].len) == 1;
	ok = ok && EVP_MAC_final(ctx, dst, &len, 32) == 1 && len == 32;
	return ok ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a signature");
}

bool sign_equal(const uint8_t a[32], const uint8_t b[32])
{
	return CRYPTO_memcmp(a, b, 32) == 0;
}
