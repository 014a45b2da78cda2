/* SPDX-License-Identifier: MIT */
#ifndef PARAMS_H
#define PARAMS_H

#include "../base/arena.h"
#include "endpoint.h"

/*
 * params: a request's parameters, checked and put into one canonical form, so that equal questions
 * have equal keys.  Whatever the table does not name is refused.
 *
 * R_INVALID comes with a line in `problem` for the client that names the parameter and what is accepted.
 */

/* From the query and the path.  Values that needed decoding are in `arena`. */
MUST_USE enum result params_from_url(const struct served *e,
				     const struct request *rq,
				     struct arena *arena, struct values *v,
				     struct buf *problem);

/* Fill in what a query leaves out, as params_from_url() does; for values that come
 * from elsewhere. */
MUST_USE enum result params_complete(const struct served *e,
				     struct arena *arena, struct values *v,
				     struct buf *problem);

/* The same, and fill in `part` for the question that this is. */
MUST_USE enum result params_part(const struct served *e, struct values *v,
				 struct cache_part *part);

/* From a JSON body, for those that are IN_BODY, into the same values. */
MUST_USE enum result params_from_body(const struct served *e, struct bytes body,
				      struct arena *arena, struct values *v,
				      struct buf *problem);

#endif
