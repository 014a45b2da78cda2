/* SPDX-License-Identifier: MIT */
#include "postgres_arguments.h"

#include "../base/alloc.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define OID_BYTEA 17 /* in every PostgreSQL: src/include/catalog/pg_type.dat */
#define OID_TEXT 25

static void
add_element(struct buf *out, struct bytes text)
{
	buf_char(out, '"');
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '"' || text.at[i] == '\\')
			buf_char(out, '\\');
		buf_char(out, text.at[i]);
	}
	buf_char(out, '"');
}

void
postgres_add_array(struct buf *out, struct bytes list)
{
	buf_char(out, '{');
	while (list.len > 0) {
		add_element(out, bytes_cut(&list, '\0'));
		if (list.len > 0)
			buf_char(out, ',');
	}
	buf_char(out, '}');
}

void
postgres_arguments_fini(struct postgres_arguments *a)
{
	free(a->text);
}

enum result
postgres_arguments_init(struct postgres_arguments *a,
			const struct postgres_value *values, unsigned n)
{
	size_t size = 1;
	char *next;

	assert(n <= PG_VALUES_MAX);
	memset(a, 0, sizeof(*a));
	a->count = (int)n;
	for (unsigned i = 0; i < n; i++) {
		if (values[i].text.len > INT_MAX)
			return (R_TOO_LARGE);
		if (values[i].kind != PG_TEXT)
			continue;
		if (bytes_find(values[i].text, '\0') >= 0)
			return (R_INVALID);
		size += values[i].text.len + 1;
	}
	if ((a->text = next = mem_grow(NULL, size)) == NULL)
		return (R_NO_MEMORY);
	for (unsigned i = 0; i < n; i++) {
		struct bytes text = values[i].text;

		switch (values[i].kind) {
		case PG_TEXT:
			a->at[i] = next;
			a->lengths[i] = (int)text.len;
			if (text.len > 0)
				memcpy(next, text.at, text.len);
			next[text.len] = '\0';
			next += text.len + 1;
			break;
		case PG_BYTEA:
			a->at[i] = text.len > 0 ? text.at : "";
			a->lengths[i] = (int)text.len;
			a->formats[i] = 1;
			a->types[i] = OID_BYTEA;
			break;
		case PG_NULL:
			break;
		case PG_UNUSED:
			a->types[i] = OID_TEXT;
			break;
		}
	}
	return (R_OK);
}
