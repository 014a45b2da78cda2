/* SPDX-License-Identifier: MIT */
#ifndef REDIS_LINK_H
#define REDIS_LINK_H

#include "../base/result.h"
#include "redis_reply.h"
#include "redis_url.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * redis_link: one connection, its greeting (redis_greeting.h), and the commands that
 * wait for it or are in flight on it.  Nothing here waits; the owner polls.
 *
 * Threads	One: the I/O thread.
 * Deadlines	A command is overdue `timeout_ms` after it was sent, or after the greeting when it
 *		had to wait for one; each MiB that moves in the meantime adds MIB_MS (below), so
 *		that a large value on a slow line is not taken for a dead server.
 */
#define REDIS_LINK_MIB_MS 25

/* A command on its way; made and released by the owner, linked here. */
struct redis_command {
	struct redis_command *next;
	redis_done *
		first; /* of a pair: for the first reply; NULL: had, or no pair */
	redis_done *done;
	void *arg;
	int64_t due_ms; /* set to the deadline by the sender, monotonic */
	bool probe; /* the breaker let this one through to see whether the server is back */
	size_t size;
	char bytes[];
};

struct redis_queue {
	struct redis_command *first, *last;
};

static inline void
redis_queue_put(struct redis_queue *q, struct redis_command *c)
{
	c->next = NULL;
	if (q->first == NULL)
		q->first = c;
	else
		q->last->next = c;
	q->last = c;
}

static inline struct redis_command *
redis_queue_take(struct redis_queue *q)
{
	struct redis_command *c = q->first;

	if (c != NULL)
		q->first = c->next;
	return (c);
}

/* Called once for each command, which it releases; it may not call the link. */
typedef void redis_link_deliver(void *owner, struct redis_command *c,
				enum result r, const struct redis_reply *reply);

struct redis_link_options {
	const struct redis_url *url; /* must outlive the link */
	int64_t timeout_ms, connect_timeout_ms;
	redis_link_deliver *deliver;
	void *owner;
};

struct redis_link;

struct redis_link *redis_link_new(const struct redis_link_options *options);
void redis_link_free(struct redis_link *l); /* no commands may be left in it */

enum redis_link_state { REDIS_LINK_DOWN, REDIS_LINK_RISING, REDIS_LINK_UP };
enum redis_link_state redis_link_state(const struct redis_link *l);
bool redis_link_has_commands(const struct redis_link *l);

void redis_link_push(struct redis_link *l, struct redis_command *c);

/* Begin to connect. */
MUST_USE enum result redis_link_open(struct redis_link *l);

/* Connect, write, read and deliver whatever is possible now.  Anything but
 * R_OK says why the connection is now closed; its commands are still there,
 * for redis_link_fail(). */
MUST_USE enum result redis_link_work(struct redis_link *l);

/* Close, and deliver `why` to all commands that are in it at this moment. */
void redis_link_fail(struct redis_link *l, enum result why);

/* What to poll(2) for, and until when (monotonic; INT64_MAX: for ever). */
int redis_link_fd(const struct redis_link *l);
short redis_link_events(const struct redis_link *l);
int64_t redis_link_deadline_ms(const struct redis_link *l);

/* The run_id of the server it is, or was last, connected to; "": unknown. */
const char *redis_link_server(const struct redis_link *l);

/* Why it failed last, in words, without secrets. */
const char *redis_link_problem(const struct redis_link *l);

#endif
