/* SPDX-License-Identifier: MIT */
/*
 * cache_stats: how well the cache does, and what might make it do better.
 *
 *	GET /api/admin/cache/stats			all, with recommendations
 *	GET /api/cache/invalidate?metrics=true		hits and misses by category; with
 *							pattern=, keys as well
 */
#include "handler.h"

#include <string.h>

#define ENOUGH_REQUESTS 50 /* to judge a category by */
#define ENOUGH_LOADS 20
#define GOOD_HIT_RATE 0.8
#define SLOW_MS 50.0 /* of answers from a tier, on average */

/* One category's numbers. */
struct numbers {
	int64_t hits, stale, misses, bypasses, errors;
	int64_t loads, failures, unchanged, expired, early;
	struct metrics_times cached, uncached;
};

static void
add_times(struct metrics_times *to, struct metrics_times more)
{
	to->count += more.count;
	to->sum_us += more.sum_us;
}

/* `category` NULL: of all. */
static struct numbers
count(const struct metrics_report *r, const char *category)
{
	struct numbers n = {
		.misses = metrics_count(r, category, COUNT_MISSES),
		.bypasses = metrics_count(r, category, COUNT_BYPASSES),
		.errors = metrics_count(r, category, COUNT_ERRORS),
		.loads = metrics_count(r, category, COUNT_LOADS),
		.failures = metrics_count(r, category, COUNT_LOAD_FAILURES),
		.unchanged = metrics_count(r, category, COUNT_LOADS_UNCHANGED),
		.expired = metrics_count(r, category, COUNT_LOADS_EXPIRED),
		.early = metrics_count(r, category, COUNT_LOADS_EARLY),
		.uncached = metrics_times(r, category, TIME_UNCACHED),
	};
	unsigned tier;

	for (tier = 0; tier <= CACHE_ORIGIN; tier++) {
		n.hits += metrics_count(r, category, COUNT_HITS_MEMORY + tier);
		n.stale +=
			metrics_count(r, category, COUNT_STALE_MEMORY + tier);
		add_times(&n.cached, metrics_times(r, category,
						   TIME_CACHED_MEMORY + tier));
	}
	return (n);
}

static int64_t
requests(const struct numbers *n)
{
	return (n->hits + n->stale + n->misses + n->errors);
}

static double
share(int64_t part, int64_t whole)
{
	return (whole > 0 ? (double)part / (double)whole : 0);
}

static double
average_ms(struct metrics_times t)
{
	return (share(t.sum_us, t.count) / 1000);
}

static void
add_numbers(struct buf *to, const struct numbers *n)
{
	int64_t all = requests(n);

	buf_printf(to,
		   "\"requests\":%lld,\"hits\":%lld,\"stale\":%lld,"
		   "\"misses\":%lld,\"bypasses\":%lld,\"errors\":%lld,"
		   "\"hit_rate\":%.4f,\"miss_rate\":%.4f,"
		   "\"avg_response_time_cached\":%.3f,"
		   "\"avg_response_time_uncached\":%.3f,"
		   "\"loads\":%lld,\"load_failures\":%lld",
		   (long long)all, (long long)n->hits, (long long)n->stale,
		   (long long)n->misses, (long long)n->bypasses,
		   (long long)n->errors, share(n->hits + n->stale, all),
		   all > 0 ? 1 - share(n->hits + n->stale, all) : 0,
		   average_ms(n->cached), average_ms(n->uncached),
		   (long long)n->loads, (long long)n->failures);
}

/* The categories in service, one after the other from `*at` 0; NULL at the
 * end. */
static const struct served *
next_category(const struct router *router, unsigned *at)
{
	const struct served *s, *before;
	unsigned i;

	while ((s = router_at(router, (*at)++)) != NULL) {
		if (s->endpoint->load == NULL)
			continue;
		for (i = 0; i < *at - 1; i++) {
			before = router_at(router, i);
			if (before->endpoint->load != NULL &&
			    strcmp(before->policy.category,
				   s->policy.category) == 0)
				break;
		}
		if (i == *at - 1)
			return (s);
	}
	return (NULL);
}

/* One thing to consider. */
static void
begin_advice(struct buf *to, const char *category, const char *kind,
	     const char *text)
{
	if (to->len > 0)
		buf_char(to, ',');
	buf_printf(to,
		   "{\"category\":\"%s\",\"kind\":\"%s\",\"message\":\"%s\","
		   "\"evidence\":{",
		   category, kind, text);
}

