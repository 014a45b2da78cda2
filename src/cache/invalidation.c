/* SPDX-License-Identifier: MIT */
#include "invalidation.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/lock.h"
#include "../base/log.h"
#include "../base/thread.h"
#include "doorbell.h"
#include "log_batch.h"
#include "postgres_tier.h"
#include "scope.h"
#include "scope_table.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOOK_AGAIN_MS 2000 /* when nothing rings, or it is no use */
#define LOOK_WITHIN_MS 500 /* the first try */
#define LOOK_DEAF_MS 100   /* while nobody can ring */
#define TELL_AGAIN_MS 50
#define SCOPES_REMEMBERED 100000

struct invalidation {
	struct invalidation_options options;
	struct doorbell *doorbell; /* the thread's own */
	_Atomic int64_t position;
	_Atomic int64_t moved_at_ms; /* what is up to there is older */
	_Atomic int64_t read_at_ms;  /* when the log was last read to its end */
	_Atomic int64_t told;	     /* position that Redis has been told of */
	_Atomic uint64_t doubted;    /* a catch-up that failed, */
	_Atomic uint64_t settled;    /* and the last that did not */
	bool slow; /* the last look failed: the next gets all the time it wants */
	int wake_fd;
	pthread_t thread;

	struct lock lock;
	struct signal looked;
	struct scope_table *scopes; /* from here on under the lock */
	int64_t first; /* position after which it has all; -1: none yet */
	uint64_t asked, answered; /* catch-ups */
	enum result outcome;	  /* of the look that answered */
	bool stopping;
};

static enum result
read_batch(struct invalidation *v, int64_t after, struct log_batch *b)
{
	const struct log_batch_source source = {
		.pg = v->options.pg,
		.user_secret = v->options.user_secret,
		.deadline_ms = v->slow ? 0
				       : clock_monotonic_ms() + LOOK_WITHIN_MS,
	};

	return (log_batch_read(b, &source, after));
}

/* The table first, memory second: see invalidation_keep(). */
static void
apply_to_memory(struct invalidation *v, const struct log_batch *b)
{
	const struct redis_log_record *record;
	enum memory_drop how;
	unsigned i;

	lock_take(&v->lock);
	for (i = 0; i < b->count; i++)
		scope_table_add(v->scopes, b->records[i].scope,
				b->records[i].position,
				b->records[i].soft ? SCOPE_SOFT : SCOPE_HARD);
	lock_give(&v->lock);
	for (i = 0; i < b->count; i++) {
		record = &b->records[i];
		how = record->soft ? MEMORY_DROP_SOFT : MEMORY_DROP_HARD;
		if (scope_is_prefix(record->scope))
			memory_drop_prefix(v->options.memory,
					   scope_prefix(record->scope),
					   record->position, how);
		else
			memory_drop_key(v->options.memory, record->scope,
					record->position, how);
	}
}

static void
say(const struct invalidation *v, const struct log_batch *b)
{
	unsigned i;

	for (i = 0; v->options.verbose && i < b->count; i++)
		log_info("[Cache] INVALIDATE %.*s",
			 BYTES_ARG(b->records[i].scope));
}

/* Redis has lost all.  What it is told now must be read from the log after
 * that. */
static enum result
begin_redis(struct invalidation *v, int64_t *knows)
{
	int64_t position;
	enum result r = postgres_tier_position(v->options.pg, &position);

	if (r == R_OK)
		r = redis_log_begin(v->options.redis, position);
	if (r == R_OK)
		*knows = position;
	return (r);
}

/* Tell Redis all that it does not know yet, up to `to`; `b` holds the records
 * after `from`.  A Redis that lost some is told of those first. */
static enum result
tell_redis(struct invalidation *v, int64_t from, int64_t to,
	   const struct log_batch *b, struct log_batch *older)
{
	struct redis_tier *redis = v->options.redis;
	int64_t knows = from, before;
	enum result r;

	r = redis_log_push(redis, from, to, b->records, b->count, &knows);
	if (r == R_OK && knows == REDIS_LOG_BLANK)
		r = begin_redis(v, &knows);
	while (r == R_OK && knows < to) {
		before = knows;
		if ((r = read_batch(v, before, older)) != R_OK)
			break;
		if (older->count == 0)
			return (R_BAD_ANSWER);
		r = redis_log_push(redis, before,
				   older->records[older->count - 1].position,
				   older->records, older->count, &knows);
		if (r == R_OK && knows <= before)
			return (R_BAD_ANSWER);
	}
	/* From a faster follower; or the database has lost what Redis was told of,
	 * which it finds out from whoever asks for what comes after that. */
	if (r == R_OK && knows > to)
		r = read_batch(v, knows, older);
	return (r);
}

/*
 * The first look.  Records before it we need not know: what a tier answers after
 * that has been checked there, against all of them.
 */
