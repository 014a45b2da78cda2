/* SPDX-License-Identifier: MIT */
#ifndef RUNNER_H
#define RUNNER_H

#include <check.h>

/*
 * runner: the main program of a set of suites.  The check library's variables
 * (CK_FORK, CK_RUN_SUITE, CK_RUN_CASE, CK_TIMEOUT_MULTIPLIER, CK_VERBOSITY, ...)
 * work as usual.
 */
struct runner_suite {
	const char *name;
	Suite *(*make)(void);
};

/* Run the suites named on the command line, or all of them; with `--list` print
 * their names instead.  `suites` ends with a NULL name.  Returns main()'s value. */
int runner_main(int argc, char **argv, const struct runner_suite *suites);

/* ck_assert() for what is asked a hundred thousand times: the check library keeps
 * a note of each of its own, and every later fork copies them. */
#define ENSURE(expr) ((expr) ? (void)0 : ck_abort_msg("%s", #expr))

#endif
