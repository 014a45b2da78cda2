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

/* What a tier keeps. */
struct stored {
	const char *tier;
	struct inventory_size sizes[INVENTORY_SIZES];
	unsigned n;
};

/* The memory of all workers. */
static void
survey_memory(const struct metrics_report *r, struct stored *s)
{
	const struct metrics_gauge *g;
	unsigned i;

	for (i = 0; i < r->n_gauges && s->n < INVENTORY_SIZES; i++) {
		g = &r->gauges[i];
		if (!bytes_equal(g->name, BYTES("memory_entries")) ||
		    (g->label.len == 0 && g->value == 0))
			continue;
		snprintf(s->sizes[s->n].prefix, sizeof(s->sizes[s->n].prefix),
			 "%.*s", BYTES_ARG(g->label));
		s->sizes[s->n].entries = g->value;
		s->sizes[s->n].bytes =
			metrics_gauge(r, "memory_bytes", s->sizes[s->n].prefix);
		s->n++;
	}
}

/* The sizes of one category as one. */
static void
merge(const struct router *router, struct stored *s)
{
	struct inventory_size *sizes = s->sizes;
	unsigned i, k, left = 0;

	for (i = 0; i < s->n; i++) {
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
	s->n = left;
}

enum measure { ENTRIES, SIZE };

static void
add_stored(struct buf *to, const char *name, const struct router *router,
	   const struct stored *s, enum measure measure)
{
	struct buf labels = { 0 };
	unsigned i;

	for (i = 0; i < s->n; i++) {
		buf_clear(&labels);
		exposition_label(&labels, "category",
				 bytes_of(router_category(router,
							  s->sizes[i].prefix)));
		exposition_label(&labels, "tier", bytes_of(s->tier));
		exposition_sample(to, name, buf_bytes(&labels),
				  measure == ENTRIES ? s->sizes[i].entries
						     : s->sizes[i].bytes);
	}
	buf_fini(&labels);
}

static void
add_sizes(struct buf *to, const struct services *s,
	  const struct metrics_report *r)
{
	struct stored tiers[] = {
		{ .tier = "memory" },
		{ .tier = "redis" },
		{ .tier = "postgres" },
	};
	unsigned i;

	survey_memory(r, &tiers[0]);
	tiers[1].n = inventory_redis_sizes(s->cache, tiers[1].sizes);
	tiers[2].n = inventory_sizes(s->cache, tiers[2].sizes);
	for (i = 0; i < 3; i++)
		merge(s->router, &tiers[i]);
	exposition_family(
		to, "warmfront_cache_entries", "gauge",
		"Entries in a tier; of memory, all workers' together.");
	for (i = 0; i < 3; i++)
		add_stored(to, "warmfront_cache_entries", s->router, &tiers[i],
			   ENTRIES);
	exposition_family(to, "warmfront_cache_bytes", "gauge",
			  "Bytes that a tier's entries take.");
	for (i = 0; i < 3; i++)
		add_stored(to, "warmfront_cache_bytes", s->router, &tiers[i],
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
		.apart = APART_REPORT,
	},
	ENDPOINTS_END,
};
