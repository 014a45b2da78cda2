/* SPDX-License-Identifier: MIT */
#include "inventory.h"

#include "../base/clock.h"
#include "flights.h"
#include "glob.h"

#include <stdio.h>

#define LIST_MS 10000 /* looks at the whole table */
#define SIZES_MS 1000 /* so do these, but they are asked for often */
#define CENSUS_KEYS "1000"

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

static enum result
list_keys(struct cache *c, const struct inventory_page *page, struct buf *to,
	  int64_t *total)
{
	static const char sql[] =
		"WITH found AS NOT MATERIALIZED (SELECT cache_key, size_bytes, "
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

	glob_add_like(&like, page->glob);
	values[0] = postgres_text(buf_bytes(&like));
	values[1] = postgres_text(page->limit);
	values[2] = postgres_text(page->offset);
	r = buf_error(&like);
	if (r == R_OK)
		r = postgres_query(t->pg, clock_monotonic_ms() + LIST_MS, sql,
				   values, 3, &rows);
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
inventory_arguments(struct cache *c, struct bytes key, struct buf *to)
{
	const struct tiers *t = cache_tiers(c);
	struct entry *e = memory_get(t->memory, key);
	struct postgres_value value = postgres_text(key);
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
inventory_sizes(struct cache *c,
		struct inventory_size out[static INVENTORY_SIZES])
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
	for (i = 0; i < n && i < INVENTORY_SIZES; i++) {
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

/*
 * ARGV: prefix of our names, how many keys to look at.  Returns how many keys there
 * are, how many were looked at, and of ours among these, for each first part of
 * keys: the part, keys and bytes.  SCAN goes by the hash of keys, so what it
 * meets first is a fair sample; in a table that has been larger it may meet few.
 */
static const char census_script[] =
	"local all = redis.call('DBSIZE') "
	"local at, seen, entries, bytes, out = '0', 0, {}, {}, {} "
	"for page = 1, 10 do "
	"  local page = redis.call('SCAN', at, 'COUNT', ARGV[2]) "
	"  at, seen = page[1], seen + #page[2] "
	"  for _, name in ipairs(page[2]) do "
	"    local family = string.sub(name, 1, #ARGV[1]) == ARGV[1] and "
	"      string.match(name, '^([^:@]+):', #ARGV[1] + 1) "
	"    local size = family and redis.pcall('STRLEN', name) "
	"    if type(size) == 'number' then "
	"      entries[family] = (entries[family] or 0) + 1 "
	"      bytes[family] = (bytes[family] or 0) + #name + size "
	"    end "
	"  end "
	"  if at == '0' or seen >= tonumber(ARGV[2]) then break end "
	"end "
	"if at == '0' or seen > all then all = seen end "
	"for family, n in pairs(entries) do "
	"  out[#out + 1] = {family, n, bytes[family]} "
	"end "
	"return {all, seen, out}";

struct census {
	struct inventory_size *sizes;
	unsigned n;
};

static int64_t
scale(int64_t part, int64_t seen, int64_t all)
{
	double whole = (double)part * (double)all / (double)seen;

	return (whole < (double)(INT64_MAX / 2) ? (int64_t)whole
						: INT64_MAX / 2);
}

static enum result
take_census(void *arg, const struct redis_reply *reply)
{
	struct census *c = arg;
	const struct redis_reply *of, *families;
	unsigned i;

	if (reply->type != REDIS_ARRAY || reply->count != 3 ||
	    reply->items[1].integer < 0 ||
	    reply->items[0].integer < reply->items[1].integer)
		return (R_BAD_ANSWER);
	families = &reply->items[2];
	for (i = 0; i < families->count && c->n < INVENTORY_SIZES; i++) {
		of = families->items[i].items;
		if (families->items[i].count != 3 ||
		    reply->items[1].integer == 0)
			return (R_BAD_ANSWER);
		c->sizes[c->n] = (struct inventory_size){
			.entries = scale(of[1].integer, reply->items[1].integer,
					 reply->items[0].integer),
			.bytes = scale(of[2].integer, reply->items[1].integer,
				       reply->items[0].integer),
		};
		snprintf(c->sizes[c->n].prefix, sizeof(c->sizes[c->n].prefix),
			 "%.*s", BYTES_ARG(of[0].text));
		c->n++;
	}
	return (R_OK);
}

unsigned
inventory_redis_sizes(struct cache *c,
		      struct inventory_size out[static INVENTORY_SIZES])
{
	const struct tiers *t = cache_tiers(c);
	struct census census = { .sizes = out };
	const struct bytes argv[] = {
		BYTES("EVAL"),
		bytes_of(census_script),
		BYTES("0"),
		bytes_of(t->redis != NULL ? redis_tier_prefix(t->redis) : ""),
		BYTES(CENSUS_KEYS),
	};

	if (redis_tier_is_usable(t->redis) &&
	    redis_call(redis_tier_redis(t->redis), argv, 5, take_census,
		       &census) != R_OK)
		return (0);
	return (census.n);
}

enum result
inventory_add_page(struct cache *c, const struct inventory_page *page,
		   struct buf *to)
{
	int64_t total = 0;
	enum result r;

	buf_str(to, "\"data\":");
	r = list_keys(c, page, to, &total);
	buf_printf(to, ",\"total\":%lld,\"limit\":%.*s,\"offset\":%.*s",
		   (long long)total, BYTES_ARG(page->limit),
		   BYTES_ARG(page->offset));
	return (r);
}
