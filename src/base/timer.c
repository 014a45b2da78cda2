/* SPDX-License-Identifier: MIT */
#include "timer.h"

#include "alloc.h"
#include "clock.h"
#include "lock.h"
#include "thread.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#define IDLE_WAIT_MS 3600000

struct call {
	int64_t due_ms;
	uint64_t number; /* keeps calls of one millisecond in order */
	timer_fn *fn;
	void *arg;
};

struct timers {
	struct lock lock;
	struct signal changed;
	pthread_t thread;
	/* Under the lock: */
	bool stopping;
	uint64_t next_number;
	struct call *heap; /* the earliest first: a binary heap */
	size_t count, size;
};

static bool
is_before(const struct call *a, const struct call *b)
{
	if (a->due_ms != b->due_ms)
		return (a->due_ms < b->due_ms);
	return (a->number < b->number);
}

static void
heap_put(struct timers *t, struct call call)
{
	size_t i = t->count++, parent;

	for (; i > 0; i = parent) {
		parent = (i - 1) / 2;
		if (!is_before(&call, &t->heap[parent]))
			break;
		t->heap[i] = t->heap[parent];
	}
	t->heap[i] = call;
}

static struct call
heap_take(struct timers *t)
{
	struct call first = t->heap[0], last = t->heap[--t->count];
	size_t i = 0, child;

	for (; 2 * i + 1 < t->count; i = child) {
		child = 2 * i + 1;
		if (child + 1 < t->count &&
		    is_before(&t->heap[child + 1], &t->heap[child]))
			child++;
		if (!is_before(&t->heap[child], &last))
			break;
		t->heap[i] = t->heap[child];
	}
	t->heap[i] = last;
	return (first);
}

static void *
timer_thread(void *arg)
{
	struct timers *t = arg;
	struct call call;
	int64_t now_ms;

	lock_take(&t->lock);
	while (t->count > 0 || !t->stopping) {
		now_ms = clock_monotonic_ms();
		if (t->count == 0) {
			signal_wait(&t->changed, &t->lock,
				    now_ms + IDLE_WAIT_MS);
			continue;
		}
		if (!t->stopping && t->heap[0].due_ms > now_ms) {
			signal_wait(&t->changed, &t->lock, t->heap[0].due_ms);
			continue;
		}
		call = heap_take(t);
		lock_give(&t->lock);
		call.fn(call.arg);
		lock_take(&t->lock);
	}
	lock_give(&t->lock);
	return (NULL);
}

struct timers *
timers_new(void)
{
	struct timers *t = mem_alloc(sizeof(*t));

	if (t == NULL)
		return (NULL);
	lock_init(&t->lock, LOCK_TIMER);
	signal_init(&t->changed);
	if (thread_start("timer", timer_thread, t, &t->thread) != R_OK) {
		signal_fini(&t->changed);
		lock_fini(&t->lock);
		free(t);
		return (NULL);
	}
	return (t);
}

static enum result
make_room(struct timers *t)
{
	size_t size = t->size > 0 ? t->size * 2 : 64;
	struct call *heap;

	if (t->count < t->size)
		return (R_OK);
	if (size > SIZE_MAX / sizeof(*heap))
		return (R_NO_MEMORY);
	heap = mem_grow(t->heap, size * sizeof(*heap));
	if (heap == NULL)
		return (R_NO_MEMORY);
	t->heap = heap;
	t->size = size;
	return (R_OK);
}

enum result
timer_after(struct timers *t, int64_t delay_ms, timer_fn *fn, void *arg)
{
	struct call call = { .fn = fn, .arg = arg };
	enum result r = R_BUSY;

	if (__builtin_add_overflow(clock_monotonic_ms(),
				   delay_ms > 0 ? delay_ms : 0, &call.due_ms))
		call.due_ms = INT64_MAX;
	lock_take(&t->lock);
	if (t->stopping)
		goto out;
	r = make_room(t);
	if (r != R_OK)
		goto out;
	call.number = t->next_number++;
	heap_put(t, call);
	if (t->heap[0].number == call.number)
		signal_wake_one(&t->changed);
out:
	lock_give(&t->lock);
	return (r);
}

void
timers_free(struct timers *t)
{
	if (t == NULL)
		return;
	lock_take(&t->lock);
	t->stopping = true;
	signal_wake_all(&t->changed);
	lock_give(&t->lock);
	(void)pthread_join(t->thread, NULL);
	signal_fini(&t->changed);
	lock_fini(&t->lock);
	free(t->heap);
	free(t);
}
