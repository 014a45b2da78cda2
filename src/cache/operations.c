/* SPDX-License-Identifier: MIT */
#include "operations.h"

#include "../base/clock.h"
#include "../base/counters.h"
#include "flights.h"
#include "scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOW_MS 10000 /* statements here may look at the whole table */
#define SIZES_MS 1000 /* but these are asked for often */
#define KEYS_MOST \
	"10000" /* of one glob; over that its widest scope is logged */

static struct postgres_value
text_value(struct bytes text)
{
	return ((struct postgres_value){ text, PG_TEXT });
}

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

/* A glob as a LIKE pattern. */
static void
add_like(struct buf *to, struct bytes glob)
{
	size_t i;

	for (i = 0; i < glob.len; i++) {
		if (glob.at[i] == '\\' && i + 1 < glob.len)
			i++;
		else if (glob.at[i] == '*' || glob.at[i] == '?') {
			buf_char(to, glob.at[i] == '*' ? '%' : '_');
			continue;
		}
		if (strchr("%_\\", glob.at[i]) != NULL)
			buf_char(to, '\\');
		buf_char(to, glob.at[i]);
	}
}

/* Is it an exact key, or a prefix as the log knows them? */
static bool
is_scope(struct bytes glob)
{
	struct bytes front = scope_is_prefix(glob) ? scope_prefix(glob) : glob;
	size_t i;

	for (i = 0; i < front.len; i++)
		if (strchr("*?\\", front.at[i]) != NULL)
			return (false);
	return (true);
}

/* Append `text` as an element of an array literal. */
static void
add_element(struct buf *array, struct bytes text)
{
	size_t i;

	buf_str(array, array->len > 1 ? ",\"" : "\"");
	for (i = 0; i < text.len; i++) {
		if (text.at[i] == '"' || text.at[i] == '\\')
			buf_char(array, '\\');
		buf_char(array, text.at[i]);
	}
	buf_char(array, '"');
}

/* The scopes as patterns of keys: LIKE, users hashed. */
static enum result
like_array(struct cache *c, struct bytes scopes, struct buf *array)
{
	struct buf like = { 0 }, key = { 0 };
	struct bytes scope;
	enum result r;

	buf_char(array, '{');
	while (scopes.len > 0) {
		scope = bytes_cut(&scopes, '\0');
		buf_clear(&like);
		buf_clear(&key);
		cache_hash_users(c, scope, &key);
		add_like(&like, buf_bytes(&key));
		add_element(array, buf_bytes(&like));
		if (buf_error(&like) != R_OK || buf_error(&key) != R_OK)
			break;
	}
	buf_char(array, '}');
	r = buf_error(&like) != R_OK ? buf_error(&like) : buf_error(&key);
	buf_fini(&like);
	buf_fini(&key);
	return (r != R_OK ? r : buf_error(array));
}

