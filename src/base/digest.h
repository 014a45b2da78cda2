/* SPDX-License-Identifier: MIT */
#ifndef DIGEST_H
#define DIGEST_H

#include "bytes.h"

#define SHA256_BYTES 32

/* OpenSSL's SHA-256 and HMAC-SHA-256 (RFC 2104). */
void sha256(struct bytes data, unsigned char out[static SHA256_BYTES]);
void hmac_sha256(struct bytes secret, struct bytes data,
		 unsigned char out[static SHA256_BYTES]);

/* The time this takes depends on `given` alone: on nothing of `secret`, neither where
 * the two differ nor how long it is. */
bool bytes_equal_constant_time(struct bytes given, struct bytes secret);

/* `out` gets 2 * raw.len lower-case digits and a NUL. */
void hex_encode(struct bytes raw, char *out);

#endif
