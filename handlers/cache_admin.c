/* SPDX-License-Identifier: MIT */
/*
 * cache_admin: what an admin does to the cache by hand.
 *
 *	POST /api/cache/invalidate	{"category"} | {"pattern"} | {"event", "userId"}
 *	GET  /api/cache/invalidate	keys by pattern, with TTL, size and tier
 *	POST /api/admin/cache/refresh	{"key"}: load it now
 *
 * An invalidation is a record of the log like any other: once it is answered, no worker
 * serves what it matched.  "soft": it is stale from then on, and served while it is
 * loaded anew.  What a pattern matches is what PostgreSQL knows, unless it is a scope itself.
 */
#include "handler.h"

/* By the parts that keys begin with. */
#define CATEGORIES "models user admin usage servers analytics all"

/* What an event makes stale; without a user, for all of them. */
static enum result
add_event(struct run *r, struct bytes name, struct bytes user,
	  struct buf *scopes)
{
	const struct event *event = event_find(name);
	unsigned i;

	if (event == NULL) {
		buf_str(&r->detail, "event: expected one of:");
		for (i = 0; i < events_count; i++)
			buf_printf(&r->detail, " %s", events[i].name);
		return (R_INVALID);
	}
	for (i = 0; event->scopes[i] != NULL; i++) {
		event_add_scope(event->scopes[i], user, scopes);
		buf_char(scopes, '\0');
	}
	return (buf_error(scopes));
}

/* What was asked for, in one of the three ways, as scopes. */
static enum result
read_scopes(struct run *r, struct buf *scopes)
{
	const struct bytes *category = &r->values->of[1];
	const struct bytes *pattern = &r->values->of[2];
	const struct bytes *event = &r->values->of[3];
	const struct bytes *user = &r->values->of[4];

	if ((category->at != NULL) + (pattern->at != NULL) +
		    (event->at != NULL) !=
	    1) {
		buf_str(&r->detail,
			"the body: expected one of category, pattern and event");
		return (R_INVALID);
	}
	if (user->at != NULL && event->at == NULL) {
		buf_str(&r->detail, "userId: comes with an event only");
		return (R_INVALID);
	}
	if (event->at != NULL)
		return (add_event(r, *event, *user, scopes));
	if (pattern->at != NULL)
		return (operations_resolve(r->services->cache, *pattern,
					   scopes));
	if (!bytes_equal(*category, BYTES("all"))) {
		buf_add(scopes, *category);
		buf_char(scopes, ':');
	}
	buf_add(scopes, (struct bytes){ "*", 2 });
	return (buf_error(scopes));
}

static void
add_touched(struct buf *to, int64_t entries, struct bytes scopes)
{
	unsigned shown = 0;

	buf_printf(to, "{\"data\":{\"invalidated\":%lld,\"scopes\":[",
		   (long long)entries);
	for (; scopes.len > 0 && shown < 100; shown++) {
		if (shown > 0)
			buf_char(to, ',');
		buf_json(to, bytes_cut(&scopes, '\0'));
	}
	buf_str(to, scopes.len > 0 ? "],\"more\":true}}" : "]}}");
}

static enum result
run_invalidate(struct run *r)
{
	enum cache_invalidation how =
		bytes_equal(r->values->of[5], BYTES("true")) ? CACHE_SOFT
							     : CACHE_HARD;
	struct buf scopes = { 0 };
	int64_t entries = 0;
	enum result result = read_scopes(r, &scopes);

	if (result == R_OK)
		result = wholes_add(r->services->router, &scopes);
	if (result == R_OK)
		result = operations_invalidate(r->services->cache,
					       buf_bytes(&scopes), how,
					       &entries);
	if (result == R_OK)
		add_touched(&r->body, entries, buf_bytes(&scopes));
	buf_fini(&scopes);
	return (result);
}

static enum result
run_list(struct run *r)
{
	const struct inventory_page page = {
		.glob = r->values->of[1],
		.limit = r->values->of[2],
		.offset = r->values->of[3],
	};
	enum result result;

	buf_char(&r->body, '{');
	result = inventory_add_page(r->services->cache, &page, &r->body);
	buf_char(&r->body, '}');
	return (result);
}

static void
add_refreshed(struct buf *to, struct bytes key, const struct entry *e)
{
	buf_str(to, "{\"data\":{\"key\":");
	buf_json(to, key);
	buf_str(to, ",\"etag\":");
	buf_json(to, bytes_of(e->etag));
	buf_printf(to,
		   ",\"size_bytes\":%zu,\"load_ms\":%u,\"ttl_seconds\":%lld}}",
		   e->body.len, e->cost_ms,
		   (long long)((e->life.fresh_until_ms - clock_wall_ms()) /
			       1000));
}

