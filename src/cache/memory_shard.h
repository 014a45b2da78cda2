/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_SHARD_H
#define MEMORY_SHARD_H

#include "../base/result.h"
#include "entry.h"
#include "memory_families.h"

/*
 * memory_shard: one shard of the memory tier: an open hash table, and the S3-FIFO
 * queues that say what goes first.  Not locked: its holder sees to that.
 *
 * A node stands for one entry and is named by its number, 0 being none; numbers
 * are good until the node is removed.  The shard owns one reference to each entry.
 * What is taken out waits in a list of its own until memory_shard_sweep(), so that
 * the holder can free it once the lock is given back.
 */
struct memory_shard_queue {
	uint32_t newest, oldest;
	size_t count, bytes;
};

struct memory_shard {
	struct memory_shard_slot *slots;
	size_t mask; /* slots - 1 */
	size_t count, bytes;
	struct memory_shard_node *nodes;
	uint32_t nodes_size, nodes_used; /* the used ones include the spare */
	uint32_t spare, removed;	 /* lists of nodes */
	struct memory_shard_queue small, main;
	uint64_t *ghosts; /* as many as half the slots */
	uint32_t evictions;
	struct memory_families families;
};

/* A shard begins as all zero. */
void memory_shard_fini(struct memory_shard *s);

/* The node of `key`, or 0. */
uint32_t memory_shard_find(const struct memory_shard *s, struct bytes key,
			   uint64_t hash);

/* Its entry, which stays the shard's. */
struct entry *memory_shard_entry(const struct memory_shard *s, uint32_t node);

/* Note that it has been used. */
void memory_shard_hit(struct memory_shard *s, uint32_t node);

/* Add an entry whose key is not there, taking over the caller's reference.
 * R_NO_MEMORY: it remains the caller's. */
MUST_USE enum result memory_shard_add(struct memory_shard *s, struct entry *e,
				      uint64_t hash);

/* Put `e` in a node's place; returns the old entry and its reference. */
MUST_USE struct entry *memory_shard_replace(struct memory_shard *s,
					    uint32_t node, struct entry *e);

void memory_shard_remove(struct memory_shard *s, uint32_t node);

/* Remove what is worth least, but never `keep` (0: anything).  False:
 * nothing is left, or all has been used lately; after a few calls it will
 * not count as used. */
bool memory_shard_evict(struct memory_shard *s, uint32_t keep);

/* The first node at `*slot` or later whose key begins with `prefix`, and
 * where it is; 0 at the end.  Step over it, unless it has been removed. */
uint32_t memory_shard_next(const struct memory_shard *s, struct bytes prefix,
			   size_t *slot);

/* Hand over at most `room` references to removed entries. */
size_t memory_shard_sweep(struct memory_shard *s, struct entry **gone,
			  size_t room);

/* What an entry counts, bookkeeping included. */
size_t memory_shard_cost(const struct entry *e);

#endif
