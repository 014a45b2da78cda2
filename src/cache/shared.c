/* SPDX-License-Identifier: MIT */
#include "shared.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/counters.h"
#include "../base/lock.h"
#include "postgres_tier.h"

#include <stdlib.h>
#include <string.h>

struct shared {
	const struct tiers *tiers;
	struct flights *flights;
	struct lock lock;
	struct signal idle;
	unsigned under_way; /* under the lock, as is the next */
	bool stopping;
};

struct lookup {
	struct shared *home;
	struct cache_query query;
	cache_done *done;
	void *arg;
	int64_t since; /* the position followed before */
	char room[];
};

struct shared *
shared_new(const struct tiers *tiers, struct flights *flights)
{
	struct shared *s = mem_alloc(sizeof(*s));

	if (s == NULL)
		return (NULL);
	s->tiers = tiers;
	s->flights = flights;
	lock_init(&s->lock, LOCK_LOOKUPS);
	signal_init(&s->idle);
	return (s);
}

void
shared_free(struct shared *s)
{
	if (s == NULL)
		return;
	signal_fini(&s->idle);
	lock_fini(&s->lock);
	free(s);
}

static bool
begin(struct shared *s)
{
	bool may;

	lock_take(&s->lock);
	may = !s->stopping;
	s->under_way += may;
	lock_give(&s->lock);
	return (may);
}

static void
end(struct shared *s)
{
	lock_take(&s->lock);
	if (--s->under_way == 0)
		signal_wake_all(&s->idle);
	lock_give(&s->lock);
}

bool
shared_stop(struct shared *s, int64_t deadline_ms)
{
	bool none;

	lock_take(&s->lock);
	s->stopping = true;
	while (s->under_way > 0 && clock_monotonic_ms() < deadline_ms)
		signal_wait(&s->idle, &s->lock, deadline_ms);
	none = s->under_way == 0;
	lock_give(&s->lock);
	return (none);
}

static void
count(const struct lookup *l, enum cache_tier tier, enum result r)
{
	bool redis = tier == CACHE_REDIS;
	enum counter c;

	if (r == R_OK)
		c = redis ? COUNT_LOOKUP_HITS_REDIS
			  : COUNT_LOOKUP_HITS_POSTGRES;
	else if (r == R_NOT_FOUND)
		c = redis ? COUNT_LOOKUP_MISSES_REDIS
			  : COUNT_LOOKUP_MISSES_POSTGRES;
	else
		c = redis ? COUNT_LOOKUP_ERRORS_REDIS
			  : COUNT_LOOKUP_ERRORS_POSTGRES;
	counters_add(counters_label(l->query.policy->category), c, 1);
}

/* `e` is ours when R_OK; the lookup ends here. */
static void
looked_up(struct lookup *l, enum cache_tier tier, enum result r,
	  struct entry *e)
{
	struct cache_answer a = {
		.result = R_OK, .status = CACHE_HIT, .tier = tier, .entry = e
	};
	enum verdict verdict = FORGET;
	struct shared *s = l->home;

	count(l, tier, r);
	if (r == R_OK) {
		verdict = policy_judge(&e->life, clock_wall_ms());
		if (invalidation_keep(s->tiers->invalidation, e, l->since) ==
		    R_CONFLICT)
			verdict = FORGET;
		if (verdict == FORGET)
			entry_unref(e);
	}
	if (verdict == FORGET) {
		flight_join(s->flights, &l->query, l->done, l->arg);
	} else {
		if (verdict == USE_STALE_AND_REFRESH)
			a.status = CACHE_STALE;
		if (verdict != USE)
			flight_refresh(s->flights, &l->query);
		l->done(l->arg, &a);
	}
	free(l);
	end(s); /* after what was done with it, which may be to look again */
}

static void
redis_answered(void *arg, enum result r, struct entry *e)
{
	looked_up(arg, CACHE_REDIS, r, e);
}

/* A pool_job. */
static void
ask_postgres(void *arg)
{
	struct lookup *l = arg;
	struct entry *e = NULL;
	enum result r = postgres_tier_get(l->home->tiers->pg, l->query.key,
					  l->query.log_key, &e);

	looked_up(l, CACHE_POSTGRES, r, e);
}

bool
shared_look(struct shared *s, const struct cache_query *q, cache_done *done,
	    void *arg)
{
	const struct tiers *t = s->tiers;
	struct lookup *l;
	char *at;

	if (!tiers_are_shared(t) || !begin(s))
		return (false);
	l = mem_alloc(sizeof(*l) + q->key.len + q->log_key.len +
		      q->arguments.len);
	if (l == NULL)
		goto out;
	*l = (struct lookup){
		.home = s,
		.query = *q,
		.done = done,
		.arg = arg,
		.since = invalidation_position(t->invalidation),
	};
	at = l->room;
	l->query.key.at = memcpy(at, q->key.at, q->key.len);
	at += q->key.len;
	l->query.log_key.at = memcpy(at, q->log_key.at, q->log_key.len);
	at += q->log_key.len;
	l->query.arguments.at = memcpy(at, q->arguments.at, q->arguments.len);
	if (redis_tier_is_usable(t->redis)) {
		if (redis_tier_get(t->redis, q->key, redis_answered, l) == R_OK)
			return (true);
	} else if (pool_submit(t->finders, ask_postgres, l) == R_OK) {
		return (true);
	}
out:
	free(l);
	end(s);
	return (false);
}
