/* SPDX-License-Identifier: MIT */
#include "flight_state.h"

#include "../base/clock.h"
#include "../base/counters.h"
#include "postgres_tier.h"
#include "redis_lease.h"

#define POLL_MORE_MS 15 /* a loser looks for the winner's entry after this, */
#define POLL_MOST_MS 60 /* then after longer and longer */
#define TAKE_EACH 32 /* looks, whatever they saw: it may be no lease at all */
#define TELL_MS 1000 /* for Redis to hear of the log */

static void take_lease(void *arg);

/* Note what a lookup in a tier led to. */
static void
count_lookup(const struct flight *f, enum cache_tier tier, enum result r)
{
	unsigned label = counters_label(f->query.policy->category);

	if (r == R_OK)
		counters_add(label, COUNT_LOOKUP_HITS_MEMORY + tier, 1);
	else if (r == R_NOT_FOUND)
		counters_add(label, COUNT_LOOKUP_MISSES_MEMORY + tier, 1);
	else
		counters_add(label,
			     tier == CACHE_REDIS ? COUNT_LOOKUP_ERRORS_REDIS
						 : COUNT_LOOKUP_ERRORS_POSTGRES,
			     1);
}

/* A tier has `e` (one reference, ours now).  True: that ends the flight. */
static bool
found(struct flight *f, struct entry *e, enum cache_tier tier)
{
	struct cache_answer a = { .result = R_OK, .tier = tier, .entry = e };
	enum verdict verdict = policy_judge(&e->life, clock_wall_ms());
	bool usable = verdict != FORGET, ends;

	if (tier != CACHE_MEMORY) {
		f->shown = true;
		flight_cut(f);
		if (usable && invalidation_keep(f->home->tiers.invalidation, e,
						f->since) == R_CONFLICT)
			usable = false;
	}
	f->expired = f->expired || verdict == FORGET;
	count_lookup(f, tier, usable ? R_OK : R_NOT_FOUND);
	ends = usable && verdict == USE && f->query.demand != CACHE_NEW;
	if (ends || (usable && f->query.demand == CACHE_USUAL)) {
		a.status = flight_status_of(e);
		flight_say(f, a.status == CACHE_STALE ? "STALE" : "HIT");
		/* As near memory would have answered those that came
		 * meanwhile. */
		flight_answer(
			f,
			tier != CACHE_MEMORY &&
					tiers_trust_memory(&f->home->tiers, e)
				? JOINED_DURING
				: JOINED_BEFORE,
			&a);
	}
	if (ends) {
		entry_unref(e);
		return (true);
	}
	/* The later look held it against more of the log. */
	if (usable &&
	    (f->previous == NULL ||
	     e->life.loaded_at_ms >= f->previous->life.loaded_at_ms)) {
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

	if (r == R_OK && found(f, e, CACHE_REDIS)) {
		flight_land(f, R_OK, 0);
		return;
	}
	if (r != R_OK)
		count_lookup(f, CACHE_REDIS, r);
	flight_to_finder(f, take_lease);
}

void
flight_search(struct flight *f)
{
	struct tiers *t = &f->home->tiers;
	struct entry *e;

	flight_begin_step(f);
	f->shown = false;
	f->began_ms = clock_monotonic_ms();
	e = memory_get(t->memory, f->query.key);
	if (e != NULL && !tiers_trust_memory(t, e)) {
		/* Better than nothing, should all else fail. */
		entry_unref(f->previous);
		f->previous = e;
		e = NULL;
	}
	if (e == NULL)
		count_lookup(f, CACHE_MEMORY, R_NOT_FOUND);
	if (e != NULL && found(f, e, CACHE_MEMORY))
		flight_land(f, R_OK, 0);
	else if (!redis_tier_is_usable(t->redis) ||
		 redis_tier_get(t->redis, f->query.key, looked_up, f) != R_OK)
		flight_to_finder(f, take_lease);
}

/*
 * The lease is somebody else's: look again and again, on the timer's thread and
 * without waiting, until it is free or a failure is noted.
 */
static void poll_lease(void *arg);

static void
poll_later(struct flight *f)
{
	int64_t wait_ms = f->poll_ms;

	/* Before it is handed on: the timer's thread has it from then on. */
	if (f->poll_ms < POLL_MOST_MS)
		f->poll_ms += POLL_MORE_MS;
	if (timer_after(f->home->tiers.timers, wait_ms, poll_lease, f) != R_OK)
		flight_land(f, R_NO_MEMORY, RETRY_MS);
}

static void
lease_seen(void *arg, enum result r)
{
	struct flight *f = arg;

	if (r == R_OK)
		poll_later(f);
	else if (r == R_NOT_FOUND)
		flight_search(f);
	else
		flight_to_finder(f, take_lease);
}

static void
poll_lease(void *arg)
{
	struct flight *f = arg;
	struct tiers *t = &f->home->tiers;

	if (atomic_load(&f->home->stopping))
		flight_land(f, R_UNAVAILABLE, 0);
	else if (!f->lease_in_redis || ++f->polls % TAKE_EACH == 0 ||
		 redis_lease_peek(t->redis, f->query.key, lease_seen, f) !=
			 R_OK)
		flight_to_finder(f, take_lease);
}

/* What PostgreSQL had goes to Redis, which refuses it if it is outdated. */
static enum result
put_in_redis(struct tiers *t, const struct entry *e)
{
	if (!redis_tier_is_usable(t->redis) ||
	    policy_judge(&e->life, clock_wall_ms()) == FORGET)
		return (R_OK);
	return (redis_tier_put(t->redis, e));
}

void
flight_put_again(struct flight *f, const struct entry *e)
{
	struct tiers *t = &f->home->tiers;

	if (invalidation_look(t->invalidation,
			      clock_monotonic_ms() + TELL_MS) == R_OK)
		(void)!put_in_redis(t, e);
}

/* Found in PostgreSQL: answer, give the lease back if that is all, and fill
 * the tiers above; like found(). */
static bool
found_in_postgres(struct flight *f, struct entry *e)
{
	struct tiers *t = &f->home->tiers;
	enum result in_redis = put_in_redis(t, e);
	bool ends;

	entry_ref(e);
	ends = found(f, e, CACHE_POSTGRES);
	if (ends)
		lease_give(t->leases, &f->lease);
	if (in_redis == R_UNAVAILABLE)
		flight_put_again(f, e);
	entry_unref(e);
	return (ends);
}

/* True: that ends the flight. */
static bool
look_in_postgres(struct flight *f)
{
	struct entry *e;
	enum result r = postgres_tier_get(f->home->tiers.pg, f->query.key,
					  f->query.log_key, &e);

	f->shown = true;
	if (r != R_OK)
		count_lookup(f, CACHE_POSTGRES, r);
	return (r == R_OK && found_in_postgres(f, e));
}

static void
take_lease(void *arg)
{
	struct flight *f = arg;
	struct lease_state state = { .outcome = LEASE_WON };

	lease_take(f->home->tiers.leases, &f->lease, f->query.key, &state);
	f->lease_in_redis = state.in_redis;
	/* The winner before us stored its entry before it gave the lease back.
	 * Before another one has: what there is may do. */
	if ((state.outcome == LEASE_WON || !f->shown) && look_in_postgres(f)) {
		flight_land(f, R_OK, 0);
		return;
	}
	if (state.outcome == LEASE_HELD) {
		poll_later(f);
		return;
	}
	if (state.outcome == LEASE_FAILED && f->query.demand != CACHE_NEW) {
		flight_land(f, state.failure, state.left_ms);
		return;
	}
	flight_to_loader(f, flight_load);
}
