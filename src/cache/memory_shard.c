/* SPDX-License-Identifier: MIT */
#include "memory_shard.h"

#include "../base/alloc.h"

#include <stdlib.h>

#define SLOTS_FIRST 64
#define NODES_FIRST 48
#define HITS_MAX 3
#define SMALL_SHARE 10	  /* the small queue's part of all bytes: one in */
#define CHANCES_MAX 128	  /* second chances given in one eviction */
#define GHOSTS_PER_HASH 4 /* places where a ghost may stand */
#define ALLOCATOR_BYTES 16

enum { IN_SMALL, IN_MAIN };

struct memory_shard_slot {
	uint64_t hash;
	uint32_t node;	   /* 0: free */
	uint32_t families; /* see families_of() */
};

struct memory_shard_node {
	struct entry *entry;
	uint64_t hash;
	uint32_t newer, older; /* `older` also links spare and removed nodes */
	uint8_t queue, hits, family;
};

/*
 * Keys are read as "family:member:...".  A slot keeps 16 bits of a hash of the first
 * and of the first two parts, so that dropping a prefix need not visit the entries
 * of other families: these are many, and each would cost several cache misses.
 */
struct families {
	uint32_t bits, mask;
};

static struct families
families_of(struct bytes key)
{
	struct families f = { 0, 0 };
	ptrdiff_t first = bytes_find(key, ':'), second;

	if (first < 0)
		return (f);
	f.bits = bytes_hash((struct bytes){ key.at, (size_t)first }) & 0xffff;
	f.mask = 0xffff;
	second = bytes_find(bytes_from(key, (size_t)first + 1), ':');
	if (second < 0)
		return (f);
	key.len = (size_t)(first + 1 + second);
	f.bits |= (uint32_t)(bytes_hash(key) & 0xffff) << 16;
	f.mask = 0xffffffff;
	return (f);
}

size_t
memory_shard_cost(const struct entry *e)
{
	/* Tables are between three eighths and three quarters full. */
	return (e->size_bytes + ALLOCATOR_BYTES +
		sizeof(struct memory_shard_node) +
		2 * sizeof(struct memory_shard_slot) + sizeof(uint64_t));
}

void
memory_shard_fini(struct memory_shard *s)
{
	for (size_t i = 0; s->slots != NULL && i <= s->mask; i++)
		if (s->slots[i].node != 0)
			entry_unref(s->nodes[s->slots[i].node].entry);
	while (s->removed != 0) {
		entry_unref(s->nodes[s->removed].entry);
		s->removed = s->nodes[s->removed].older;
	}
	free(s->slots);
	free(s->nodes);
	free(s->ghosts);
	*s = (struct memory_shard){ 0 };
}

uint32_t
memory_shard_find(const struct memory_shard *s, struct bytes key, uint64_t hash)
{
	const struct memory_shard_slot *slot;

	if (s->slots == NULL)
		return (0);
	for (size_t i = hash & s->mask;; i = (i + 1) & s->mask) {
		slot = &s->slots[i];
		if (slot->node == 0)
			return (0);
		if (slot->hash == hash &&
		    bytes_equal(s->nodes[slot->node].entry->key, key))
			return (slot->node);
	}
}

struct entry *
memory_shard_entry(const struct memory_shard *s, uint32_t node)
{
	return (s->nodes[node].entry);
}

void
memory_shard_hit(struct memory_shard *s, uint32_t node)
{
	if (s->nodes[node].hits < HITS_MAX)
		s->nodes[node].hits++;
}

static struct memory_shard_queue *
queue_of(struct memory_shard *s, const struct memory_shard_node *n)
{
	return (n->queue == IN_SMALL ? &s->small : &s->main);
}

/* Append to the queue that the node names. */
static void
enqueue(struct memory_shard *s, uint32_t node)
{
	struct memory_shard_node *n = &s->nodes[node];
	struct memory_shard_queue *q = queue_of(s, n);

	n->newer = 0;
	n->older = q->newest;
	if (q->newest != 0)
		s->nodes[q->newest].newer = node;
	else
		q->oldest = node;
	q->newest = node;
	q->count++;
	q->bytes += memory_shard_cost(n->entry);
}

static void
dequeue(struct memory_shard *s, uint32_t node)
{
	struct memory_shard_node *n = &s->nodes[node];
	struct memory_shard_queue *q = queue_of(s, n);

	if (n->newer != 0)
		s->nodes[n->newer].older = n->older;
	else
		q->newest = n->older;
	if (n->older != 0)
		s->nodes[n->older].newer = n->newer;
	else
		q->oldest = n->newer;
	q->count--;
	q->bytes -= memory_shard_cost(n->entry);
}

