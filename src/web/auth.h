/* SPDX-License-Identifier: MIT */
#ifndef AUTH_H
#define AUTH_H

#include "../cache/cache.h"
#include "../store/postgres.h"
#include "request.h"

/*
 * auth: who is asking.  "Authorization: Bearer wf_..." or "X-API-Key: wf_...".
 *
 * What is known of a key is an entry of the cache, "auth:{id}", so that a key is checked from memory
 * and works on while PostgreSQL is away; a revocation takes it out through the invalidation log.
 * The entry is found by the key's id; the secret's hash is compared in constant time.
 */
struct auth;

struct auth *auth_new(struct postgres *pg);
void auth_free(struct auth *a);

struct identity {
	char user_id[37]; /* UUID, NUL-terminated */
	enum role { ROLE_USER, ROLE_ADMIN } role;
};

/* A request's claim to be somebody: the entry to fetch, and what to hold
 * against it. */
struct claim {
	char key[32]; /* of the entry */
	struct cache_query query;
	unsigned char hash[32]; /* of the secret */
};

/* R_OK; R_NOT_FOUND: the request names no key; R_INVALID: it names something
 * else than an API key. */
MUST_USE enum result auth_claim(const struct auth *a, const struct request *rq,
				struct claim *claim);

/* Does the request bring `secret` (not empty) as its bearer token?  In
 * constant time. */
bool auth_brings_secret(const struct request *rq, struct bytes secret);

/* Does the entry prove the claim?  R_OK, or R_FORBIDDEN. */
MUST_USE enum result auth_verify(const struct claim *claim,
				 const struct entry *e, struct identity *who);

#endif
