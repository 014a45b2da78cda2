/* SPDX-License-Identifier: MIT */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * http: a client that reports, and never judges: no answer is status 0.
 *
 * Bodies come as they were sent (nothing is decompressed unless `decode`), no
 * redirect is followed, and one request after the other uses one connection.
 */
struct http_request {
	const char *method; /* NULL: GET */
	const char *url;
	const char *unix_socket;    /* in place of the URL's host */
	const char *const *headers; /* "Name: value", NULL ends */
	const char *body;
	size_t body_len; /* 0: strlen(body) */
	int timeout_ms;	 /* 0: 30000 */
	bool decode;	 /* ask for gzip and undo it */
	bool insecure;	 /* any certificate will do */
	bool fresh;	 /* on a new connection */
	bool drop_body;	 /* keep its length and hash only */
};

struct http_response {
	int status;	   /* 0: none came */
	const char *error; /* then; else NULL */
	char *headers;	   /* as sent, lines end with CRLF */
	char *body;	   /* NUL-terminated */
	size_t body_len;
	uint64_t body_hash; /* equal bodies have equal ones */
	double ms;	    /* from sending to the last byte */
	double first_byte_ms;
};

struct http_response *http_send(const struct http_request *request);

/* GET with headers "Name: value"; a NULL ends them. */
struct http_response *http_get(const char *url, ...) __attribute__((sentinel));

/* Any method; `body` may be NULL. */
struct http_response *http_request(const char *method, const char *url,
				   const char *body, ...)
	__attribute__((sentinel));

/* The same request `n` times at once, on `n` connections. */
struct http_response *http_many(const struct http_request *request, unsigned n);

/* Different ones at once. */
struct http_response *http_all(const struct http_request *requests, unsigned n);

/* A header's value (the first one's), without the name; NULL when absent. */
const char *http_header(const struct http_response *r, const char *name);

/* The time that a share of the responses kept to: 0.99 for the p99. */
double http_percentile(const struct http_response *responses, unsigned n,
		       double share);

/* Release early what would live to the end of the process. */
void http_free(struct http_response *responses, unsigned n);

#endif
