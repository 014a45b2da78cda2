/* SPDX-License-Identifier: MIT */
#include "pool.h"

#include "alloc.h"
#include "clock.h"
#include "lock.h"
#include "thread.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define IDLE_WAIT_MS 3600000

struct job {
	pool_job *run;
	void *arg;
	int64_t since_ms;
};

struct pool {
	struct lock lock;
	struct signal work;
	char name[16];
	unsigned queue_limit, threads;
	int64_t patience_ms;
	/* Under the lock: */
	bool stopping;
	unsigned started, running;
	size_t first, queued, size; /* the ring of jobs */
	struct job *jobs;
	pthread_t *ids;
};

struct pool *
pool_new(const struct pool_options *options)
{
	struct pool *p = mem_alloc(sizeof(*p));

	assert(options->threads > 0);
	if (p == NULL)
		return (NULL);
	/* A job that a thread is about to take stands in the ring, too. */
	p->size = (size_t)options->queue_limit + options->threads;
	p->jobs = mem_alloc(p->size * sizeof(*p->jobs));
	p->ids = mem_alloc(options->threads * sizeof(*p->ids));
	if (p->jobs == NULL || p->ids == NULL) {
		free(p->jobs);
		free(p->ids);
		free(p);
		return (NULL);
	}
	p->queue_limit = options->queue_limit;
	p->threads = options->threads;
	p->patience_ms = options->patience_ms;
	(void)snprintf(p->name, sizeof(p->name), "%.15s", options->name);
	lock_init(&p->lock, LOCK_POOL);
	signal_init(&p->work);
	return (p);
}

static void *
pool_thread(void *arg)
{
	struct pool *p = arg;
	struct job job;

	lock_take(&p->lock);
	while (p->queued > 0 || !p->stopping) {
		if (p->queued == 0) {
			signal_wait(&p->work, &p->lock,
				    clock_monotonic_ms() + IDLE_WAIT_MS);
			continue;
		}
		job = p->jobs[p->first];
		p->first = (p->first + 1) % p->size;
		p->queued--;
		p->running++;
		lock_give(&p->lock);
		job.run(job.arg);
		lock_take(&p->lock);
		p->running--;
	}
	lock_give(&p->lock);
	return (NULL);
}

/* With the lock: have a thread for one more job, if one may still be
 * started. */
static void
start_thread(struct pool *p)
{
	if (p->started < p->threads && p->running + p->queued >= p->started &&
	    thread_start(p->name, pool_thread, p, &p->ids[p->started]) == R_OK)
		p->started++;
}

/* With the lock. */
static bool
is_full(const struct pool *p, int64_t now_ms)
{
	return (p->running + p->queued >= (size_t)p->started + p->queue_limit ||
		(p->patience_ms > 0 && p->queued > 0 &&
		 now_ms - p->jobs[p->first].since_ms > p->patience_ms));
}

enum result
pool_submit(struct pool *p, pool_job *job, void *arg)
{
	int64_t now_ms = clock_monotonic_ms();
	enum result r = R_BUSY;

	lock_take(&p->lock);
	if (p->stopping)
		goto out;
	start_thread(p);
	if (p->started == 0 || is_full(p, now_ms))
		goto out;
	p->jobs[(p->first + p->queued) % p->size] =
		(struct job){ job, arg, now_ms };
	p->queued++;
	signal_wake_one(&p->work);
	r = R_OK;
out:
	lock_give(&p->lock);
	return (r);
}

void
pool_stop(struct pool *p)
{
	if (p == NULL)
		return;
	lock_take(&p->lock);
	p->stopping = true;
	signal_wake_all(&p->work);
	lock_give(&p->lock);
	/* No thread starts any more, so `started` stays. */
	for (unsigned i = 0; i < p->started; i++)
		(void)pthread_join(p->ids[i], NULL);
	p->started = 0;
}

void
pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	pool_stop(p);
	signal_fini(&p->work);
	lock_fini(&p->lock);
	free(p->jobs);
	free(p->ids);
	free(p);
}
