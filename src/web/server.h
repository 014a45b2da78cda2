/* SPDX-License-Identifier: MIT */
#ifndef SERVER_H
#define SERVER_H

#include "../base/buf.h"
#include "../base/bytes.h"
#include "../base/result.h"
#include "exchange.h"
#include "listen.h"

/*
 * server: sockets and event threads.
 *
 * Each event thread has an epoll set of its own, with the shared listening
 * socket in it (EPOLLEXCLUSIVE) and the connections it accepted; a connection
 * stays with its thread, so it needs no lock and an idle one costs no thread.
 * A hit costs one epoll_wait, one read and one sendmsg.  A connection that the
 * server waits on (half a request in, half an answer out) costs its buffer and
 * nothing else; one that makes no progress for 30 s is closed.
 * When descriptors run out it stops accepting until a connection closes, idle
 * ones first.
 */
struct server;

struct server_options {
	struct listener listener; /* becomes non-blocking; stays the caller's */
	unsigned threads;
	size_t request_max_bytes; /* larger bodies: R_TOO_LARGE; 0: none is */
	server_handler *handler;
	void *arg;
	void (*started)(
		void); /* called once, when all threads have been started */
};

MUST_USE enum result server_new(const struct server_options *options,
				struct server **out);

/* Serve on `threads` threads until server_stop(); then drain: the listener is
 * left, answers in the making go out, idle connections close; at most
 * `drain_ms` more.  Blocks. */
void server_run(struct server *s, int64_t drain_ms);

/* From a signal handler or any thread; also before server_run(). */
void server_stop(struct server *s);

/* After server_run() has returned and nobody can call server_answer() any more
 * (the threads that make answers have ended).  Accepts NULL. */
void server_free(struct server *s);

/* Answer, from any thread; never waits.  Inside the handler it writes at once,
 * else the event thread of the connection does.  The exchange is gone
 * afterwards. */
void server_answer(struct exchange *x, const struct answer *a);

#endif
