/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_FAMILIES_H
#define MEMORY_FAMILIES_H

#include "../base/bytes.h"

#include <stddef.h>

/*
 * memory_families: how much of a memory tier is whose.  Keys that begin alike, up to
 * their first ':', are a family; those for which there is no room share one without a
 * name.  Not locked.  Begins as all zero.
 */
#define MEMORY_FAMILIES 16
#define MEMORY_FAMILY_NAME 32

struct memory_family {
	char name[MEMORY_FAMILY_NAME];
	size_t entries, bytes;
};

struct memory_families {
	struct memory_family of[MEMORY_FAMILIES]; /* the first: the nameless */
	unsigned named;
};

/* The number of a key's family, which it keeps; always under MEMORY_FAMILIES. */
unsigned memory_families_of(struct memory_families *f, struct bytes key);

/* Add `more` to `to`. */
void memory_families_sum(struct memory_families *to,
			 const struct memory_families *more);

#endif
