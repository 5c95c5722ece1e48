#include "ops/digest_table.h"

#include "base/json_out.h"
#include "ops/digest_impl.h"

#include <assert.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>

static const struct {
	const char *name; /* of the op and of the member in its result */
	const char *evp_name;
	size_t size; /* bytes */
} algos[DIGEST_ALGOS] = {
	[DIGEST_MD5] = {"md5", "MD5", 16},          [DIGEST_SHA1] = {"sha1", "SHA1", 20},  [DIGEST_SHA256] = {"sha256", "SHA256", 32},
	[DIGEST_SHA512] = {"sha512", "SHA512", 64}, [DIGEST_CRC32C] = {"crc32c", NULL, 4},
};

/* An allowed exception to "no globals": fetching an algorithm takes OpenSSL's locks and a search by name (about 1 us), asking the processor by CPUID
 * costs more in a virtual machine, and both answers are the same for the life of the process. Each is written once, then only read; but what there was no memory for is asked for again. */
static _Atomic(EVP_MD *) fetched[DIGEST_ALGOS];
static bool pair_usable;
static pthread_once_t pair_once = PTHREAD_ONCE_INIT;

static void ask_processor(void)
{
	pair_usable = accel_pair_usable();
}

bool digest_pair_usable(void)
{
	pthread_once(&pair_once, ask_processor);
	return pair_usable;
}

const EVP_MD *digest_evp(enum digest_algo algo)
{
	EVP_MD *md = atomic_load(&fetched[algo]), *nobodys = NULL;

	if (md || !algos[algo].evp_name)
		return md;
	md = EVP_MD_fetch(NULL, algos[algo].evp_name, NULL);
	if (!md || atomic_compare_exchange_strong(&fetched[algo], &nobodys, md))
		return md;
	EVP_MD_free(md); /* another thread was first */
	return nobodys;
}

const char *digest_name(enum digest_algo algo)
{
	assert(algo < DIGEST_ALGOS);
	return algos[algo].name;
}

size_t digest_size(enum digest_algo algo)
{
	assert(algo < DIGEST_ALGOS);
	return algos[algo].size;
}

void digest_write_result(struct buf *out, enum digest_algo algo, const uint8_t *digest)
{
	struct json_out j = json_out(out);
	char hex[2 * DIGEST_MAX + 1];

	hex_encode(hex, digest, digest_size(algo));
	json_obj_open(&j);
	json_kcstr(&j, digest_name(algo), hex);
	json_obj_close(&j);
}
