/* SPDX-License-Identifier: MIT */
#ifndef POSTGRES_ARGUMENTS_H
#define POSTGRES_ARGUMENTS_H

#include "../base/buf.h"
#include "../base/bytes.h"
#include "../base/result.h"

/*
 * postgres_arguments: a statement's parameters, and the form libpq wants them in.
 */

/* A statement's parameters $1, $2, ...: text, or raw bytes for bytea. */
struct postgres_value {
	/* Need not be NUL-terminated; no NUL inside unless it is a bytea. */
	struct bytes text;
	enum {
		PG_TEXT,
		PG_BYTEA,
		PG_NULL,
		PG_UNUSED, /* not mentioned in the statement, where the server could infer no type */
	} kind;
};

static inline struct postgres_value
postgres_text(struct bytes text)
{
	return ((struct postgres_value){ text, PG_TEXT });
}

/* Append the literal of a text[] (the manual's 8.15.6); a NUL ends each string of `list`. */
void postgres_add_array(struct buf *out, struct bytes list);

#define PG_VALUES_MAX 32

/* The same for libpq: "format" 1 is binary; a type of 0 the server infers. */
struct postgres_arguments {
	const char *at[PG_VALUES_MAX]; /* NULL for NULL */
	int lengths[PG_VALUES_MAX];    /* of all but NULL */
	int formats[PG_VALUES_MAX];
	unsigned types[PG_VALUES_MAX]; /* OIDs */
	int count;
	char *text; /* NUL-terminated copies of the texts */
};

/* Needs postgres_arguments_fini() whatever it returns.  A bytea's bytes are
 * not copied. R_INVALID: a NUL inside a text.  R_TOO_LARGE: over libpq's 2
 * GiB. */
MUST_USE enum result postgres_arguments_init(
	struct postgres_arguments *a, const struct postgres_value *values,
	unsigned n);
void postgres_arguments_fini(struct postgres_arguments *a);

#endif
