/* SPDX-License-Identifier: MIT */
#include "arena.h"

#include "alloc.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 4096
#define LARGE_BYTES 1024 /* more gets a block of its own */

struct arena_block {
	struct arena_block *older;
	size_t used, size;
	alignas(max_align_t) char data[];
};

static struct arena_block *
block_new(size_t size)
{
	struct arena_block *block;

	if (size > SIZE_MAX - sizeof(*block))
		return (NULL);
	block = mem_alloc(sizeof(*block) + size);
	if (block != NULL)
		block->size = size;
	return (block);
}

static void *
take(struct arena_block *block, size_t size)
{
	void *at = block->data + block->used;

	block->used += size;
	return (at);
}

void *
arena_alloc(struct arena *a, size_t size)
{
	struct arena_block *newest = a->newest, *block;

	if (size > SIZE_MAX - alignof(max_align_t))
		return (NULL);
	if (size == 0)
		size = 1;
	size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (newest != NULL && newest->size - newest->used >= size)
		return (take(newest, size));

	block = block_new(size > LARGE_BYTES ? size
					     : BLOCK_BYTES - sizeof(*block));
	if (block == NULL)
		return (NULL);
	if (size > LARGE_BYTES && newest != NULL) {
		/* Behind the newest, whose rest stays in use. */
		block->older = newest->older;
		newest->older = block;
	} else {
		block->older = newest;
		a->newest = block;
	}
	return (take(block, size));
}

struct bytes
arena_copy(struct arena *a, struct bytes b)
{
	char *at;

	if (b.len == SIZE_MAX)
		return ((struct bytes){ NULL, 0 });
	at = arena_alloc(a, b.len + 1);
	if (at == NULL)
		return ((struct bytes){ NULL, 0 });
	if (b.len > 0)
		memcpy(at, b.at, b.len);
	at[b.len] = '\0';
	return ((struct bytes){ at, b.len });
}

void
arena_fini(struct arena *a)
{
	struct arena_block *block = a->newest, *older;

	for (; block != NULL; block = older) {
		older = block->older;
		free(block);
	}
	a->newest = NULL;
}
