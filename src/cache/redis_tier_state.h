/* SPDX-License-Identifier: MIT */
#ifndef REDIS_TIER_STATE_H
#define REDIS_TIER_STATE_H

#include "../base/buf.h"
#include "../store/redis.h"

#include <stdatomic.h>

/*
 * redis_tier_state: what redis_tier.c and redis_log.c share, and nobody else sees.
 */
#define REDIS_LOG_FIELD \
	"@@" /* what scope_hash_user() never leaves of a scope */

/* Lua: what the field above says, as numbers and text; nothing if it is none of
 * ours. */
#define REDIS_LOG_READ                                                    \
	"local function read(log) "                                       \
	"  local at, floor = string.match(log, '^(%d+) (%d+) %d+ %S+$') " \
	"  if at and #at <= 16 and #floor <= 16 then " /* exact in Lua */ \
	"    return tonumber(at), floor "                                 \
	"  end "                                                          \
	"end "

/* Entries live this much shorter than records are kept that could outdate them. */
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
	struct buf token; /* of the thread that pushes, with the next two */
	int64_t prune_at_ms;
	struct buf cursor;
	_Atomic int64_t said;
	_Atomic uint64_t
		refused_on; /* the connection that has been complained of */
	void (*behind)(void *arg);
	void *arg;
};

#endif
