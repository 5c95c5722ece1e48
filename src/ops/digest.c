/* struct digest_set: which digests, and by what. MD5 and SHA-256 together go through the pair where the machine has SHA instructions, CRC-32C through
 * its own code, everything else through OpenSSL. A set is reset once per upload, so contexts and memory are kept. */
#include "ops/digest_impl.h"
#include "ops/digest_table.h"
#include "ops/ops.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define BIT(algo) (1u << (algo))
#define PAIR_MASK (BIT(DIGEST_MD5) | BIT(DIGEST_SHA256))
#define ALL_MASK (BIT(DIGEST_ALGOS) - 1)

struct digest_set {
	unsigned mask; /* asked for */
	unsigned by_evp; /* the part of mask that OpenSSL computes */
	bool paired; /* MD5 and SHA-256 come from pair, or SHA-256 alone of one that goes beside another */
	bool finished;
	bool failed; /* OpenSSL refused an update; told at the end */
	uint32_t crc;
	struct pair pair;
	EVP_MD_CTX *ctx[DIGEST_ALGOS]; /* owned; made when first wanted */
	uint8_t out[DIGEST_ALGOS][DIGEST_MAX];
};

int digest_set_new(struct digest_set **ret, unsigned mask, struct err *e)
{
	struct digest_set *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return err_set(e, ERR_NO_MEMORY, "no memory for digests");
	r = digest_set_reset(d, mask, e);
	if (r < 0) {
		digest_set_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

static int start_evp(struct digest_set *d, enum digest_algo algo, struct err *e)
{
	const EVP_MD *md;

	errno = 0;
	md = digest_evp(algo);
	if (!md)
		return err_set(e, errno == ENOMEM ? ERR_NO_MEMORY : ERR_INTERNAL, "the crypto library has no %s", digest_name(algo));
	if (!d->ctx[algo])
		d->ctx[algo] = EVP_MD_CTX_new();
	if (!d->ctx[algo])
		return err_set(e, ERR_NO_MEMORY, "no memory for digests");
	if (EVP_DigestInit_ex2(d->ctx[algo], md, NULL) != 1) /* it has the algorithm, so it had no memory for its state */
		return err_set(e, ERR_NO_MEMORY, "no memory for digests");
	return 0;
}

int digest_set_reset(struct digest_set *d, unsigned mask, struct err *e)
{
	assert(!(mask & ~ALL_MASK));
	d->mask = mask;
	d->paired = digest_pair_usable() && (mask & PAIR_MASK) == PAIR_MASK;
	d->by_evp = mask & ~BIT(DIGEST_CRC32C) & ~(d->paired ? PAIR_MASK : 0);
	d->finished = false;
	d->failed = false;
	d->crc = 0;
	if (d->paired)
		pair_init(&d->pair);
	for (unsigned i = 0; i < DIGEST_ALGOS; i++) {
		int r = d->by_evp & BIT(i) ? start_evp(d, i, e) : 0;

		if (r < 0) {
			d->failed = true;
			return r;
		}
	}
	return 0;
}

int digest_set_reset_beside(struct digest_set *d, const struct digest_set *first, struct err *e)
{
	int rc = digest_set_reset(d, first->paired ? 0 : BIT(DIGEST_SHA256), e);

	/* The pair for one of its two: worth it only beside another one. */
	if (rc == 0 && first->paired) {
		d->mask = BIT(DIGEST_SHA256);
		d->paired = true;
		pair_init(&d->pair);
	}
	return rc;
}

static void update_unpaired(struct digest_set *d, const void *data, size_t n)
{
	if (d->mask & BIT(DIGEST_CRC32C))
		d->crc = crc32c_update(d->crc, data, n);
	for (unsigned i = 0; d->by_evp >> i; i++)
		if (d->by_evp & BIT(i) && EVP_DigestUpdate(d->ctx[i], data, n) != 1)
			d->failed = true;
}

void digest_set_update(struct digest_set *d, const void *data, size_t n)
{
	assert(!d->finished);
	if (n == 0)
		return;
	if (d->paired)
		pair_update(&d->pair, data, n);
	update_unpaired(d, data, n);
}

void digest_set_update_both(struct digest_set *first, struct digest_set *second, const void *data, size_t n)
{
	assert(!first->finished && !second->finished);
	if (n > 0 && first->paired && second->paired && second->mask == BIT(DIGEST_SHA256)) {
		pair_update_both(&first->pair, &second->pair, data, n);
		update_unpaired(first, data, n);
	} else {
		digest_set_update(first, data, n);
		digest_set_update(second, data, n);
	}
}

int digest_set_finish(struct digest_set *d, struct err *e)
{
	assert(!d->finished);
	if (d->paired)
		pair_final(&d->pair, d->out[DIGEST_MD5], d->out[DIGEST_SHA256]);
	for (unsigned i = 0; i < 4; i++)
		d->out[DIGEST_CRC32C][i] = (uint8_t)(d->crc >> (24 - 8 * i));
	for (unsigned i = 0; d->by_evp >> i; i++)
		if (d->by_evp & BIT(i) && EVP_DigestFinal_ex(d->ctx[i], d->out[i], NULL) != 1)
			d->failed = true;
	if (d->failed)
		return err_set(e, ERR_INTERNAL, "the crypto library failed to compute a digest");
	d->finished = true;
	return 0;
}

const uint8_t *digest_set_get(const struct digest_set *d, enum digest_algo algo, size_t *ret_n)
{
	assert(d->finished);
	if (algo >= DIGEST_ALGOS || !(d->mask & BIT(algo)))
		return NULL;
	*ret_n = digest_size(algo);
	return d->out[algo];
}

void digest_set_free(struct digest_set *d)
{
	if (!d)
		return;
	for (unsigned i = 0; i < DIGEST_ALGOS; i++)
		EVP_MD_CTX_free(d->ctx[i]);
	free(d);
}
