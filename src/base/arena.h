/* SPDX-License-Identifier: MIT */
#ifndef ARENA_H
#define ARENA_H

#include "bytes.h"

/*
 * arena: memory that lives as long as one request and is released in one go.
 * An all-zero arena is empty and ready.  One thread at a time.
 */
struct arena {
	struct arena_block *newest;
};

void *arena_alloc(struct arena *a, size_t size); /* zeroed, aligned; or NULL */

/* A copy of `b`, NUL-terminated (the NUL is not counted).  On failure `at`
 * is NULL. */
struct bytes arena_copy(struct arena *a, struct bytes b);

void arena_fini(struct arena *a); /* releases all; ready again */

#endif
