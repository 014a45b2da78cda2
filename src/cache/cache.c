/* SPDX-License-Identifier: MIT */
#include "cache.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/counters.h"
#include "../base/lock.h"
#include "../base/log.h"
#include "../base/random.h"
#include "flights.h"
#include "postgres_tier.h"
#include "scope.h"
#include "user_hash.h"
#include "shared.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define JOBS_MOST 4096	 /* loads under way, and mutations: more are refused */
#define TRUST_MS 1000	 /* without near caches: see redis_tier.h */
#define PATIENCE_MS 2000 /* for a thread; then more work is refused */
#define CLEAN_EVERY_MS 60000
#define KEEP_LOG_MS 7200000 /* at least: what Redis and memory may still hold */

struct cache {
	struct tiers tiers;
	struct flights *flights;
	struct shared *shared;
	struct buf secret;
	uint64_t secret_name;
	int64_t postgres_bytes;
	int64_t keep_log_ms;
	void (*gauges)(void *arg, struct buf *to);
	void *gauges_arg;
	atomic_uint jobs;
	atomic_bool stopping;
};

static void
redis_is_behind(void *arg)
{
	struct cache *c = arg;

	if (c->tiers.invalidation != NULL)
		invalidation_wake(c->tiers.invalidation);
}

static void
doorbell_rang(void *arg)
{
	struct cache *c = arg;

	metrics_ring(c->tiers.metrics);
}

static void
add_breaker(struct buf *to, const char *name, enum breaker_state state)
{
	static const char *const words[] = { "closed", "open", "half-open" };

	buf_printf(to, ",\"breaker|%s/%s\":1", name, words[state]);
}

/* By family of keys: which category that is, is the endpoints' to say. */
static void
add_memory(struct memory *m, struct buf *to)
{
	struct memory_families f;
	unsigned i;

	memory_survey(m, &f);
	for (i = 0; i <= f.named; i++)
		buf_printf(to,
			   "%s\"memory_entries|%s\":%zu,"
			   "\"memory_bytes|%s\":%zu",
			   i > 0 ? "," : "", f.of[i].name, f.of[i].entries,
			   f.of[i].name, f.of[i].bytes);
}

static void
add_gauges(void *arg, struct buf *to)
{
	struct cache *c = arg;
	struct tiers *t = &c->tiers;

	add_memory(t->memory, to);
	add_breaker(to, "postgres", postgres_state(t->pg));
	if (t->redis != NULL)
		add_breaker(to, "redis",
			    redis_state(redis_tier_redis(t->redis)));
	if (c->gauges != NULL)
		c->gauges(c->gauges_arg, to);
}

enum result
cache_clean(struct cache *c, int64_t *removed)
{
	enum result r = postgres_tier_clean(c->tiers.pg, c->postgres_bytes,
					    c->keep_log_ms, removed);

	if (r == R_OK && *removed > 0)
		counters_add(0, COUNT_CLEANED, (uint64_t)*removed);
	return (r);
}

static void
clean(void *arg)
{
	int64_t removed;

	if (cache_clean(arg, &removed) == R_OK && removed > 0)
		log_info("cleaned up %lld entries", (long long)removed);
}

static void
clean_later(void *arg)
{
	struct cache *c = arg;
	/* Spread, so that many workers do not ask at once. */
	int64_t pause_ms =
		CLEAN_EVERY_MS / 2 + (int64_t)(random_cheap() % CLEAN_EVERY_MS);

	if (atomic_load(&c->stopping))
		return;
	if (pool_submit(c->tiers.loaders, clean, c) != R_OK)
		log_debug("no loader for the clean-up");
	if (timer_after(c->tiers.timers, pause_ms, clean_later, c) != R_OK)
		log_warn("out of memory: no more clean-ups");
}

