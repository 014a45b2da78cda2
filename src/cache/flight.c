/* SPDX-License-Identifier: MIT */
#include "flight.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/lock.h"
#include "../base/log.h"
#include "../base/map.h"
#include "../base/random.h"
#include "parts.h"
#include "postgres_tier.h"
#include "waiters.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define POLL_FIRST_MS 15 /* how soon a loser looks for the winner's entry */
#define POLL_MOST_MS 60
#define RETRY_MS 2000	   /* after a failed load, when its loader says nothing */
#define RETRY_MOST_MS 30000

struct flights {
	struct tiers tiers;
	unsigned most;
	struct lock lock;
	struct signal landed;
	struct map *by_key; /* under the lock, as is the rest */
	unsigned under_way;
	atomic_bool stopping;
};

struct flight {
	struct flights *home;
	struct cache_query query; /* its bytes are in `room` */
	atomic_uint references;
	bool bypass;

	/* Under the lock. */
	struct waiter *waiters;
	enum joined joining; /* what a waiter that comes now is */
	bool landed;	     /* only its failure is left */
	enum result failure;
	int64_t retry_at_ms; /* monotonic; until then the failure counts */

	/* Of the one thread whose turn it is. */
	struct entry *previous; /* the value so far, if we saw one */
	struct lease lease;
	bool lease_in_redis;
	struct cache_load load;
	struct parts *parts;
	int64_t fence;
	int64_t began_ms;
	int64_t poll_ms;
	char room[];
};

static void start(struct flight *f);
static void work(void *arg);

