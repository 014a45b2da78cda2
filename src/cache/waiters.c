/* SPDX-License-Identifier: MIT */
#include "waiters.h"

#include <stdlib.h>

struct waiter *
waiters_take(struct waiter **list, enum joined latest)
{
	struct waiter *taken = NULL, **end = &taken, *w;

	while ((w = *list) != NULL) {
		if (w->joined > latest) {
			list = &w->next;
			continue;
		}
		*list = w->next;
		w->next = NULL;
		*end = w;
		end = &w->next;
	}
	return (taken);
}

struct waiter *
waiters_take_overdue(struct waiter **list, int64_t now_ms)
{
	struct waiter *taken = NULL, *w;

	while ((w = *list) != NULL) {
		if (w->deadline_ms > now_ms) {
			list = &w->next;
			continue;
		}
		*list = w->next;
		w->next = taken;
		taken = w;
	}
	return (taken);
}

int64_t
waiters_next_deadline(const struct waiter *list)
{
	int64_t next = INT64_MAX;

	for (; list != NULL; list = list->next)
		if (list->deadline_ms < next)
			next = list->deadline_ms;
	return (next);
}

enum cache_demand
waiters_begin_step(struct waiter *list)
{
	enum cache_demand most = CACHE_USUAL;

	for (; list != NULL; list = list->next) {
		list->joined = JOINED_BEFORE;
		if (list->demand > most)
			most = list->demand;
	}
	return (most);
}

void
waiters_answer(struct waiter *taken, const struct cache_answer *answer)
{
	struct cache_answer mine;
	struct waiter *w;

	while ((w = taken) != NULL) {
		taken = w->next;
		mine = *answer;
		mine.collapsed = answer->status == CACHE_MISS && !w->first;
		if (answer->entry != NULL)
			mine.entry = entry_ref(answer->entry);
		w->done(w->arg, &mine);
		free(w);
	}
}
