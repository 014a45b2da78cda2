/* SPDX-License-Identifier: MIT */
#ifndef TALLY_H
#define TALLY_H

#include "client.h"
#include "deployment.h"
#include "mix.h"

#include <stdbool.h>

/*
 * tally: what clients have seen, and whether the workers' metrics say the same.
 * Any thread.
 */
enum phase { PHASE_WARM_UP, PHASE_CALM, PHASE_STORM, PHASE_AFTER, PHASES };
extern const char *const tally_phases[PHASES];

void tally_add(const struct wish *w, const struct answer *a, enum phase phase);

/* For what no wish was for: its category is none. */
void tally_add_plain(const struct answer *a);

/* A worker that starts is asked for a path that there is not. */
void tally_add_probe(unsigned worker);

/* What the metrics count, too: each series' sum so far. */
#define TALLY_SERIES 29
struct tally_sums {
	long of[TALLY_SERIES];
	long answers[DEPLOYMENT_WORKERS];
	long unsure; /* asked of a worker, and not answered by it */
};
void tally_read(struct tally_sums *to);

/* The same from the text of /metrics. */
void tally_parse(const char *metrics, struct tally_sums *to);

/* Are the differences the same?  The workers may have counted as many less as
 * `lost`, and as many more as clients are unsure of.  Prints what is not as it is. */
bool tally_agrees(const struct tally_sums seen[2],
		  const struct tally_sums counted[2], long lost);

/* Questions by name and status; times and bytes by phase. */
void tally_report(void);

/* So far, and how many of these were 502, 503, 504, or none. */
long tally_answers(enum phase phase, long *refused);

#endif