static void
advise_on_hit_rate(struct buf *to, const char *category,
		   const struct numbers *n)
{
	int64_t all = requests(n), absent = n->loads - n->expired - n->early;
	double rate = share(n->hits + n->stale, all);
	bool expiry = n->expired > absent;

	if (all < ENOUGH_REQUESTS || rate >= GOOD_HIT_RATE)
		return;
	begin_advice(to, category, "low_hit_rate",
		     expiry ? "Most loads replace what had expired: a longer "
			      "TTL, or a longer grace, would turn misses into "
			      "hits."
			    : "Most loads are of keys seen for the first time "
			      "or invalidated: warm them, or look for "
			      "parameters that make too many keys.");
	buf_printf(to,
		   "\"hit_rate\":%.4f,\"requests\":%lld,\"misses\":%lld,"
		   "\"loads\":%lld,\"loads_of_expired\":%lld,"
		   "\"share_of_loads_due_to_expiry\":%.4f}}",
		   rate, (long long)all, (long long)n->misses,
		   (long long)n->loads, (long long)n->expired,
		   share(n->expired, n->loads));
}

static void
advise_on_slow_hits(struct buf *to, const char *category,
		    const struct metrics_report *r)
{
	static const char *const tiers[] = { "memory", "redis", "postgres",
					     "origin" };
	struct metrics_times t;
	unsigned tier;

	for (tier = 0; tier <= CACHE_POSTGRES; tier++) {
		t = metrics_times(r, category, TIME_CACHED_MEMORY + tier);
		if (t.count < ENOUGH_LOADS || average_ms(t) < SLOW_MS)
			continue;
		begin_advice(to, category, "slow_cached_answers",
			     tier == CACHE_MEMORY
				     ? "Answers from memory are slow: the "
				       "machine has too much to do, or the "
				       "bodies are very large."
			     : tier == CACHE_REDIS
				     ? "Answers from Redis are slow: look at "
				       "its load and the network, or turn "
				       "NEAR_CACHE on."
				     : "Answers from PostgreSQL are slow: turn "
				       "Redis on, raise DATABASE_POOL_SIZE or "
				       "REDIS_CACHE_TTL_MS.");
		buf_printf(to,
			   "\"tier\":\"%s\",\"answers\":%lld,"
			   "\"average_ms\":%.3f,\"limit_ms\":%.0f}}",
			   tiers[tier], (long long)t.count, average_ms(t),
			   SLOW_MS);
	}
}

static void
advise_on_unread(struct buf *to, const char *category, const struct numbers *n,
		 const struct inventory_size *size)
{
	if (n->loads < ENOUGH_LOADS || n->hits + n->stale > n->loads / 2)
		return;
	begin_advice(to, category, "never_read_again",
		     "Most entries are loaded and never read again: a shorter "
		     "TTL would save room, and a TTL of 0 the work.");
	buf_printf(to, "\"loads\":%lld,\"answers_from_cache\":%lld",
		   (long long)n->loads, (long long)(n->hits + n->stale));
	if (size != NULL)
		buf_printf(to,
			   ",\"entries\":%lld,"
			   "\"entries_not_read_from_postgres\":%lld",
			   (long long)size->entries, (long long)size->unread);
	buf_str(to, "}}");
}

static void
advise_on_ttl(struct buf *to, const struct served *s, const struct numbers *n,
	      const struct inventory_size *size)
{
	int64_t again = n->expired + n->early;
	double same = share(n->unchanged, again);

	if (again < ENOUGH_LOADS || (same < 0.9 && same > 0.1))
		return;
	if (same <= 0.1 && n->hits + n->stale < 10 * again)
		return;
	begin_advice(to, s->policy.category, "ttl_far_from_change",
		     same >= 0.9
			     ? "Nearly every refresh brings what was there "
			       "before: the TTL can be longer."
			     : "Nearly every refresh brings something new, "
			       "and many answers came before it: the TTL is "
			       "long for data that changes so often, unless "
			       "an event tells of each change.");
	buf_printf(to,
		   "\"ttl_seconds\":%lld,\"refreshes\":%lld,"
		   "\"unchanged\":%lld,\"share_unchanged\":%.4f",
		   (long long)(s->policy.ttl_ms / 1000), (long long)again,
		   (long long)n->unchanged, same);
	if (size != NULL)
		buf_printf(to, ",\"invalidations_last_day\":%lld",
			   (long long)size->changes);
	buf_str(to, "}}");
}

static const struct inventory_size *
size_of(const struct router *router, const struct inventory_size *sizes,
	unsigned n, const char *category)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (strcmp(router_category(router, sizes[i].prefix),
			   category) == 0)
			return (&sizes[i]);
	return (NULL);
}

#define MEBIBYTE (1024.0 * 1024)

static void
add_categories(const struct run *r, const struct metrics_report *report,
	       const struct inventory_size *sizes, unsigned n_sizes,
	       struct buf *categories, struct buf *advice)
{
	const struct router *router = r->services->router;
	const struct inventory_size *size;
	const struct served *s;
	struct numbers n;
	unsigned at = 0;

