/* SPDX-License-Identifier: MIT */
/*
 * usage: what was used, and what it cost.
 *
 *	GET  /api/usage/costs?from&to&group_by=day|model	days of UTC, both included; the last 30
 *	POST /api/usage						one more use
 *
 * Money keeps every digit: sums are numeric, and go out as they are.
 */
#include "handler.h"

static const struct param costs_params[] = {
	{ "from", PARAM_DATE, .optional = true, .until = "to", .days = 30 },
	{ "to", PARAM_DATE, .otherwise = "today" },
	{ "group_by", PARAM_WORD, .of = "day model", .otherwise = "day" },
	PARAMS_END,
};

static const struct param record_params[] = {
	{ "model", PARAM_TEXT, .in = IN_BODY, .min = 1, .max = 200 },
	{ "server_id", PARAM_UUID, .in = IN_BODY, .optional = true },
	{ "gateway", PARAM_TEXT, .in = IN_BODY, .min = 0, .max = 64,
	  .otherwise = "" },
	{ "input_tokens", PARAM_INT, .in = IN_BODY, .min = 0, .max = 2147483647,
	  .otherwise = "0" },
	{ "output_tokens", PARAM_INT, .in = IN_BODY, .min = 0,
	  .max = 2147483647, .otherwise = "0" },
	{ "cost", PARAM_NUMBER, .in = IN_BODY, .min = 0, .max = 1e9,
	  .otherwise = "0" },
	{ "latency_ms", PARAM_INT, .in = IN_BODY, .min = 0, .max = 2147483647,
	  .optional = true },
	{ "outcome", PARAM_WORD, .in = IN_BODY,
	  .of = "ok error timeout cancelled", .otherwise = "ok" },
	PARAMS_END,
};

#define NUMBERS                                                \
	"'requests', requests, 'input_tokens', input_tokens, " \
	"'output_tokens', output_tokens, 'cost', cost"

static const char costs_sql[] =
	"WITH asked AS (SELECT $2::date AS since, $3::date AS until), "
	"series AS (SELECT CASE $4::text WHEN 'model' THEN model "
	"		ELSE to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') END AS name, "
	"	count(*) AS requests, sum(input_tokens) AS input_tokens, "
	"	sum(output_tokens) AS output_tokens, sum(cost) AS cost "
	"	FROM usage_events, asked WHERE user_id = $1 "
	"	AND occurred_at >= since::timestamp AT TIME ZONE 'UTC' "
	"	AND occurred_at < (until + 1)::timestamp AT TIME ZONE 'UTC' GROUP BY 1), "
	"totals AS (SELECT coalesce(sum(requests), 0) AS requests, "
	"	coalesce(sum(input_tokens), 0) AS input_tokens, "
	"	coalesce(sum(output_tokens), 0) AS output_tokens, "
	"	coalesce(sum(cost), 0.0000000000) AS cost FROM series) "
	"SELECT json_build_object('data', json_build_object("
	"	'from', since, 'to', until, 'group_by', $4::text, "
	"	'totals', (SELECT json_build_object(" NUMBERS ") FROM totals), "
	"	'series', (SELECT coalesce(json_agg("
	"		json_build_object($4::text, name, " NUMBERS ") "
	"		ORDER BY CASE $4::text WHEN 'day' THEN name END, cost DESC, name), '[]') "
	"		FROM series))) FROM asked";

const struct endpoint usage_endpoints[] = {
	{
		.route = "GET /api/usage/costs",
		.access = ACCESS_USER,
		.params = costs_params,
		.key = "usage:{user}:costs:{params}",
		.policy = { "usage_costs", MINUTES(5), MINUTES(1), HOURS(1) },
		.sql = costs_sql,
		.load = load_json,
	},
	{
		.route = "POST /api/usage",
		.access = ACCESS_USER,
		.params = record_params,
		.sql = "INSERT INTO usage_events AS e (user_id, model, server_id, "
		       "gateway, input_tokens, output_tokens, cost, latency_ms, outcome) "
		       "SELECT $1::uuid, $2, $3::uuid, $4, $5::integer, $6::integer, "
		       "$7::numeric, $8::integer, $9 "
		       "WHERE $3::uuid IS NULL OR EXISTS (SELECT FROM servers "
		       "WHERE id = $3::uuid AND owner_id = $1) "
		       "RETURNING json_build_object('data', json_build_object("
		       "'id', e.id, 'occurred_at', e.occurred_at, 'cost', e.cost))",
		.run = run_json,
		.status = 201,
		.details = { [R_NOT_FOUND] =
				     "server_id: you have no such server, "
				     "or are no user any more" },
		.emits = "usage.recorded",
	},
	ENDPOINTS_END,
};
