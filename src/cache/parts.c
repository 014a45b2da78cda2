/* SPDX-License-Identifier: MIT */
#include "parts.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/lock.h"

#include <stdatomic.h>
#include <stdlib.h>

#define PATIENCE_MS 1000 /* at least, once the first part is there */

struct slot {
	struct parts *home;
	unsigned index;
};

struct parts {
	struct cache_part of[PARTS_MAX];
	struct slot slots[PARTS_MAX];
	unsigned count;
	atomic_uint references;
	struct timers *timers;
	int64_t began_ms;
	struct lock lock;
	unsigned missing; /* under the lock, as is the rest */
	bool patience_ends, closed;
	void (*there)(void *arg);
	void *arg;
};

struct cache_query
cache_part_query(const struct cache_part *part, enum cache_demand demand,
		 int64_t deadline_ms)
{
	return ((struct cache_query){
		.key = buf_bytes(&part->key),
		.log_key = buf_bytes(&part->log_key),
		.arguments = buf_bytes(&part->arguments),
		.policy = part->policy,
		.source = part->source,
		.demand = demand,
		.deadline_ms = deadline_ms,
	});
}

void
cache_part_fini(struct cache_part *part)
{
	entry_unref(part->answer.entry);
	part->answer.entry = NULL;
	buf_fini(&part->key);
	buf_fini(&part->log_key);
	buf_fini(&part->arguments);
}

static void
drop(struct parts *p)
{
	unsigned i;

	if (atomic_fetch_sub(&p->references, 1) != 1)
		return;
	for (i = 0; i < p->count; i++)
		cache_part_fini(&p->of[i]);
	lock_fini(&p->lock);
	free(p);
}

static void
lose_patience(void *arg)
{
	struct parts *p = arg;
	bool ends;

	lock_take(&p->lock);
	ends = !p->closed;
	p->closed = true;
	lock_give(&p->lock);
	if (ends)
		p->there(p->arg);
	drop(p);
}

/* The first part is there: the others get as long again.  The lock is held. */
static void
start_patience(struct parts *p)
{
	int64_t took_ms = clock_monotonic_ms() - p->began_ms;

	p->patience_ends = true;
	atomic_fetch_add(&p->references, 1);
	/* Without a timer their own deadlines end it. */
	if (timer_after(p->timers,
			took_ms > PATIENCE_MS ? took_ms : PATIENCE_MS,
			lose_patience, p) != R_OK)
		atomic_fetch_sub(&p->references, 1);
}

static void
part_done(void *arg, const struct cache_answer *answer)
{
	struct slot *slot = arg;
	struct parts *p = slot->home;
	struct entry *late = NULL;
	bool ends = false;

	lock_take(&p->lock);
	if (p->closed) {
		late = answer->entry;
	} else {
		p->of[slot->index].answer = *answer;
		ends = p->closed = --p->missing == 0;
		if (!ends && !p->patience_ends && answer->result == R_OK)
			start_patience(p);
	}
	lock_give(&p->lock);
	entry_unref(late);
	if (ends)
		p->there(p->arg);
	drop(p);
}

bool
parts_fetch(struct flights *fs, struct timers *timers,
	    const struct cache_query *whole, const struct cache_load *load,
	    void (*there)(void *arg), void *arg, struct parts **out)
{
	const struct cache_source *source = whole->source;
	struct parts *p = mem_alloc(sizeof(*p));
	struct cache_query q;
	unsigned i;

	if (p == NULL)
		return (false);
	lock_init(&p->lock, LOCK_PARTS);
	atomic_init(&p->references, 1);
	p->count = source->list_parts(source->context, load, p->of);
	if (p->count == 0) {
		drop(p);
		return (false);
	}
	*out = p;
	p->timers = timers;
	p->began_ms = clock_monotonic_ms();
	p->missing = p->count;
	p->there = there;
	p->arg = arg;
	atomic_store(&p->references, 2 + p->count);
	for (i = 0; i < p->count; i++) {
		p->of[i].answer.result = R_TIMEOUT;
		p->slots[i] = (struct slot){ p, i };
	}
	for (i = 0; i < p->count; i++) {
		q = cache_part_query(&p->of[i], whole->demand,
				     load->deadline_ms);
		if (q.policy->ttl_ms == 0)
			flight_bypass(fs, &q, part_done, &p->slots[i]);
		else
			flight_join(fs, &q, part_done, &p->slots[i]);
	}
	drop(p);
	return (true);
}

const struct cache_part *
parts_list(const struct parts *p, unsigned *count)
{
	*count = p == NULL ? 0 : p->count;
	return (p == NULL ? NULL : p->of);
}

void
parts_limit(const struct parts *p, struct lifetime *life, int64_t *fence)
{
	const struct entry *e;
	unsigned i;

	for (i = 0; p != NULL && i < p->count; i++) {
		if ((e = p->of[i].answer.entry) == NULL)
			continue;
		if (e->fence < *fence)
			*fence = e->fence;
		if (e->life.refresh_at_ms < life->refresh_at_ms)
			life->refresh_at_ms = e->life.refresh_at_ms;
		if (e->life.fresh_until_ms < life->fresh_until_ms)
			life->fresh_until_ms = e->life.fresh_until_ms;
		if (e->life.stale_until_ms < life->stale_until_ms)
			life->stale_until_ms = e->life.stale_until_ms;
	}
}

void
parts_free(struct parts *p)
{
	if (p != NULL)
		drop(p);
}
