/* SPDX-License-Identifier: MIT */
#ifndef SCOPE_H
#define SCOPE_H

#include "../base/buf.h"
#include "../base/bytes.h"
#include "../base/result.h"

/*
 * scope: what an invalidation matches.  An exact key, a prefix that ends in ":*",
 * or "*", which matches all.
 *
 * The log in PostgreSQL names a user by "@" and id, because SQL that others run
 * cannot know CACHE_KEY_SECRET; keys name a user by the keyed hash of the id.
 * scope_hash_user() leads from one form to the other.
 */
#define KEY_MAX_BYTES 512
#define SCOPES_MAX 12 /* parts of a key, and one */
#define USER_HASH_DIGITS 16

bool scope_matches(struct bytes scope, struct bytes key);
bool scope_is_prefix(struct bytes scope);

/* The part of a prefix scope that matching keys begin with. */
struct bytes scope_prefix(struct bytes scope);

/* All scopes that match `key`, widest first, the key itself last, appended
 * to `list` one after the other, each ended by a NUL.  Returns their number;
 * 0 when the key has too many parts. */
unsigned scope_list(struct bytes key, struct buf *list);

/* The first 16 hex digits of HMAC-SHA-256(secret, user id), and a NUL. */
void scope_user_hash(struct bytes secret, struct bytes user,
		     char out[static USER_HASH_DIGITS + 1]);

/* Copy `scope` to `to` with "@user" segments replaced by the user's hash. */
void scope_hash_user(struct bytes secret, struct bytes scope, struct buf *to);

#endif
