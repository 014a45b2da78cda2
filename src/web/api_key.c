/* SPDX-License-Identifier: MIT */
#include "api_key.h"

#include "../base/random.h"

#include <string.h>

static const char prefix[] = "wf_";

void
api_key_make(char out[static API_KEY_LEN + 1])
{
	char id[API_KEY_ID_LEN / 2], secret[API_KEY_SECRET_LEN / 2];

	random_fill(id, sizeof(id));
	random_fill(secret, sizeof(secret));
	memcpy(out, prefix, 3);
	hex_encode((struct bytes){ id, sizeof(id) }, out + 3);
	out[3 + API_KEY_ID_LEN] = '_';
	hex_encode((struct bytes){ secret, sizeof(secret) },
		   out + 3 + API_KEY_ID_LEN + 1);
	explicit_bzero(secret, sizeof(secret));
}

static bool
is_hex(struct bytes text, size_t len)
{
	if (text.len != len)
		return (false);
	for (size_t i = 0; i < len; i++) {
		char c = text.at[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return (false);
	}
	return (true);
}

bool
api_key_is_id(struct bytes text)
{
	return (is_hex(text, API_KEY_ID_LEN));
}

bool
api_key_parse(struct bytes text, struct bytes *id, struct bytes *secret)
{
	struct bytes i, s;

	if (text.len != API_KEY_LEN || !bytes_starts(text, bytes_of(prefix)) ||
	    text.at[3 + API_KEY_ID_LEN] != '_')
		return (false);
	i = (struct bytes){ text.at + 3, API_KEY_ID_LEN };
	s = bytes_from(text, 3 + API_KEY_ID_LEN + 1);
	if (!api_key_is_id(i) || !is_hex(s, API_KEY_SECRET_LEN))
		return (false);
	*id = i;
	*secret = s;
	return (true);
}

void
api_key_hash(struct bytes secret, unsigned char out[static SHA256_BYTES])
{
	sha256(secret, out);
}
