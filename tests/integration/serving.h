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
 *	/hold	the query, once the test calls serving_let_go(); its event thread waits
 *	/pool	from a thread of a pool
 *	/park	when the test calls serving_answer_one(): the query
 *
 * A body is memory of its own, freed by its release; serving_stop() fails the test unless
 * each was released exactly once.
 */
#define SERVING_BIG_BYTES ((size_t)20 << 20)
#define SERVING_BODY_LIMIT 100000
#define SERVING_SOON_MS 10000 /* what must come comes within */

struct serving;

/* `address` NULL: a UNIX socket of its own. */
struct serving *serving_start(const char *address, unsigned threads);

/* For another to start there. */
const char *serving_address(const struct serving *s);

unsigned serving_parked(struct serving *s);
void serving_answer_one(struct serving *s); /* the one that waits longest */

/* Whether an event thread stands still, and the word to go on. */
bool serving_holds(struct serving *s);
void serving_let_go(struct serving *s);

/* How many answers have been given, and how many of them released. */
unsigned serving_answers(struct serving *s);
unsigned serving_released(struct serving *s);

/* Begin to stop, as a signal would; whether it has come to its end. */
void serving_end(struct serving *s);
bool serving_has_ended(struct serving *s);

/* Stop, and check what must be so after it.  Requests may still be parked: they are answered after the server
 * has stopped listening to their connections. */
void serving_stop(struct serving *s);

/* A client's side: connect, and ask for /hit or the like and to keep the connection. */
int serving_connect(struct serving *s);
bool serving_can_connect(const struct serving *s);
void serving_ask(int fd, const char *uri);

/* Fail the test unless what comes is a 200 with this body; what /hit gives, now that it is
 * asked for; the whole of /big; the end, in order, upon which this side closes, too. */
void serving_check_answer(int fd, const char *body);
void serving_check_hit(int fd);
void serving_check_big(int fd);
void serving_check_closed(int fd);

/* ... unless a connection of its own gets a hit. */
void serving_check_serves(struct serving *s);

/* How many descriptors this process has open. */
unsigned serving_descriptors(void);

#endif
