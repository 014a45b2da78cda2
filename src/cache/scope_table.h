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

/* What records do to an entry: nothing, make it stale, or end it. */
enum scope_effect { SCOPE_NONE, SCOPE_SOFT, SCOPE_HARD };

/* A record of the log.  Out of memory raises the floor. */
void scope_table_add(struct scope_table *t, struct bytes scope,
		     int64_t position, enum scope_effect effect);

/* The strongest effect on `key` of all records after `fence`. */
enum scope_effect scope_table_judge(struct scope_table *t, struct bytes key,
				    int64_t fence);

#endif
