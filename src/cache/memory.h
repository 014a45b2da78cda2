/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_H
#define MEMORY_H

#include "entry.h"
#include "memory_families.h"

/*
 * memory: the tier inside the process; a byte-bounded hash table in shards.
 *
 * The bound is on all shards together and counts an entry's bytes and its bookkeeping, so one entry
 * may take nearly all of it.
 *
 * Eviction is S3-FIFO (Yang et al., SOSP 2023): a small FIFO that one-hit entries
 * leave quickly, a main FIFO with lazy promotion, and a ghost list of keys lately evicted.  A hit
 * only raises a two-bit counter, so hits do not move list nodes about, and a scan does not flush the tier.
 *
 * Any thread.  No call waits for I/O.
 */
struct memory;

struct memory *memory_new(size_t max_bytes); /* NULL: no memory */
void memory_free(struct memory *m);

/* A reference to the entry of `key`, or NULL.  It may be stale, but is
 * within its grace. */
struct entry *memory_get(struct memory *m, struct bytes key);

/* The same for those who only want to know what is there: it is not a use. */
struct entry *memory_look(struct memory *m, struct bytes key);

/* Put `e` in, with a reference of the tier's own, unless what stands there
 * was loaded later or has a younger fence.  What may not be served any more,
 * or is larger than the whole tier, is not kept. */
void memory_put(struct memory *m, struct entry *e);

/* Invalidate by exact key, or by prefix ("" is all); only entries whose
 * fence is older than `position`. Soft: entries stay and are stale from now
 * on.  Returns how many were removed or made stale. */
enum memory_drop { MEMORY_DROP_HARD, MEMORY_DROP_SOFT };
size_t memory_drop_key(struct memory *m, struct bytes key, int64_t position,
		       enum memory_drop how);
size_t memory_drop_prefix(struct memory *m, struct bytes prefix,
			  int64_t position, enum memory_drop how);

size_t memory_count(struct memory *m);
size_t memory_bytes(struct memory *m);

/* What there is of each family of keys; what was put in and removed since may
 * be in one shard's part and not yet in another's. */
void memory_survey(struct memory *m, struct memory_families *out);

#endif
