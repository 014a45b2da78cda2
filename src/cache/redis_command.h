/* SPDX-License-Identifier: MIT */
#ifndef REDIS_COMMAND_H
#define REDIS_COMMAND_H

#include "../base/buf.h"
#include "../store/redis.h"
#include "scope.h"

/*
 * redis_command: puts a command together.  Start with all zeros and the prefix of names.
 */
#define REDIS_ARGS_MAX (SCOPES_MAX + 10)

struct redis_command {
	const char *prefix; /* "wf:v1:" */
	struct bytes argv[REDIS_ARGS_MAX];
	unsigned argc;
	unsigned split;	   /* arguments of the first of a pair, */
	redis_done *first; /* and who takes its reply; NULL: no pair */
	struct buf names;
	size_t starts
		[REDIS_ARGS_MAX]; /* of names in the buffer; SIZE_MAX: not one */
};

/* An argument as it is; the bytes are the caller's. */
void redis_command_text(struct redis_command *c, struct bytes text);

/* A name: prefix, kind ("@lease:", "" for an entry), name; copied. */
void redis_command_name(struct redis_command *c, const char *kind,
			struct bytes name);

/* All scopes that match `key` (scope.h), without the prefix; false when it has too
 * many parts. */
bool redis_command_scopes(struct redis_command *c, struct bytes key);

/* What follows is a second command: a pair, as in redis.h. */
void redis_command_next(struct redis_command *c, redis_done *first);

/* Send it, or send it and wait; either way what it holds is released. */
MUST_USE enum result redis_command_send(struct redis_command *c,
					struct redis *redis, redis_done *done,
					void *arg);
MUST_USE enum result redis_command_call(struct redis_command *c,
					struct redis *redis, redis_take *take,
					void *arg);

void redis_command_fini(struct redis_command *c);

/* A redis_take of an integer: 1 is R_OK, 0 R_CONFLICT, negative
 * R_UNAVAILABLE. */
redis_take redis_command_flag;

#endif
