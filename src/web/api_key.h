/* SPDX-License-Identifier: MIT */
#ifndef API_KEY_H
#define API_KEY_H

#include "../base/bytes.h"
#include "../base/digest.h"

#include <stdbool.h>

/*
 * api_key: the form of an API key, wf_<id>_<secret>.
 *
 * The id (16 hexadecimal digits) may be seen and logged; it finds the row in
 * api_keys.  The secret (64 digits: 256 random bits) is kept only as its SHA-256, taken
 * over the digits.  Lower case only, so that a key has one spelling.
 */
#define API_KEY_ID_LEN 16
#define API_KEY_SECRET_LEN 64
#define API_KEY_LEN (3 + API_KEY_ID_LEN + 1 + API_KEY_SECRET_LEN)

/* Make a new key, NUL-terminated. */
void api_key_make(char out[static API_KEY_LEN + 1]);

/* Take a key apart: views into `text`.  False when it does not have the form
 * of one. */
bool api_key_parse(struct bytes text, struct bytes *id, struct bytes *secret);

bool api_key_is_id(struct bytes text);

/* What api_keys.secret_hash holds. */
void api_key_hash(struct bytes secret, unsigned char out[static SHA256_BYTES]);

#endif
