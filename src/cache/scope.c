/* SPDX-License-Identifier: MIT */
#include "scope.h"

#include "../base/digest.h"

#include <string.h>

bool
scope_is_prefix(struct bytes scope)
{
	return (bytes_equal(scope, BYTES("*")) ||
		bytes_ends(scope, BYTES(":*")));
}

struct bytes
scope_prefix(struct bytes scope)
{
	return ((struct bytes){ scope.at, scope.len - 1 });
}

bool
scope_matches(struct bytes scope, struct bytes key)
{
	if (scope_is_prefix(scope))
		return (bytes_starts(key, scope_prefix(scope)));
	return (bytes_equal(scope, key));
}

static void
add_scope(struct buf *list, struct bytes scope, const char *end)
{
	buf_add(list, scope);
	buf_str(list, end);
	buf_char(list, '\0');
}

unsigned
scope_list(struct bytes key, struct buf *list)
{
	unsigned count = 1;
	size_t i;

	add_scope(list, BYTES_NONE, "*");
	for (i = 0; i < key.len; i++) {
		if (key.at[i] != ':')
			continue;
		if (++count == SCOPES_MAX)
			return (0);
		add_scope(list, (struct bytes){ key.at, i + 1 }, "*");
	}
	add_scope(list, key, "");
	return (count + 1);
}

void
scope_user_hash(struct bytes secret, struct bytes user,
		char out[static USER_HASH_DIGITS + 1])
{
	unsigned char mac[SHA256_BYTES];

	hmac_sha256(secret, user, mac);
	hex_encode((struct bytes){ (const char *)mac, USER_HASH_DIGITS / 2 },
		   out);
}

void
scope_hash_user(struct bytes secret, struct bytes scope, struct buf *to)
{
	char hash[USER_HASH_DIGITS + 1];
	struct bytes part;
	bool last;

	do {
		last = bytes_find(scope, ':') < 0;
		part = bytes_cut(&scope, ':');
		if (part.len > 1 && part.at[0] == '@') {
			scope_user_hash(secret, bytes_from(part, 1), hash);
			buf_str(to, hash);
		} else {
			buf_add(to, part);
		}
		if (!last)
			buf_char(to, ':');
	} while (!last); /* the last part may be empty */
}
