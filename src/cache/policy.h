/* SPDX-License-Identifier: MIT */
#ifndef POLICY_H
#define POLICY_H

#include <stdint.h>

/*
 * policy: how long a loaded value may be used.  Milliseconds since the load.
 */
struct policy {
	const char *
		category; /* label in logs, settings and invalidations; static */
	int64_t ttl_ms;	  /* younger: fresh; 0 switches the cache off */
	int64_t refresh_ms; /* with less than this left, one load runs behind */
	int64_t grace_ms; /* past ttl, still served while a load runs or fails */
};

#define SECONDS(n) ((int64_t)(n)*1000)
#define MINUTES(n) SECONDS((int64_t)60 * (n))
#define HOURS(n) MINUTES(60 * (n))
#define DAYS(n) HOURS(24 * (n))

/* When a value's states change; wall clock, fixed when it is loaded, so that
 * all tiers and hosts agree. */
struct lifetime {
	int64_t loaded_at_ms;
	int64_t refresh_at_ms;
	int64_t fresh_until_ms;
	int64_t stale_until_ms;
};

enum verdict { USE, USE_AND_REFRESH, USE_STALE_AND_REFRESH, FORGET };

/* The lifetime of a value loaded at `now_ms`; ttl varies by up to ±10 % with
 * `random`, so that values loaded together do not expire together. */
struct lifetime policy_lifetime(const struct policy *p, int64_t now_ms,
				uint64_t random);

/* What may be done with a value at `now_ms`.  No side effects. */
enum verdict policy_judge(const struct lifetime *l, int64_t now_ms);

/* Stale from `now_ms` on, if it was not before. */
static inline void
lifetime_expire(struct lifetime *l, int64_t now_ms)
{
	if (l->fresh_until_ms > now_ms)
		l->fresh_until_ms = now_ms;
	if (l->refresh_at_ms > now_ms)
		l->refresh_at_ms = now_ms;
}

#endif
