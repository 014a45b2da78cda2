/* SPDX-License-Identifier: MIT */
#ifndef COUNTERS_H
#define COUNTERS_H

#include "buf.h"
#include "bytes.h"

#include <stdint.h>

/*
 * counters: what this process has counted since it started.  counters.def is the one
 * table of what there is; one set for the process, like the log.
 *
 * Counting takes one relaxed addition in memory that few other threads write to: no
 * lock, no wait, no allocation.  Reading sums up, and may miss what is being counted.
 * Any thread.
 */
enum counter {
#define COUNTER(id, ...) COUNT_##id,
#define HISTOGRAM(id, ...)
#include "counters.def"
#undef COUNTER
#undef HISTOGRAM
	COUNTERS_
};

enum histogram {
#define COUNTER(id, ...)
#define HISTOGRAM(id, ...) TIME_##id,
#include "counters.def"
#undef COUNTER
#undef HISTOGRAM
	HISTOGRAMS_
};

/* Upper bounds of a histogram's buckets in microseconds; the last is
 * endless. */
#define COUNTERS_BUCKETS 18
#define COUNTERS_ENDLESS INT64_MAX
extern const int64_t counters_bounds[COUNTERS_BUCKETS];

/* The number under which a label's value ("models") is counted: static text
 * or text that lives to the process's end.  0, the empty value, for NULL and
 * when there are too many. */
unsigned counters_label(const char *value);

/* The same for text that goes away: it is copied, and looked up slowly. */
unsigned counters_label_copy(const char *value);

void counters_add(unsigned label, enum counter c, uint64_t n);
void counters_observe(unsigned label, enum histogram h, int64_t time_us);

/* Cells: a counter has one, a histogram one a bucket and one for the sum. */
#define COUNTERS_CELLS (COUNTERS_ + HISTOGRAMS_ * (COUNTERS_BUCKETS + 1))
#define COUNTERS_LABELS 64

enum counters_label_kind {
	COUNTERS_LABEL_NONE,
	COUNTERS_LABEL_CATEGORY,
	COUNTERS_LABEL_GATEWAY,
	COUNTERS_LABEL_CODE,
};

/* What a cell is, in words. */
struct counters_cell {
	const char *name, *tier, *help;
	enum counters_label_kind label;
	enum { CELL_COUNTER, CELL_BUCKET, CELL_SUM } kind;
	int64_t bound_us; /* of CELL_BUCKET; -1 of CELL_SUM, 0 of CELL_COUNTER */
};
struct counters_cell counters_cell(unsigned cell);

/* The cell of these words; COUNTERS_CELLS when there is none. */
unsigned counters_find(struct bytes name, struct bytes tier, int64_t bound_us);

/* Cells by the enums above: a histogram's first bucket; its sum is
 * COUNTERS_BUCKETS further. */
unsigned counters_cell_of(enum counter c);
unsigned counters_cell_of_times(enum histogram h);

/* What has been counted so far under each label. */
struct counters_totals {
	uint64_t of[COUNTERS_LABELS][COUNTERS_CELLS];
};
void counters_read(struct counters_totals *totals);

/* How many labels there are, and their values. */
unsigned counters_labels(void);
const char *counters_label_value(unsigned label);

#endif
