/* SPDX-License-Identifier: MIT */
/*
 * servers: what a user's inference servers are doing.
 *
 *	GET   /api/servers/status	all of them, each with its models
 *	PATCH /api/servers/{id}		a new state; each is a sign of life, too
 */
#include "handler.h"

static const struct param patch_params[] = {
	{ "id", PARAM_UUID, .in = IN_PATH },
	{ "name", PARAM_TEXT, .in = IN_BODY, .min = 1, .max = 200,
	  .optional = true },
	{ "region", PARAM_TEXT, .in = IN_BODY, .min = 0, .max = 64,
	  .optional = true },
	{ "state", PARAM_WORD, .in = IN_BODY,
	  .of = "starting ready draining down", .optional = true },
	{ "load", PARAM_NUMBER, .in = IN_BODY, .min = 0, .max = 1,
	  .optional = true },
	PARAMS_END,
};

#define SERVER                                                               \
	"'id', s.id, 'name', s.name, 'region', s.region, 'state', s.state, " \
	"'load', s.load, 'seen_at', s.seen_at"

const struct endpoint servers_endpoints[] = {
	{
		.route = "GET /api/servers/status",
		.access = ACCESS_USER,
		.key = "servers:{user}:status",
		.policy = { "servers", SECONDS(30), SECONDS(10), MINUTES(5) },
		.sql = "SELECT json_build_object('data', coalesce(json_agg("
		       "json_build_object(" SERVER ", 'models', m.models) "
		       "ORDER BY s.name, s.id), '[]')) FROM servers s, "
		       "LATERAL (SELECT coalesce(json_agg(json_build_object("
		       "'id', m.id, 'model_id', m.model_id, 'name', m.name, "
		       "'since', sm.since) ORDER BY m.model_id, m.id), '[]') AS models "
		       "FROM server_models sm JOIN models m ON m.id = sm.model_id "
		       "WHERE sm.server_id = s.id) AS m WHERE s.owner_id = $1",
		.load = load_json,
	},
	{
		.route = "PATCH /api/servers/{id}",
		.access = ACCESS_USER,
		.params = patch_params,
		.sql = "UPDATE servers s SET name = coalesce($3, name), "
		       "region = coalesce($4, region), state = coalesce($5, state), "
		       "load = coalesce($6, load), seen_at = now(), updated_at = now() "
		       "WHERE id = $2 AND owner_id = $1 "
		       "RETURNING json_build_object('data', json_build_object(" SERVER
		       "))",
		.run = run_json,
		.details = { [R_NOT_FOUND] = "id: you have no such server",
			     [R_CONFLICT] =
				     "name: you have a server of that name" },
		.emits = "server.updated",
	},
	ENDPOINTS_END,
};
