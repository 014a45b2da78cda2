/* SPDX-License-Identifier: MIT */
#ifndef CROWD_H
#define CROWD_H

#include "tally.h"

#include <stdint.h>

/*
 * crowd: many clients at once, each on a kept connection, a thread each.  What they ask
 * for is drawn from the seed; answers go to the judge and the tally.
 */
#define CROWD 200

/* They wait until they are let. */
void crowd_start(const char *url, uint64_t seed);

/* `per_second`: by all of them together; 0: each as soon as it has an answer. */
void crowd_let(enum phase phase, unsigned per_second);

/* Returns when all questions that were asked have been answered. */
void crowd_hold(void);
void crowd_end(void);

#endif