bool
tiers_trust_memory(const struct tiers *t, const struct entry *e)
{
	if (redis_tier_is_usable(t->redis) && !t->near_cache)
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

static void
say(const struct flight *f, const char *what)
{
	if (f->home->tiers.verbose)
		log_info("[Cache] %s %.*s", what, BYTES_ARG(f->query.key));
}

/* Answer who joined up to `latest`. */
static void
answer(struct flight *f, enum joined latest, const struct cache_answer *a)
{
	struct waiter *taken;

	lock_take(&f->home->lock);
	taken = waiters_take(&f->waiters, latest);
	lock_give(&f->home->lock);
	waiters_answer(taken, a);
}

/* An entry that a tier or a load brought, before it is shown to anyone. */
static enum cache_status
status_of(const struct entry *e)
{
	return (policy_judge(&e->life, clock_wall_ms()) ==
				USE_STALE_AND_REFRESH
			? CACHE_STALE
			: CACHE_HIT);
}

/* What a flight that failed has to say while that counts. */
static void
answer_failure(struct flight *f, cache_done *done, void *arg)
{
	struct cache_answer a = {
		.result = f->failure,
		.status = f->bypass ? CACHE_BYPASS : CACHE_MISS,
		.tier = CACHE_ORIGIN,
		.retry_ms = f->retry_at_ms - clock_monotonic_ms(),
	};

	if (f->previous != NULL && f->query.demand != CACHE_NEW &&
	    policy_judge(&f->previous->life, clock_wall_ms()) != FORGET &&
	    invalidation_allows(f->home->tiers.invalidation, f->previous)) {
		a.result = R_OK;
		a.status = status_of(f->previous);
		a.tier = CACHE_MEMORY;
		a.entry = entry_ref(f->previous);
	}
	done(arg, &a);
}

static void
linger_is_over(void *arg)
{
	struct flight *f = arg;
	struct flights *fs = f->home;
	bool listed;

	lock_take(&fs->lock);
	listed = map_get(fs->by_key, f->query.key) == f;
	if (listed)
		map_remove(fs->by_key, f->query.key);
	lock_give(&fs->lock);
	if (listed)
		flight_unref(f);
	flight_unref(f);
}

/* Leave the list, at once or when the failure counts no more; the lock is held. */
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

/* The work is done; the caller's reference goes.  Who joined too late for the
 * answer gets a new start; a failure counts for all who still wait, and for those who come
 * until it is time to try again. */
static void
land(struct flight *f, enum result failure, int64_t retry_ms)
{
	struct flights *fs = f->home;
	struct waiter *left, *w;

	lock_take(&fs->lock);
	if (f->waiters != NULL && failure == R_OK) {
		lock_give(&fs->lock);
		f->query.demand = CACHE_USUAL;
		start(f);
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
		answer_failure(f, w->done, w->arg);
		free(w);
	}
	flight_unref(f);
}

static void
to_loader(struct flight *f, pool_job *job)
{
	enum result r = pool_submit(f->home->tiers.loaders, job, f);

	if (r != R_OK)
		land(f, r, 1000);
}

/* A tier has `e` (one reference, ours now).  True: that ends the flight. */
static bool
found(struct flight *f, struct entry *e, enum cache_tier tier)
{
	struct cache_answer a = { .result = R_OK, .tier = tier, .entry = e };
	enum verdict verdict = policy_judge(&e->life, clock_wall_ms());
	bool usable = verdict != FORGET, ends;

	if (usable && tier != CACHE_MEMORY &&
	    invalidation_keep(f->home->tiers.invalidation, e) != R_OK)
		usable = false;
	ends = usable && verdict == USE && f->query.demand != CACHE_NEW;
	if (ends || (usable && f->query.demand == CACHE_USUAL)) {
		a.status = status_of(e);
		say(f, a.status == CACHE_STALE ? "STALE" : "HIT");
		/* Near memory answers those that came meanwhile as well. */
		answer(f,
		       tiers_trust_memory(&f->home->tiers, e) ? JOINED_AFTER
							      : JOINED_BEFORE,
		       &a);
	}
	if (ends) {
		entry_unref(e);
		return (true);
	}
	if (usable && (f->previous == NULL ||
		       e->life.loaded_at_ms > f->previous->life.loaded_at_ms)) {
		entry_unref(f->previous);
		f->previous = e;
	} else {
		entry_unref(e);
	}
	return (false);
}

static void
looked_up(void *arg, enum result r, struct entry *e)
{
	struct flight *f = arg;

	if (r == R_OK && found(f, e, CACHE_REDIS))
		land(f, R_OK, 0);
	else
		to_loader(f, work);
}

static void
start(struct flight *f)
{
	struct tiers *t = &f->home->tiers;
	struct entry *e;

	lock_take(&f->home->lock);
	waiters_begin_step(f->waiters);
	f->joining = JOINED_DURING;
	lock_give(&f->home->lock);
	f->began_ms = clock_monotonic_ms();
	e = memory_get(t->memory, f->query.key);
	if (e != NULL && !tiers_trust_memory(t, e)) {
		entry_unref(e);
		e = NULL;
	}
	if (e != NULL && found(f, e, CACHE_MEMORY))
		land(f, R_OK, 0);
	else if (!redis_tier_is_usable(t->redis) ||
		 redis_tier_get(t->redis, f->query.key, looked_up, f) != R_OK)
		to_loader(f, work);
}

/*
 * The lease is somebody else's: look again and again, on the timer's thread and
 * without waiting, until it is free or a failure is noted.
 */
static void poll_lease(void *arg);

static void
poll_later(struct flight *f)
{
	if (timer_after(f->home->tiers.timers, f->poll_ms, poll_lease, f) !=
	    R_OK)
		land(f, R_NO_MEMORY, RETRY_MS);
	if (f->poll_ms < POLL_MOST_MS)
		f->poll_ms += POLL_FIRST_MS;
}

static void
lease_seen(void *arg, enum result r)
{
	struct flight *f = arg;

	if (r == R_OK)
		poll_later(f);
	else if (r == R_NOT_FOUND)
		start(f);
	else
		to_loader(f, work);
}

static void
poll_lease(void *arg)
{
	struct flight *f = arg;
	struct tiers *t = &f->home->tiers;

	if (atomic_load(&f->home->stopping))
		land(f, R_UNAVAILABLE, 0);
	else if (!f->lease_in_redis ||
		 redis_tier_lease_peek(t->redis, f->query.key, lease_seen, f) !=
			 R_OK)
		to_loader(f, work);
}

static bool
is_failure(enum result r)
{
	return (r != R_OK && r != R_UNCHANGED && r != R_NOT_FOUND &&
		r != R_INVALID && r != R_FORBIDDEN);
}

/* The load is over without a value: a failure others should know of, or an
 * answer of its own ("no such thing") that is not kept. */
static void
loaded_nothing(struct flight *f, enum result r, int64_t retry_ms)
{
	struct cache_answer a = { .result = r, .tier = CACHE_ORIGIN };

	if (retry_ms <= 0)
		retry_ms = RETRY_MS;
	if (retry_ms > RETRY_MOST_MS)
		retry_ms = RETRY_MOST_MS;
	if (is_failure(r)) {
		log_info("load of %.*s failed: %s", BYTES_ARG(f->query.key),
			 result_text(r));
		lease_fail(f->home->tiers.leases, &f->lease, r, retry_ms);
		land(f, r, retry_ms);
		return;
	}
	lease_give(f->home->tiers.leases, &f->lease);
	a.status = f->bypass ? CACHE_BYPASS : CACHE_MISS;
	answer(f, JOINED_DURING, &a);
	land(f, R_OK, 0);
}

static enum result
make_entry(const struct flight *f, enum result loaded, struct entry **out)
{
	struct policy policy = *f->query.policy;
	struct entry_parts parts = {
		.key = f->query.key,
		.arguments = f->query.arguments,
		.validators = buf_bytes(&f->load.validators),
		.body = buf_bytes(&f->load.body),
		.fence = f->fence,
		.cost_ms = (uint32_t)(clock_monotonic_ms() - f->began_ms),
	};

	if (f->load.fresh_ms > 0 && f->load.fresh_ms < policy.ttl_ms)
		policy.ttl_ms = f->load.fresh_ms;
	parts.life =
		policy_lifetime(&policy, clock_wall_ms(), random_cheap());
	parts_limit(f->parts, &parts.life, &parts.fence);
	if (loaded == R_UNCHANGED)
		return (entry_renew(f->previous, &parts.life, parts.fence,
				    parts.cost_ms, out));
	return (entry_new(&parts, out));
}

/* Give the entry to the tiers; false when one knows that it is outdated already. */
static bool
store(struct flight *f, struct entry *e, bool *stored)
{
	struct tiers *t = &f->home->tiers;
	enum result in_redis = R_UNAVAILABLE, in_pg, in_memory = R_CONFLICT;

	lock_take(&f->home->lock);
	f->joining = JOINED_AFTER;
	lock_give(&f->home->lock);
	if (redis_tier_is_usable(t->redis))
		in_redis = redis_tier_put(t->redis, e);
	in_pg = in_redis == R_CONFLICT
			? R_CONFLICT
			: postgres_tier_put(t->pg, e, f->query.log_key);
	if (in_redis != R_CONFLICT && in_pg != R_CONFLICT)
		in_memory = invalidation_keep(t->invalidation, e);
	*stored = in_memory == R_OK;
	return (in_memory == R_OK);
}

/* `e` is the flight's reference. */
static void
loaded_value(struct flight *f, struct entry *e)
{
	struct cache_answer a = { .result = R_OK,
				  .status = CACHE_MISS,
				  .tier = CACHE_ORIGIN,
				  .entry = e };
	enum joined latest = JOINED_BEFORE;

	if (f->bypass) {
		a.status = CACHE_BYPASS;
		latest = JOINED_AFTER;
	} else if (store(f, e, &a.stored)) {
		say(f, "SET");
		latest = tiers_trust_memory(&f->home->tiers, e)
				 ? JOINED_AFTER
				 : JOINED_DURING;
	}
	lease_give(f->home->tiers.leases, &f->lease);
	answer(f, latest, &a);
	if (policy_judge(&e->life, clock_wall_ms()) ==
	    USE_STALE_AND_REFRESH) {
		/* Made of parts that could not be loaded: no use to hurry. */
		entry_unref(f->previous);
		f->previous = e;
		land(f, R_UNAVAILABLE, RETRY_MS);
		return;
	}
	entry_unref(e);
	land(f, R_OK, 0);
}

static void
run_load(void *arg)
{
	struct flight *f = arg;
	const struct cache_source *source = f->query.source;
	struct entry *e = NULL;
	int64_t retry_ms;
	enum result r;

	f->load.previous = f->previous;
	f->load.parts = parts_list(f->parts, &f->load.n_parts);
	f->load.deadline_ms =
		clock_monotonic_ms() + f->home->tiers.load_timeout_ms;
	r = source->load(source->context, &f->load);
	retry_ms = f->load.retry_ms;
	if (r == R_OK)
		r = buf_error(&f->load.body);
	if (r == R_UNCHANGED && f->previous == NULL)
		r = R_BAD_ANSWER;
	if (r == R_OK || r == R_UNCHANGED)
		r = make_entry(f, r, &e);
	buf_fini(&f->load.body);
	buf_fini(&f->load.validators);
	f->load = (struct cache_load){ 0 };
	parts_free(f->parts);
	f->parts = NULL;
	if (r == R_OK)
		loaded_value(f, e);
	else
		loaded_nothing(f, r, retry_ms);
}

static void
parts_are_there(void *arg)
{
	to_loader(arg, run_load);
}

static void
fetch_part(void *fetcher, const struct cache_query *q, cache_done *done,
	   void *arg)
{
	if (q->policy->ttl_ms == 0)
		flight_bypass(fetcher, q, done, arg);
	else
		flight_join(fetcher, q, done, arg);
}

/* With the lease in hand (or nothing to share it with). */
static void
begin_load(struct flight *f)
{
	struct tiers *t = &f->home->tiers;
	const struct cache_source *source = f->query.source;
	const struct parts_options parts = {
		.timers = t->timers,
		.fetch = fetch_part,
		.fetcher = f->home,
		.there = parts_are_there,
		.arg = f,
	};

	f->began_ms = clock_monotonic_ms();
	f->fence = invalidation_position(t->invalidation);
	if (f->fence < 0 && postgres_tier_position(t->pg, &f->fence) != R_OK)
		f->fence = 0;
	f->load = (struct cache_load){
		.key = f->query.key,
		.arguments = f->query.arguments,
		.deadline_ms = f->began_ms + t->load_timeout_ms,
	};
	if (source->list_parts == NULL ||
	    !parts_fetch(&f->query, &f->load, &parts, &f->parts))
		run_load(f);
}

static void
work(void *arg)
{
	struct flight *f = arg;
	struct tiers *t = &f->home->tiers;
	struct lease_state state = { .outcome = LEASE_WON };
	struct entry *e;

	if (f->bypass) {
		begin_load(f);
		return;
	}
	lease_take(t->leases, &f->lease, f->query.key, &state);
	f->lease_in_redis = state.in_redis;
	if (state.outcome == LEASE_HELD) {
		poll_later(f);
		return;
	}
	if (state.outcome == LEASE_FAILED && f->query.demand != CACHE_NEW) {
		land(f, state.failure, state.left_ms);
		return;
	}
	/* The winner before us stored its entry before it gave the lease back. */
	if (postgres_tier_get(t->pg, f->query.key, f->query.log_key, &e) ==
	    R_OK) {
		/* Redis refuses it if it is outdated. */
		if (redis_tier_is_usable(t->redis) &&
		    policy_judge(&e->life, clock_wall_ms()) != FORGET)
			(void)!redis_tier_put(t->redis, e);
		if (found(f, e, CACHE_POSTGRES)) {
			lease_give(t->leases, &f->lease);
			land(f, R_OK, 0);
			return;
		}
	}
	begin_load(f);
}

/*
 * Joining.
 */
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
		.joined = f->joining,
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

/* A new flight under the key, in the air; the lock is held.  NULL: none can be had. */
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
	f->poll_ms = POLL_FIRST_MS;
	if (map_put(fs->by_key, f->query.key, f) != R_OK) {
		flight_unref(f);
		return (NULL);
	}
	flight_ref(f); /* the list's */
	fs->under_way++;
	return (f);
}

/* The flight of a key, unless it has landed and its failure counts no more; the lock is held. */
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
				  .retry_ms = 1000 };
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
		answer_failure(failed, done, arg);
		flight_unref(failed);
		return;
	}
	if (a.result != R_OK)
		done(arg, &a);
	if (started != NULL)
		start(started);
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
		start(f);
}

void
flight_bypass(struct flights *fs, const struct cache_query *q,
	      cache_done *done, void *arg)
{
	struct cache_answer a = { .result = R_BUSY,
				  .status = CACHE_BYPASS,
				  .tier = CACHE_ORIGIN,
				  .retry_ms = 1000 };
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
		to_loader(f, work);
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
