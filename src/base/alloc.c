/* SPDX-License-Identifier: MIT */
#include "alloc.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LARGE_BYTES (512 * 1024)

static atomic_uint countdown; /* 0: off */

static bool
must_fail(void)
{
	unsigned left = atomic_load_explicit(&countdown, memory_order_relaxed);

	while (left != 0)
		if (atomic_compare_exchange_weak(&countdown, &left, left - 1))
			return (left == 1);
	return (false);
}

void
mem_return_large(void)
{
#ifdef M_MMAP_THRESHOLD
	/* Otherwise the first that is freed raises the limit for all. */
	(void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
#endif
}

void
mem_fail_after(unsigned n)
{
	atomic_store(&countdown, n);
}

void *
mem_alloc(size_t size)
{
	if (size > PTRDIFF_MAX || must_fail())
		return (NULL);
	return (calloc(1, size > 0 ? size : 1));
}

void *
mem_grow(void *old, size_t size)
{
	if (size > PTRDIFF_MAX || must_fail())
		return (NULL);
	return (realloc(old, size > 0 ? size : 1));
}

char *
mem_string(struct bytes text)
{
	char *copy;

	if (text.len == SIZE_MAX)
		return (NULL);
	copy = mem_grow(NULL, text.len + 1);
	if (copy == NULL)
		return (NULL);
	if (text.len > 0)
		memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	return (copy);
}

char *
mem_strdup(const char *text)
{
	if (text == NULL)
		return (NULL);
	return (mem_string(bytes_of(text)));
}
