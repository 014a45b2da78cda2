/* SPDX-License-Identifier: MIT */
#ifndef ALLOC_H
#define ALLOC_H

#include "bytes.h"

/*
 * alloc: where all our memory comes from, so that a test can make the n-th
 * allocation fail.  All return NULL on failure; free() releases.
 */
void *mem_alloc(size_t size);		/* zeroed */
void *mem_grow(void *old, size_t size); /* realloc; new part not zeroed */
char *mem_string(struct bytes text);	/* a NUL-terminated copy */
char *mem_strdup(const char *text);	/* NULL gives NULL */

/* For tests: the n-th allocation from now fails (1: the next); 0: none. */
void mem_fail_after(unsigned n);

#endif
