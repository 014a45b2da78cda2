/* SPDX-License-Identifier: MIT */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include "../base/bytes.h"
#include "request.h"

/*
 * exchange: one request in the making of its answer.  The server embeds it in
 * the connection that it came on.
 */
struct exchange {
	struct request request; /* the handler's */
};

/* Runs on an event thread and must not wait.  It, or whoever it hands the
 * exchange to, calls server_answer() exactly once; if not before it returns,
 * then after request_keep(). */
typedef void server_handler(void *arg, struct exchange *x);

/* An answer.  `head`: CGI header lines, each ended by CRLF, and the empty line;
 * it need not outlive the call.  `body` stays valid until `release(owner)`,
 * which is called once, on any thread, when it is out or the client is gone. */
struct answer {
	struct bytes head;
	struct bytes body;
	void (*release)(const void *owner); /* may be NULL */
	const void *owner;
};

#endif
