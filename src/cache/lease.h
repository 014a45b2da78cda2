/* SPDX-License-Identifier: MIT */
#ifndef LEASE_H
#define LEASE_H

#include "../store/postgres.h"
#include "lease_state.h"
#include "redis_tier.h"

/*
 * lease: the right to load a key, held by one process of the whole deployment.
 *
 * It lasts LEASE_MS and is renewed while the load runs, so a killed holder delays the others by that at
 * most.  It lives in Redis, or in PostgreSQL while Redis is off or down; with neither, everybody may
 * load.  A holder whose load fails leaves a note in its place, for as long as nobody should try again.
 *
 * Calls wait: for finders and loaders.
 */
#define LEASE_MS 2000

struct leases;

/* `redis` may be NULL. */
struct leases *leases_new(struct redis_tier *redis, struct postgres *pg);
void leases_free(struct leases *l);

enum lease_home { LEASE_NOWHERE, LEASE_IN_REDIS, LEASE_IN_POSTGRES };

/* Zero-initialised, then set and listed by lease_take(); part of its flight. */
struct lease {
	struct lease *next, **link;
	struct bytes key; /* the flight's */
	enum lease_home home;
};

/* Try to get it.  The answer is never an error: a lease nobody can keep is
 * won. */
void lease_take(struct leases *l, struct lease *lease, struct bytes key,
		struct lease_state *state);

/* Give back what was won; with `failure` not R_OK leave the note for
 * `for_ms`. */
void lease_give(struct leases *l, struct lease *lease);
void lease_fail(struct leases *l, struct lease *lease, enum result failure,
		int64_t for_ms);

/* Renew it no more: it runs out by itself.  Any thread, does not wait. */
void lease_drop(struct leases *l, struct lease *lease);

#endif