enum result
cache_new(const struct cache_options *o, struct cache **out)
{
	struct cache *c = mem_alloc(sizeof(*c));
	struct redis_tier_options redis = {
		.redis = o->redis,
		.prefix = o->prefix,
		.version = o->version,
		.ttl_max_ms = o->redis_ttl_max_ms,
		.lag_limit_ms = o->lag_limit_ms,
		.trust_ms = o->near_cache ? 0 : TRUST_MS,
		.behind = redis_is_behind,
		.arg = c,
	};
	struct pool_options loaders = { .name = "loader",
					.threads = o->loader_threads,
					.queue_limit = 2 * JOBS_MOST,
					.patience_ms = PATIENCE_MS };
	struct pool_options finders = loaders;
	struct invalidation_options log = {
		.pg = o->pg,
		.listen = o->listen,
		.lag_limit_ms = o->lag_limit_ms,
		.trust_ms = o->near_cache ? 0 : TRUST_MS,
		.verbose = o->verbose,
		.rung = doorbell_rang,
		.arg = c,
	};
	const struct metrics_options metrics = { o->pg, add_gauges, c };
	struct tiers *t;

	if (c == NULL)
		return (R_NO_MEMORY);
	t = &c->tiers;
	t->pg = o->pg;
	t->near_cache = o->near_cache;
	t->verbose = o->verbose;
	t->load_timeout_ms = o->load_timeout_ms;
	c->postgres_bytes = o->postgres_bytes;
	c->keep_log_ms = KEEP_LOG_MS + o->redis_ttl_max_ms;
	c->gauges = o->gauges;
	c->gauges_arg = o->gauges_arg;
	buf_add(&c->secret, o->user_secret);
	c->secret_name = user_hash_owner();
	t->memory = memory_new(o->memory_bytes);
	t->loaders = pool_new(&loaders);
	finders.name = "finder";
	t->finders = pool_new(&finders);
	t->timers = timers_new();
	if (o->redis != NULL)
		t->redis = redis_tier_new(&redis);
	t->leases = leases_new(t->redis, o->pg);
	if (buf_error(&c->secret) != R_OK || t->memory == NULL ||
	    t->loaders == NULL || t->finders == NULL || t->timers == NULL ||
	    t->leases == NULL || (o->redis != NULL && t->redis == NULL))
		goto fail;
	log.redis = t->redis;
	log.memory = t->memory;
	log.user_secret = buf_bytes(&c->secret);
	if ((t->metrics = metrics_new(&metrics)) == NULL ||
	    (t->invalidation = invalidation_new(&log)) == NULL ||
	    (c->flights = flights_new(t, JOBS_MOST)) == NULL ||
	    (c->shared = shared_new(t, c->flights)) == NULL ||
	    timer_after(t->timers, CLEAN_EVERY_MS / 4, clean_later, c) != R_OK)
		goto fail;
	*out = c;
	return (R_OK);
fail:
	cache_free(c);
	return (R_NO_MEMORY);
}

bool
cache_stop(struct cache *c, int64_t deadline_ms)
{
	bool none;

	atomic_store(&c->stopping, true);
	none = flights_stop(c->flights, deadline_ms);
	none = shared_stop(c->shared, deadline_ms) && none;
	metrics_stop(c->tiers.metrics);
	return (none);
}

void
cache_free(struct cache *c)
{
	struct tiers *t;

	if (c == NULL)
		return;
	t = &c->tiers;
	atomic_store(&c->stopping, true);
	timers_free(t->timers);
	pool_stop(t->loaders); /* each may still turn to the other */
	pool_free(t->finders);
	pool_free(t->loaders);
	invalidation_free(t->invalidation);
	shared_free(c->shared);
	flights_free(c->flights);
	metrics_free(t->metrics);
	leases_free(t->leases);
	redis_tier_free(t->redis);
	memory_free(t->memory);
	buf_fini(&c->secret);
	free(c);
}

bool
cache_peek(struct cache *c, const struct cache_query *q,
	   struct cache_answer *answer)
{
	struct entry *e;

	if (q->demand != CACHE_USUAL || q->policy->ttl_ms == 0 ||
	    (e = memory_get(c->tiers.memory, q->key)) == NULL)
		return (false);
	answer->status = CACHE_HIT;
	switch (policy_judge(&e->life, clock_wall_ms())) {
	case FORGET:
		entry_unref(e);
		return (false);
	case USE_STALE_AND_REFRESH:
		answer->status = CACHE_STALE;
		break;
	case USE_AND_REFRESH:
	case USE:
		break;
	}
	if (!tiers_trust_memory(&c->tiers, e)) {
		/* Others can say more.  Without them, stale is the best
		 * there is. */
		if (c->tiers.near_cache ? redis_tier_is_usable(c->tiers.redis)
					: tiers_are_shared(&c->tiers)) {
			entry_unref(e);
			return (false);
		}
		answer->status = CACHE_STALE;
	}
	counters_add(counters_label(q->policy->category),
		     COUNT_LOOKUP_HITS_MEMORY, 1);
	answer->result = R_OK;
	answer->tier = CACHE_MEMORY;
	answer->stored = answer->collapsed = false;
	answer->retry_ms = 0;
	answer->entry = e;
	if (answer->status == CACHE_STALE ||
	    policy_judge(&e->life, clock_wall_ms()) != USE)
		flight_refresh(c->flights, q);
	if (c->tiers.verbose)
		log_info("[Cache] %s %.*s",
			 answer->status == CACHE_HIT ? "HIT" : "STALE",
			 BYTES_ARG(q->key));
	return (true);
}

