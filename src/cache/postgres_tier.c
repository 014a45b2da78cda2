/* SPDX-License-Identifier: MIT */
#include "postgres_tier.h"

#include "../base/buf.h"
#include "../base/clock.h"
#include "scope.h"

#include <stdio.h>
#include <string.h>

/* Entries and leases are small steps on the way to an answer: a server that
 * does not take them in this time is as good as down. */
#define STEP_MS 1000
#define STORE_MS 2000
#define STORE_BYTES_PER_MS 4096 /* which it has to parse, besides */

static int64_t
step_deadline(const struct postgres *pg)
{
	return (postgres_deadline(pg, clock_monotonic_ms() + STEP_MS));
}

/* A number as a statement's parameter. */
struct number {
	char text[24];
};

static struct postgres_value
int_value(struct number *room, int64_t value)
{
	snprintf(room->text, sizeof(room->text), "%lld", (long long)value);
	return (postgres_text(bytes_of(room->text)));
}

/* All scopes that match the key under either of its names, as a text[]
 * literal. */
static enum result
scope_array(struct bytes key, struct bytes log_key, struct buf *array)
{
	const struct bytes names[] = { key, log_key };
	struct buf list = { 0 };
	enum result r;
	unsigned i;

	for (i = 0; i < 2; i++) {
		if (i == 1 && bytes_equal(key, log_key))
			break;
		if (scope_list(names[i], &list) == 0) {
			buf_fini(&list);
			return (R_INVALID);
		}
	}
	postgres_add_array(array, buf_bytes(&list));
	r = buf_error(&list) != R_OK ? buf_error(&list) : buf_error(array);
	buf_fini(&list);
	return (r);
}

/* What the row says beyond the entry as it was stored.  All records up to
 * the log's head have just been held against it: so its fence is that now,
 * and a Redis that begins anew from there takes it. */
static void
adjust(struct entry *e, struct postgres_rows *rows)
{
	int64_t now = clock_wall_ms(), head = postgres_get_int(rows, 0, 3);

	if (bytes_equal(postgres_get(rows, 0, 1), BYTES("t")))
		lifetime_expire(&e->life, now);
	if (bytes_equal(postgres_get(rows, 0, 2), BYTES("t")) &&
	    e->life.stale_until_ms > now)
		e->life.stale_until_ms = now;
	if (head > e->fence)
		e->fence = head;
}

/* Note that an entry is in use.  Not in the statement that reads it, which works on
 * a database that takes no writes, too. */
static void
touch(struct postgres *pg, struct bytes key)
{
	const struct postgres_value value = postgres_text(key);

	(void)!postgres_run(pg, step_deadline(pg),
			    "UPDATE cache_entries SET used_at = now() "
			    "WHERE cache_key = $1",
			    &value, 1);
}

/* Of each of the scopes $2 so many hard and so many soft records, the newest: few, however
 * long the log is.  One without a position was committed after any fence was read.  The
 * order is that of an index (sql/0262_newest_records.sql). */
#define WITH_NEWEST                                                     \
	"WITH newest AS (SELECT r.* "                                   \
	"FROM (SELECT DISTINCT unnest($2::text[])) AS s (scope), "      \
	"(VALUES (false), (true)) AS k (soft), LATERAL "                \
	"(SELECT i.*, coalesce(i.position, 9223372036854775807) AS at " \
	"FROM cache_invalidations i "                                   \
	"WHERE i.scope = s.scope AND i.soft = k.soft "                  \
	"ORDER BY at DESC LIMIT "

enum result
postgres_tier_get(struct postgres *pg, struct bytes key, struct bytes log_key,
		  struct entry **out)
{
	static const char sql[] = WITH_NEWEST
		"1) AS r) "
		"SELECT e.wire, e.fence < n.soft OR e.fresh_until <= now(), "
		"e.expires_at <= now(), l.head, "
		"e.used_at < now() - interval '1 minute' "
		"FROM cache_entries e, cache_log l, "
		"(SELECT coalesce(max(at) FILTER (WHERE NOT soft), 0) AS hard, "
		"coalesce(max(at) FILTER (WHERE soft), 0) AS soft FROM newest) n "
		"WHERE e.cache_key = $1 AND e.fence >= n.hard";
	struct postgres_value values[2];
	struct postgres_rows *rows = NULL;
	struct buf scopes = { 0 };
	enum result r;

