/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/lock.h"
#include "../base/random.h"
#include "memory_shard.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS_LOG2 4
#define SHARDS (1u << SHARDS_LOG2)
#define SWEEP 64
#define FAILURES_MAX (6 * SHARDS) /* by then no hit counts any more */

/*
 * The bound is on all shards together, so that one entry may be larger than any
 * shard's part.  Shards are evicted from in turn, one lock at a time; so for a
 * moment the total may be over the bound by what has just been put in.
 */
struct shard {
	struct lock lock;
	struct memory_shard table;
	size_t counted; /* of table.bytes, in the total */
};

struct memory {
	size_t max_bytes;
	uint64_t seed; /* so that nobody can choose keys that collide */
	atomic_size_t bytes;
	atomic_uint hand; /* the shard to evict from next */
	struct shard shards[SHARDS];
};

struct memory *
memory_new(size_t max_bytes)
{
	struct memory *m = mem_alloc(sizeof(*m));

	if (m == NULL)
		return (NULL);
	m->max_bytes = max_bytes;
	random_fill(&m->seed, sizeof(m->seed));
	for (unsigned i = 0; i < SHARDS; i++)
		lock_init(&m->shards[i].lock, LOCK_MEMORY);
	return (m);
}

void
memory_free(struct memory *m)
{
	if (m == NULL)
		return;
	for (unsigned i = 0; i < SHARDS; i++) {
		memory_shard_fini(&m->shards[i].table);
		lock_fini(&m->shards[i].lock);
	}
	free(m);
}

static uint64_t
hash_of(const struct memory *m, struct bytes key)
{
	return (bytes_hash_seeded(key, m->seed));
}

/* The upper bits choose the shard, the lower ones the place in it. */
static struct shard *
enter(struct memory *m, uint64_t hash)
{
	struct shard *s = &m->shards[hash >> (64 - SHARDS_LOG2)];

	lock_take(&s->lock);
	return (s);
}

/* Settle the account, give the lock back, and only then free what was
 * removed. */
static void
leave(struct memory *m, struct shard *s)
{
	struct entry *gone[SWEEP];
	size_t n;

	for (;;) {
		n = memory_shard_sweep(&s->table, gone, SWEEP);
		atomic_fetch_add_explicit(&m->bytes,
					  s->table.bytes - s->counted,
					  memory_order_relaxed);
		s->counted = s->table.bytes;
		lock_give(&s->lock);
		for (size_t i = 0; i < n; i++)
			entry_unref(gone[i]);
		if (n < SWEEP)
			return;
		lock_take(&s->lock);
	}
}

struct entry *
memory_get(struct memory *m, struct bytes key)
{
	uint64_t hash = hash_of(m, key);
	int64_t now_ms = clock_wall_ms();
	struct shard *s = enter(m, hash);
	uint32_t node = memory_shard_find(&s->table, key, hash);
	struct entry *e = NULL;

	if (node != 0) {
		e = memory_shard_entry(&s->table, node);
		if (e->life.stale_until_ms <= now_ms) {
			memory_shard_remove(&s->table, node);
			leave(m, s);
			return (NULL);
		}
		memory_shard_hit(&s->table, node);
		e = entry_ref(e);
	}
	lock_give(&s->lock);
	return (e);
}

struct entry *
memory_look(struct memory *m, struct bytes key)
{
	uint64_t hash = hash_of(m, key);
	struct shard *s = enter(m, hash);
	uint32_t node = memory_shard_find(&s->table, key, hash);
	struct entry *e = NULL;

	if (node != 0)
		e = entry_ref(memory_shard_entry(&s->table, node));
	lock_give(&s->lock);
	return (e);
}

/* May `e` take the place of `old`?  Of one and the same load, the copy that
 * expires first knows more: it has been softly invalidated. */
static bool
supersedes(const struct entry *e, const struct entry *old)
{
	if (e->fence != old->fence)
		return (e->fence > old->fence);
	if (e->life.loaded_at_ms != old->life.loaded_at_ms)
		return (e->life.loaded_at_ms > old->life.loaded_at_ms);
	return (strcmp(e->etag, old->etag) != 0 ||
		e->life.fresh_until_ms < old->life.fresh_until_ms);
}

/* Returns a reference that is to be dropped without the lock, or NULL. */
static struct entry *
put_locked(struct memory *m, struct memory_shard *s, struct entry *e,
	   uint64_t hash)
{
	uint32_t node = memory_shard_find(s, e->key, hash);
	bool fits = memory_shard_cost(e) <= m->max_bytes;

	if (node != 0 && !supersedes(e, memory_shard_entry(s, node)))
		return (NULL);
	if (node != 0 && fits)
		return (memory_shard_replace(s, node, entry_ref(e)));
	if (node != 0)
		memory_shard_remove(s, node);
	if (!fits)
		return (NULL);
	e = entry_ref(e);
	return (memory_shard_add(s, e, hash) == R_OK ? NULL : e);
}

