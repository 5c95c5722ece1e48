/* What is sent out is signed with HMAC-SHA256 (RFC 2104, FIPS 180-4). */
#ifndef FILEMILL_NET_SIGN_H
#define FILEMILL_NET_SIGN_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Over the parts as if they were one text. Any thread. ERR_NO_MEMORY. */
[[nodiscard]] int sign_hmac_sha256(uint8_t dst[32], struct str key, const struct str *parts, size_t n, struct err *e);

/* In constant time. */
[[nodiscard]] bool sign_equal(const uint8_t a[32], const uint8_t b[32]);

#endif
