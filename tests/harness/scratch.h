/* SPDX-License-Identifier: MIT */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <stddef.h>
#include <stdint.h>

/*
 * scratch: the run's directory, its memory, its clock, and small helpers that
 * every test needs.
 */
void harness_begin(void);

/* `failed`: how many tests did. */
void harness_end(int failed);

/* The run's directory, and a new one inside it whose name begins with `name`. */
const char *scratch_root(void);
const char *scratch_directory(const char *name);

/* Memory that lives as long as the process; never NULL. */
void *scratch_alloc(size_t size); /* zeroed */
char *scratch_copy(const char *text, size_t len);
char *scratch_printf(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* A whole file, NUL-terminated; empty when there is none. */
char *scratch_read(const char *path);
void scratch_write(const char *path, const char *text);
size_t scratch_lines(const char *path);
char *scratch_tail(const char *path); /* its last 3000 bytes */

/* Monotonic; with microseconds. */
double harness_now_ms(void);

/* A time limit, stretched by $CK_TIMEOUT_MULTIPLIER as check's own are: for
 * programs that a sanitizer slows down. */
double harness_limit_ms(double ms);

/* Wait a little before a condition is looked at again. */
void harness_nap(void);

/* Poll every 5 ms until `condition` holds; fail the test after `timeout_ms`. */
#define wait_until(condition, timeout_ms)                                    \
	do {                                                                 \
		double wait_end_ =                                           \
			harness_now_ms() + harness_limit_ms(timeout_ms);     \
		while (!(condition)) {                                       \
			if (harness_now_ms() > wait_end_)                    \
				ck_abort_msg("not within %d ms: %s",         \
					     (int)(timeout_ms), #condition); \
			harness_nap();                                       \
		}                                                            \
	} while (0)

/* A TCP port on 127.0.0.1 that was free just now. */
unsigned harness_free_port(void);

/* A program of this build: $`variable` names it, else it stands at `place` under
 * $WARMFRONT_BUILD or here. */
const char *harness_binary(const char *variable, const char *place);

/* A file of the sources, by its path in them: "sql/0100_cache.sql"; they are
 * where $WARMFRONT_SOURCE says, or here. */
const char *harness_source(const char *path);

#endif