	while ((s = next_category(router, &at)) != NULL) {
		const char *category = s->policy.category;

		n = count(report, category);
		size = size_of(router, sizes, n_sizes, category);
		buf_printf(categories, "%s\"%s\":{",
			   categories->len > 0 ? "," : "", category);
		add_numbers(categories, &n);
		if (size != NULL)
			buf_printf(categories,
				   ",\"entries\":%lld,\"size_mb\":%.3f",
				   (long long)size->entries,
				   (double)size->bytes / MEBIBYTE);
		buf_char(categories, '}');
		advise_on_hit_rate(advice, category, &n);
		advise_on_slow_hits(advice, category, report);
		advise_on_unread(advice, category, &n, size);
		advise_on_ttl(advice, s, &n, size);
	}
}

static enum result
run_stats(struct run *r)
{
	struct inventory_size sizes[INVENTORY_SIZES];
	struct buf categories = { 0 }, advice = { 0 };
	struct metrics_report report = { 0 };
	int64_t bytes = 0, entries = 0;
	struct numbers all;
	enum result result;
	unsigned i, n;

	result = operations_metrics(r->services->cache, &report);
	if (result != R_OK)
		return (result);
	n = inventory_sizes(r->services->cache, sizes);
	for (i = 0; i < n; i++) {
		bytes += sizes[i].bytes;
		entries += sizes[i].entries;
	}
	add_categories(r, &report, sizes, n, &categories, &advice);
	all = count(&report, NULL);
	buf_str(&r->body, "{\"data\":{");
	add_numbers(&r->body, &all);
	buf_printf(&r->body,
		   ",\"cache_size_mb\":%.3f,\"entries\":%lld,"
		   "\"memory_size_mb\":%.3f,\"expired_entries_cleaned\":%lld,"
		   "\"workers\":%u,\"whole_deployment\":%s,\"categories\":{",
		   (double)bytes / MEBIBYTE, (long long)entries,
		   (double)metrics_gauge(&report, "memory_bytes", NULL) /
			   MEBIBYTE,
		   (long long)metrics_count(&report, NULL, COUNT_CLEANED),
		   report.workers, report.whole ? "true" : "false");
	buf_add(&r->body, buf_bytes(&categories));
	buf_str(&r->body, "},\"recommendations\":[");
	buf_add(&r->body, buf_bytes(&advice));
	buf_str(&r->body, "]}}");
	result = buf_error(&categories) != R_OK ? buf_error(&categories)
						: buf_error(&advice);
	buf_fini(&categories);
	buf_fini(&advice);
	metrics_report_fini(&report);
	return (result);
}

/* And the keys of a pattern, as without metrics=true. */
static enum result
add_keys(struct run *r)
{
	const struct inventory_page page = {
		.glob = r->values->of[1],
		.limit = r->values->of[2],
		.offset = r->values->of[3],
	};

	buf_char(&r->body, ',');
	return (inventory_add_page(r->services->cache, &page, &r->body));
}

static enum result
run_short(struct run *r)
{
	struct metrics_report report = { 0 };
	const char *separator = "";
	const struct served *s;
	struct numbers n;
	unsigned at = 0;
	enum result result;

	result = operations_metrics(r->services->cache, &report);
	if (result != R_OK)
		return (result);
	buf_str(&r->body, "{\"metrics\":{");
	while ((s = next_category(r->services->router, &at)) != NULL) {
		n = count(&report, s->policy.category);
		buf_printf(&r->body,
			   "%s\"%s\":{\"hits\":%lld,\"misses\":%lld,"
			   "\"errors\":%lld,\"hitRate\":%.4f}",
			   separator, s->policy.category,
			   (long long)(n.hits + n.stale), (long long)n.misses,
			   (long long)n.errors,
			   share(n.hits + n.stale, requests(&n)));
		separator = ",";
	}
	buf_char(&r->body, '}');
	metrics_report_fini(&report);
	result = r->values->of[1].at != NULL ? add_keys(r) : R_OK;
	buf_char(&r->body, '}');
	return (result);
}

static const struct param short_params[] = {
	{ "pattern", PARAM_TEXT, .min = 1, .max = 512, .optional = true },
	{ "limit", PARAM_INT, .min = 1, .max = 200, .otherwise = "50" },
	{ "offset", PARAM_INT, .min = 0, .max = 1e9, .otherwise = "0" },
	PARAMS_END,
};

const struct endpoint cache_stats_endpoints[] = {
	{
		.route = "GET /api/admin/cache/stats",
		.access = ACCESS_ADMIN,
		.run = run_stats,
		.apart = APART_REPORT,
	},
	{
		.route = "GET /api/cache/invalidate",
		.when = "metrics=true",
		.access = ACCESS_ADMIN,
		.params = short_params,
		.run = run_short,
		.apart = APART_REPORT,
	},
	ENDPOINTS_END,
};
