/* SPDX-License-Identifier: MIT */
#ifndef FCGI_H
#define FCGI_H

#include "http.h"

/*
 * fcgi: speaks FastCGI to a worker, as a web server would or as none should.
 * Written apart from the worker's own code, so that both cannot share a mistake.
 *
 * An address is a path, "unix:/path" or "host:port" (numbers).
 */
struct fcgi_request {
	const char *method;	    /* NULL: GET */
	const char *uri;	    /* "/api/models?gateway=all" */
	const char *const *headers; /* "Name: value", NULL ends */
	const char *const *params;  /* more: "NAME=value", NULL ends */
	const char *body;
	size_t body_len;    /* 0: strlen(body) */
	const char *length; /* what CONTENT_LENGTH says; NULL: the truth */
	unsigned id;	    /* 0: 1 */
	bool keep;	    /* ask to keep the connection */
};

/* On a connection of its own, within 30 s. */
struct http_response *fcgi_ask(const char *address,
			       const struct fcgi_request *request);

/* GET `uri`; a NULL ends the headers. */
struct http_response *fcgi_get(const char *address, const char *uri, ...)
	__attribute__((sentinel));

/* The same piece by piece.  fcgi_connect() gives -1 when refused. */
int fcgi_connect(const char *address);
void fcgi_send(int fd, const struct fcgi_request *request);
struct http_response *fcgi_receive(int fd, int timeout_ms);

/* Bytes as they are.  fcgi_send_raw() says whether the peer took them all;
 * fcgi_receive_raw() gives 0 at the end, -1 on a reset, -2 after `timeout_ms`. */
bool fcgi_send_raw(int fd, const void *at, size_t len);
long fcgi_receive_raw(int fd, void *to, size_t max, int timeout_ms);

/* The bytes of a request, to be sent in parts or spoilt; and of one record. */
char *fcgi_encode(const struct fcgi_request *request, size_t *len);
char *fcgi_record(unsigned type, unsigned id, const void *content, size_t len,
		  size_t *record_len);

#endif
