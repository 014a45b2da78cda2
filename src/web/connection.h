/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_H
#define CONNECTION_H

#include "connections.h"

/*
 * connection: the life of one connection: read, feed, hand to the handler,
 * write the answer; again.
 *
 * All but connection_answer() are called by its event thread, and leave it in a
 * state in which the next event (or answer) will move it on; afterwards it may
 * be CLOSED.
 *
 * On a hit the request is parsed where it was read and written from
 * where the answer lies: one read, one sendmsg, no allocation, no copy.
 */

/* epoll has `events` for it. */
void connection_ready(struct connection *c, uint32_t events);

/* Something may have arrived: what accept(2) calls for, and the last look
 * before an idle connection is closed. */
void connection_read(struct connection *c);

/* server_answer(): any thread. */
void connection_answer(struct connection *c, const struct answer *a);

/* The answer that another thread made has come through the queue. */
void connection_resume(struct connection *c);

#endif