/* Nobody is shown what was made of the part before it was loaded.  What was there is made
 * anew, which loads no other part that is fresh; if that fails, who asks for it tries. */
static enum result
renew_wholes(struct run *r, const struct cache_part *part)
{
	struct cache_part whole;
	int64_t entries;
	unsigned at = 0;
	enum result result;

	while ((result = wholes_next(r->services->router, &at,
				     buf_bytes(&part->log_key), &whole)) ==
	       R_OK) {
		entries = 0;
		result = operations_invalidate(r->services->cache,
					       buf_bytes(&whole.log_key),
					       CACHE_HARD, &entries);
		if (result == R_OK && entries > 0)
			cache_wait(r->services->cache, &whole, 1, CACHE_USUAL);
		cache_part_fini(&whole);
		if (result != R_OK)
			return (result);
	}
	cache_part_fini(&whole);
	return (result == R_NOT_FOUND ? R_OK : result);
}

/* Ask the question again that the stored answer was to.  What others have in memory is
 * stale from now on, so that they take the new answer. */
static enum result
ask_again(struct run *r, const struct served *served, struct bytes arguments)
{
	struct bytes key = r->values->of[1];
	struct cache_part part = { 0 };
	struct values values;
	enum result result;

	result = endpoint_values(served, arguments, &values);
	if (result == R_OK)
		result = endpoint_part(served, &values, &part);
	if (result == R_OK && !bytes_equal(buf_bytes(&part.key), key))
		result = R_INVALID; /* another endpoint's, or secret's */
	if (result == R_OK)
		result = cache_invalidate(r->services->cache,
					  buf_bytes(&part.log_key), CACHE_SOFT);
	if (result == R_OK) {
		cache_wait(r->services->cache, &part, 1, CACHE_NEW);
		result = part.answer.result;
		if (result == R_TOO_LARGE) /* not what we were sent */
			result = R_BAD_ANSWER;
	}
	if (result == R_OK)
		result = renew_wholes(r, &part);
	if (result == R_OK)
		add_refreshed(&r->body, key, part.answer.entry);
	cache_part_fini(&part);
	return (result);
}

static enum result
run_refresh(struct run *r)
{
	struct bytes key = r->values->of[1];
	const struct served *served =
		router_find_by_key(r->services->router, key);
	struct buf arguments = { 0 };
	enum result result;

	if (served == NULL) {
		buf_str(&r->detail, "key: no endpoint makes keys like this");
		return (R_NOT_FOUND);
	}
	result = inventory_arguments(r->services->cache, key, &arguments);
	if (result == R_OK)
		result = ask_again(r, served, buf_bytes(&arguments));
	if (result == R_NOT_FOUND)
		buf_str(&r->detail, "key: nothing is stored under it");
	buf_fini(&arguments);
	return (result);
}

static const struct param invalidate_params[] = {
	{ "category", PARAM_WORD, .in = IN_BODY, .of = CATEGORIES,
	  .optional = true },
	{ "pattern", PARAM_TEXT, .in = IN_BODY, .min = 1, .max = 512,
	  .optional = true },
	{ "event", PARAM_TEXT, .in = IN_BODY, .optional = true },
	{ "userId", PARAM_UUID, .in = IN_BODY, .optional = true },
	{ "soft", PARAM_BOOL, .in = IN_BODY, .otherwise = "false" },
	PARAMS_END,
};

static const struct param list_params[] = {
	{ "pattern", PARAM_TEXT, .min = 1, .max = 512, .otherwise = "*" },
	{ "limit", PARAM_INT, .min = 1, .max = 200, .otherwise = "50" },
	{ "offset", PARAM_INT, .min = 0, .max = 1e9, .otherwise = "0" },
	PARAMS_END,
};

static const struct param refresh_params[] = {
	{ "key", PARAM_TEXT, .in = IN_BODY, .min = 1, .max = 512 },
	PARAMS_END,
};

const struct endpoint cache_admin_endpoints[] = {
	{
		.route = "POST /api/cache/invalidate",
		.access = ACCESS_ADMIN,
		.params = invalidate_params,
		.run = run_invalidate,
	},
	{
		.route = "GET /api/cache/invalidate",
		.access = ACCESS_ADMIN,
		.params = list_params,
		.run = run_list,
	},
	{
		.route = "POST /api/admin/cache/refresh",
		.access = ACCESS_ADMIN,
		.params = refresh_params,
		.run = run_refresh,
		.apart = APART_WAIT,
	},
	ENDPOINTS_END,
};
