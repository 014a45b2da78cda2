/* SPDX-License-Identifier: MIT */
#ifndef REDIS_REPLY_H
#define REDIS_REPLY_H

#include "../base/bytes.h"
#include "../base/result.h"

#include <stdint.h>

/*
 * redis_reply: the protocol, RESP2: commands to bytes, bytes to replies (through hiredis's reader).
 */
enum redis_type {
	REDIS_NIL,
	REDIS_STRING,
	REDIS_STATUS,
	REDIS_ERROR,
	REDIS_INTEGER,
	REDIS_ARRAY
};

/* A reply; lives until the callback that got it returns. */
struct redis_reply {
	enum redis_type type;
	struct bytes text; /* STRING, STATUS, ERROR */
	int64_t integer;
	unsigned count; /* ARRAY */
	const struct redis_reply *items;
};

/* `reply` is NULL unless `r` is R_OK. */
typedef void redis_done(void *arg, enum result r,
			const struct redis_reply *reply);

/* How long a command is on the wire, and the command itself into that many
 * bytes. */
size_t redis_reply_command_size(const struct bytes *argv, unsigned argc);
void redis_reply_write_command(char *to, const struct bytes *argv,
			       unsigned argc);

/* Takes bytes as they come, gives replies.  One thread at a time. */
struct redis_reader;

struct redis_reader *redis_reader_new(void);
void redis_reader_free(struct redis_reader *r);

/* R_NO_MEMORY or, after garbage, R_BAD_ANSWER. */
MUST_USE enum result redis_reader_feed(struct redis_reader *r,
				       struct bytes more);

/* The next whole reply, which lives until the next call here; `*reply` is
 * NULL when more bytes are needed.  R_BAD_ANSWER: what came is not RESP2, or
 * is absurdly large. */
MUST_USE enum result redis_reader_next(struct redis_reader *r,
				       const struct redis_reply **reply);

#endif
