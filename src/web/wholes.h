/* SPDX-License-Identifier: MIT */
#ifndef WHOLES_H
#define WHOLES_H

#include "router.h"

/*
 * wholes: values that are made of others (endpoint.h: parts).  No scope of a part matches
 * the whole, so who takes a part out or loads it anew does the same to the whole.
 */

/* From endpoint `*at` on, 0 at first, find a whole some part of which is matched by
 * `scopes`, as the log names them, with a NUL after each, while it is not itself; fill in
 * `whole` for it, which needs cache_part_fini() whatever comes back.  R_NOT_FOUND: there
 * are no more. */
MUST_USE enum result wholes_next(const struct router *r, unsigned *at,
				 struct bytes scopes, struct cache_part *whole);

/* Append to `scopes` the wholes of what they match. */
MUST_USE enum result wholes_add(const struct router *r, struct buf *scopes);

#endif