	if ((r = scope_array(key, log_key, &scopes)) != R_OK)
		goto out;
	values[0] = postgres_text(key);
	values[1] = postgres_text(buf_bytes(&scopes));
	if ((r = postgres_query(pg, step_deadline(pg), sql, values, 2,
				&rows)) != R_OK)
		goto out;
	if (postgres_count(rows) == 0) {
		r = R_NOT_FOUND;
		goto out;
	}
	r = entry_decode(postgres_get(rows, 0, 0), key, out);
	if (r == R_OK)
		adjust(*out, rows);
	if (r == R_OK && bytes_equal(postgres_get(rows, 0, 4), BYTES("t")))
		touch(pg, key);
out:
	postgres_rows_free(rows);
	buf_fini(&scopes);
	return (r);
}

enum result
postgres_tier_inspect(struct postgres *pg, struct bytes key,
		      struct bytes log_key, struct postgres_tier_view *out)
{
	static const char sql[] = WITH_NEWEST
		"50) AS r) "
		"SELECT (SELECT wire FROM cache_entries WHERE cache_key = $1 "
		"AND expires_at > now()), head, pruned, "
		"(SELECT coalesce(max(at), 0) FROM newest WHERE NOT soft), "
		"(SELECT coalesce(max(at), 0) FROM newest WHERE soft), "
		"(SELECT coalesce(json_agg(json_build_object('position', "
		"position, 'scope', scope, 'soft', soft, 'age_ms', "
		"(extract(epoch FROM clock_timestamp() - created_at) * 1000)"
		"::bigint) ORDER BY at DESC, id DESC), '[]') FROM "
		"(SELECT * FROM newest ORDER BY at DESC, id DESC LIMIT 50) r) "
		"FROM cache_log";
	struct postgres_value values[2];
	struct postgres_rows *rows = NULL;
	struct buf scopes = { 0 };
	enum result r;

	*out = (struct postgres_tier_view){ 0 };
	if ((r = scope_array(key, log_key, &scopes)) != R_OK)
		goto out;
	values[0] = postgres_text(key);
	values[1] = postgres_text(buf_bytes(&scopes));
	if ((r = postgres_query(pg, 0, sql, values, 2, &rows)) != R_OK)
		goto out;
	if (!postgres_is_null(rows, 0, 0) &&
	    entry_decode(postgres_get(rows, 0, 0), key, &out->entry) != R_OK)
		out->entry = NULL;
	out->head = postgres_get_int(rows, 0, 1);
	out->pruned = postgres_get_int(rows, 0, 2);
	out->hard = postgres_get_int(rows, 0, 3);
	out->soft = postgres_get_int(rows, 0, 4);
	buf_add(&out->records, postgres_get(rows, 0, 5));
out:
	postgres_rows_free(rows);
	buf_fini(&scopes);
	return (r);
}

enum result
postgres_tier_put(struct postgres *pg, const struct entry *e,
		  struct bytes log_key)
{
	static const char sql[] =
		"SELECT cache_store($1, $2::text[], $3, $4::integer, $5::integer, "
		"$6::bigint, $7::bigint, $8::bigint, $9::bigint)";
	struct buf scopes = { 0 }, wire = { 0 };
	struct postgres_value values[9];
	struct postgres_rows *rows;
	struct number n[6];
	int64_t deadline_ms;
	size_t body_at;
	enum result r;

	if ((r = scope_array(e->key, log_key, &scopes)) != R_OK)
		goto out;
	entry_encode(e, &wire);
	if ((r = buf_error(&wire)) != R_OK)
		goto out;
	body_at = wire.len - e->gzip.len - e->body.len; /* see entry.h */
	values[0] = postgres_text(e->key);
	values[1] = postgres_text(buf_bytes(&scopes));
	values[2] = (struct postgres_value){ buf_bytes(&wire), PG_BYTEA };
	values[3] = int_value(&n[0], (int64_t)body_at + 1);
	values[4] = int_value(&n[1], (int64_t)e->body.len);
	values[5] = int_value(&n[2], e->fence);
	values[6] = int_value(&n[3], e->life.loaded_at_ms);
	values[7] = int_value(&n[4], e->life.fresh_until_ms);
	values[8] = int_value(&n[5], e->life.stale_until_ms);
	deadline_ms = postgres_deadline(pg, clock_monotonic_ms() + STORE_MS) +
		      (int64_t)(wire.len / STORE_BYTES_PER_MS);
	r = postgres_query(pg, deadline_ms, sql, values, 9, &rows);
	if (r != R_OK)
		goto out;
	if (!bytes_equal(postgres_get(rows, 0, 0), BYTES("t")))
		r = R_CONFLICT;
	postgres_rows_free(rows);
out:
	buf_fini(&wire);
	buf_fini(&scopes);
	return (r);
}