/*
 * Ghosts: a word each, half of the hash above the number of the eviction; 0 is none.
 * They may stand in any of a few neighbouring places.
 */
static uint64_t *
ghosts_of(const struct memory_shard *s, uint64_t hash)
{
	size_t groups = (s->mask + 1) / 2 / GHOSTS_PER_HASH;

	return (s->ghosts + (hash & (groups - 1)) * GHOSTS_PER_HASH);
}

static uint32_t
ghost_age(const struct memory_shard *s, uint64_t ghost)
{
	return (ghost == 0 ? UINT32_MAX : s->evictions - (uint32_t)ghost);
}

static void
ghost_add(struct memory_shard *s, uint64_t hash)
{
	uint64_t *ghosts = ghosts_of(s, hash), *oldest = ghosts;

	for (size_t i = 1; i < GHOSTS_PER_HASH; i++)
		if (ghost_age(s, ghosts[i]) > ghost_age(s, *oldest))
			oldest = &ghosts[i];
	s->evictions++;
	*oldest = (hash & 0xffffffff00000000) | s->evictions;
}

/* Was it evicted lately: no longer ago than as many evictions as there are
 * entries? */
static bool
ghost_take(struct memory_shard *s, uint64_t hash)
{
	uint64_t *ghosts = ghosts_of(s, hash);

	for (size_t i = 0; i < GHOSTS_PER_HASH; i++) {
		if (ghosts[i] >> 32 != hash >> 32 ||
		    ghost_age(s, ghosts[i]) > s->count)
			continue;
		ghosts[i] = 0;
		return (true);
	}
	return (false);
}

static void
place(struct memory_shard_slot *slots, size_t mask,
      const struct memory_shard_slot *slot)
{
	size_t i = slot->hash & mask;

	while (slots[i].node != 0)
		i = (i + 1) & mask;
	slots[i] = *slot;
}

/* Twice the slots.  The ghosts are lost; a shard that grows evicts little. */
static enum result
grow_slots(struct memory_shard *s)
{
	size_t size = s->slots == NULL ? SLOTS_FIRST : 2 * (s->mask + 1);
	struct memory_shard_slot *slots = mem_alloc(size * sizeof(*slots));
	uint64_t *ghosts = mem_alloc(size / 2 * sizeof(*ghosts));

	if (slots == NULL || ghosts == NULL) {
		free(slots);
		free(ghosts);
		return (R_NO_MEMORY);
	}
	for (size_t i = 0; s->slots != NULL && i <= s->mask; i++)
		if (s->slots[i].node != 0)
			place(slots, size - 1, &s->slots[i]);
	free(s->slots);
	free(s->ghosts);
	s->slots = slots;
	s->ghosts = ghosts;
	s->mask = size - 1;
	return (R_OK);
}

static enum result
grow_nodes(struct memory_shard *s)
{
	uint64_t size = s->nodes_size + (uint64_t)s->nodes_size / 2;
	struct memory_shard_node *nodes;

	if (size == 0)
		size = NODES_FIRST;
	if (size > UINT32_MAX)
		return (R_NO_MEMORY);
	nodes = mem_grow(s->nodes, (size_t)size * sizeof(*nodes));
	if (nodes == NULL)
		return (R_NO_MEMORY);
	if (s->nodes_used == 0)
		s->nodes_used = 1; /* 0 is no node */
	s->nodes = nodes;
	s->nodes_size = (uint32_t)size;
	return (R_OK);
}

static uint32_t
take_node(struct memory_shard *s)
{
	uint32_t node = s->spare;

	if (node != 0) {
		s->spare = s->nodes[node].older;
		return (node);
	}
	return (s->nodes_used++);
}

/* Entries and bytes more, or less, modulo the size of a size_t. */
static void
account(struct memory_shard *s, const struct memory_shard_node *n,
	size_t entries, size_t bytes)
{
	struct memory_family *f = &s->families.of[n->family];

	s->count += entries;
	s->bytes += bytes;
	f->entries += entries;
	f->bytes += bytes;
}

enum result
memory_shard_add(struct memory_shard *s, struct entry *e, uint64_t hash)
{
	struct memory_shard_slot slot = { .hash = hash };
	struct memory_shard_node *n;

	if ((s->slots == NULL || (s->count + 1) * 4 > (s->mask + 1) * 3) &&
	    grow_slots(s) != R_OK)
		return (R_NO_MEMORY);
	if (s->spare == 0 && s->nodes_used == s->nodes_size &&
	    grow_nodes(s) != R_OK)
		return (R_NO_MEMORY);
	slot.node = take_node(s);
	slot.families = families_of(e->key).bits;
	place(s->slots, s->mask, &slot);
	n = &s->nodes[slot.node];
	*n = (struct memory_shard_node){ .entry = e, .hash = hash };
	n->queue = ghost_take(s, hash) ? IN_MAIN : IN_SMALL;
	n->family = (uint8_t)memory_families_of(&s->families, e->key);
	enqueue(s, slot.node);
	account(s, n, 1, memory_shard_cost(e));
	return (R_OK);
}

