/* SPDX-License-Identifier: MIT */
#ifndef POSTGRES_ROWS_H
#define POSTGRES_ROWS_H

#include "../base/bytes.h"
#include "../base/result.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * postgres_rows: what a statement returned.  One thread at a time.  Rows and columns count
 * from 0; asking for one that is not there is a bug.
 */
struct postgres_rows;
struct pg_result; /* libpq's */

/* Take `result` over, also on failure.  R_BAD_ANSWER: a bytea not in
 * hexadecimal form, because somebody set bytea_output. */
MUST_USE enum result postgres_rows_new(struct pg_result *result,
				       struct postgres_rows **out);
void postgres_rows_free(struct postgres_rows *rows);

unsigned postgres_count(const struct postgres_rows *rows);
unsigned postgres_columns(const struct postgres_rows *rows);
bool postgres_is_null(const struct postgres_rows *rows, unsigned row,
		      unsigned column);

/* A view into `rows`; NUL-terminated.  Empty for NULL. */
struct bytes postgres_get(struct postgres_rows *rows, unsigned row,
			  unsigned column);

/* The same as a number; 0 when it is none. */
int64_t postgres_get_int(struct postgres_rows *rows, unsigned row,
			 unsigned column);

#endif
