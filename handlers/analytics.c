/* SPDX-License-Identifier: MIT */
/*
 * analytics: what a user's use of models looked like lately.
 *
 *	GET /api/analytics/data?range=24h|7d|30d
 *
 * Its queries run side by side; the answer takes as long as the slowest.
 */
#include "handler.h"

static const struct param params[] = {
	{ "range", PARAM_WORD, .of = "24h 7d 30d", .otherwise = "24h" },
	PARAMS_END,
};

#define RECENT                                      \
	"FROM usage_events e WHERE e.user_id = $1 " \
	"AND e.occurred_at >= now() - $2::text::interval "

#define TOTALS                                                    \
	"json_build_object('requests', count(*), "                \
	"'failures', count(*) FILTER (WHERE e.outcome <> 'ok'), " \
	"'input_tokens', coalesce(sum(e.input_tokens), 0), "      \
	"'output_tokens', coalesce(sum(e.output_tokens), 0), "    \
	"'cost', coalesce(sum(e.cost), 0.0000000000)) "

/* The ten that cost most, by `what`. */
#define TOP(name, what, rest)                                              \
	"SELECT coalesce(json_agg(json_build_object('" name "', name, "    \
	"'requests', requests, 'cost', cost, 'latency_ms', latency_ms) "   \
	"ORDER BY cost DESC, name), '[]') FROM (SELECT " what " AS name, " \
	"count(*) AS requests, sum(e.cost) AS cost, "                      \
	"round(avg(e.latency_ms)) AS latency_ms " RECENT rest              \
	" GROUP BY 1 ORDER BY cost DESC, name LIMIT 10) AS top"

static const struct query queries[] = {
	{ "totals", "SELECT " TOTALS RECENT },
	{ "before", "SELECT " TOTALS "FROM usage_events e WHERE e.user_id = $1 "
		    "AND e.occurred_at >= now() - 2 * $2::text::interval "
		    "AND e.occurred_at < now() - $2::text::interval" },
	{ "series", "SELECT coalesce(json_agg(json_build_object('at', at, "
		    "'requests', requests, 'failures', failures, 'cost', cost) "
		    "ORDER BY at), '[]') FROM (SELECT date_trunc("
		    "CASE $2::text WHEN '24h' THEN 'hour' ELSE 'day' END, "
		    "e.occurred_at, 'UTC') AS at, count(*) AS requests, "
		    "count(*) FILTER (WHERE e.outcome <> 'ok') AS failures, "
		    "sum(e.cost) AS cost " RECENT "GROUP BY 1) AS steps" },
	{ "models", TOP("model", "e.model", "") },
	{ "servers",
	  TOP("server_id", "e.server_id", "AND e.server_id IS NOT NULL") },
	{ "latency",
	  "SELECT json_build_object('p50', p[1], 'p90', p[2], 'p99', p[3]) "
	  "FROM (SELECT percentile_disc(ARRAY[0.5, 0.9, 0.99]) "
	  "WITHIN GROUP (ORDER BY e.latency_ms) AS p " RECENT ") AS shares" },
	{ "outcomes",
	  "SELECT coalesce(json_object_agg(outcome, requests ORDER BY outcome), "
	  "'{}') FROM (SELECT e.outcome, count(*) AS requests " RECENT
	  "GROUP BY 1) AS counts" },
	QUERIES_END,
};

const struct endpoint analytics_endpoints[] = {
	{
		.route = "GET /api/analytics/data",
		.access = ACCESS_USER,
		.params = params,
		.key = "analytics:{user}:data:{range}",
		.policy = { "analytics", MINUTES(5), MINUTES(1), HOURS(1) },
		.queries = queries,
		.load = load_queries,
	},
	ENDPOINTS_END,
};
