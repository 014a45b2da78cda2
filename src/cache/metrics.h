/* SPDX-License-Identifier: MIT */
#ifndef METRICS_H
#define METRICS_H

#include "../store/postgres.h"
#include "metrics_report.h"

/*
 * metrics: what all workers of the deployment have counted, since ever.
 *
 * Each process adds what its counters have gained to the table cache_metrics: every
 * second if there is something, when it ends, and when somebody asks for a report.  A
 * report rings the doorbell of the invalidation log, so that all workers seen lately add
 * what they have, waits for them, and reads the sums; so it is the same whichever worker
 * is asked.  A batch is numbered and added once, however often it must be sent.
 *
 * A process that is killed takes up to a second of counting with it.  While PostgreSQL
 * is down a report shows this process alone, and says so; what is counted then is added later.
 *
 * One thread of its own; all functions may be called by any thread.
 */
struct metrics;

struct metrics_options {
	struct postgres *pg;
	/* Append what is so now, members of a JSON object:
	 * "\"name|label\":1".  May be NULL. */
	void (*gauges)(void *arg, struct buf *to);
	void *arg;
};

struct metrics *metrics_new(const struct metrics_options *options);

/* The doorbell has rung: see whether somebody wants a report.  Does not
 * wait. */
void metrics_ring(struct metrics *m);

/* Add what there is for the last time; reports show this process alone from
 * now on. */
void metrics_stop(struct metrics *m);
void metrics_free(struct metrics *m);

/* Waits for at most half a second, whatever is down.  R_NO_MEMORY. */
MUST_USE enum result metrics_collect(struct metrics *m,
				     struct metrics_report *out);

#endif