void
cache_fetch(struct cache *c, const struct cache_query *q, cache_done *done,
	    void *arg)
{
	struct cache_query query = *q;
	const struct tiers *t = &c->tiers;

	/* Two loads, should the first holder die, and its lease. */
	if (query.deadline_ms == 0)
		query.deadline_ms = clock_monotonic_ms() +
				    2 * t->load_timeout_ms + LEASE_MS;
	if (query.policy->ttl_ms == 0) {
		flight_bypass(c->flights, &query, done, arg);
		return;
	}
	if (query.demand == CACHE_USUAL &&
	    (!t->near_cache || (redis_tier_is_usable(t->redis) &&
				!invalidation_is_current(t->invalidation))) &&
	    shared_look(c->shared, &query, done, arg))
		return;
	flight_join(c->flights, &query, done, arg);
}

/* One who waits for several answers. */
struct rendezvous {
	struct lock lock;
	struct signal there;
	unsigned missing;
};

struct arrival {
	struct rendezvous *at;
	struct cache_part *part;
};

static void
arrive(void *arg, const struct cache_answer *answer)
{
	struct arrival *a = arg;
	struct rendezvous *at = a->at;

	lock_take(&at->lock);
	a->part->answer = *answer;
	if (--at->missing == 0)
		signal_wake_one(&at->there);
	lock_give(&at->lock);
}

void
cache_wait(struct cache *c, struct cache_part *parts, unsigned count,
	   enum cache_demand demand)
{
	cache_wait_until(c, parts, count, demand, 0);
}

void
cache_wait_until(struct cache *c, struct cache_part *parts, unsigned count,
		 enum cache_demand demand, int64_t deadline_ms)
{
	struct arrival arrivals[PARTS_MAX];
	struct rendezvous at = { .missing = count };
	struct cache_query q;
	unsigned i;

	assert(count <= PARTS_MAX);
	lock_init(&at.lock, LOCK_RENDEZVOUS);
	signal_init(&at.there);
	for (i = 0; i < count; i++) {
		arrivals[i] = (struct arrival){ &at, &parts[i] };
		q = cache_part_query(&parts[i], demand, deadline_ms);
		cache_fetch(c, &q, arrive, &arrivals[i]);
	}
	lock_take(&at.lock);
	while (at.missing > 0) /* cache_fetch() keeps its deadline */
		signal_wait(&at.there, &at.lock, INT64_MAX);
	lock_give(&at.lock);
	signal_fini(&at.there);
	lock_fini(&at.lock);
}

struct job {
	struct cache *cache;
	void (*run)(void *arg);
	void *arg;
};

static void
run_job(void *arg)
{
	struct job job = *(struct job *)arg;

	free(arg);
	job.run(job.arg);
	atomic_fetch_sub(&job.cache->jobs, 1);
}

enum result
cache_run(struct cache *c, void (*run)(void *arg), void *arg)
{
	struct job *job;
	enum result r = R_BUSY;

	if (atomic_fetch_add(&c->jobs, 1) < JOBS_MOST) {
		r = R_NO_MEMORY;
		if ((job = mem_alloc(sizeof(*job))) != NULL) {
			*job = (struct job){ c, run, arg };
			r = pool_submit(c->tiers.loaders, run_job, job);
			if (r != R_OK)
				free(job);
		}
	}
	if (r != R_OK)
		atomic_fetch_sub(&c->jobs, 1);
	return (r);
}

/* The first look at the log is a hasty one; the next takes its time. */
enum result
cache_catch_up(struct cache *c)
{
	int64_t deadline_ms = clock_monotonic_ms() + c->tiers.load_timeout_ms;
	enum result r =
		invalidation_catch_up(c->tiers.invalidation, deadline_ms);

	return (r == R_TIMEOUT ? invalidation_catch_up(c->tiers.invalidation,
						       deadline_ms)
			       : r);
}

enum result
cache_invalidate(struct cache *c, struct bytes scope,
		 enum cache_invalidation how)
{
	const struct postgres_value values[] = {
		{ scope, PG_TEXT },
		{ how == CACHE_SOFT ? BYTES("t") : BYTES("f"), PG_TEXT },
	};
	enum result r = postgres_run(c->tiers.pg, 0,
				     "SELECT cache_invalidate(ARRAY[$1], "
				     "$2::boolean)",
				     values, 2);

	return (r != R_OK ? r : cache_catch_up(c));
}

const struct tiers *
cache_tiers(const struct cache *c)
{
	return (&c->tiers);
}

void
cache_user_hash(const struct cache *c, struct bytes user, char out[static 17])
{
	user_hash(c->secret_name, buf_bytes(&c->secret), user, out);
}

void
cache_hash_users(const struct cache *c, struct bytes scope, struct buf *to)
{
	scope_hash_user(buf_bytes(&c->secret), scope, to);
}
