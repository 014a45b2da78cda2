/* SPDX-License-Identifier: MIT */
#ifndef TIMER_H
#define TIMER_H

#include "result.h"

#include <stdint.h>

/*
 * timer: calls functions later, on one thread of its own.  The functions must not
 * wait: they hand work on.
 */
struct timers;

typedef void timer_fn(void *arg);

struct timers *timers_new(void);

/* Call `fn(arg)` once, `delay_ms` from now or a little later.  Cannot be
 * cancelled: what may come too late holds a reference and looks whether it
 * is still wanted.  R_BUSY: stopping. */
MUST_USE enum result timer_after(struct timers *t, int64_t delay_ms,
				 timer_fn *fn, void *arg);

/* Stop the thread; calls that are still due are made at once, in order. */
void timers_free(struct timers *t);

#endif
