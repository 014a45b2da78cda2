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

/* Large blocks go back to the system as soon as they are freed, however many there
 * have been: what a large answer is made in shall not stay ours. */
void mem_return_large(void);

/* For tests: the n-th allocation from now fails (1: the next); 0: none. */
void mem_fail_after(unsigned n);

#endif
