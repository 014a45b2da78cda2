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

/* What it is when absent, by its table; `at` is NULL when that says nothing.
 * Today is written to `arena`: R_NO_MEMORY. */
MUST_USE enum result param_value_default(const struct param *p,
					 struct arena *arena,
					 struct bytes *value);

/* So many days before a checked date, not before 1970. */
MUST_USE enum result param_value_days_before(struct bytes date, int days,
					     struct arena *arena,
					     struct bytes *value);

#endif
