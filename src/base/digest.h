/* SPDX-License-Identifier: MIT */
#ifndef DIGEST_H
#define DIGEST_H

#include "bytes.h"

#define SHA256_BYTES 32

/* OpenSSL's SHA-256, HMAC-SHA-256 (RFC 2104) and constant-time compare. */
void sha256(struct bytes data, unsigned char out[static SHA256_BYTES]);
void hmac_sha256(struct bytes secret, struct bytes data,
		 unsigned char out[static SHA256_BYTES]);
bool bytes_equal_constant_time(struct bytes a, struct bytes b);

/* `out` gets 2 * raw.len lower-case digits and a NUL. */
void hex_encode(struct bytes raw, char *out);

#endif
