/* SPDX-License-Identifier: MIT */
#ifndef HISTORY_H
#define HISTORY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * history: which version of each row was confirmed when, and by whom; and so, which
 * answers are too old.
 *
 * Versions of a row count up by one; one writer at a time works on a row (its lock).  A version whose
 * writer got no confirmation counts for nothing.  Any number of threads may judge
 * meanwhile.  Times are nanoseconds of the monotonic clock.
 */
#define HISTORY_DEPTH 16384 /* versions remembered of a row; power of two */
#define PROCESSES 4

enum writer { BY_WORKER, BY_SQL };

struct confirmed {
	_Atomic int64_t version;
	_Atomic int64_t at_ns;
	_Atomic int32_t writer, process, generation;
};

struct history {
	pthread_mutex_t lock;
	_Atomic int64_t newest;	  /* tried */
	_Atomic int64_t expected; /* confirmed */
	struct confirmed versions[HISTORY_DEPTH];
};

enum staleness {
	FRESH,
	STALE_OWN,     /* older than what this very process had confirmed */
	STALE_WORKERS, /* than what another worker had */
	STALE_SQL,     /* than what plain SQL had */
	STALE_KINDS,
};

struct reading {
	int64_t version, sent_ns;
	int process, generation; /* -1: it changed meanwhile */
};

int64_t history_now_ns(void);

/* The version to be written next; the row's lock is held until it is confirmed, or not. */
int64_t history_next(struct history *h);
void history_confirm(struct history *h, int64_t version, enum writer writer,
		     int process, int generation);

/* What was read, against what had been confirmed when it was asked for.  `age_ns`:
 * since the first such confirmation. */
enum staleness history_judge(struct history *h, const struct reading *r,
			     int64_t *age_ns);

#endif
