/* SPDX-License-Identifier: MIT */
#ifndef METRICS_REPORT_H
#define METRICS_REPORT_H

#include "../base/buf.h"
#include "../base/counters.h"
#include "../store/postgres.h"

#include <stdbool.h>

/*
 * metrics_report: all that was counted, as one table, and sums over it.
 */

/* One cell under one label, or a gauge. */
struct metrics_row {
	struct bytes label;
	unsigned cell;
	int64_t value;
};

struct metrics_gauge {
	struct bytes name, label;
	int64_t value; /* all workers' together */
};

struct metrics_report {
	bool whole;		  /* of the deployment; else of this process */
	bool current;		  /* all workers added what they had */
	unsigned workers;	  /* seen lately */
	struct metrics_row *rows; /* by cell, then label */
	unsigned n_rows;
	struct metrics_gauge *gauges;
	unsigned n_gauges;
	struct buf text; /* what the labels point into */
};

/* From what the workers have added. */
MUST_USE enum result metrics_report_read(struct postgres *pg,
					 int64_t deadline_ms,
					 struct metrics_report *out);

/* From this process's counters, and its gauges as a JSON object. */
MUST_USE enum result metrics_report_own(struct bytes gauges,
					struct metrics_report *out);

void metrics_report_fini(struct metrics_report *r);

/* A counter's value under a label; NULL: under all. */
int64_t metrics_count(const struct metrics_report *r, const char *label,
		      enum counter c);

/* The same for a histogram: how many times, and their sum in microseconds. */
struct metrics_times {
	int64_t count, sum_us;
	int64_t buckets[COUNTERS_BUCKETS];
};
struct metrics_times metrics_times(const struct metrics_report *r,
				   const char *label, enum histogram h);

struct metrics_times metrics_times_of(const struct metrics_report *r,
				      struct bytes label, enum histogram h);

int64_t metrics_gauge(const struct metrics_report *r, const char *name,
		      const char *label);

#endif
