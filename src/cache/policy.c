/* SPDX-License-Identifier: MIT */
#include "policy.h"

/* Longer than anything means, and no sum of two such can overflow. */
#define FOREVER_MS DAYS(100 * 365)

static int64_t
bounded(int64_t ms)
{
	if (ms < 0)
		return (0);
	return (ms > FOREVER_MS ? FOREVER_MS : ms);
}

struct lifetime
policy_lifetime(const struct policy *p, int64_t now_ms, uint64_t random)
{
	int64_t ttl_ms = bounded(p->ttl_ms), spread_ms = ttl_ms / 10;
	struct lifetime l;

	ttl_ms += (int64_t)(random % (2 * (uint64_t)spread_ms + 1)) - spread_ms;
	l.loaded_at_ms = now_ms;
	l.fresh_until_ms = now_ms + ttl_ms;
	l.stale_until_ms = l.fresh_until_ms + bounded(p->grace_ms);
	l.refresh_at_ms = l.fresh_until_ms - bounded(p->refresh_ms);
	if (l.refresh_at_ms < now_ms)
		l.refresh_at_ms = now_ms;
	return (l);
}

enum verdict
policy_judge(const struct lifetime *l, int64_t now_ms)
{
	if (now_ms >= l->stale_until_ms)
		return (FORGET);
	if (now_ms >= l->fresh_until_ms)
		return (USE_STALE_AND_REFRESH);
	if (now_ms >= l->refresh_at_ms)
		return (USE_AND_REFRESH);
	return (USE);
}