static enum result
log_scopes(struct cache *c, struct bytes scopes, enum cache_invalidation how)
{
	struct buf array = { 0 };
	struct postgres_value values[2];
	enum result r;

	buf_char(&array, '{');
	while (scopes.len > 0)
		add_element(&array, bytes_cut(&scopes, '\0'));
	buf_char(&array, '}');
	values[0] = text_value(buf_bytes(&array));
	values[1] = text_value(how == CACHE_SOFT ? BYTES("t") : BYTES("f"));
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
	/* Nothing finds these rows any more; so that they count once, they go. */
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
	values[0] = text_value(buf_bytes(&likes));
	values[1] = text_value(bytes_of(position));
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

	add_like(&like, glob);
	value = text_value(buf_bytes(&like));
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
	else if (is_scope(glob))
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

static enum result
note_exists(void *arg, const struct redis_reply *reply)
{
	*(bool *)arg = reply->type == REDIS_INTEGER && reply->integer > 0;
	return (R_OK);
}

/* The tiers that have it, nearest first. */
static void
add_tiers(const struct tiers *t, struct bytes key, bool *redis_answers,
	  struct buf *to)
{
	struct buf name = { 0 };
	struct bytes argv[2] = { BYTES("EXISTS") };
	struct entry *e = memory_get(t->memory, key);
	const char *nearest = e != NULL ? "memory" : "postgres";
	bool in_redis = false;

	if (*redis_answers) {
		buf_str(&name, redis_tier_prefix(t->redis));
		buf_add(&name, key);
		argv[1] = buf_bytes(&name);
		*redis_answers = buf_error(&name) == R_OK &&
				 redis_call(redis_tier_redis(t->redis), argv, 2,
					    note_exists, &in_redis) == R_OK;
		buf_fini(&name);
	}
	if (e == NULL && in_redis)
		nearest = "redis";
	buf_printf(to, ",\"tier\":\"%s\",\"tiers\":[%s%s\"postgres\"]}",
		   nearest, e != NULL ? "\"memory\"," : "",
		   in_redis ? "\"redis\"," : "");
	entry_unref(e);
}

enum result
operations_list(struct cache *c, const struct operations_page *page,
		struct buf *to, int64_t *total)
{
	static const char sql[] =
		"WITH found AS (SELECT cache_key, size_bytes, "
		"fresh_until, expires_at FROM cache_entries "
		"WHERE cache_key LIKE $1 AND expires_at > now()), "
		"page AS (SELECT * FROM found ORDER BY cache_key COLLATE \"C\" "
		"LIMIT $2::integer OFFSET $3::integer) "
		"SELECT (SELECT count(*) FROM found), cache_key, size_bytes, "
		"greatest(0, ceil(extract(epoch FROM fresh_until - now())))"
		"::bigint, fresh_until <= now(), "
		"ceil(extract(epoch FROM expires_at - now()))::bigint "
		"FROM (SELECT 1) AS one LEFT JOIN page ON true "
		"ORDER BY cache_key COLLATE \"C\"";
	const struct tiers *t = cache_tiers(c);
	bool redis_answers = redis_tier_is_usable(t->redis);
	struct postgres_value values[3];
	struct buf like = { 0 };
	struct postgres_rows *rows;
	enum result r;
	unsigned i;

	add_like(&like, page->glob);
	values[0] = text_value(buf_bytes(&like));
	values[1] = text_value(page->limit);
	values[2] = text_value(page->offset);
	r = buf_error(&like);
	if (r == R_OK)
		r = postgres_query(t->pg, slow_deadline(), sql, values, 3,
				   &rows);
	buf_fini(&like);
	if (r != R_OK)
		return (r);
	*total = postgres_get_int(rows, 0, 0);
	buf_char(to, '[');
	for (i = 0; i < postgres_count(rows); i++) {
		if (postgres_is_null(rows, i, 1))
			continue;
		buf_str(to, i > 0 ? ",{\"key\":" : "{\"key\":");
		buf_json(to, postgres_get(rows, i, 1));
		buf_printf(to,
			   ",\"size_bytes\":%lld,\"ttl_seconds\":%lld,"
			   "\"stale\":%s,\"expires_in_seconds\":%lld",
			   (long long)postgres_get_int(rows, i, 2),
			   (long long)postgres_get_int(rows, i, 3),
			   postgres_get(rows, i, 4).at[0] == 't' ? "true"
								 : "false",
			   (long long)postgres_get_int(rows, i, 5));
		add_tiers(t, postgres_get(rows, i, 1), &redis_answers, to);
	}
	buf_char(to, ']');
	postgres_rows_free(rows);
	return (buf_error(to));
}

enum result
operations_arguments(struct cache *c, struct bytes key, struct buf *to)
{
	const struct tiers *t = cache_tiers(c);
	struct entry *e = memory_get(t->memory, key);
	struct postgres_value value = text_value(key);
	struct postgres_rows *rows;
	enum result r = R_OK;

	if (e == NULL) {
		r = postgres_query(t->pg, 0,
				   "SELECT wire FROM cache_entries "
				   "WHERE cache_key = $1",
				   &value, 1, &rows);
		if (r != R_OK)
			return (r);
		r = R_NOT_FOUND;
		if (postgres_count(rows) > 0)
			r = entry_decode(postgres_get(rows, 0, 0), key, &e);
		postgres_rows_free(rows);
	}
	if (r == R_OK)
		buf_add(to, e->arguments);
	if (r == R_OK)
		entry_unref(e);
	return (r == R_OK ? buf_error(to) : r);
}

unsigned
operations_sizes(struct cache *c,
		 struct operations_size out[static OPERATIONS_SIZES])
{
	static const char sql[] =
		"WITH sizes AS (SELECT split_part(cache_key, ':', 1) AS prefix, "
		"count(*) AS entries, sum(size_bytes) AS bytes, "
		"count(*) FILTER (WHERE used_at <= updated_at) AS unread "
		"FROM cache_entries WHERE expires_at > now() GROUP BY 1), "
		"changes AS (SELECT split_part(scope, ':', 1) AS prefix, "
		"count(*) AS changes FROM cache_invalidations "
		"WHERE created_at > now() - interval '1 day' GROUP BY 1) "
		"SELECT s.prefix, s.entries, s.bytes, s.unread, "
		"coalesce(c.changes, 0) FROM sizes s LEFT JOIN changes c "
		"USING (prefix) ORDER BY s.bytes DESC LIMIT 32";
	struct postgres_rows *rows;
	unsigned i, n;

	if (postgres_query(cache_tiers(c)->pg, clock_monotonic_ms() + SIZES_MS,
			   sql, NULL, 0, &rows) != R_OK)
		return (0);
	n = postgres_count(rows);
	for (i = 0; i < n && i < OPERATIONS_SIZES; i++) {
		snprintf(out[i].prefix, sizeof(out[i].prefix), "%s",
			 postgres_get(rows, i, 0).at);
		out[i].entries = postgres_get_int(rows, i, 1);
		out[i].bytes = postgres_get_int(rows, i, 2);
		out[i].unread = postgres_get_int(rows, i, 3);
		out[i].changes = postgres_get_int(rows, i, 4);
	}
	postgres_rows_free(rows);
	return (i);
}

static enum result
take_integer(void *arg, const struct redis_reply *reply)
{
	if (reply->type != REDIS_INTEGER)
		return (R_BAD_ANSWER);
	*(int64_t *)arg = reply->integer;
	return (R_OK);
}

int64_t
operations_redis_keys(struct cache *c)
{
	static const struct bytes argv[] = { BYTES_INIT("DBSIZE") };
	const struct tiers *t = cache_tiers(c);
	int64_t keys = -1;

	if (redis_tier_is_usable(t->redis) &&
	    redis_call(redis_tier_redis(t->redis), argv, 1, take_integer,
		       &keys) != R_OK)
		keys = -1;
	return (keys);
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
