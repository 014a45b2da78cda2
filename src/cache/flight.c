/* SPDX-License-Identifier: MIT */
#include "flight_state.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/map.h"

#include <stdlib.h>
#include <string.h>

bool
tiers_are_shared(const struct tiers *t)
{
	return (redis_tier_is_usable(t->redis) ||
		postgres_state(t->pg) != BREAKER_OPEN);
}

bool
tiers_trust_memory(const struct tiers *t, const struct entry *e)
{
	if (!t->near_cache && tiers_are_shared(t))
		return (false);
	return (invalidation_is_current(t->invalidation) ||
		invalidation_vouches(t->invalidation, e));
}

struct flights *
flights_new(const struct tiers *tiers, unsigned most)
{
	struct flights *fs = mem_alloc(sizeof(*fs));

	if (fs == NULL || (fs->by_key = map_new()) == NULL) {
		free(fs);
		return (NULL);
	}
	fs->tiers = *tiers;
	fs->most = most;
	lock_init(&fs->lock, LOCK_FLIGHTS);
	signal_init(&fs->landed);
	return (fs);
}

static void
flight_ref(struct flight *f)
{
	atomic_fetch_add_explicit(&f->references, 1, memory_order_relaxed);
}

static void
flight_unref(struct flight *f)
{
	if (atomic_fetch_sub_explicit(&f->references, 1,
				      memory_order_acq_rel) != 1)
		return;
	entry_unref(f->previous);
	free(f);
}

void
flights_free(struct flights *fs)
{
	struct flight *f;
	size_t cursor = 0;

	if (fs == NULL)
		return;
	while ((f = map_next(fs->by_key, &cursor)) != NULL) {
		map_remove(fs->by_key, f->query.key);
		flight_unref(f);
	}
	map_free(fs->by_key);
	signal_fini(&fs->landed);
	lock_fini(&fs->lock);
	free(fs);
}

static char *
copy(struct bytes *to, struct bytes from, char *room)
{
	memcpy(room, from.at, from.len);
	*to = (struct bytes){ room, from.len };
	return (room + from.len);
}

/* A flight with the caller's reference. */
static struct flight *
flight_new(struct flights *fs, const struct cache_query *q)
{
	struct flight *f = mem_alloc(sizeof(*f) + q->key.len + q->log_key.len +
				     q->arguments.len);
	char *room;

	if (f == NULL)
		return (NULL);
	f->home = fs;
	f->query = *q;
	room = copy(&f->query.key, q->key, f->room);
	room = copy(&f->query.log_key, q->log_key, room);
	copy(&f->query.arguments, q->arguments, room);
	f->references = 1;
	f->failure = R_OK;
	return (f);
}

void
flight_say(const struct flight *f, const char *what)
{
	if (f->home->tiers.verbose)
		log_info("[Cache] %s %.*s", what, BYTES_ARG(f->query.key));
}

void
flight_begin_step(struct flight *f)
{
	lock_take(&f->home->lock);
	if (waiters_begin_step(f->waiters) == CACHE_NEW)
		f->query.demand = CACHE_NEW;
	f->joining = JOINED_DURING;
	lock_give(&f->home->lock);
	f->since = invalidation_position(f->home->tiers.invalidation);
}

void
flight_cut(struct flight *f)
{
	lock_take(&f->home->lock);
	f->joining = JOINED_AFTER;
	lock_give(&f->home->lock);
}

void
flight_answer(struct flight *f, enum joined latest,
	      const struct cache_answer *a)
{
	struct waiter *taken;

	lock_take(&f->home->lock);
	taken = waiters_take(&f->waiters, latest);
	lock_give(&f->home->lock);
	waiters_answer(taken, a);
}

enum cache_status
flight_status_of(const struct entry *e)
{
	return (policy_judge(&e->life, clock_wall_ms()) == USE_STALE_AND_REFRESH
			? CACHE_STALE
			: CACHE_HIT);
}

/* Let who comes start anew. */
static void
forget(struct flight *f)
{
	struct flights *fs = f->home;
	bool listed;

	lock_take(&fs->lock);
	listed = map_get(fs->by_key, f->query.key) == f;
	if (listed)
		map_remove(fs->by_key, f->query.key);
	lock_give(&fs->lock);
	if (listed)
		flight_unref(f);
}

/* May the value that a landed flight still has be shown to one who comes now, whom
 * the tiers that all share have had nothing to show? */
