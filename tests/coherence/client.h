/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_H
#define CLIENT_H

#include <stddef.h>

/*
 * client: one kept connection to a worker, for a thread that asks again and again:
 * no memory is kept, unlike that of tests/harness/fcgi.h, which encodes the requests.
 */
struct client {
	const char *address;
	int fd;		  /* -1: none */
	char text[32768]; /* the answer: headers, an empty line, body */
	size_t len;
};

void client_init(struct client *c, const char *address);
void client_fini(struct client *c);

/* Send an encoded request (with `keep`) and read its answer; the HTTP status, or 0
 * when there is none: whether the request was executed is unknown then. */
int client_ask(struct client *c, const char *request, size_t len,
	       int timeout_ms);

/* The body of the last answer, NUL-terminated. */
const char *client_body(const struct client *c);

#endif
