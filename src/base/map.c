/* SPDX-License-Identifier: MIT */
#include "map.h"

#include "alloc.h"
#include "random.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Open addressing with linear probing.  A removed item leaves a marker, so that a walk
 * may remove what it stands on; the markers go when the table is built anew.  The hash
 * is seeded, so that nobody outside can choose keys that collide.
 */
#define SMALLEST 16

struct slot {
	struct bytes key;
	uint64_t hash;
	void *item; /* NULL: empty, or removed when key.at is not NULL */
};

struct map {
	struct slot *slots;
	size_t size;  /* a power of two, or 0 */
	size_t count; /* items */
	size_t taken; /* items and markers */
	uint64_t seed;
};

static char removed[1];

static bool
is_empty(const struct slot *s)
{
	return (s->item == NULL && s->key.at == NULL);
}

struct map *
map_new(void)
{
	struct map *m = mem_alloc(sizeof(*m));

	if (m != NULL)
		m->seed = random_cheap();
	return (m);
}

void
map_free(struct map *m)
{
	if (m == NULL)
		return;
	free(m->slots);
	free(m);
}

static struct slot *
find(const struct map *m, struct bytes key, uint64_t hash)
{
	size_t mask = m->size - 1;

	if (m->count == 0)
		return (NULL);
	for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
		struct slot *s = &m->slots[i];

		if (is_empty(s))
			return (NULL);
		if (s->item != NULL && s->hash == hash &&
		    bytes_equal(s->key, key))
			return (s);
	}
}

/* The first slot on the way of `hash` that holds no item. */
static struct slot *
find_free(struct slot *slots, size_t size, uint64_t hash)
{
	size_t i = (size_t)hash & (size - 1);

	while (slots[i].item != NULL)
		i = (i + 1) & (size - 1);
	return (&slots[i]);
}

/* Make sure that one more fits, with at least a quarter of the table empty. */
static enum result
make_room(struct map *m)
{
	size_t size = SMALLEST;
	struct slot *slots;

	if (m->size > 0 && m->taken < m->size / 4 * 3)
		return (R_OK);
	while (size / 2 <= m->count)
		size *= 2;
	if (size > SIZE_MAX / sizeof(*slots))
		return (R_NO_MEMORY);
	slots = mem_alloc(size * sizeof(*slots));
	if (slots == NULL)
		return (R_NO_MEMORY);
	for (size_t i = 0; i < m->size; i++)
		if (m->slots[i].item != NULL)
			*find_free(slots, size, m->slots[i].hash) = m->slots[i];
	free(m->slots);
	m->slots = slots;
	m->size = size;
	m->taken = m->count;
	return (R_OK);
}

void *
map_get(const struct map *m, struct bytes key)
{
	struct slot *s = find(m, key, bytes_hash_seeded(key, m->seed));

	return (s != NULL ? s->item : NULL);
}

enum result
map_put(struct map *m, struct bytes key, void *item)
{
	uint64_t hash = bytes_hash_seeded(key, m->seed);
	struct slot *s = find(m, key, hash);
	enum result r;

	assert(item != NULL);
	if (s != NULL) {
		s->key = key;
		s->item = item;
		return (R_OK);
	}
	r = make_room(m);
	if (r != R_OK)
		return (r);
	s = find_free(m->slots, m->size, hash);
	if (is_empty(s))
		m->taken++;
	m->count++;
	*s = (struct slot){ .key = key, .hash = hash, .item = item };
	return (R_OK);
}

void *
map_remove(struct map *m, struct bytes key)
{
	struct slot *s = find(m, key, bytes_hash_seeded(key, m->seed));
	size_t mask = m->size - 1;
	void *item;

	if (s == NULL)
		return (NULL);
	item = s->item;
	*s = (struct slot){ .key = { removed, 0 } };
	m->count--;
	/* Markers that no probe need step over any more are empty again. */
	if (is_empty(&m->slots[((size_t)(s - m->slots) + 1) & mask]))
		for (size_t i = (size_t)(s - m->slots);
		     m->slots[i].item == NULL && !is_empty(&m->slots[i]);
		     i = (i - 1) & mask) {
			m->slots[i] = (struct slot){ 0 };
			m->taken--;
		}
	return (item);
}

size_t
map_count(const struct map *m)
{
	return (m->count);
}

void *
map_next(const struct map *m, size_t *cursor)
{
	while (*cursor < m->size) {
		const struct slot *s = &m->slots[(*cursor)++];

		if (s->item != NULL)
			return (s->item);
	}
	return (NULL);
}
