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

/* The scopes as patterns of keys: LIKE, users hashed. */
static enum result
like_array(struct cache *c, struct bytes scopes, struct buf *array)
{
	struct buf likes = { 0 }, key = { 0 };
	struct bytes scope;
	enum result r;

	while (scopes.len > 0) {
		scope = bytes_cut(&scopes, '\0');
		buf_clear(&key);
		cache_hash_users(c, scope, &key);
		glob_add_like(&likes, buf_bytes(&key));
		buf_char(&likes, '\0');
		if (buf_error(&key) != R_OK)
			break;
	}
	postgres_add_array(array, buf_bytes(&likes));
	r = buf_error(&likes) != R_OK ? buf_error(&likes) : buf_error(&key);
	buf_fini(&likes);
	buf_fini(&key);
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

enum result
operations_invalidate(struct cache *c, struct bytes scopes,
		      enum cache_invalidation how,
		      struct operations_touched *out)
{
	/* Nothing finds these rows any more; so that they count once, they
	 * go. */
	static const char gone[] =
		"WITH gone AS (DELETE FROM cache_entries "
		"WHERE cache_key LIKE ANY ($1::text[]) AND fence < $2::bigint "
		"RETURNING expires_at) "
		"SELECT count(*) FILTER (WHERE expires_at > now()) FROM gone";
	static const char stale[] =
		"WITH stale AS (UPDATE cache_entries SET fresh_until = now() "
		"WHERE cache_key LIKE ANY ($1::text[]) AND fence < $2::bigint "
		"AND fresh_until > now() RETURNING 1) "
		"SELECT count(*) FROM stale";
	const struct tiers *t = cache_tiers(c);
	struct postgres_value values[2];
	struct postgres_rows *rows;
	struct buf likes = { 0 };
	char position[24];
	enum result r;

	if ((r = like_array(c, scopes, &likes)) != R_OK ||
	    (r = log_scopes(c, scopes, how)) != R_OK)
		goto out;
	/* What was loaded since has a younger fence, and stays. */
	snprintf(position, sizeof(position), "%lld",
		 (long long)invalidation_position(t->invalidation));
	values[0] = postgres_text(buf_bytes(&likes));
	values[1] = postgres_text(bytes_of(position));
	r = postgres_query(t->pg, slow_deadline(),
			   how == CACHE_SOFT ? stale : gone, values, 2, &rows);
	if (r != R_OK)
		goto out;
	out->entries = postgres_get_int(rows, 0, 0);
	postgres_rows_free(rows);
	counters_add(0, COUNT_INVALIDATED, (uint64_t)out->entries);
	buf_add(&out->scopes, scopes);
	r = buf_error(&out->scopes);
out:
	buf_fini(&likes);
	return (r);
}

/* The keys that a glob matches; its widest scope when there are too many. */
static enum result
resolve(struct cache *c, struct bytes glob, struct buf *scopes)
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
		end = strcspn(glob.at, "*?\\");
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
operations_invalidate_glob(struct cache *c, struct bytes glob,
			   enum cache_invalidation how,
			   struct operations_touched *out)
{
	struct buf scopes = { 0 }, text = { 0 };
	enum result r = R_OK;

	buf_add(&text, glob); /* ended by a NUL */
	if (buf_error(&text) != R_OK)
		r = buf_error(&text);
	else if (glob_is_scope(glob))
		buf_add(&scopes, (struct bytes){ text.at, text.len + 1 });
	else
		r = resolve(c, buf_bytes(&text), &scopes);
	if (r == R_OK)
		r = buf_error(&scopes);
	if (r == R_OK && scopes.len > 0)
		r = operations_invalidate(c, buf_bytes(&scopes), how, out);
	buf_fini(&text);
	buf_fini(&scopes);
	return (r);
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
