/* SPDX-License-Identifier: MIT */
#ifndef BREAKER_H
#define BREAKER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * breaker: stops calling a dependency that keeps failing (M. Nygard, "Release It!").
 *
 * closed	calls go through; `failures` in a row open it
 * open		calls are refused at once, for a pause that doubles from `pause_ms` up to `pause_max_ms`
 * half-open	one call goes through as a probe: its success closes, its failure opens again
 *
 * Any thread.
 */
struct breaker;

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker_options {
	const char *name; /* for the log; copied */
	unsigned failures;
	int64_t pause_ms, pause_max_ms;
};

struct breaker *breaker_new(const struct breaker_options *options);
void breaker_free(struct breaker *b);

/* May a call be made?  Each true must be answered by exactly one report (or
 * breaker_forget). */
bool breaker_allow(struct breaker *b);
void breaker_success(struct breaker *b);
void breaker_failure(struct breaker *b);
void breaker_forget(
	struct breaker *b); /* the call said nothing about the dependency */

enum breaker_state breaker_state(struct breaker *b);
int64_t breaker_retry_ms(
	struct breaker *b); /* until the next probe; 0 unless open */

#endif
