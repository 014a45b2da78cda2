/* SPDX-License-Identifier: MIT */
#include "health.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/lock.h"
#include "flights.h"

#include <stdatomic.h>
#include <stdlib.h>

#define GOOD_FOR_MS 100
#define POSTGRES_MS 120

/* A question to Redis, of the asker and of the answer that may come later. */
struct ping {
	struct lock lock;
	struct signal there;
	atomic_uint references;
	bool answered;
	enum result result;
	int64_t at_us;
};

struct health {
	const struct tiers *tiers;
	struct lock lock;
	struct signal seen;
	bool looking;
	int64_t seen_at_ms;
	struct health_report last;
};

struct health *
health_new(struct cache *c)
{
	struct health *h = mem_alloc(sizeof(*h));

	if (h == NULL)
		return (NULL);
	h->tiers = cache_tiers(c);
	h->seen_at_ms = INT64_MIN / 2;
	lock_init(&h->lock, LOCK_HEALTH);
	signal_init(&h->seen);
	return (h);
}

void
health_free(struct health *h)
{
	if (h == NULL)
		return;
	signal_fini(&h->seen);
	lock_fini(&h->lock);
	free(h);
}

static void
ping_unref(struct ping *p)
{
	if (p == NULL || atomic_fetch_sub(&p->references, 1) != 1)
		return;
	signal_fini(&p->there);
	lock_fini(&p->lock);
	free(p);
}

static void
ponged(void *arg, enum result r, const struct redis_reply *reply)
{
	struct ping *p = arg;

	lock_take(&p->lock);
	p->answered = true;
	p->result = r == R_OK && reply->type == REDIS_ERROR ? R_BAD_ANSWER : r;
	p->at_us = clock_monotonic_us();
	signal_wake_one(&p->there);
	lock_give(&p->lock);
	ping_unref(p);
}

/* Ask Redis; NULL: not to be asked now, `*r` says why. */
static struct ping *
ping(struct redis *redis, enum result *r)
{
	static const struct bytes argv[] = { BYTES_INIT("PING") };
	struct ping *p = mem_alloc(sizeof(*p));

	*r = R_NO_MEMORY;
	if (p == NULL)
		return (NULL);
	lock_init(&p->lock, LOCK_RENDEZVOUS);
	signal_init(&p->there);
	atomic_init(&p->references, 2);
	p->result = R_TIMEOUT;
	*r = redis_send(redis, argv, 1, ponged, p);
	if (*r == R_OK)
		return (p);
	atomic_store(&p->references, 1);
	ping_unref(p);
	return (NULL);
}

static void
wait_for_pong(struct ping *p, int64_t began_us, struct health_tier *out)
{
	int64_t deadline_ms = began_us / 1000 + HEALTH_PATIENCE_MS;

	lock_take(&p->lock);
	while (!p->answered && clock_monotonic_ms() < deadline_ms)
		signal_wait(&p->there, &p->lock, deadline_ms);
	out->result = p->result;
	out->took_us =
		(p->answered ? p->at_us : clock_monotonic_us()) - began_us;
	lock_give(&p->lock);
}

static void
look_at_postgres(const struct tiers *t, int64_t began_us,
		 struct health_report *out)
{
	struct postgres_rows *rows;

	out->head = -1;
	out->postgres.result =
		postgres_query(t->pg, began_us / 1000 + POSTGRES_MS,
			       "SELECT head FROM cache_log", NULL, 0, &rows);
	out->postgres.took_us = clock_monotonic_us() - began_us;
	out->postgres.breaker = postgres_state(t->pg);
	out->postgres.state = HEALTH_DOWN;
	if (out->postgres.result != R_OK)
		return;
	out->postgres.state = HEALTH_UP;
	if (postgres_count(rows) > 0)
		out->head = postgres_get_int(rows, 0, 0);
	postgres_rows_free(rows);
}

static void
look_at_memory(const struct tiers *t, struct health_report *out)
{
	int64_t began_us = clock_monotonic_us();

	entry_unref(memory_get(t->memory, BYTES("@health")));
	out->memory.took_us = clock_monotonic_us() - began_us;
	out->memory.state = HEALTH_UP;
	out->memory_entries = memory_count(t->memory);
	out->memory_bytes = memory_bytes(t->memory);
}

static void
look(const struct tiers *t, struct health_report *out)
{
	int64_t began_us = clock_monotonic_us();
	struct redis *redis = NULL;
	struct ping *p = NULL;

	*out = (struct health_report){ .redis.state = HEALTH_OFF };
	if (t->redis != NULL) {
		redis = redis_tier_redis(t->redis);
		p = ping(redis, &out->redis.result);
	}
	look_at_memory(t, out);
	look_at_postgres(t, began_us, out);
	if (p != NULL)
		wait_for_pong(p, began_us, &out->redis);
	ping_unref(p);
	if (redis != NULL) {
		out->redis.state = out->redis.result == R_OK ? HEALTH_UP
							     : HEALTH_DOWN;
		out->redis.breaker = redis_state(redis);
	}
	out->position = invalidation_position(t->invalidation);
	out->current = invalidation_is_current(t->invalidation);
}

void
health_look(struct health *h, struct health_report *out)
{
	struct health_report seen;

	lock_take(&h->lock);
	while (h->looking) /* which ends in time */
		signal_wait(&h->seen, &h->lock, INT64_MAX);
	if (clock_monotonic_ms() - h->seen_at_ms < GOOD_FOR_MS) {
		*out = h->last;
		lock_give(&h->lock);
		return;
	}
	h->looking = true;
	lock_give(&h->lock);
	look(h->tiers, &seen);
	lock_take(&h->lock);
	h->last = *out = seen;
	h->seen_at_ms = clock_monotonic_ms();
	h->looking = false;
	signal_wake_all(&h->seen);
	lock_give(&h->lock);
}
