/* SPDX-License-Identifier: MIT */
#ifndef RESULT_H
#define RESULT_H

/* Both define an R_OK for access(2).  Included here, they cannot bring it
 * back over ours, in whatever order a file includes. */
#include <fcntl.h>
#include <unistd.h>
#undef R_OK

/*
 * result: how an operation ended.  One list for the whole program, so that a
 * failure deep in a store reaches the client as the right status without a
 * chain of translations; problem.c alone maps it to HTTP.
 */
enum result {
	R_OK,
	R_NOT_FOUND,   /* no such thing */
	R_UNCHANGED,   /* what was known before is still right */
	R_INVALID,     /* the caller's input is at fault */
	R_FORBIDDEN,   /* known, but not allowed */
	R_CONFLICT,    /* would break a uniqueness or state rule */
	R_TOO_LARGE,   /* over a configured limit */
	R_TIMEOUT,     /* the deadline passed */
	R_UNAVAILABLE, /* a dependency is down, or its breaker is open */
	R_BUSY,	       /* a bounded queue is full */
	R_BAD_ANSWER,  /* a dependency answered what we cannot use */
	R_NO_MEMORY,
	R_INTERNAL, /* a bug, or a surprise from the system */
	R_COUNT_
};

/* The word for `r`, for logs: "timeout", "bad answer".  Static. */
const char *result_text(enum result r);

/* What an errno value means for the caller of a system call. */
enum result result_of_errno(int error);

#define MUST_USE __attribute__((warn_unused_result))

#endif
