/* SPDX-License-Identifier: MIT */
#ifndef REDIS_H
#define REDIS_H

#include "../base/bytes.h"
#include "../base/result.h"
#include "breaker.h"
#include "redis_reply.h"

#include <stdint.h>

/*
 * redis: one pipelined connection to one Redis (RESP2), plain TCP, UNIX socket or TLS, served by one I/O thread of its own.
 *
 * Threads	Any thread sends; the callback runs on the I/O thread and must not wait.
 * Deadlines	A reply that is not there `timeout_ms` after its command was sent fails it; when the oldest command
 *		in the pipeline is overdue, the connection is dropped and everything in it fails with R_TIMEOUT.
 *		Where a connection must be made first, it may take connect_timeout_ms more; and each MiB that moves
 *		while a command waits adds 25 ms, so a large value on a slow line is not taken for a dead server.
 * Faults	Refused, cut, garbage, wrong password, still loading: R_UNAVAILABLE; an error reply is a reply.  A breaker
 *		refuses at once while the server is down, and the I/O thread tries by itself whether it is back.
 * Protocol	hiredis parses replies (redis_reply.h); the transport is ours (redis_link.h).
 */
struct redis;

struct redis_options {
	const char *url; /* redis://, rediss://, unix:// */
	int64_t timeout_ms;
	int64_t connect_timeout_ms; /* TCP, TLS handshake, AUTH and SELECT together */
	unsigned
		queue_limit; /* commands waiting or in flight; more are R_BUSY */
	void (*connected)(
		void *arg); /* optional: after each new connection, on the I/O thread */
	void *arg;
};

/* Checks the URL only (R_INVALID); connects when first used. */
MUST_USE enum result redis_new(const struct redis_options *options,
			       struct redis **out);
void redis_free(
	struct redis *r); /* fails what is in flight, joins the thread */
enum breaker_state redis_state(struct redis *r);

/* How many connections there have been: what came by an earlier one may have
 * come from a server that has since lost data. */
uint64_t redis_connections(struct redis *r);

/* Who sent the reply that a callback has in hand: an identity that a server gives
 * itself when it starts (its run_id); "": it does not say.  For callbacks. */
const char *redis_server(const struct redis *r);

/* Send a command; `done` is called exactly once when this returns R_OK, and
 * never otherwise.  The arguments are copied. */
MUST_USE enum result redis_send(struct redis *r, const struct bytes *argv,
				unsigned argc, redis_done *done, void *arg);

/* The same, waiting for the reply: for loader threads.  `take` (may be NULL)
 * looks at the reply while it lives and returns the call's result; an error
 * reply is logged and gives R_BAD_ANSWER without asking `take`. */
typedef enum result redis_take(void *arg, const struct redis_reply *reply);
MUST_USE enum result redis_call(struct redis *r, const struct bytes *argv,
				unsigned argc, redis_take *take, void *arg);

/* Both for two commands that go out together, the second's arguments behind the
 * first's: `first` gets the first's reply, if one comes, and then `done` or `take`
 * the second's, or the failure of either. */
struct redis_pair {
	const struct bytes *argv;
	unsigned argc[2];
	redis_done *first;
	void *arg; /* of both */
};
MUST_USE enum result redis_send_pair(struct redis *r,
				     const struct redis_pair *pair,
				     redis_done *done);
MUST_USE enum result redis_call_pair(struct redis *r,
				     const struct redis_pair *pair,
				     redis_take *take);

#endif
