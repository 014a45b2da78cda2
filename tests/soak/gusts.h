/* SPDX-License-Identifier: MIT */
#ifndef GUSTS_H
#define GUSTS_H

#include "judge.h"
#include "storm.h"

/*
 * gusts: what can go wrong.  One at a time of each situation, and one at a time of a
 * worker's.
 */
struct gust {
	const char *name; /* those of one name stand together */
	enum situation situation;
	void (*begin)(struct storm *s), (*end)(struct storm *s);
	unsigned most_ms; /* from the one to the other */
};

#define GUSTS_MAX 32
extern const struct gust gusts[];
extern const unsigned gusts_count;

#endif
