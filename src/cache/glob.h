/* SPDX-License-Identifier: MIT */
#ifndef GLOB_H
#define GLOB_H

#include "../base/buf.h"
#include "../base/bytes.h"

#include <stdbool.h>

/*
 * glob: patterns of keys as people write them.  "*" is any characters, "?" one; "\" takes
 * the meaning of the next.
 */

/* Append it as a pattern of SQL's LIKE. */
void glob_add_like(struct buf *to, struct bytes glob);

/* Is it an exact key, or a prefix as the log knows them (scope.h)? */
bool glob_is_scope(struct bytes glob);

#endif
