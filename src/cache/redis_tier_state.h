/* SPDX-License-Identifier: MIT */
#ifndef REDIS_TIER_STATE_H
#define REDIS_TIER_STATE_H

#include "../base/buf.h"
#include "../store/redis.h"

#include <stdatomic.h>

/*
 * redis_tier_state: what redis_tier.c and redis_log.c share, and nobody else sees.
 */
/* Lua: what a name holds; false: nothing, "": what we never put there. */
#define REDIS_TIER_GET                                   \
	"local function get(name) "                      \
	"  local held = redis.pcall('GET', name) "       \
	"  if type(held) == 'table' then return '' end " \
	"  return held "                                 \
	"end "

/* Entries live this much shorter than the scopes that could outdate them. */
#define REDIS_SCOPE_EXTRA_MS 600000

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
