/* SPDX-License-Identifier: MIT */
#ifndef WAITERS_H
#define WAITERS_H

#include "query.h"

/*
 * waiters: who waits on a flight.  Not locked: the flight's lock guards it; taken
 * lists are the taker's alone.
 */
enum joined {
	JOINED_BEFORE, /* before the step that looks or loads began */
	JOINED_DURING, /* before its outcome went to the tiers */
	JOINED_AFTER,
};

struct waiter {
	struct waiter *next;
	cache_done *done;
	void *arg;
	int64_t deadline_ms;
	enum cache_demand demand;
	enum joined joined;
	bool first; /* whose asking started the flight */
};

/* Take those that joined up to `latest` off the list. */
struct waiter *waiters_take(struct waiter **list, enum joined latest);

/* Take those whose deadline has passed. */
struct waiter *waiters_take_overdue(struct waiter **list, int64_t now_ms);

/* INT64_MAX for an empty list. */
int64_t waiters_next_deadline(const struct waiter *list);

/* A new step begins: all that wait now joined before it.  Returns the most that any of
 * them demands. */
enum cache_demand waiters_begin_step(struct waiter *list);

/* Answer all of a taken list, each with a reference of its own, and free it.
 * The caller keeps its reference. */
void waiters_answer(struct waiter *taken, const struct cache_answer *answer);

#endif
