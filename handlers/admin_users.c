/* SPDX-License-Identifier: MIT */
/*
 * admin_users: all users, for admins.
 *
 *	GET    /api/admin/users?limit&offset&q	newest first; q is part of a name or address
 *	POST   /api/admin/users
 *	PATCH  /api/admin/users/{id}
 *	DELETE /api/admin/users/{id}		and all that is theirs; not oneself
 */
#include "handler.h"

#define USER_JSON                                                          \
	"json_build_object('id', u.id, 'email', u.email, 'name', u.name, " \
	"'role', u.role, 'profile', u.profile, "                           \
	"'preferences', u.preferences, 'subscription', u.subscription, "   \
	"'credits', u.credits, 'created_at', u.created_at)"

#define MATCHES                                                           \
	"($4::text IS NULL OR position(lower($4) IN lower(u.email)) > 0 " \
	"OR position(lower($4) IN lower(u.name)) > 0)"

#define DETAILS                                                              \
	{                                                                    \
		[R_NOT_FOUND] = "id: there is no such user",                 \
		[R_CONFLICT] = "email: there is a user with that address",   \
		[R_INVALID] = "email: expected an e-mail address; profile, " \
			      "preferences, subscription: expected at most " \
			      "64 KiB each, without \\u0000",                \
	}

static const struct param list_params[] = {
	{ "limit", PARAM_INT, .min = 1, .max = 200, .otherwise = "50" },
	{ "offset", PARAM_INT, .min = 0, .max = 1e9, .otherwise = "0" },
	{ "q", PARAM_TEXT, .min = 0, .max = 100, .optional = true },
	PARAMS_END,
};

#define CREDITS "credits", PARAM_NUMBER, .in = IN_BODY, .min = -1e9, .max = 1e9
#define ROLE "role", PARAM_WORD, .in = IN_BODY, .of = "user admin"

static const struct param create_params[] = {
	{ "email", PARAM_EMAIL, .in = IN_BODY },
	{ "name", PARAM_TEXT, .in = IN_BODY, .min = 0, .max = 200,
	  .otherwise = "" },
	{ ROLE, .otherwise = "user" },
	{ "profile", PARAM_OBJECT, .in = IN_BODY, .otherwise = "{}" },
	{ "preferences", PARAM_OBJECT, .in = IN_BODY, .otherwise = "{}" },
	{ "subscription", PARAM_OBJECT, .in = IN_BODY,
	  .otherwise = "{\"plan\":\"free\",\"status\":\"active\"}" },
	{ CREDITS, .otherwise = "0" },
	PARAMS_END,
};

static const struct param patch_params[] = {
	{ "id", PARAM_UUID, .in = IN_PATH },
	{ "email", PARAM_EMAIL, .in = IN_BODY, .optional = true },
	{ "name", PARAM_TEXT, .in = IN_BODY, .min = 0, .max = 200,
	  .optional = true },
	{ ROLE, .optional = true },
	{ "profile", PARAM_OBJECT, .in = IN_BODY, .optional = true },
	{ "preferences", PARAM_OBJECT, .in = IN_BODY, .optional = true },
	{ "subscription", PARAM_OBJECT, .in = IN_BODY, .optional = true },
	{ CREDITS, .optional = true },
	PARAMS_END,
};

static const struct param delete_params[] = {
	{ "id", PARAM_UUID, .in = IN_PATH },
	PARAMS_END,
};

const struct endpoint admin_users_endpoints[] = {
	{
		.route = "GET /api/admin/users",
		.access = ACCESS_ADMIN,
		.params = list_params,
		.key = "admin:users:{limit}:{offset}:{q}",
		.policy = { "admin_users", MINUTES(2), SECONDS(30), HOURS(1) },
		.sql = "SELECT json_build_object('data', (SELECT "
		       "coalesce(json_agg(" USER_JSON
		       " ORDER BY u.created_at DESC, u.id), '[]') "
		       "FROM (SELECT * FROM users u WHERE " MATCHES
		       " ORDER BY u.created_at DESC, u.id "
		       "LIMIT $2::bigint OFFSET $3::bigint) u), "
		       "'total', (SELECT count(*) FROM users u WHERE " MATCHES
		       "), "
		       "'limit', $2::bigint, 'offset', $3::bigint)",
		.load = load_json,
		.warm = WARM_DEFAULTS,
	},
	{
		.route = "POST /api/admin/users",
		.access = ACCESS_ADMIN,
		.params = create_params,
		.sql = "INSERT INTO users AS u (email, name, role, profile, "
		       "preferences, subscription, credits) "
		       "VALUES ($2, $3, $4, $5, $6, $7, $8) "
		       "RETURNING json_build_object('data', " USER_JSON ")",
		.run = run_json,
		.status = 201,
		.details = DETAILS,
		.emits = "user.created",
	},
	{
		.route = "PATCH /api/admin/users/{id}",
		.access = ACCESS_ADMIN,
		.params = patch_params,
		.sql = "UPDATE users u SET email = coalesce($3, email), "
		       "name = coalesce($4, name), role = coalesce($5, role), "
		       "profile = json_merge_patch(profile, coalesce($6::jsonb, '{}')), "
		       "preferences = json_merge_patch(preferences, coalesce($7::jsonb, '{}')), "
		       "subscription = json_merge_patch(subscription, coalesce($8::jsonb, '{}')), "
		       "credits = coalesce($9, credits), updated_at = now() "
		       "WHERE id = $2 "
		       "RETURNING json_build_object('data', " USER_JSON ")",
		.run = run_json,
		.details = DETAILS,
		.emits = "user.updated subscription.changed",
	},
	{
		.route = "DELETE /api/admin/users/{id}",
		.access = ACCESS_ADMIN,
		.params = delete_params,
		.sql = "DELETE FROM users u WHERE id = $2 AND id <> $1 "
		       "RETURNING json_build_object('data', "
		       "json_build_object('id', u.id, 'deleted', true))",
		.run = run_json,
		.details = { [R_NOT_FOUND] = "id: there is no such user but "
					     "perhaps yourself" },
		.emits = "user.deleted",
	},
	ENDPOINTS_END,
};
