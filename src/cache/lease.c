/* SPDX-License-Identifier: MIT */
#include "lease.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/digest.h"
#include "../base/lock.h"
#include "../base/log.h"
#include "../base/random.h"
#include "../base/thread.h"
#include "postgres_tier.h"
#include "redis_lease.h"

#include <stdlib.h>
#include <string.h>

#define RENEW_MS (LEASE_MS / 3)

struct leases {
	struct redis_tier *redis;
	struct postgres *pg;
	char holder[33]; /* this process' token */
	struct lock lock;
	struct signal changed;
	struct lease *held; /* under the lock */
	pthread_t thread;
	bool running, stopping;
};

/* What a renewal needs of a lease, copied: the lease may be given back
 * meanwhile. */
struct renewal {
	struct renewal *next;
	enum lease_home home;
	struct bytes key;
	char room[];
};

static enum result
keep(struct leases *l, enum lease_home home, struct bytes key, int64_t for_ms,
     enum result failure)
{
	if (home == LEASE_IN_REDIS)
		return (redis_lease_keep(l->redis, key, l->holder, for_ms,
					 failure));
	return (postgres_tier_lease_keep(l->pg, key, l->holder, for_ms,
					 failure));
}

static struct renewal *
copy_held(struct leases *l)
{
	struct renewal *all = NULL, *one;
	const struct lease *lease;

	for (lease = l->held; lease != NULL; lease = lease->next) {
		one = mem_alloc(sizeof(*one) + lease->key.len);
		if (one == NULL)
			break;
		memcpy(one->room, lease->key.at, lease->key.len);
		one->key = (struct bytes){ one->room, lease->key.len };
		one->home = lease->home;
		one->next = all;
		all = one;
	}
	return (all);
}

static void *
renew_loop(void *arg)
{
	struct leases *l = arg;
	struct renewal *all, *one;
	int64_t due;

	lock_take(&l->lock);
	while (!l->stopping) {
		while (!l->stopping && l->held == NULL)
			signal_wait(&l->changed, &l->lock, INT64_MAX);
		due = clock_monotonic_ms() + RENEW_MS;
		while (!l->stopping && clock_monotonic_ms() < due)
			signal_wait(&l->changed, &l->lock, due);
		all = copy_held(l);
		lock_give(&l->lock);
		while ((one = all) != NULL) {
			all = one->next;
			if (keep(l, one->home, one->key, LEASE_MS, R_OK))
				log_debug("lease of %.*s not renewed",
					  BYTES_ARG(one->key));
			free(one);
		}
		lock_take(&l->lock);
	}
	lock_give(&l->lock);
	return (NULL);
}

struct leases *
leases_new(struct redis_tier *redis, struct postgres *pg)
{
	struct leases *l = mem_alloc(sizeof(*l));
	char token[16];

	if (l == NULL)
		return (NULL);
	l->redis = redis;
	l->pg = pg;
	random_fill(token, sizeof(token));
	hex_encode((struct bytes){ token, sizeof(token) }, l->holder);
	lock_init(&l->lock, LOCK_LEASES);
	signal_init(&l->changed);
	return (l);
}

void
leases_free(struct leases *l)
{
	if (l == NULL)
		return;
	lock_take(&l->lock);
	l->stopping = true;
	signal_wake_all(&l->changed);
	lock_give(&l->lock);
	if (l->running)
		pthread_join(l->thread, NULL);
	signal_fini(&l->changed);
	lock_fini(&l->lock);
	free(l);
}

static void
hold(struct leases *l, struct lease *lease, enum lease_home home)
{
	lease->home = home;
	lock_take(&l->lock);
	lease->next = l->held;
	lease->link = &l->held;
	if (l->held != NULL)
		l->held->link = &lease->next;
	else if (l->running)
		signal_wake_one(&l->changed);
	l->held = lease;
	if (!l->running)
		l->running = thread_start("lease", renew_loop, l, &l->thread) ==
			     R_OK;
	lock_give(&l->lock);
}

static void
let_go(struct leases *l, struct lease *lease)
{
	lock_take(&l->lock);
	*lease->link = lease->next;
	if (lease->next != NULL)
		lease->next->link = lease->link;
	lock_give(&l->lock);
}

void
lease_take(struct leases *l, struct lease *lease, struct bytes key,
	   struct lease_state *state)
{
	lease->key = key;
	lease->home = LEASE_NOWHERE;
	state->in_redis = false;
	if (redis_tier_is_usable(l->redis) &&
	    redis_lease_take(l->redis, key, l->holder, LEASE_MS, state) ==
		    R_OK) {
		state->in_redis = true;
		if (state->outcome == LEASE_WON)
			hold(l, lease, LEASE_IN_REDIS);
		return;
	}
	if (postgres_tier_lease_take(l->pg, key, l->holder, LEASE_MS, state) ==
	    R_OK) {
		if (state->outcome == LEASE_WON)
			hold(l, lease, LEASE_IN_POSTGRES);
		return;
	}
	*state = (struct lease_state){ .outcome = LEASE_WON };
}

void
lease_give(struct leases *l, struct lease *lease)
{
	enum lease_home home = lease->home;
	enum result r;

	if (home == LEASE_NOWHERE)
		return;
	let_go(l, lease);
	lease->home = LEASE_NOWHERE;
	if (home == LEASE_IN_REDIS)
		r = redis_lease_give(l->redis, lease->key, l->holder);
	else
		r = postgres_tier_lease_give(l->pg, lease->key, l->holder);
	if (r != R_OK) /* it runs out by itself */
		log_debug("lease of %.*s not given back",
			  BYTES_ARG(lease->key));
}

void
lease_fail(struct leases *l, struct lease *lease, enum result failure,
	   int64_t for_ms)
{
	enum lease_home home = lease->home;

	if (home == LEASE_NOWHERE)
		return;
	let_go(l, lease);
	lease->home = LEASE_NOWHERE;
	if (keep(l, home, lease->key, for_ms, failure) != R_OK)
		log_debug("lease of %.*s: no note of the failure left",
			  BYTES_ARG(lease->key));
}

void
lease_drop(struct leases *l, struct lease *lease)
{
	if (lease->home == LEASE_NOWHERE)
		return;
	let_go(l, lease);
	lease->home = LEASE_NOWHERE;
}