static enum result
find_position(struct invalidation *v, int64_t *position)
{
	enum result r = postgres_tier_position(v->options.pg, position);

	if (r != R_OK)
		return (r);
	atomic_store(&v->moved_at_ms, clock_monotonic_ms());
	lock_take(&v->lock);
	v->first = *position;
	lock_give(&v->lock);
	memory_drop_prefix(v->options.memory, BYTES_NONE, *position,
			   MEMORY_DROP_HARD);
	return (R_OK);
}

/* Read the log on from `from`, and pass it on. */
static enum result
look_on(struct invalidation *v, int64_t from, struct log_batch *b,
	struct log_batch *older)
{
	struct redis_tier *redis = v->options.redis;
	struct redis_tier_sight sight = { from, clock_monotonic_ms(), 0 };
	enum result r;

	if (redis != NULL)
		sight.connections = redis_tier_connections(redis);
	if ((r = read_batch(v, from, b)) != R_OK)
		return (r);
	if (b->count > 0) {
		sight.position = b->records[b->count - 1].position;
		atomic_store(&v->moved_at_ms, clock_monotonic_ms());
	}
	if (redis != NULL)
		redis_tier_expect(redis, &sight);
	/* A Redis that cannot be told is not believed meanwhile. */
	if (!redis_tier_is_usable(redis))
		;
	else if (tell_redis(v, from, sight.position, b, older) == R_OK)
		atomic_store(&v->told, sight.position);
	else
		log_debug("invalidation: Redis was not told");
	apply_to_memory(v, b);
	log_batch_measure(b);
	say(v, b);
	atomic_store(&v->position, sight.position);
	atomic_store(&v->read_at_ms, sight.read_at_ms);
	return (R_OK);
}

/* Read the log to its end and pass it on. */
static enum result
look(struct invalidation *v, struct log_batch *b, struct log_batch *older)
{
	int64_t from = atomic_load(&v->position);
	enum result r = R_OK;

	if (from < 0)
		r = find_position(v, &from);
	while (r == R_OK) {
		r = look_on(v, from, b, older);
		from = atomic_load(&v->position);
		if (r == R_OK && !log_batch_is_full(b))
			break;
	}
	v->slow = r != R_OK;
	if (r != R_OK && v->options.redis != NULL)
		redis_tier_lose_sight(v->options.redis);
	return (r);
}

static void
rung(void *arg, bool deaf)
{
	struct invalidation *v = arg;

	invalidation_wake(v);
	if (!deaf && v->options.rung != NULL)
		v->options.rung(v->options.arg);
}

/* Will it be well as soon as the server is? */
static bool
may_pass(enum result r)
{
	return (r == R_OK || r == R_UNAVAILABLE || r == R_TIMEOUT);
}

static void
wait_for_news(struct invalidation *v, enum result looked)
{
	struct pollfd wake = { .fd = v->wake_fd, .events = POLLIN };
	uint64_t drained;
	int pause_ms = LOOK_AGAIN_MS;

	if (may_pass(looked) && doorbell_is_deaf(v->doorbell))
		pause_ms = LOOK_DEAF_MS;
	else if (may_pass(looked) && v->options.trust_ms > 0)
		/* Well within it, with the look. */
		pause_ms = (int)(v->options.trust_ms * 2 / 5);
	if (poll(&wake, 1, pause_ms) > 0)
		(void)!read(v->wake_fd, &drained, sizeof(drained));
}

static void *
follow(void *arg)
{
	struct invalidation *v = arg;
	struct log_batch *batches = mem_alloc(2 * sizeof(*batches));
	uint64_t asked;
	enum result r;
	bool stopping = batches == NULL, first;

	while (!stopping) {
		/* Answers wait for the first look.  The doorbell, once it
		 * hears, has another made, so that no record falls between. */
		first = atomic_load(&v->position) < 0;
		if (!first && v->doorbell == NULL)
			v->doorbell = doorbell_new(&v->options.listen, rung, v);
		lock_take(&v->lock);
		asked = v->asked;
		lock_give(&v->lock);
		r = look(v, &batches[0], &batches[1]);
		lock_take(&v->lock);
		v->answered = asked;
		v->outcome = r;
		if (r == R_OK)
			atomic_store(&v->settled, asked);
		signal_wake_all(&v->looked);
		stopping = v->stopping;
		lock_give(&v->lock);
		if (stopping || (first && r == R_OK))
			continue;
		if (r == R_OK && redis_tier_is_usable(v->options.redis))
			redis_log_prune(v->options.redis);
		wait_for_news(v, r);
	}
	if (batches != NULL) {
		log_batch_fini(&batches[0]);
		log_batch_fini(&batches[1]);
	}
	free(batches);
	return (NULL);
}

struct invalidation *
invalidation_new(const struct invalidation_options *options)
{
	struct invalidation *v = mem_alloc(sizeof(*v));

	if (v == NULL)
		return (NULL);
	v->options = *options;
	v->position = v->first = -1;
	v->read_at_ms = clock_monotonic_ms();
	v->scopes = scope_table_new(SCOPES_REMEMBERED);
	v->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->scopes == NULL || v->wake_fd < 0)
		goto fail;
	lock_init(&v->lock, LOCK_INVALIDATION);
	signal_init(&v->looked);
	if (thread_start("invalidation", follow, v, &v->thread) != R_OK)
		goto fail;
	return (v);
