/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include "clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* While a test moves the clock, a wait looks at it this often. */
#define JUMP_SLICE_MS 20

/* None of these calls can fail but by a bug. */
static void
must(int error, const char *what)
{
	if (error == 0)
		return;
	(void)fprintf(stderr, "lock: %s failed: error %d\n", what, error);
	abort();
}

#ifdef LOCK_DEBUG

static const char *const names[LOCK_RANKS_] = {
	[LOCK_SERVER] = "server",	  [LOCK_FLIGHTS] = "flights",
	[LOCK_PARTS] = "parts",		  [LOCK_INVALIDATION] = "invalidation",
	[LOCK_RENDEZVOUS] = "rendezvous", [LOCK_HEALTH] = "health",
	[LOCK_METRICS] = "metrics",	  [LOCK_LEASES] = "leases",
	[LOCK_MEMORY] = "memory",	  [LOCK_UPSTREAM] = "upstream",
	[LOCK_POSTGRES] = "postgres",	  [LOCK_REDIS] = "redis",
	[LOCK_BREAKER] = "breaker",	  [LOCK_POOL] = "pool",
	[LOCK_TIMER] = "timer",		  [LOCK_COMPLETIONS] = "completions",
};

static _Thread_local bool held[LOCK_RANKS_];

static void
violation(const char *what, enum lock_rank rank, int other)
{
	(void)fprintf(stderr, "lock: %s %s%s%s\n", what, names[rank],
		      other < 0 ? "" : " while holding ",
		      other < 0 ? "" : names[other]);
	abort();
}

static void
note_take(const struct lock *l)
{
	for (int rank = (int)l->rank; rank < LOCK_RANKS_; rank++)
		if (held[rank])
			violation("taking", l->rank, rank);
	held[l->rank] = true;
}

static void
note_give(const struct lock *l)
{
	if (!held[l->rank])
		violation("giving without holding", l->rank, -1);
	held[l->rank] = false;
}

/* Whoever waits must hold this lock, and keeps no other from its users. */
static void
note_wait(const struct lock *l)
{
	if (!held[l->rank])
		violation("waiting without holding", l->rank, -1);
	for (int rank = 0; rank < LOCK_RANKS_; rank++)
		if (held[rank] && rank != (int)l->rank)
			violation("waiting with", l->rank, rank);
}

#else

static void
note_take(const struct lock *l)
{
	(void)l;
}

static void
note_give(const struct lock *l)
{
	(void)l;
}

static void
note_wait(const struct lock *l)
{
	(void)l;
}

#endif

void
lock_init(struct lock *l, enum lock_rank rank)
{
	l->rank = rank;
	must(pthread_mutex_init(&l->mutex, NULL), "pthread_mutex_init");
}

void
lock_fini(struct lock *l)
{
	must(pthread_mutex_destroy(&l->mutex), "pthread_mutex_destroy");
}

void
lock_take(struct lock *l)
{
	note_take(l);
	must(pthread_mutex_lock(&l->mutex), "pthread_mutex_lock");
}

void
lock_give(struct lock *l)
{
	note_give(l);
	must(pthread_mutex_unlock(&l->mutex), "pthread_mutex_unlock");
}

void
signal_init(struct signal *s)
{
	pthread_condattr_t attributes;

	must(pthread_condattr_init(&attributes), "pthread_condattr_init");
	must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC),
	     "pthread_condattr_setclock");
	must(pthread_cond_init(&s->condition, &attributes),
	     "pthread_cond_init");
	must(pthread_condattr_destroy(&attributes), "pthread_condattr_destroy");
}

void
signal_fini(struct signal *s)
{
	must(pthread_cond_destroy(&s->condition), "pthread_cond_destroy");
}

void
signal_wake_all(struct signal *s)
{
	must(pthread_cond_broadcast(&s->condition), "pthread_cond_broadcast");
}

void
signal_wake_one(struct signal *s)
{
	must(pthread_cond_signal(&s->condition), "pthread_cond_signal");
}

void
signal_wait(struct signal *s, struct lock *l, int64_t deadline_ms)
{
	/* The kernel's clock knows nothing of clock_advance_ms(). */
	int left_ms = clock_left_ms(deadline_ms), error;
	struct timespec until;

	note_wait(l);
	if (left_ms > JUMP_SLICE_MS && clock_may_jump())
		left_ms = JUMP_SLICE_MS;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += left_ms / 1000;
	until.tv_nsec += (long)(left_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	error = pthread_cond_timedwait(&s->condition, &l->mutex, &until);
	if (error != ETIMEDOUT)
		must(error, "pthread_cond_timedwait");
}
