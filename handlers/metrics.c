/* SPDX-License-Identifier: MIT */
/*
 * metrics: for Prometheus.
 *
 *	GET /metrics	what all workers of the deployment have counted, whichever is asked
 */
#include "handler.h"

static void
add_gauge(struct buf *to, const char *name, const char *help, int64_t value)
{
	exposition_family(to, name, "gauge", help);
	exposition_sample(to, name, BYTES_NONE, value);
}

/* "postgres/closed" */
static void
add_breakers(struct buf *to, const struct metrics_report *r)
{
	const char *name = "warmfront_breaker_workers";
	struct buf labels = { 0 };
	unsigned i;

	exposition_family(
		to, name, "gauge",
		"Workers whose breaker of a dependency is in a state.");
	for (i = 0; i < r->n_gauges; i++) {
		struct bytes state = r->gauges[i].label;
		struct bytes dependency = bytes_cut(&state, '/');

		if (!bytes_equal(r->gauges[i].name, BYTES("breaker")))
			continue;
		buf_clear(&labels);
		exposition_label(&labels, "dependency", dependency);
		exposition_label(&labels, "state", state);
		exposition_sample(to, name, buf_bytes(&labels),
				  r->gauges[i].value);
	}
	buf_fini(&labels);
}

/* The sizes of one category as one: returns how many are left. */
static unsigned
merge(const struct router *router, struct inventory_size *sizes, unsigned n)
{
	unsigned i, k, left = 0;

	for (i = 0; i < n; i++) {
		const char *category = router_category(router, sizes[i].prefix);

		for (k = 0; k < left; k++)
			if (router_category(router, sizes[k].prefix) ==
			    category)
				break;
		if (k == left) {
			sizes[left++] = sizes[i];
			continue;
		}
		sizes[k].entries += sizes[i].entries;
		sizes[k].bytes += sizes[i].bytes;
	}
	return (left);
}

enum measure { ENTRIES, SIZE };

static void
add_stored(struct buf *to, const char *name, const struct router *router,
	   const struct inventory_size *size, enum measure measure)
{
	struct buf labels = { 0 };

	exposition_label(&labels, "category",
			 bytes_of(router_category(router, size->prefix)));
	exposition_label(&labels, "tier", BYTES("postgres"));
	exposition_sample(to, name, buf_bytes(&labels),
			  measure == ENTRIES ? size->entries : size->bytes);
	buf_fini(&labels);
}

/* What is kept: of memory in all, of PostgreSQL by category. */
static void
add_sizes(struct buf *to, const struct services *s,
	  const struct metrics_report *r)
{
	int64_t redis_keys = inventory_redis_keys(s->cache);
	struct inventory_size sizes[INVENTORY_SIZES];
	unsigned i, n = inventory_sizes(s->cache, sizes);

	n = merge(s->router, sizes, n);
	exposition_family(to, "warmfront_cache_entries", "gauge",
			  "Entries in a tier; of Redis, keys of the whole "
			  "database.");
	exposition_sample(to, "warmfront_cache_entries",
			  BYTES("tier=\"memory\""),
			  metrics_gauge(r, "memory_entries", NULL));
	if (redis_keys >= 0)
		exposition_sample(to, "warmfront_cache_entries",
				  BYTES("tier=\"redis\""), redis_keys);
	for (i = 0; i < n; i++)
		add_stored(to, "warmfront_cache_entries", s->router, &sizes[i],
			   ENTRIES);
	exposition_family(to, "warmfront_cache_bytes", "gauge",
			  "Bytes that a tier's entries take.");
	exposition_sample(to, "warmfront_cache_bytes", BYTES("tier=\"memory\""),
			  metrics_gauge(r, "memory_bytes", NULL));
	for (i = 0; i < n; i++)
		add_stored(to, "warmfront_cache_bytes", s->router, &sizes[i],
			   SIZE);
}

static enum result
run_metrics(struct run *r)
{
	struct metrics_report report = { 0 };
	struct buf labels = { 0 };
	enum result result;

	result = operations_metrics(r->services->cache, &report);
	if (result != R_OK)
		return (result);
	exposition_report(&r->body, &report);
	add_gauge(&r->body, "warmfront_workers",
		  "Workers seen in the last seconds.", report.workers);
	add_gauge(&r->body, "warmfront_metrics_whole",
		  "1: of the whole deployment; 0: of this worker alone, as "
		  "PostgreSQL is down.",
		  report.whole);
	add_gauge(&r->body, "warmfront_metrics_current",
		  "1: all workers have added what they had; 0: one did not in "
		  "time.",
		  report.current);
	add_breakers(&r->body, &report);
	add_sizes(&r->body, r->services, &report);
	exposition_family(&r->body, "warmfront_build_info", "gauge",
			  "The version that answers.");
	exposition_label(&labels, "version", BYTES(WARMFRONT_VERSION));
	exposition_sample(&r->body, "warmfront_build_info", buf_bytes(&labels),
			  1);
	buf_fini(&labels);
	metrics_report_fini(&report);
	r->content_type = EXPOSITION_TYPE;
	return (R_OK);
}

const struct endpoint metrics_endpoints[] = {
	{
		.route = "GET /metrics",
		.access = ACCESS_SCRAPE,
		.run = run_metrics,
		.apart = true,
	},
	ENDPOINTS_END,
};
