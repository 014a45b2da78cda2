/* SPDX-License-Identifier: MIT */
#ifndef TRANSFER_H
#define TRANSFER_H

#include "../base/buf.h"
#include "../base/bytes.h"
#include "../base/result.h"

#include <stdint.h>

/*
 * transfer: one HTTP GET at a time, through libcurl.  It keeps its connections for the next.
 * One thread at a time.
 */
struct transfer;

struct transfer *transfer_new(void);
void transfer_free(struct transfer *t);

/* R_INVALID unless it is http or https, with a host. */
MUST_USE enum result transfer_check_url(const char *url);

struct transfer_request {
	const char *url;
	const char *api_key;	 /* NULL: none; no control bytes */
	struct bytes validators; /* as in upstream.h */
	int64_t timeout_ms, connect_timeout_ms;
};

/* How a call ended, and what that says about the origin. */
struct transfer_outcome {
	enum result result; /* as upstream_get() */
	enum { ORIGIN_UNKNOWN, ORIGIN_ALIVE, ORIGIN_FAILED } origin;
	int64_t retry_after_ms; /* 0: the origin did not ask for silence */
	char problem[256];	/* in words; empty: none */
};

/* Fetch into `body`, whose limit holds, and the answer's own `validators`. */
void transfer_run(struct transfer *t, const struct transfer_request *request,
		  struct buf *body, struct buf *validators,
		  struct transfer_outcome *outcome);

#endif
