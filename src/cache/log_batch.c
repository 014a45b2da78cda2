/* SPDX-License-Identifier: MIT */
#include "log_batch.h"

#include "../base/clock.h"
#include "../base/counters.h"
#include "scope.h"

#include <stdio.h>

/* A record that stands for others comes in addition to as many as are asked
 * for. */
#define ASK_FOR (LOG_BATCH_MAX - 1)

static enum result
query(const struct log_batch_source *from, int64_t after,
      struct postgres_rows **rows)
{
	struct postgres_value values[2];
	char position[24], most[24];

	snprintf(position, sizeof(position), "%lld", (long long)after);
	snprintf(most, sizeof(most), "%d", ASK_FOR);
	values[0] = postgres_text(bytes_of(position));
	values[1] = postgres_text(bytes_of(most));
	return (postgres_query(from->pg, from->deadline_ms,
			       "SELECT at_position, scope, soft, age_us "
			       "FROM cache_log_read($1::bigint, $2::integer)",
			       values, 2, rows));
}

enum result
log_batch_read(struct log_batch *b, const struct log_batch_source *from,
	       int64_t after)
{
	struct postgres_rows *rows = NULL;
	size_t starts[LOG_BATCH_MAX + 1];
	enum result r;
	int64_t now_us;
	unsigned i;

	b->count = 0;
	buf_clear(&b->text);
	if ((r = query(from, after, &rows)) != R_OK)
		return (r);
	now_us = clock_monotonic_us();
	for (i = 0; i < postgres_count(rows) && i < LOG_BATCH_MAX; i++) {
		b->records[i].position = postgres_get_int(rows, i, 0);
		b->records[i].soft = postgres_get(rows, i, 2).at[0] == 't';
		b->written_us[i] =
			postgres_is_null(rows, i, 3)
				? -1
				: now_us - postgres_get_int(rows, i, 3);
		starts[i] = b->text.len;
		scope_hash_user(from->user_secret, postgres_get(rows, i, 1),
				&b->text);
	}
	starts[i] = b->text.len;
	postgres_rows_free(rows);
	if (buf_error(&b->text) != R_OK)
		return (buf_error(&b->text));
	b->count = i;
	while (i-- > 0)
		b->records[i].scope =
			(struct bytes){ b->text.at + starts[i],
					starts[i + 1] - starts[i] };
	return (R_OK);
}

bool
log_batch_is_full(const struct log_batch *b)
{
	return (b->count >= ASK_FOR);
}

void
log_batch_measure(const struct log_batch *b)
{
	int64_t now_us = clock_monotonic_us();
	unsigned i;

	for (i = 0; i < b->count; i++)
		if (b->written_us[i] >= 0)
			counters_observe(0, TIME_LAG,
					 now_us - b->written_us[i]);
}

void
log_batch_fini(struct log_batch *b)
{
	buf_fini(&b->text);
}
