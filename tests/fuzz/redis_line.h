/* SPDX-License-Identifier: MIT */
#ifndef REDIS_LINE_H
#define REDIS_LINE_H

#include "base/bytes.h"

#include <stdbool.h>

/*
 * redis_line: a Redis that says what it is told to.  In place of redis.c and
 * redis_socket.c there is the little here, without a thread and without a socket; what is
 * between the two, redis_link.c and redis_reply.c, is the worker's own.
 */
struct redis;

#define REDIS_LINE_MAX 32
struct redis_line {
	struct bytes says[REDIS_LINE_MAX]; /* each after another command */
	unsigned count;
	size_t piece;	/* so much of it is there to read at once */
	bool is_polite; /* the greeting is answered well, before all that */
};

/* A connection; `line` must outlive it.  One at a time. */
struct redis *redis_line_new(const struct redis_line *line);
void redis_line_free(struct redis *r);

/* Until all that was sent is answered, or the line is cut and the senders know; and
 * what was said is heard. */
void redis_line_work(struct redis *r);

#endif
