/* SPDX-License-Identifier: MIT */
#ifndef SERVING_H
#define SERVING_H

#include <stdbool.h>
#include <stddef.h>

/*
 * serving: a web server module at work in the test's own process, with a handler that
 * answers by path:
 *
 *	/hit	at once, 2 KiB
 *	/big	at once, SERVING_BIG_BYTES
 *	/echo	at once: the method, body_error's word and the body
 *	/pool	from a thread of a pool
 *	/park	when the test calls serving_answer_one(): the query
 *
 * A body is memory of its own, freed by its release; serving_stop() fails the test unless
 * each was released exactly once.
 */
#define SERVING_BIG_BYTES ((size_t)20 << 20)
#define SERVING_BODY_LIMIT 100000

struct serving;

/* `address` NULL: a UNIX socket of its own. */
struct serving *serving_start(const char *address, unsigned threads);

/* For fcgi_connect(). */
const char *serving_address(const struct serving *s);

unsigned serving_parked(struct serving *s);
void serving_answer_one(struct serving *s); /* the one that waits longest */

/* How many answers have been given, and how many of them released. */
unsigned serving_answers(struct serving *s);
unsigned serving_released(struct serving *s);

/* Begin to stop, as a signal would; whether it has come to its end. */
void serving_end(struct serving *s);
bool serving_has_ended(struct serving *s);

/* Stop, and check what must be so after it.  Requests may still be parked: they are answered after the server
 * has stopped listening to their connections. */
void serving_stop(struct serving *s);

#endif
