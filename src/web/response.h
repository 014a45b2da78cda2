/* SPDX-License-Identifier: MIT */
#ifndef RESPONSE_H
#define RESPONSE_H

#include "../cache/cache.h"
#include "exchange.h"

/*
 * response: the HTTP head of an answer from the cache: validators (RFC 9110), caching
 * (RFC 9111, 5861), Cache-Status (RFC 9211), and the choice between the two forms of the body.
 */
enum audience { AUDIENCE_PUBLIC, AUDIENCE_PRIVATE };

#define RESPONSE_HEAD_MAX 768

/* Set `out` to the answer of `rq` from `a`, whose entry's reference it takes
 * over. `head` is room for the head, which the answer refers to. */
void response_from_cache(const struct request *rq, const struct cache_answer *a,
			 const struct policy *p, enum audience audience,
			 char head[static RESPONSE_HEAD_MAX],
			 struct answer *out);

/* Does an Accept-Encoding value allow gzip (RFC 9110 12.5.3)? */
bool response_accepts_gzip(struct bytes accept_encoding);

/* Does an If-None-Match value match the ETag, in either of its forms? */
bool response_matches(struct bytes if_none_match, struct bytes etag);

#endif