static bool
previous_counts(const struct flight *f)
{
	const struct tiers *t = &f->home->tiers;
	const struct entry *e = f->previous;

	if (e == NULL || policy_judge(&e->life, clock_wall_ms()) == FORGET ||
	    !invalidation_allows(t->invalidation, e))
		return (false);
	if (f->rests) /* what replaces it can be made */
		return (tiers_trust_memory(t, e));
	/* Others may have been told of records that we do not know yet. */
	return (t->near_cache || !tiers_are_shared(t) ||
		(redis_tier_is_usable(t->redis) &&
		 invalidation_position(t->invalidation) >=
			 redis_tier_position(t->redis)));
}

/* What a flight that failed, or has a stale value, has to say while that counts. */
static void
answer_landed(struct flight *f, const struct cache_query *q, cache_done *done,
	      void *arg)
{
	int64_t left_ms = f->retry_at_ms - clock_monotonic_ms();
	struct cache_answer a = {
		.result = f->failure,
		.status = f->bypass ? CACHE_BYPASS : CACHE_MISS,
		.tier = CACHE_ORIGIN,
		/* Even if the time came while we were about to say so. */
		.retry_ms = left_ms > 0 ? left_ms : 1,
	};

	if (q->demand != CACHE_NEW && previous_counts(f)) {
		a.result = R_OK;
		a.status = flight_status_of(f->previous);
		a.tier = CACHE_MEMORY;
		a.entry = entry_ref(f->previous);
	} else if (f->rests) {
		forget(f);
		flight_join(f->home, q, done, arg);
		return;
	}
	done(arg, &a);
}

static void
linger_is_over(void *arg)
{
	struct flight *f = arg;

	forget(f);
	flight_unref(f);
}

/* Leave the list, at once or when the failure counts no more; the lock is
 * held. */
static void
leave(struct flight *f, int64_t retry_ms)
{
	struct flights *fs = f->home;

	flight_ref(f);
	if (f->failure != R_OK && !atomic_load(&fs->stopping) &&
	    timer_after(fs->tiers.timers, retry_ms, linger_is_over, f) == R_OK)
		return;
	flight_unref(f);
	map_remove(fs->by_key, f->query.key);
	flight_unref(f); /* never the last: the caller has one */
}

void
flight_land(struct flight *f, enum result failure, int64_t retry_ms)
{
	struct flights *fs = f->home;
	struct cache_query q;
	struct waiter *left, *w;

	lock_take(&fs->lock);
	if (f->waiters != NULL && failure == R_OK) {
		f->query.demand = CACHE_USUAL;
		lock_give(&fs->lock);
		flight_search(f);
		return;
	}
	left = waiters_take(&f->waiters, JOINED_AFTER);
	f->landed = true;
	f->failure = failure;
	f->retry_at_ms = clock_monotonic_ms() + retry_ms;
	if (!f->bypass)
		leave(f, retry_ms);
	if (--fs->under_way == 0)
		signal_wake_all(&fs->landed);
	lock_give(&fs->lock);
	while ((w = left) != NULL) {
		left = w->next;
		q = f->query;
		q.demand = w->demand;
		q.deadline_ms = w->deadline_ms;
		answer_landed(f, &q, w->done, w->arg);
		free(w);
	}
	flight_unref(f);
}

static void
go_on(struct flight *f, struct pool *on, pool_job *step)
{
	enum result r = pool_submit(on, step, f);

	if (r == R_OK)
		return;
	lease_drop(f->home->tiers.leases, &f->lease);
	parts_free(f->parts);
	f->parts = NULL;
	flight_land(f, r, BUSY_MS);
}

void
flight_to_finder(struct flight *f, pool_job *step)
{
	go_on(f, f->home->tiers.finders, step);
}

void
flight_to_loader(struct flight *f, pool_job *step)
{
	go_on(f, f->home->tiers.loaders, step);
}

static void
overdue(void *arg)
{
	struct cache_answer a = { .result = R_TIMEOUT,
				  .status = CACHE_MISS,
				  .tier = CACHE_ORIGIN,
				  .retry_ms = RETRY_MS };
	struct flight *f = arg;
	struct flights *fs = f->home;
	int64_t now = clock_monotonic_ms(), next;
	struct waiter *taken;

	lock_take(&fs->lock);
	taken = waiters_take_overdue(&f->waiters, now);
	next = waiters_next_deadline(f->waiters);
	if (next == INT64_MAX || atomic_load(&fs->stopping) ||
	    timer_after(fs->tiers.timers, next - now, overdue, f) != R_OK)
		next = INT64_MAX;
	lock_give(&fs->lock);
	waiters_answer(taken, &a);
	if (next == INT64_MAX)
		flight_unref(f);
}