enum result
postgres_tier_position(struct postgres *pg, int64_t *position)
{
	struct postgres_rows *rows;
	enum result r = postgres_query(pg, step_deadline(pg),
				       "SELECT cache_log_position()", NULL, 0,
				       &rows);

	if (r != R_OK)
		return (r);
	*position = postgres_get_int(rows, 0, 0);
	postgres_rows_free(rows);
	return (R_OK);
}

enum result
postgres_tier_lease_take(struct postgres *pg, struct bytes key,
			 const char *holder, int64_t for_ms,
			 struct lease_state *state)
{
	struct postgres_value values[3];
	struct postgres_rows *rows;
	struct number n;
	enum result r;
	int64_t failure;

	values[0] = postgres_text(key);
	values[1] = postgres_text(bytes_of(holder));
	values[2] = int_value(&n, for_ms);
	r = postgres_query(pg, step_deadline(pg),
			   "SELECT won, left_by_failure, left_ms "
			   "FROM cache_lease_take($1, $2, $3::integer)",
			   values, 3, &rows);
	if (r != R_OK)
		return (r);
	failure = postgres_get_int(rows, 0, 1);
	state->failure = R_OK;
	state->left_ms = postgres_get_int(rows, 0, 2);
	if (bytes_equal(postgres_get(rows, 0, 0), BYTES("t"))) {
		state->outcome = LEASE_WON;
	} else if (!postgres_is_null(rows, 0, 1) && failure > R_OK &&
		   failure < R_COUNT_) {
		state->outcome = LEASE_FAILED;
		state->failure = (enum result)failure;
	} else {
		state->outcome = LEASE_HELD;
	}
	postgres_rows_free(rows);
	return (R_OK);
}

enum result
postgres_tier_lease_keep(struct postgres *pg, struct bytes key,
			 const char *holder, int64_t for_ms,
			 enum result failure)
{
	struct postgres_value values[4];
	struct number n[2];

	values[0] = postgres_text(key);
	values[1] = postgres_text(bytes_of(holder));
	values[2] = int_value(&n[0], for_ms);
	values[3] = int_value(&n[1], failure);
	/* A renewal may come after the note that takes the lease's place. */
	return (postgres_run(pg, step_deadline(pg),
			     "UPDATE cache_leases SET "
			     "failure = nullif($4::integer, 0), "
			     "expires_at = clock_timestamp() "
			     "+ $3::integer * interval '1 ms' "
			     "WHERE cache_key = $1 AND holder = $2 "
			     "AND failure IS NULL",
			     values, 4));
}

enum result
postgres_tier_lease_give(struct postgres *pg, struct bytes key,
			 const char *holder)
{
	const struct postgres_value values[] = {
		postgres_text(key), postgres_text(bytes_of(holder))
	};

	return (postgres_run(pg, step_deadline(pg),
			     "DELETE FROM cache_leases "
			     "WHERE cache_key = $1 AND holder = $2 "
			     "AND failure IS NULL",
			     values, 2));
}

enum result
postgres_tier_clean(struct postgres *pg, int64_t max_bytes, int64_t keep_log_ms,
		    int64_t *removed)
{
	/* The lock ends with the statement's transaction, which PgBouncer
	 * keeps whole. */
	static const char sql[] =
		"SELECT CASE WHEN pg_try_advisory_xact_lock(hashtext('warmfront clean')) "
		"THEN cleanup_expired_cache() + cache_shrink($1::bigint) "
		"+ 0 * cache_log_prune($2::bigint * interval '1 ms') "
		"ELSE 0 END";
	struct postgres_value values[2];
	struct postgres_rows *rows;
	struct number n[2];
	enum result r;

	values[0] = int_value(&n[0], max_bytes);
	values[1] = int_value(&n[1], keep_log_ms);
	if ((r = postgres_query(pg, 0, sql, values, 2, &rows)) != R_OK)
		return (r);
	*removed = postgres_get_int(rows, 0, 0);
	postgres_rows_free(rows);
	return (R_OK);
}