struct entry *
memory_shard_replace(struct memory_shard *s, uint32_t node, struct entry *e)
{
	struct memory_shard_node *n = &s->nodes[node];
	struct memory_shard_queue *q = queue_of(s, n);
	struct entry *old = n->entry;
	size_t more = memory_shard_cost(e), less = memory_shard_cost(old);

	n->entry = e;
	q->bytes += more - less;
	account(s, n, 0, more - less);
	return (old);
}

/* Free the node's slot and close the gap: what stands behind it may move up, if
 * that does not lead it past its own first place. */
static void
free_slot(struct memory_shard *s, uint32_t node)
{
	struct memory_shard_slot *slots = s->slots;
	size_t gap = s->nodes[node].hash & s->mask, i;

	while (slots[gap].node != node)
		gap = (gap + 1) & s->mask;
	for (i = (gap + 1) & s->mask; slots[i].node != 0;
	     i = (i + 1) & s->mask) {
		size_t travelled = (i - slots[i].hash) & s->mask;

		if (travelled < ((i - gap) & s->mask))
			continue;
		slots[gap] = slots[i];
		gap = i;
	}
	slots[gap] = (struct memory_shard_slot){ 0 };
}

void
memory_shard_remove(struct memory_shard *s, uint32_t node)
{
	struct memory_shard_node *n = &s->nodes[node];

	free_slot(s, node);
	dequeue(s, node);
	account(s, n, (size_t)-1, 0 - memory_shard_cost(n->entry));
	n->older = s->removed;
	s->removed = node;
}

static uint32_t
oldest_but(const struct memory_shard *s, const struct memory_shard_queue *q,
	   uint32_t keep)
{
	uint32_t node = q->oldest;

	return (node != 0 && node == keep ? s->nodes[node].newer : node);
}

/* Who is next to go, or to be given another chance. */
static uint32_t
candidate(const struct memory_shard *s, uint32_t keep)
{
	bool small = s->main.count == 0 ||
		     s->small.bytes >= s->bytes / SMALL_SHARE;
	uint32_t node = oldest_but(s, small ? &s->small : &s->main, keep);

	if (node == 0)
		node = oldest_but(s, small ? &s->main : &s->small, keep);
	return (node);
}

/*
 * The oldest of the small queue leaves, unless it has been used: then it is
 * promoted.  The oldest of the main queue leaves, unless it has been used: then it
 * goes round again, with one use less.  When all have gone round, other shards
 * may have something less used, which should go first.
 */
bool
memory_shard_evict(struct memory_shard *s, uint32_t keep)
{
	size_t moved = 0; /* to the end of main, in this call */

	for (unsigned chances = 0;; chances++) {
		uint32_t node = s->count == 0 ? 0 : candidate(s, keep);
		struct memory_shard_node *n = &s->nodes[node];

		/* Who was moved has had no time to be asked for again. */
		if (node == 0 ||
		    (n->queue == IN_MAIN && moved >= s->main.count))
			return (false);
		if (n->hits == 0 || chances >= CHANCES_MAX) {
			if (n->queue == IN_SMALL)
				ghost_add(s, n->hash);
			memory_shard_remove(s, node);
			return (true);
		}
		moved++;
		dequeue(s, node);
		n->hits = n->queue == IN_SMALL ? 1 : (uint8_t)(n->hits - 1);
		n->queue = IN_MAIN;
		enqueue(s, node);
	}
}

uint32_t
memory_shard_next(const struct memory_shard *s, struct bytes prefix,
		  size_t *slot)
{
	struct families f = families_of(prefix);
	const struct memory_shard_slot *at;

	for (; s->slots != NULL && *slot <= s->mask; (*slot)++) {
		at = &s->slots[*slot];
		if (at->node != 0 && ((at->families ^ f.bits) & f.mask) == 0 &&
		    bytes_starts(s->nodes[at->node].entry->key, prefix))
			return (at->node);
	}
	return (0);
}

size_t
memory_shard_sweep(struct memory_shard *s, struct entry **gone, size_t room)
{
	size_t n = 0;

	while (n < room && s->removed != 0) {
		uint32_t node = s->removed;

		gone[n++] = s->nodes[node].entry;
		s->removed = s->nodes[node].older;
		s->nodes[node].older = s->spare;
		s->spare = node;
	}
	return (n);
}
