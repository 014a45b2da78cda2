/* SPDX-License-Identifier: MIT */
#ifndef UPSTREAM_H
#define UPSTREAM_H

#include "../base/buf.h"
#include "../base/bytes.h"
#include "../base/result.h"
#include "breaker.h"

#include <stdint.h>

/*
 * upstream: GET from one slow HTTP origin, through libcurl.
 *
 * Connections are kept and reused (HTTP/2 where offered), bodies may come
 * compressed.  A URL of http or https only; redirects are followed (at most 3) to
 * http(s) only, and never carry the API key to another host.
 *
 * Threads	Any; a call blocks its thread until its deadline at most.
 * Faults	One breaker an origin: timeouts, refusals, broken transfers and 5xx count
 *		against it.  After 429 or 503 with Retry-After (5 minutes at most are
 *		kept) calls are refused until then.
 */
struct upstream;

struct upstream_options {
	const char *name; /* "openrouter": in logs */
	const char *url;
	const char *api_key; /* sent as "Authorization: Bearer"; NULL: none */
	int64_t timeout_ms;  /* the whole call */
	int64_t connect_timeout_ms;
	size_t max_bytes; /* decoded body */
};

MUST_USE enum result upstream_new(const struct upstream_options *options,
				  struct upstream **out);
void upstream_free(struct upstream *u);
const char *upstream_name(const struct upstream *u);
enum breaker_state upstream_state(struct upstream *u);

/* Until the breaker's next probe, or what Retry-After asked for; 0: now. */
int64_t upstream_retry_ms(struct upstream *u);

struct upstream_answer {
	struct buf body;
	/* What to send next time so that an unchanged body costs a 304 (RFC
	 * 9110 13.1): "etag\nlast-modified", either part may be empty. */
	struct buf validators;
};

/* Fetch.  `validators` as an earlier answer gave them, or empty; `deadline_ms` is
 * monotonic.  `*answer` is filled on R_OK, else empty: the body is as it was.
 *
 * R_OK			status 200, whole body
 * R_UNCHANGED		304
 * R_TIMEOUT		the deadline, or timeout_ms, passed
 * R_TOO_LARGE		over max_bytes
 * R_BAD_ANSWER		any other status; TLS or transfer failure after connecting
 * R_UNAVAILABLE	refused, no such host, breaker open, or Retry-After not yet over
 */
MUST_USE enum result upstream_get(struct upstream *u, struct bytes validators,
				  int64_t deadline_ms,
				  struct upstream_answer *answer);
void upstream_answer_fini(struct upstream_answer *a);

#endif
