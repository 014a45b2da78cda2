/* SPDX-License-Identifier: MIT */
#include "counters.h"

#include "alloc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Threads are dealt out to the shards in turn. */
#define SHARDS 16
#define POINTERS 256 /* a power of two */

const int64_t counters_bounds[COUNTERS_BUCKETS] = {
	50,	100,	 250,	  500,	   1000,     2500,
	5000,	10000,	 25000,	  50000,   100000,   250000,
	500000, 1000000, 2500000, 5000000, 10000000, COUNTERS_ENDLESS,
};

struct shard {
	_Alignas(64) _Atomic uint64_t of[COUNTERS_LABELS][COUNTERS_CELLS];
};

/* All zero until counted in, and only as much in memory as is used. */
static struct shard shards[SHARDS];

static atomic_uint threads_seen;
static _Thread_local struct shard *own;

/* Labels by address first: the text of a category is nearly always the same
 * one. */
struct known {
	_Atomic(const char *) at;
	atomic_uint label;
};
static struct known known[POINTERS];
static const char *values[COUNTERS_LABELS] = { "" };
static atomic_uint n_values = 1;
static pthread_mutex_t growing = PTHREAD_MUTEX_INITIALIZER;

static unsigned
add_label(const char *value)
{
	unsigned i, n;

	(void)pthread_mutex_lock(&growing);
	n = atomic_load(&n_values);
	for (i = 0; i < n; i++)
		if (strcmp(values[i], value) == 0)
			break;
	if (i == n && n < COUNTERS_LABELS) {
		values[n] = value;
		atomic_store(&n_values, n + 1);
	} else if (i == n) {
		i = 0;
	}
	(void)pthread_mutex_unlock(&growing);
	return (i);
}

unsigned
counters_label(const char *value)
{
	unsigned at = (unsigned)(((uintptr_t)value >> 2) * 0x9e3779b1u >> 7);
	const char *there;
	unsigned i, label;

	if (value == NULL)
		return (0);
	for (i = 0; i < 4; i++) {
		struct known *k = &known[(at + i) % POINTERS];

		there = atomic_load_explicit(&k->at, memory_order_acquire);
		if (there == value)
			return (atomic_load_explicit(&k->label,
						     memory_order_relaxed));
		if (there == NULL)
			break;
	}
	label = add_label(value);
	if (i < 4) {
		struct known *k = &known[(at + i) % POINTERS];

		(void)pthread_mutex_lock(&growing);
		if (atomic_load(&k->at) == NULL) {
			atomic_store(&k->label, label);
			atomic_store_explicit(&k->at, value,
					      memory_order_release);
		}
		(void)pthread_mutex_unlock(&growing);
	}
	return (label);
}

unsigned
counters_label_copy(const char *value)
{
	char *copy = mem_strdup(value);
	unsigned label;

	if (copy == NULL)
		return (0);
	label = add_label(copy);
	if (values[label] != copy)
		free(copy);
	return (label);
}

static struct shard *
own_shard(void)
{
	if (own == NULL)
		own = &shards[atomic_fetch_add(&threads_seen, 1) % SHARDS];
	return (own);
}

unsigned
counters_cell_of(enum counter c)
{
	return ((unsigned)c);
}

unsigned
counters_cell_of_times(enum histogram h)
{
	return (COUNTERS_ + (unsigned)h * (COUNTERS_BUCKETS + 1));
}

static void
add(unsigned label, unsigned cell, uint64_t n)
{
	atomic_fetch_add_explicit(&own_shard()->of[label][cell], n,
				  memory_order_relaxed);
}

void
counters_add(unsigned label, enum counter c, uint64_t n)
{
	add(label, counters_cell_of(c), n);
}

void
counters_observe(unsigned label, enum histogram h, int64_t time_us)
{
	unsigned first = counters_cell_of_times(h), i = 0;

	if (time_us < 0)
		time_us = 0;
	while (time_us > counters_bounds[i])
		i++;
	add(label, first + i, 1);
	add(label, first + COUNTERS_BUCKETS, (uint64_t)time_us);
}

static const struct counters_cell counter_cells[] = {
#define COUNTER(id, name, tier, label, help) \
	{ name, tier, help, COUNTERS_LABEL_##label, CELL_COUNTER, 0 },
#define HISTOGRAM(...)
#include "counters.def"
#undef COUNTER
#undef HISTOGRAM
};

static const struct counters_cell histogram_cells[] = {
#define COUNTER(...)
#define HISTOGRAM(id, name, tier, label, help) \
	{ name, tier, help, COUNTERS_LABEL_##label, CELL_BUCKET, 0 },
#include "counters.def"
#undef COUNTER
#undef HISTOGRAM
};

struct counters_cell
counters_cell(unsigned cell)
{
	struct counters_cell c;
	unsigned at;

	if (cell < COUNTERS_)
		return (counter_cells[cell]);
	at = (cell - COUNTERS_) % (COUNTERS_BUCKETS + 1);
	c = histogram_cells[(cell - COUNTERS_) / (COUNTERS_BUCKETS + 1)];
	if (at == COUNTERS_BUCKETS) {
		c.kind = CELL_SUM;
		c.bound_us = -1;
	} else {
		c.bound_us = counters_bounds[at];
	}
	return (c);
}

unsigned
counters_find(struct bytes name, struct bytes tier, int64_t bound_us)
{
	struct counters_cell c;
	unsigned i;

	for (i = 0; i < COUNTERS_CELLS; i++) {
		c = counters_cell(i);
		if (c.bound_us == bound_us &&
		    bytes_equal(bytes_of(c.name), name) &&
		    bytes_equal(bytes_of(c.tier), tier))
			return (i);
	}
	return (COUNTERS_CELLS);
}

void
counters_read(struct counters_totals *totals)
{
	unsigned s, l, c, labels = counters_labels();

	memset(totals, 0, sizeof(*totals));
	for (s = 0; s < SHARDS; s++)
		for (l = 0; l < labels; l++)
			for (c = 0; c < COUNTERS_CELLS; c++)
				totals->of[l][c] += atomic_load_explicit(
					&shards[s].of[l][c],
					memory_order_relaxed);
}

unsigned
counters_labels(void)
{
	return (atomic_load(&n_values));
}

const char *
counters_label_value(unsigned label)
{
	return (values[label]);
}
