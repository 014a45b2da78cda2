/* SPDX-License-Identifier: MIT */
#ifndef REDIS_TIER_STATE_H
#define REDIS_TIER_STATE_H

#include "../base/buf.h"
#include "../store/redis.h"

#include <stdatomic.h>

/*
 * redis_tier_state: what redis_tier.c and redis_log.c share, and nobody else sees.
 */
struct redis_tier {
	struct redis *redis;
	char *prefix; /* "wf:v1:" */
	int64_t ttl_max_ms;
	int64_t lag_limit_ms;
	int64_t trust_ms;
	_Atomic int64_t expected;   /* of the sight, with the next two */
	_Atomic int64_t read_at_ms; /* -1: not yet */
	_Atomic uint64_t connections;
	atomic_bool blind;
	struct buf token; /* of the thread that pushes */
	_Atomic int64_t said;
	void (*behind)(void *arg);
	void *arg;
};

#endif
