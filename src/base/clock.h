/* SPDX-License-Identifier: MIT */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * clock: milliseconds.  Deadlines and intervals use the monotonic clock; what is
 * shared with other hosts (an entry's times) uses the wall clock, since the epoch.
 */
int64_t clock_monotonic_ms(void);
int64_t clock_wall_ms(void);
int64_t clock_monotonic_us(void);

/* Milliseconds from now to `deadline_ms`, never negative, at most INT_MAX: what
 * poll(2) takes. */
int clock_left_ms(int64_t deadline_ms);

/* For tests: move both clocks forward by `ms`, for all threads.  Waits that
 * begin after the first call notice later ones; so a test whose threads wait
 * calls it with 0 at its start. */
void clock_advance_ms(int64_t ms);
bool clock_may_jump(void); /* clock_advance_ms() has been called */

#endif
