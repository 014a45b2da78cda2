/* SPDX-License-Identifier: MIT */
#ifndef REDIS_LEASE_H
#define REDIS_LEASE_H

#include "lease_state.h"
#include "redis_tier.h"

/*
 * redis_lease: leases kept in Redis; see lease.h.
 */

/* `holder` is this process' token. */
MUST_USE enum result redis_lease_take(struct redis_tier *t, struct bytes key,
				      const char *holder, int64_t for_ms,
				      struct lease_state *state);

/* Keep it for `for_ms` more (holder only); with failure not R_OK: turn it
 * into a note that the load failed. */
MUST_USE enum result redis_lease_keep(struct redis_tier *t, struct bytes key,
				      const char *holder, int64_t for_ms,
				      enum result failure);
MUST_USE enum result redis_lease_give(struct redis_tier *t, struct bytes key,
				      const char *holder);

/* Ask without waiting whether someone holds the lease: R_OK held, R_CONFLICT a
 * failure is noted, R_NOT_FOUND free. */
typedef void redis_lease_seen(void *arg, enum result r);
MUST_USE enum result redis_lease_peek(struct redis_tier *t, struct bytes key,
				      redis_lease_seen *seen, void *arg);

#endif