/* Evict until the bound holds; but not `put`, if that is not NULL, and first
 * from where it has been put, so that shards keep their proportions. */
static void
shrink(struct memory *m, const struct entry *put, uint64_t hash)
{
	unsigned own = (unsigned)(hash >> (64 - SHARDS_LOG2)), at = own;
	unsigned failures = 0;
	struct shard *s;
	uint32_t keep;

	while (atomic_load_explicit(&m->bytes, memory_order_relaxed) >
		       m->max_bytes &&
	       failures < FAILURES_MAX) {
		s = &m->shards[at];
		lock_take(&s->lock);
		keep = 0;
		if (put != NULL && at == own)
			keep = memory_shard_find(&s->table, put->key, hash);
		if (memory_shard_evict(&s->table, keep))
			failures = 0;
		else
			failures++;
		leave(m, s);
		at = atomic_fetch_add_explicit(&m->hand, 1,
					       memory_order_relaxed) %
		     SHARDS;
	}
}

void
memory_put(struct memory *m, struct entry *e)
{
	uint64_t hash = hash_of(m, e->key);
	struct entry *old;
	struct shard *s;

	if (e->life.stale_until_ms <= clock_wall_ms())
		return;
	s = enter(m, hash);
	old = put_locked(m, &s->table, e, hash);
	leave(m, s);
	entry_unref(old);
	shrink(m, e, hash);
}

/* Make the entry stale from now on.  Where memory is short it goes
 * altogether. */
static void
expire(struct memory_shard *s, uint32_t node, int64_t now_ms)
{
	const struct entry *old = memory_shard_entry(s, node);
	struct lifetime life = old->life;
	struct entry *e;

	lifetime_expire(&life, now_ms);
	if (life.stale_until_ms <= now_ms ||
	    entry_renew(old, &life, old->fence, old->cost_ms, &e) != R_OK) {
		memory_shard_remove(s, node);
		return;
	}
	/* The bytes live on in `e`, so this frees a few hundred at most. */
	entry_unref(memory_shard_replace(s, node, e));
}

static bool
drop(struct memory_shard *s, uint32_t node, int64_t position,
     enum memory_drop how)
{
	const struct entry *e = memory_shard_entry(s, node);
	int64_t now_ms;

	if (e->fence >= position)
		return (false);
	if (how == MEMORY_DROP_HARD) {
		memory_shard_remove(s, node);
		return (true);
	}
	now_ms = clock_wall_ms();
	if (e->life.fresh_until_ms <= now_ms)
		return (false);
	expire(s, node, now_ms);
	return (true);
}

size_t
memory_drop_key(struct memory *m, struct bytes key, int64_t position,
		enum memory_drop how)
{
	uint64_t hash = hash_of(m, key);
	struct shard *s = enter(m, hash);
	uint32_t node = memory_shard_find(&s->table, key, hash);
	size_t dropped = 0;

	if (node != 0 && drop(&s->table, node, position, how))
		dropped = 1;
	leave(m, s);
	return (dropped);
}

static size_t
drop_prefix(struct memory_shard *s, struct bytes prefix, int64_t position,
	    enum memory_drop how)
{
	size_t slot = 0, dropped = 0, count;
	uint32_t node;

	while ((node = memory_shard_next(s, prefix, &slot)) != 0) {
		count = s->count;
		if (drop(s, node, position, how))
			dropped++;
		if (s->count == count) /* else another may have moved here */
			slot++;
	}
	return (dropped);
}

size_t
memory_drop_prefix(struct memory *m, struct bytes prefix, int64_t position,
		   enum memory_drop how)
{
	size_t dropped = 0;

	for (unsigned i = 0; i < SHARDS; i++) {
		lock_take(&m->shards[i].lock);
		dropped +=
			drop_prefix(&m->shards[i].table, prefix, position, how);
		leave(m, &m->shards[i]);
	}
	shrink(m, NULL, 0); /* a stale copy is larger than what it stands for */
	return (dropped);
}

size_t
memory_count(struct memory *m)
{
	size_t count = 0;

	for (unsigned i = 0; i < SHARDS; i++) {
		lock_take(&m->shards[i].lock);
		count += m->shards[i].table.count;
		lock_give(&m->shards[i].lock);
	}
	return (count);
}

size_t
memory_bytes(struct memory *m)
{
	return (atomic_load_explicit(&m->bytes, memory_order_relaxed));
}

void
memory_survey(struct memory *m, struct memory_families *out)
{
	*out = (struct memory_families){ 0 };
	for (unsigned i = 0; i < SHARDS; i++) {
		lock_take(&m->shards[i].lock);
		memory_families_sum(out, &m->shards[i].table.families);
		lock_give(&m->shards[i].lock);
	}
}
