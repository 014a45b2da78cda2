/* SPDX-License-Identifier: MIT */
#ifndef PARAM_VALUE_H
#define PARAM_VALUE_H

#include "../base/arena.h"
#include "endpoint.h"

/*
 * param_value: what a parameter's value may be, and its one spelling.
 */

/* Check `*value` and make it canonical, in `arena` where that changes it.
 * R_INVALID: a line in `problem` says what is accepted.  R_NO_MEMORY. */
MUST_USE enum result param_value_check(const struct param *p,
				       const struct services *s,
				       struct arena *arena, struct bytes *value,
				       struct buf *problem);

#endif
