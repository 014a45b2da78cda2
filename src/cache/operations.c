/* SPDX-License-Identifier: MIT */
#include "operations.h"

#include "../base/clock.h"
#include "../base/counters.h"
#include "flights.h"
#include "glob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOW_MS 10000 /* statements here may look at the whole table */
#define SIZES_MS 1000 /* but these are asked for often */
#define KEYS_MOST \
	"10000" /* of one glob; over that its widest scope is logged */

static int64_t
slow_deadline(void)
{
	return (clock_monotonic_ms() + SLOW_MS);
}

enum result
operations_metrics(struct cache *c, struct metrics_report *out)
{
	return (metrics_collect(cache_tiers(c)->metrics, out));
}

/* The scopes as keys name users, for PostgreSQL. */
static enum result
scope_array(struct cache *c, struct bytes scopes, struct buf *array)
{
	struct buf hashed = { 0 };
	enum result r;

	while (scopes.len > 0) {
		cache_hash_users(c, bytes_cut(&scopes, '\0'), &hashed);
		buf_char(&hashed, '\0');
	}
	postgres_add_array(array, buf_bytes(&hashed));
	r = buf_error(&hashed);
	buf_fini(&hashed);
	return (r != R_OK ? r : buf_error(array));
}

static enum result
log_scopes(struct cache *c, struct bytes scopes, enum cache_invalidation how)
{
	struct buf array = { 0 };
	struct postgres_value values[2];
	enum result r;

	postgres_add_array(&array, scopes);
	values[0] = postgres_text(buf_bytes(&array));
	values[1] = postgres_text(how == CACHE_SOFT ? BYTES("t") : BYTES("f"));
	r = buf_error(&array);
	if (r == R_OK)
		r = postgres_run(cache_tiers(c)->pg, slow_deadline(),
				 "SELECT cache_invalidate($1::text[], "
				 "$2::boolean)",
				 values, 2);
	buf_fini(&array);
	return (r != R_OK ? r : cache_catch_up(c));
}

/* The entries that the scopes of $1 match, each looked up by an index: exact keys; prefixes
 * (";" comes next to ":" in the order of bytes), for each of which OFFSET makes it a query
 * of its own; all. */
#define MATCHED                                                            \
	"WITH matched AS (SELECT id FROM cache_entries "                   \
	"WHERE cache_key = ANY ($1::text[]) "                              \
	"UNION ALL SELECT e.id FROM unnest($1::text[]) AS s, "             \
	"LATERAL (SELECT id FROM cache_entries "                           \
	"WHERE cache_key COLLATE \"C\" >= left(s, -1) "                    \
	"AND cache_key COLLATE \"C\" < left(s, -2) || ';' OFFSET 0) AS e " \
	"WHERE right(s, 2) = ':*' "                                        \
	"UNION ALL SELECT id FROM cache_entries WHERE '*' = ANY ($1::text[])) "

enum result
operations_invalidate(struct cache *c, struct bytes scopes,
		      enum cache_invalidation how, int64_t *entries)
{
	/* Nothing finds these rows any more; so that they count once, they
	 * go. */
	static const char gone[] = MATCHED
		", gone AS (DELETE FROM cache_entries "
		"WHERE id = ANY (ARRAY(SELECT id FROM matched)) "
		"AND fence < $2::bigint RETURNING expires_at) "
		"SELECT count(*) FILTER (WHERE expires_at > now()) "
		"FROM gone";
	static const char stale[] = MATCHED
		", stale AS (UPDATE cache_entries "
		"SET fresh_until = now() "
		"WHERE id = ANY (ARRAY(SELECT id FROM matched)) "
		"AND fence < $2::bigint AND fresh_until > now() "
		"RETURNING 1) SELECT count(*) FROM stale";
	const struct tiers *t = cache_tiers(c);
	struct postgres_value values[2];
	struct postgres_rows *rows;
	struct buf array = { 0 };
	char position[24];
	enum result r = R_OK;

	if (scopes.len == 0 || (r = scope_array(c, scopes, &array)) != R_OK ||
	    (r = log_scopes(c, scopes, how)) != R_OK)
		goto out;
	snprintf(position, sizeof(position), "%lld",
		 (long long)invalidation_position(t->invalidation));
	values[0] = postgres_text(buf_bytes(&array));
	values[1] = postgres_text(bytes_of(position));
	r = postgres_query(t->pg, slow_deadline(),
			   how == CACHE_SOFT ? stale : gone, values, 2, &rows);
	if (r != R_OK)
		goto out;
	*entries = postgres_get_int(rows, 0, 0);
	postgres_rows_free(rows);
	counters_add(0, COUNT_INVALIDATED, (uint64_t)*entries);
out:
	buf_fini(&array);
	return (r);
}

/* The keys that a glob matches; its widest scope when there are too many. */
static enum result
find_keys(struct cache *c, struct bytes glob, struct buf *scopes)
{
	static const char sql[] =
		"SELECT cache_key FROM cache_entries "
		"WHERE cache_key LIKE $1 UNION "
		"SELECT cache_key FROM cache_leases WHERE cache_key LIKE $1 "
		"LIMIT " KEYS_MOST;
	struct buf like = { 0 };
	struct postgres_value value;
	struct postgres_rows *rows;
	unsigned i, n;
	enum result r;
	size_t end;

	glob_add_like(&like, glob);
	value = postgres_text(buf_bytes(&like));
	r = buf_error(&like);
	if (r == R_OK)
		r = postgres_query(cache_tiers(c)->pg, slow_deadline(), sql,
				   &value, 1, &rows);
	buf_fini(&like);
	if (r != R_OK)
		return (r);
	n = postgres_count(rows);
	if (n == (unsigned)strtoul(KEYS_MOST, NULL, 10)) {
		for (end = 0; strchr("*?\\", glob.at[end]) == NULL; end++)
			;
		while (end > 0 && glob.at[end - 1] != ':')
			end--;
		buf_add(scopes, (struct bytes){ glob.at, end });
		buf_add(scopes, (struct bytes){ "*", 2 });
		n = 0;
	}
	for (i = 0; i < n; i++) {
		buf_add(scopes, postgres_get(rows, i, 0));
		buf_char(scopes, '\0');
	}
	postgres_rows_free(rows);
	return (buf_error(scopes));
}

enum result
operations_resolve(struct cache *c, struct bytes glob, struct buf *scopes)
{
	if (!glob_is_scope(glob))
		return (find_keys(c, glob, scopes));
	buf_add(scopes, glob);
	buf_char(scopes, '\0');
	return (buf_error(scopes));
}

bool
operations_alone(struct cache *c, const char *name, void (*job)(void *arg),
		 void *arg)
{
	const struct tiers *t = cache_tiers(c);
	struct lease lease = { 0 };
	struct lease_state state = { 0 };

	lease_take(t->leases, &lease, bytes_of(name), &state);
	if (state.outcome != LEASE_WON)
		return (false);
	job(arg);
	lease_give(t->leases, &lease);
	return (true);
}
