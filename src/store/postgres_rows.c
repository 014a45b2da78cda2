/* SPDX-License-Identifier: MIT */
#include "postgres_rows.h"

#include "../base/alloc.h"
#include "libpq.h"

#include <assert.h>
#include <stdlib.h>

#define OID_BYTEA 17 /* in every PostgreSQL: src/include/catalog/pg_type.dat */

struct postgres_rows {
	PGresult *result;
};

/* A digit's value plus one; 0 for what is no digit. */
static const unsigned char digits[256] = {
	['0'] = 1,  ['1'] = 2,	['2'] = 3,  ['3'] = 4,	['4'] = 5,  ['5'] = 6,
	['6'] = 7,  ['7'] = 8,	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
	['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

/* "\x4142" becomes "AB" where it stands, so that 20 MB need no second 20 MB.
 * Its length follows from the text's. */
static bool
decode_in_place(char *text, size_t len)
{
	const unsigned char *in = (const unsigned char *)text + 2;
	unsigned bad = 0;
	size_t n;

	if (len < 2 || len % 2 != 0 || text[0] != '\\' || text[1] != 'x')
		return (false);
	n = (len - 2) / 2;
	for (size_t i = 0; i < n; i++) {
		unsigned high = digits[in[2 * i]], low = digits[in[2 * i + 1]];

		bad |= (unsigned)(high == 0) | (unsigned)(low == 0);
		text[i] = (char)(unsigned char)((high - 1) << 4 | (low - 1));
	}
	text[n] = '\0';
	return (bad == 0);
}

static bool
decode_bytea(PGresult *result)
{
	int rows = PQntuples(result), columns = PQnfields(result);

	for (int c = 0; c < columns; c++) {
		if (PQftype(result, c) != OID_BYTEA)
			continue;
		for (int r = 0; r < rows; r++) {
			if (!PQgetisnull(result, r, c) &&
			    !decode_in_place(PQgetvalue(result, r, c),
					     (size_t)PQgetlength(result, r, c)))
				return (false);
		}
	}
	return (true);
}

enum result
postgres_rows_new(struct pg_result *result, struct postgres_rows **out)
{
	struct postgres_rows *rows;

	if ((rows = mem_alloc(sizeof(*rows))) == NULL) {
		PQclear(result);
		return (R_NO_MEMORY);
	}
	rows->result = result;
	if (!decode_bytea(result)) {
		postgres_rows_free(rows);
		return (R_BAD_ANSWER);
	}
	*out = rows;
	return (R_OK);
}

void
postgres_rows_free(struct postgres_rows *rows)
{
	if (rows == NULL)
		return;
	PQclear(rows->result);
	free(rows);
}

unsigned
postgres_count(const struct postgres_rows *rows)
{
	return ((unsigned)PQntuples(rows->result));
}

static void
assert_there(const struct postgres_rows *rows, unsigned row, unsigned column)
{
	assert(row < (unsigned)PQntuples(rows->result));
	assert(column < (unsigned)PQnfields(rows->result));
}

unsigned
postgres_columns(const struct postgres_rows *rows)
{
	return ((unsigned)PQnfields(rows->result));
}

bool
postgres_is_null(const struct postgres_rows *rows, unsigned row,
		 unsigned column)
{
	assert_there(rows, row, column);
	return (PQgetisnull(rows->result, (int)row, (int)column));
}

struct bytes
postgres_get(struct postgres_rows *rows, unsigned row, unsigned column)
{
	const char *at;
	size_t len;

	if (postgres_is_null(rows, row, column))
		return (BYTES_NONE);
	at = PQgetvalue(rows->result, (int)row, (int)column);
	len = (size_t)PQgetlength(rows->result, (int)row, (int)column);
	if (PQftype(rows->result, (int)column) == OID_BYTEA)
		len = (len - 2) / 2;
	return ((struct bytes){ at, len });
}

int64_t
postgres_get_int(struct postgres_rows *rows, unsigned row, unsigned column)
{
	int64_t value;

	if (!bytes_to_int64(postgres_get(rows, row, column), &value))
		return (0);
	return (value);
}
