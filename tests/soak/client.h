/* SPDX-License-Identifier: MIT */
#ifndef SOAK_CLIENT_H
#define SOAK_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * client: one kept connection to nginx, for a thread that asks again and again.  It keeps
 * no memory, unlike that of tests/harness/http.h, and may be used by any one thread.
 */
struct client;

struct question {
	const char *method, *path;
	const char *login;	   /* a header line, or NULL */
	const char *body;	   /* NULL: none */
	const char *content_type;  /* with a body */
	const char *if_none_match; /* NULL: no such header */
	bool gzip;
};

struct answer {
	int status;	   /* 0: none, or broken off */
	const char *error; /* then */
	double ms;
	bool by_nginx; /* no worker's answer */
	unsigned tries;
	int worker; /* whose socket's name ends in that number; -1: none's */
	char etag[96], cache[16], content_type[64];
	int retry_after;  /* seconds; 0: not said */
	const char *body; /* NUL-terminated, gzip undone */
	size_t body_len;
	size_t bytes; /* of it, as sent */
};

/* `base`: "http://127.0.0.1:80". */
struct client *client_new(const char *base);
void client_free(struct client *c);

/* What it returns is right until the next question. */
const struct answer *client_ask(struct client *c, const struct question *q);

#endif
