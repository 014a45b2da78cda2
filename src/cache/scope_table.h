/* SPDX-License-Identifier: MIT */
#ifndef SCOPE_TABLE_H
#define SCOPE_TABLE_H

#include "../base/bytes.h"
#include "../base/result.h"

/*
 * scope_table: the newest position that invalidated each scope, as far as we remember.
 *
 * It holds a bounded number of scopes.  When it is full it forgets them all and raises its floor: every
 * fence below the floor counts as outdated then, which costs loads but never serves old data.
 * One thread at a time.
 */
struct scope_table;

struct scope_table *scope_table_new(size_t most);
void scope_table_free(struct scope_table *t);

/* A record of the log.  Out of memory raises the floor. */
void scope_table_add(struct scope_table *t, struct bytes scope, int64_t position);

/* Has a record that matches `key` come after `fence`? */
bool scope_table_is_newer(struct scope_table *t, struct bytes key, int64_t fence);

#endif
