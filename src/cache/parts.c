/* SPDX-License-Identifier: MIT */
#include "parts.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/lock.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 4000 /* at least, once the first part is there */

struct slot {
	struct parts *home;
	unsigned index;
	enum cache_demand demand;
};

struct parts {
	struct cache_part of[PARTS_MAX];
	struct slot slots[PARTS_MAX];
	unsigned count;
	atomic_uint references;
	struct parts_options options;
	int64_t began_ms, deadline_ms;
	struct lock lock;
	unsigned missing; /* under the lock, as is the rest */
	bool patience_ends, closed;
};

static void
drop(struct parts *p)
{
	unsigned i;

	if (atomic_fetch_sub(&p->references, 1) != 1)
		return;
	/* All: one that could not be listed whole may hold something, too. */
	for (i = 0; i < PARTS_MAX; i++)
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
		p->options.there(p->options.arg);
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
	if (timer_after(p->options.timers,
			took_ms > PATIENCE_MS ? took_ms : PATIENCE_MS,
			lose_patience, p) != R_OK)
		atomic_fetch_sub(&p->references, 1);
}

static void part_done(void *arg, const struct cache_answer *answer);

static void
ask(struct slot *slot)
{
	struct parts *p = slot->home;
	const struct cache_query q = cache_part_query(&p->of[slot->index],
						      slot->demand,
						      p->deadline_ms);

	p->options.fetch(p->options.fetcher, &q, part_done, slot);
}

static void
part_done(void *arg, const struct cache_answer *answer)
{
	struct slot *slot = arg;
	struct parts *p = slot->home;
	struct entry *late = NULL;
	bool ends = false;

	/* What cannot be had new is better old than missing. */
	if (answer->result != R_OK && slot->demand == CACHE_NEW) {
		slot->demand = CACHE_USUAL;
		ask(slot);
		return;
	}
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
		p->options.there(p->options.arg);
	drop(p);
}

bool
parts_fetch(const struct cache_query *whole, const struct cache_load *load,
	    const struct parts_options *options, struct parts **out)
{
	const struct cache_source *source = whole->source;
	struct parts *p = mem_alloc(sizeof(*p));
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
	p->options = *options;
	p->began_ms = clock_monotonic_ms();
	p->deadline_ms = load->deadline_ms;
	p->missing = p->count;
	atomic_store(&p->references, 2 + p->count);
	for (i = 0; i < p->count; i++) {
		p->of[i].answer.result = R_TIMEOUT;
		p->slots[i] = (struct slot){ p, i, whole->demand };
	}
	for (i = 0; i < p->count; i++)
		ask(&p->slots[i]);
	drop(p);
	return (true);
}

const struct cache_part *
parts_list(const struct parts *p, unsigned *count)
{
	*count = p == NULL ? 0 : p->count;
	return (p == NULL ? NULL : p->of);
}

/* The position up to which no record matches a part's value. */
static int64_t
reaches(const struct parts *p, const struct entry *e)
{
	struct entry *held = memory_look(p->options.memory, e->key);
	int64_t reached = e->fence;

	if (held != NULL && reached < p->options.since &&
	    held->life.fresh_until_ms > clock_wall_ms() &&
	    strcmp(held->etag, e->etag) == 0)
		reached = p->options.since;
	entry_unref(held);
	return (reached);
}

void
parts_limit(const struct parts *p, struct lifetime *life, int64_t *fence)
{
	const struct entry *e;
	int64_t reached;
	unsigned i;

	for (i = 0; p != NULL && i < p->count; i++) {
		if ((e = p->of[i].answer.entry) == NULL)
			continue;
		if ((reached = reaches(p, e)) < *fence)
			*fence = reached;
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
