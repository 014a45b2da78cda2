/* SPDX-License-Identifier: MIT */
#ifndef GLOB_H
#define GLOB_H

#include "../base/buf.h"
#include "../base/bytes.h"

/*
 * glob: patterns of keys as people write them.  "*" is any characters, "?" one; "\" takes
 * the meaning of the next.
 */

/* Append it as a pattern of SQL's LIKE. */
void glob_add_like(struct buf *to, struct bytes glob);

/* Append the narrowest scope (scope.h) that has all keys that the glob matches: itself
 * when it is a key or "models:*"; "models:*" for "models:*:all". */
void glob_add_scope(struct buf *to, struct bytes glob);

#endif
