/* SPDX-License-Identifier: MIT */
#ifndef HEALTH_H
#define HEALTH_H

#include "cache.h"

/*
 * health: how the tiers are doing, found out in a bounded time.
 *
 * A look asks Redis and PostgreSQL at once, for at most HEALTH_PATIENCE_MS.  Those who
 * come while it is under way, or soon after it, share what it saw.  Any thread that may wait.
 */
#define HEALTH_PATIENCE_MS 150

struct health;

struct health *health_new(struct cache *c);
void health_free(struct health *h);

enum health_state { HEALTH_UP, HEALTH_DOWN, HEALTH_OFF };

struct health_tier {
	enum health_state state;
	enum result result;	    /* of the question, when it is down */
	enum breaker_state breaker; /* of Redis and PostgreSQL */
	int64_t took_us;
};

struct health_report {
	struct health_tier memory, redis, postgres;
	size_t memory_entries, memory_bytes;
	int64_t position; /* followed so far; -1: none yet */
	int64_t head;	  /* of the log; -1: PostgreSQL did not say */
	bool current;	  /* the log was read lately */
};

void health_look(struct health *h, struct health_report *out);

#endif
