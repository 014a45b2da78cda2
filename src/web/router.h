/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_H
#define ROUTER_H

#include "endpoint.h"

/*
 * router: from method, path and query to an endpoint.  Immutable once made.
 */
struct router;

/* Put the endpoints of `families` in service, each list ending in
 * ENDPOINTS_END.  On failure `problem` names the endpoint that is declared
 * wrongly. */
MUST_USE enum result router_new(const struct endpoint *const *families,
				unsigned n_families,
				const struct services *services,
				struct router **out, struct buf *problem);
void router_free(struct router *r);

/* R_OK: `*out`.  R_NOT_FOUND: no such path.  R_INVALID: the path is there,
 * but not for this method; `allow` gets those it is there for ("GET, HEAD"). */
MUST_USE enum result router_match(const struct router *r,
				  const struct request *rq,
				  const struct served **out, struct buf *allow);

/* The endpoint declared with this route and no `when`; NULL if it is not in
 * service. */
const struct served *router_find(const struct router *r, const char *route);

/* The endpoint whose .key a key of the cache is made from; NULL: none. */
const struct served *router_find_by_key(const struct router *r,
					struct bytes key);

/* The category of keys that begin with this part; "other" when no endpoint
 * has such. */
const char *router_category(const struct router *r, const char *prefix);

/* All endpoints in service, from 0; NULL at the end. */
const struct served *router_at(const struct router *r, unsigned i);

#endif
