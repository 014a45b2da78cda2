/* SPDX-License-Identifier: MIT */
#ifndef STORM_H
#define STORM_H

#include "client.h"
#include "tally.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * storm: things go wrong, one after the other and sometimes two at once, as drawn from
 * a sequence of random numbers; and somebody scrapes the metrics all the while.
 *
 * Workers, all but the first, are killed and told to end; Redis and PostgreSQL are
 * restarted, killed, stopped, emptied, and cut off; upstreams fail in every way.
 */
struct storm {
	uint64_t random;
	struct client *scraper;
	double next_scrape_ms, next_report_ms, next_pruning_ms;
	enum phase phase;
	struct tally_sums
		seen; /* when the scrape was sent that was the last to */
	struct tally_sums counted; /* get what all workers had counted */
	unsigned workers;	   /* by it */
	bool broken;		   /* some worker's breaker is open, by it */
	long lost; /* answers whose counts may have gone with a worker */
};

/* Scrapes; reports now and then; tidies up. */
void storm_watch(struct storm *s, double ms);

/* Scrape until all workers have added what they have, and dead ones are forgotten. */
void storm_catch_up(struct storm *s);

/* While questions are asked: wait until no breaker is open, and failures are forgotten. */
void storm_heal(struct storm *s);

/* Something goes wrong and is well again. */
void storm_blow(struct storm *s);

void storm_report(const struct storm *s);

#endif
