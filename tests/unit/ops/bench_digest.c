/* MD5 and SHA-256 of one stream: OpenSSL one after the other as a program would usually do it, OpenSSL through kept contexts, and struct digest_set.
 * CPU time of one thread; the best of several rounds, because a disturbed round says nothing about the code. */
#include "ops/digest_impl.h"
#include "ops/ops.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 7
#define BYTES_A_ROUND (64u << 20)

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static EVP_MD *fetched_md5, *fetched_sha256;
static EVP_MD_CTX *ctx_md5, *ctx_sha256;
static struct digest_set *set, *second;
static unsigned set_mask;

static void with_evp(EVP_MD *md, EVP_MD_CTX *ctx, const uint8_t *p, size_t n)
{
	uint8_t out[EVP_MAX_MD_SIZE];

	if (EVP_DigestInit_ex2(ctx, md, NULL) != 1 || EVP_DigestUpdate(ctx, p, n) != 1 || EVP_DigestFinal_ex(ctx, out, NULL) != 1)
		abort();
}

static void evp_md5(const uint8_t *p, size_t n)
{
	with_evp(fetched_md5, ctx_md5, p, n);
}

static void evp_sha256(const uint8_t *p, size_t n)
{
	with_evp(fetched_sha256, ctx_sha256, p, n);
}

static void evp_both(const uint8_t *p, size_t n)
{
	evp_md5(p, n);
	evp_sha256(p, n);
}

static void digest_set_once(const uint8_t *p, size_t n)
{
	if (digest_set_reset(set, set_mask, NULL) < 0)
		abort();
	digest_set_update(set, p, n);
	if (digest_set_finish(set, NULL) < 0)
		abort();
}

static void digest_set_beside(const uint8_t *p, size_t n)
{
	if (digest_set_reset(set, set_mask, NULL) < 0 || digest_set_reset_beside(second, set, NULL) < 0)
		abort();
	digest_set_update_both(set, second, p, n);
	if (digest_set_finish(set, NULL) < 0 || digest_set_finish(second, NULL) < 0)
		abort();
}

static void measure(const char *name, void (*run)(const uint8_t *, size_t), const uint8_t *p, size_t n)
{
	size_t times = BYTES_A_ROUND / (n < 512 ? 512 : n);
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		double start = cpu_seconds(), took;

		for (size_t i = 0; i < times; i++)
			run(p, n);
		took = (cpu_seconds() - start) / (double)times;
		best = took < best ? took : best;
	}
	printf("%-28s %8zu B %9.3f us %8.0f MB/s\n", name, n, best * 1e6, (double)n / best / 1e6);
}

int main(void)
{
	static const size_t sizes[] = {0, 64, 1024, 4096, 32768, 1u << 20};
	uint8_t *p = malloc(1u << 20);

	fetched_md5 = EVP_MD_fetch(NULL, "MD5", NULL);
	fetched_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	ctx_md5 = EVP_MD_CTX_new();
	ctx_sha256 = EVP_MD_CTX_new();
	if (!p || !fetched_md5 || !fetched_sha256 || !ctx_md5 || !ctx_sha256 || digest_set_new(&set, 0, NULL) < 0 ||
	    digest_set_new(&second, 0, NULL) < 0)
		abort();
	for (size_t i = 0; i < 1u << 20; i++)
		p[i] = (uint8_t)(i * 2654435761u >> 13);
	printf("SHA instructions: %s\n", accel_pair_usable() ? "yes" : "no");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		measure("EVP MD5", evp_md5, p, sizes[i]);
		measure("EVP SHA-256", evp_sha256, p, sizes[i]);
		measure("EVP MD5, then SHA-256", evp_both, p, sizes[i]);
		set_mask = 1u << DIGEST_MD5 | 1u << DIGEST_SHA256;
		measure("digest_set MD5 + SHA-256", digest_set_once, p, sizes[i]);
		measure("and SHA-256 of a part", digest_set_beside, p, sizes[i]);
		set_mask = 1u << DIGEST_SHA256;
		measure("digest_set SHA-256", digest_set_once, p, sizes[i]);
		set_mask = 1u << DIGEST_CRC32C;
		measure("digest_set CRC-32C", digest_set_once, p, sizes[i]);
	}
	digest_set_free(set);
	digest_set_free(second);
	EVP_MD_CTX_free(ctx_md5);
	EVP_MD_CTX_free(ctx_sha256);
	EVP_MD_free(fetched_md5);
	EVP_MD_free(fetched_sha256);
	free(p);
}