fail:
	scope_table_free(v->scopes);
	if (v->wake_fd >= 0)
		close(v->wake_fd);
	free(v);
	return (NULL);
}

void
invalidation_free(struct invalidation *v)
{
	if (v == NULL)
		return;
	lock_take(&v->lock);
	v->stopping = true;
	lock_give(&v->lock);
	invalidation_wake(v);
	pthread_join(v->thread, NULL);
	doorbell_free(v->doorbell);
	signal_fini(&v->looked);
	lock_fini(&v->lock);
	scope_table_free(v->scopes);
	close(v->wake_fd);
	free(v);
}

int64_t
invalidation_position(struct invalidation *v)
{
	return (atomic_load(&v->position));
}

/* No catch-up has failed that nothing made good since. */
static bool
is_settled(struct invalidation *v)
{
	return (atomic_load(&v->doubted) <= atomic_load(&v->settled));
}

bool
invalidation_is_current(struct invalidation *v)
{
	return (is_settled(v) &&
		clock_monotonic_ms() - atomic_load(&v->read_at_ms) <
			v->options.lag_limit_ms);
}

void
invalidation_wake(struct invalidation *v)
{
	uint64_t one = 1;

	(void)!write(v->wake_fd, &one, sizeof(one));
}

/* A look that begins now, by the deadline. */
static enum result
look_now(struct invalidation *v, int64_t deadline_ms, uint64_t *asked)
{
	enum result r = R_TIMEOUT;

	lock_take(&v->lock);
	*asked = ++v->asked;
	invalidation_wake(v);
	while (v->answered < *asked && clock_monotonic_ms() < deadline_ms)
		signal_wait(&v->looked, &v->lock, deadline_ms);
	if (v->answered >= *asked)
		r = v->outcome;
	lock_give(&v->lock);
	return (r);
}

/* Somebody may believe a Redis that could not be told of what is before
 * `position`, but not for longer than trust_ms from when that was new.  It may
 * yet be told. */
static void
wait_out(struct invalidation *v, int64_t position, int64_t new_at_ms)
{
	struct pollfd never = { .fd = -1 };
	int64_t left_ms, until_ms = new_at_ms + v->options.trust_ms;
	uint64_t asked;

	while (atomic_load(&v->told) < position &&
	       (left_ms = until_ms - clock_monotonic_ms()) > 0) {
		(void)poll(&never, 1,
			   (int)(left_ms < TELL_AGAIN_MS ? left_ms
							 : TELL_AGAIN_MS));
		(void)!look_now(v, until_ms, &asked);
	}
}

enum result
invalidation_look(struct invalidation *v, int64_t deadline_ms)
{
	uint64_t asked;

	return (look_now(v, deadline_ms, &asked));
}

enum result
invalidation_catch_up(struct invalidation *v, int64_t deadline_ms)
{
	int64_t position = INT64_MAX, new_at_ms = clock_monotonic_ms();
	int64_t moved_at_ms;
	uint64_t asked, doubted;
	enum result r = look_now(v, deadline_ms, &asked);

	if (r != R_OK) {
		doubted = atomic_load(&v->doubted);
		while (doubted < asked &&
		       !atomic_compare_exchange_weak(&v->doubted, &doubted,
						     asked))
			;
	} else {
		position = invalidation_position(v);
		moved_at_ms = atomic_load(&v->moved_at_ms);
		if (moved_at_ms < new_at_ms)
			new_at_ms = moved_at_ms;
	}
	if (v->options.redis != NULL && v->options.trust_ms > 0)
		wait_out(v, position, new_at_ms);
	return (r);
}

bool
invalidation_allows(struct invalidation *v, const struct entry *e)
{
	enum scope_effect effect;

	lock_take(&v->lock);
	effect = scope_table_judge(v->scopes, e->key, e->fence);
	lock_give(&v->lock);
	return (effect != SCOPE_HARD);
}

bool
invalidation_vouches(struct invalidation *v, const struct entry *e)
{
	return (is_settled(v) && clock_wall_ms() - e->life.loaded_at_ms <
					 v->options.lag_limit_ms);
}

enum result
invalidation_keep(struct invalidation *v, struct entry *e, int64_t since)
{
	enum result r = R_CONFLICT;
	enum scope_effect effect;

	/*
	 * A record is put in the table under this lock, and dropped from memory
	 * after: either we see it here, or it finds what we put in.
	 */
	lock_take(&v->lock);
	effect = scope_table_judge(v->scopes, e->key, e->fence);
	if (effect == SCOPE_NONE ||
	    (effect == SCOPE_SOFT &&
	     e->life.fresh_until_ms <= clock_wall_ms())) {
		r = R_OK;
		if (since < 0 && v->first >= 0 && e->fence < v->first)
			r = R_UNAVAILABLE;
		else
			memory_put(v->options.memory, e);
	}
	lock_give(&v->lock);
	return (r);
}
