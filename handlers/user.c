/* SPDX-License-Identifier: MIT */
/*
 * user: what users see and change of themselves.
 *
 *	GET   /api/user/data
 *	PATCH /api/user/data	name, profile, preferences
 *
 * profile and preferences are merged (RFC 7396): a PATCH names the members that change, null removes
 * one.  Subscription and credits are for admins and billing to change.
 */
#include "handler.h"

#define USER_JSON                                                    \
	"json_build_object('data', json_build_object('id', id, "     \
	"'email', email, 'name', name, 'profile', profile, "         \
	"'preferences', preferences, 'subscription', subscription, " \
	"'credits', credits))"

static const struct param patch_params[] = {
	{ "name", PARAM_TEXT, .in = IN_BODY, .min = 0, .max = 200,
	  .optional = true },
	{ "profile", PARAM_OBJECT, .in = IN_BODY, .optional = true },
	{ "preferences", PARAM_OBJECT, .in = IN_BODY, .optional = true },
	PARAMS_END,
};

const struct endpoint user_endpoints[] = {
	{
		.route = "GET /api/user/data",
		.access = ACCESS_USER,
		.key = "user:{user}:data",
		.policy = { "user_data", MINUTES(5), MINUTES(1), HOURS(1) },
		.sql = "SELECT " USER_JSON " FROM users WHERE id = $1",
		.load = load_json,
		/* Those who were most active lately. */
		.warm = "SELECT user_id FROM usage_events "
			"WHERE occurred_at > now() - interval '7 days' "
			"GROUP BY user_id ORDER BY count(*) DESC LIMIT 100",
	},
	{
		.route = "PATCH /api/user/data",
		.access = ACCESS_USER,
		.params = patch_params,
		.sql = "UPDATE users SET name = coalesce($2, name), "
		       "profile = json_merge_patch(profile, coalesce($3::jsonb, '{}')), "
		       "preferences = json_merge_patch(preferences, coalesce($4::jsonb, '{}')), "
		       "updated_at = now() WHERE id = $1 RETURNING " USER_JSON,
		.run = run_json,
		.details = { [R_INVALID] =
				     "profile, preferences: expected at "
				     "most 64 KiB each, without \\u0000" },
		.emits = "user.profile.updated user.preferences.updated",
	},
	ENDPOINTS_END,
};