/* Put a waiter on the flight's list; the lock is held. */
static enum result
add_waiter(struct flight *f, const struct cache_query *q, cache_done *done,
	   void *arg)
{
	struct waiter *w = mem_alloc(sizeof(*w));
	int64_t now = clock_monotonic_ms();
	int64_t next = waiters_next_deadline(f->waiters);

	if (w == NULL)
		return (R_NO_MEMORY);
	*w = (struct waiter){
		.next = f->waiters,
		.done = done,
		.arg = arg,
		.deadline_ms = q->deadline_ms,
		.demand = q->demand,
		/* What was found, or loaded, for others may be from before. */
		.joined = q->demand == CACHE_NEW && f->query.demand != CACHE_NEW
				  ? JOINED_AFTER
				  : f->joining,
		.first = f->joining == JOINED_BEFORE,
	};
	if (w->deadline_ms < next) {
		flight_ref(f);
		if (timer_after(f->home->tiers.timers, w->deadline_ms - now,
				overdue, f) != R_OK) {
			flight_unref(f);
			free(w);
			return (R_NO_MEMORY);
		}
	}
	f->waiters = w;
	return (R_OK);
}

/* A new flight under the key, in the air; the lock is held.  NULL: none can
 * be had. */
static struct flight *
take_off(struct flights *fs, const struct cache_query *q, enum result *r)
{
	struct flight *f;

	*r = R_BUSY;
	if (fs->under_way >= fs->most || atomic_load(&fs->stopping))
		return (NULL);
	*r = R_NO_MEMORY;
	if ((f = flight_new(fs, q)) == NULL)
		return (NULL);
	if (map_put(fs->by_key, f->query.key, f) != R_OK) {
		flight_unref(f);
		return (NULL);
	}
	flight_ref(f); /* the list's */
	fs->under_way++;
	return (f);
}

/* The flight of a key, unless it has landed and its failure counts no more;
 * the lock is held. */
static struct flight *
find(struct flights *fs, struct bytes key)
{
	struct flight *f = map_get(fs->by_key, key);

	if (f == NULL || !f->landed || clock_monotonic_ms() < f->retry_at_ms)
		return (f);
	map_remove(fs->by_key, key);
	flight_unref(f);
	return (NULL);
}

void
flight_join(struct flights *fs, const struct cache_query *q, cache_done *done,
	    void *arg)
{
	struct cache_answer a = { .status = CACHE_MISS,
				  .tier = CACHE_ORIGIN,
				  .retry_ms = BUSY_MS };
	struct flight *f, *started = NULL, *failed = NULL;

	lock_take(&fs->lock);
	f = find(fs, q->key);
	if (f != NULL && f->landed && q->demand == CACHE_NEW) {
		map_remove(fs->by_key, q->key);
		flight_unref(f);
		f = NULL;
	}
	if (f == NULL)
		f = started = take_off(fs, q, &a.result);
	if (f != NULL && f->landed) {
		failed = f;
		flight_ref(f);
	} else if (f != NULL) {
		a.result = add_waiter(f, q, done, arg);
	}
	lock_give(&fs->lock);
	if (failed != NULL) {
		answer_landed(failed, q, done, arg);
		flight_unref(failed);
		return;
	}
	if (a.result != R_OK)
		done(arg, &a);
	if (started != NULL)
		flight_search(started);
}

void
flight_refresh(struct flights *fs, const struct cache_query *q)
{
	struct cache_query young = *q;
	struct flight *f = NULL;
	enum result r;

	young.demand = CACHE_YOUNG;
	lock_take(&fs->lock);
	if (find(fs, q->key) == NULL)
		f = take_off(fs, &young, &r);
	lock_give(&fs->lock);
	if (f != NULL)
		flight_search(f);
}

void
flight_bypass(struct flights *fs, const struct cache_query *q, cache_done *done,
	      void *arg)
{
	struct cache_answer a = { .result = R_BUSY,
				  .status = CACHE_BYPASS,
				  .tier = CACHE_ORIGIN,
				  .retry_ms = BUSY_MS };
	struct flight *f = NULL;

	lock_take(&fs->lock);
	if (fs->under_way < fs->most && !atomic_load(&fs->stopping) &&
	    (f = flight_new(fs, q)) != NULL) {
		f->bypass = true;
		a.result = add_waiter(f, q, done, arg);
		fs->under_way++;
	}
	lock_give(&fs->lock);
	if (a.result != R_OK)
		done(arg, &a);
	if (f != NULL)
		flight_to_loader(f, flight_load);
}

bool
flights_stop(struct flights *fs, int64_t deadline_ms)
{
	bool none;

	lock_take(&fs->lock);
	atomic_store(&fs->stopping, true);
	while (fs->under_way > 0 && clock_monotonic_ms() < deadline_ms)
		signal_wait(&fs->landed, &fs->lock, deadline_ms);
	none = fs->under_way == 0;
	lock_give(&fs->lock);
	return (none);
}
