/* SPDX-License-Identifier: MIT */
#ifndef PROBLEM_H
#define PROBLEM_H

#include "../base/buf.h"
#include "../base/result.h"

/*
 * problem: errors as clients see them, application/problem+json (RFC 9457).  The one
 * place that knows which HTTP status a result means.
 */
struct problem {
	int status;
	const char *detail; /* for the client; NULL: the status says it all */
	int64_t retry_ms;   /* Retry-After; 0: none */
	struct bytes allow; /* of 405: the methods; empty: none */
};

/* The status of a failed load or mutation. */
int problem_status_of_load(enum result r);
int problem_status_of_run(enum result r);

const char *problem_title(int status);

/* The CGI head and the body of a problem. */
void problem_write(const struct problem *p, struct buf *head, struct buf *body);

#endif
