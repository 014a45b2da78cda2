/* SPDX-License-Identifier: MIT */
#ifndef LOCK_H
#define LOCK_H

#include <pthread.h>
#include <stdint.h>

/*
 * lock: a mutex with a name and a rank.  A thread takes locks in rising rank only;
 * builds
 * with -DLOCK_DEBUG (the sanitizer builds) abort on a violation.  Never held across
 * I/O.
 */
enum lock_rank {
	LOCK_SERVER,	   /* a web server's list of threads */
	LOCK_FLIGHTS,	   /* loads in the making, by key */
	LOCK_LOOKUPS,	   /* lookups that no flight makes */
	LOCK_PARTS,	   /* a composite load's collected parts */
	LOCK_INVALIDATION, /* the followed position and the scopes */
	LOCK_RENDEZVOUS,   /* a thread that waits for an answer */
	LOCK_HEALTH,	   /* what the last look at the tiers saw */
	LOCK_METRICS,	   /* when to hand on what was counted */
	LOCK_LEASES,	   /* leases this process holds */
	LOCK_MEMORY,	   /* one shard of the memory tier */
	LOCK_UPSTREAM,	   /* an upstream's idle connections */
	LOCK_POSTGRES,	   /* the connection pool */
	LOCK_REDIS,	   /* commands waiting to be sent */
	LOCK_BREAKER,
	LOCK_POOL, /* a thread pool's queue */
	LOCK_TIMER,
	LOCK_COMPLETIONS, /* answers on their way to an event thread */
	LOCK_RANKS_
};

struct lock {
	pthread_mutex_t mutex;
	enum lock_rank rank;
};

void lock_init(struct lock *l, enum lock_rank rank);
void lock_fini(struct lock *l);
void lock_take(struct lock *l);
void lock_give(struct lock *l);

/* A condition variable on the monotonic clock. */
struct signal {
	pthread_cond_t condition;
};

void signal_init(struct signal *s);
void signal_fini(struct signal *s);
void signal_wake_all(struct signal *s);
void signal_wake_one(struct signal *s);

/* Wait with `l` held; returns after a wake, or once `deadline_ms`
 * (monotonic) has passed.  Spurious wakes happen: test your condition in a
 * loop. */
void signal_wait(struct signal *s, struct lock *l, int64_t deadline_ms);

#endif
