/* SPDX-License-Identifier: MIT */
#ifndef REDIS_GREETING_H
#define REDIS_GREETING_H

#include "../base/buf.h"
#include "redis_reply.h"
#include "redis_url.h"

#include <stdbool.h>

/*
 * redis_greeting: what is said on a new connection before anything else, and what the server must
 * answer to be used: AUTH and SELECT as the URL has it, PING, and INFO for who it is.  Start
 * with all zeros.
 */
#define REDIS_SERVER_BYTES 64

enum redis_greeting_step {
	REDIS_GREETING_AUTH,
	REDIS_GREETING_SELECT,
	REDIS_GREETING_PING,
	REDIS_GREETING_INFO,
	REDIS_GREETING_STEPS
};

struct redis_greeting {
	enum redis_greeting_step steps[REDIS_GREETING_STEPS];
	unsigned asked, answered;
	char server
		[REDIS_SERVER_BYTES]; /* its run_id; empty: it does not say */
};

/* Append the commands. */
void redis_greeting_write(struct redis_greeting *g, const struct redis_url *url,
			  struct buf *to);

/* Take the next reply.  R_UNAVAILABLE: the server cannot be used, and `problem`
 * says why, without secrets. */
MUST_USE enum result redis_greeting_take(struct redis_greeting *g,
					 const struct redis_reply *reply,
					 char *problem, size_t size);

static inline bool
redis_greeting_is_over(const struct redis_greeting *g)
{
	return (g->asked > 0 && g->answered == g->asked);
}

#endif
