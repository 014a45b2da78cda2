/* SPDX-License-Identifier: MIT */
#include "memory_families.h"

#include <string.h>

static unsigned
find(struct memory_families *f, struct bytes name)
{
	struct memory_family *next;
	unsigned i;

	for (i = 1; i <= f->named; i++)
		if (bytes_equal(bytes_of(f->of[i].name), name))
			return (i);
	if (i == MEMORY_FAMILIES || name.len == 0 ||
	    name.len >= MEMORY_FAMILY_NAME || memchr(name.at, 0, name.len))
		return (0);
	next = &f->of[f->named = i];
	memcpy(next->name, name.at, name.len);
	next->name[name.len] = '\0';
	return (i);
}

unsigned
memory_families_of(struct memory_families *f, struct bytes key)
{
	return (find(f, bytes_cut(&key, ':')));
}

void
memory_families_sum(struct memory_families *to,
		    const struct memory_families *more)
{
	struct memory_family *f;
	unsigned i;

	for (i = 0; i <= more->named; i++) {
		f = &to->of[find(to, bytes_of(more->of[i].name))];
		f->entries += more->of[i].entries;
		f->bytes += more->of[i].bytes;
	}
}
