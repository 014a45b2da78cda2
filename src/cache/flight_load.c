/* SPDX-License-Identifier: MIT */
#include "flight_state.h"

#include "../base/clock.h"
#include "../base/counters.h"
#include "../base/log.h"
#include "../base/random.h"
#include "postgres_tier.h"

#include <string.h>

static bool
is_failure(enum result r)
{
	return (r != R_OK && r != R_UNCHANGED && r != R_NOT_FOUND &&
		r != R_INVALID);
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
		flight_land(f, r, retry_ms);
		return;
	}
	lease_give(f->home->tiers.leases, &f->lease);
	a.status = f->bypass ? CACHE_BYPASS : CACHE_MISS;
	flight_answer(f, JOINED_DURING, &a);
	flight_land(f, R_OK, 0);
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
#ifdef WARMFRONT_TEST_NO_FENCES /* a fault for tests/coherence to find */
	parts.fence = invalidation_position(f->home->tiers.invalidation);
#endif
	parts.life = policy_lifetime(&policy, clock_wall_ms(), random_cheap());
	parts_limit(f->parts, &parts.life, &parts.fence);
	if (loaded == R_UNCHANGED)
		return (entry_renew(f->previous, &parts.life, parts.fence,
				    parts.cost_ms, out));
	return (entry_new(&parts, out));
}

/* Give the entry to the tiers; false when one knows that it is outdated
 * already, or none could say. */
static bool
store(struct flight *f, struct entry *e, bool *stored, bool *again)
{
	struct tiers *t = &f->home->tiers;
	enum result in_redis = R_UNAVAILABLE, in_pg, in_memory = R_CONFLICT;

	flight_cut(f);
	if (redis_tier_is_usable(t->redis))
		in_redis = redis_tier_put(t->redis, e);
	*again = in_redis == R_UNAVAILABLE && redis_tier_is_usable(t->redis);
	in_pg = in_redis == R_CONFLICT
			? R_CONFLICT
			: postgres_tier_put(t->pg, e, f->query.log_key);
	if (in_redis != R_CONFLICT && in_pg != R_CONFLICT)
		in_memory = invalidation_keep(t->invalidation, e, f->since);
	*stored = in_memory != R_CONFLICT &&
		  (in_memory == R_OK || in_redis == R_OK || in_pg == R_OK);
	/* Another worker's record is known to those only. */
	if (!t->near_cache && in_redis != R_OK && in_pg != R_OK)
		return (false);
	return (in_memory != R_CONFLICT);
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
	bool again = false, kept = false;

	if (f->bypass) {
		a.status = CACHE_BYPASS;
		latest = JOINED_AFTER;
	} else if ((kept = store(f, e, &a.stored, &again))) {
		flight_say(f, "SET");
		latest = JOINED_DURING;
	}
	lease_give(f->home->tiers.leases, &f->lease);
	flight_answer(f, latest, &a);
	if (again)
		flight_put_again(f, e);
	if (kept &&
	    policy_judge(&e->life, clock_wall_ms()) == USE_STALE_AND_REFRESH) {
		/* Made of parts that are stale, or could not be loaded: no use to
		 * hurry. */
		entry_unref(f->previous);
		f->previous = e;
		f->rests = true;
		flight_land(f, R_UNAVAILABLE, RETRY_MS);
		return;
	}
	entry_unref(e);
	flight_land(f, R_OK, 0);
}

/* Note a load that ended; `e` is NULL when it brought nothing. */
static void
count_load(const struct flight *f, enum result r, const struct entry *e,
	   int64_t took_us)
{
	unsigned label = counters_label(f->query.policy->category);
	const struct entry *previous = f->previous;

	counters_add(label, COUNT_LOADS, 1);
	counters_observe(label, TIME_LOAD_TIME, took_us);
	if (is_failure(r))
		counters_add(label, COUNT_LOAD_FAILURES, 1);
	if (previous != NULL && e != NULL &&
	    strcmp(previous->etag, e->etag) == 0)
		counters_add(label, COUNT_LOADS_UNCHANGED, 1);
	if (previous != NULL && policy_judge(&previous->life, clock_wall_ms()) <
					USE_STALE_AND_REFRESH)
		counters_add(label, COUNT_LOADS_EARLY, 1);
	else if (previous != NULL || f->expired)
		counters_add(label, COUNT_LOADS_EXPIRED, 1);
}

static void
run_load(void *arg)
{
	struct flight *f = arg;
	const struct cache_source *source = f->query.source;
	struct entry *e = NULL;
	int64_t retry_ms, began_us = clock_monotonic_us();
	enum result r;

	f->load.previous = f->previous;
	f->load.parts = parts_list(f->parts, &f->load.n_parts);
	f->load.deadline_ms =
		clock_monotonic_ms() + f->home->tiers.load_timeout_ms;
	r = source->load(source->context, &f->load);
	if (r == R_FORBIDDEN) /* to us, not to who asks */
		r = R_UNAVAILABLE;
	retry_ms = f->load.retry_ms;
	if (r == R_OK)
		r = buf_error(&f->load.body);
	if (r == R_UNCHANGED && f->previous == NULL)
		r = R_BAD_ANSWER;
	if (r == R_OK || r == R_UNCHANGED)
		r = make_entry(f, r, &e);
	count_load(f, r, e, clock_monotonic_us() - began_us);
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
	flight_to_loader(arg, run_load);
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

/* A position that the log has reached for certain.  One that is too old is
 * safe too: it only makes more records count against the entry. */
static int64_t
fence_now(const struct flight *f)
{
	const struct tiers *t = &f->home->tiers;
	int64_t fence = invalidation_position(t->invalidation);
	int64_t said = redis_tier_position(t->redis);

	if (said > fence)
		fence = said;
	if (fence < 0 && postgres_tier_position(t->pg, &fence) != R_OK)
		fence = f->previous != NULL ? f->previous->fence : 0;
	return (fence);
}

void
flight_load(void *arg)
{
	struct flight *f = arg;
	struct tiers *t = &f->home->tiers;
	const struct cache_source *source = f->query.source;
	struct parts_options parts = {
		.timers = t->timers,
		.memory = t->memory,
		.fetch = fetch_part,
		.fetcher = f->home,
		.there = parts_are_there,
		.arg = f,
	};

	flight_begin_step(f);
	f->began_ms = clock_monotonic_ms();
	f->fence = fence_now(f);
	parts.since = f->since;
	f->load = (struct cache_load){
		.key = f->query.key,
		.arguments = f->query.arguments,
		.deadline_ms = f->began_ms + t->load_timeout_ms,
	};
	if (source->list_parts == NULL ||
	    !parts_fetch(&f->query, &f->load, &parts, &f->parts))
		run_load(f);
}
