/* SPDX-License-Identifier: MIT */
#include "breaker.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/lock.h"
#include "../base/log.h"

#include <assert.h>
#include <stdlib.h>

struct breaker {
	struct lock lock;
	char *name;
	unsigned failures_max;
	int64_t pause_min_ms, pause_max_ms;

	enum breaker_state state;
	unsigned failures; /* in a row, while closed */
	int64_t pause_ms;  /* the one in force, or the last */
	int64_t retry_at_ms;
};

struct breaker *
breaker_new(const struct breaker_options *options)
{
	struct breaker *b;

	assert(options->failures > 0 && options->pause_ms > 0);
	if ((b = mem_alloc(sizeof(*b))) == NULL)
		return (NULL);
	if ((b->name = mem_strdup(options->name)) == NULL) {
		free(b);
		return (NULL);
	}
	lock_init(&b->lock, LOCK_BREAKER);
	b->failures_max = options->failures;
	b->pause_min_ms = options->pause_ms;
	b->pause_max_ms = options->pause_max_ms;
	return (b);
}

void
breaker_free(struct breaker *b)
{
	if (b == NULL)
		return;
	lock_fini(&b->lock);
	free(b->name);
	free(b);
}

bool
breaker_allow(struct breaker *b)
{
	bool allow;

	lock_take(&b->lock);
	allow = b->state == BREAKER_CLOSED;
	if (b->state == BREAKER_OPEN &&
	    clock_monotonic_ms() >= b->retry_at_ms) {
		b->state = BREAKER_HALF_OPEN;
		allow = true;
	}
	lock_give(&b->lock);
	return (allow);
}

/* A success closes it, even that of a call made before it opened: the
 * dependency is alive. */
void
breaker_success(struct breaker *b)
{
	bool closed;

	lock_take(&b->lock);
	closed = b->state != BREAKER_CLOSED;
	b->state = BREAKER_CLOSED;
	b->failures = 0;
	b->pause_ms = 0;
	lock_give(&b->lock);
	if (closed)
		log_info("%s answers again", b->name);
}

static void
open_for(struct breaker *b, int64_t pause_ms)
{
	if (pause_ms > b->pause_max_ms)
		pause_ms = b->pause_max_ms;
	b->state = BREAKER_OPEN;
	b->pause_ms = pause_ms;
	b->retry_at_ms = clock_monotonic_ms() + pause_ms;
}

void
breaker_failure(struct breaker *b)
{
	bool opened = false;

	lock_take(&b->lock);
	switch (b->state) {
	case BREAKER_CLOSED:
		if (++b->failures >= b->failures_max) {
			open_for(b, b->pause_min_ms);
			opened = true;
		}
		break;
	case BREAKER_HALF_OPEN:
		open_for(b, 2 * b->pause_ms);
		break;
	case BREAKER_OPEN:
		break; /* of a call made before it opened */
	}
	lock_give(&b->lock);
	if (opened)
		log_warn("%s fails: not asked again before it answers a probe",
			 b->name);
}

void
breaker_forget(struct breaker *b)
{
	lock_take(&b->lock);
	if (b->state == BREAKER_HALF_OPEN) {
		/* No probe took place: the next caller is one. */
		b->state = BREAKER_OPEN;
		b->retry_at_ms = clock_monotonic_ms();
	}
	lock_give(&b->lock);
}

enum breaker_state
breaker_state(struct breaker *b)
{
	enum breaker_state state;

	lock_take(&b->lock);
	state = b->state;
	lock_give(&b->lock);
	return (state);
}

int64_t
breaker_retry_ms(struct breaker *b)
{
	int64_t left = 0;

	lock_take(&b->lock);
	if (b->state == BREAKER_OPEN)
		left = b->retry_at_ms - clock_monotonic_ms();
	lock_give(&b->lock);
	return (left > 0 ? left : 0);
}
