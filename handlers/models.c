/* SPDX-License-Identifier: MIT */
/*
 * models: the catalogue of models, and users' own.
 *
 *	GET    /api/models?gateway=all|NAME	what the gateways offer
 *	GET    /api/models?owner=me		the caller's own
 *	POST   /api/models			one more
 *	PUT    /api/models/{id}			in place of what was there
 *	DELETE /api/models/{id}
 *	POST   /api/admin/sync-models		ask every gateway now
 *
 * Each gateway is loaded, cached and kept stale on its own; the catalogue of all is made of theirs.  So a
 * gateway that is down neither empties nor delays the rest: what is left of it is served, or it is named in "unavailable".
 */
#include "handler.h"

#include <string.h>

/* What stands around the models in every value here. */
#define BEFORE BYTES("{\"data\":[")
#define AFTER BYTES("]}")

/* How long a catalogue that lacks a gateway is kept before that is tried
 * again. */
#define INCOMPLETE_MS SECONDS(10)

static const struct gateway *
find_gateway(const struct services *s, struct bytes name)
{
	unsigned i;

	for (i = 0; i < s->n_gateways; i++)
		if (bytes_equal(name, bytes_of(s->gateways[i].name)))
			return (&s->gateways[i]);
	return (NULL);
}

static bool
accepts_gateway(const struct services *s, struct bytes value,
		struct buf *accepted)
{
	unsigned i;

	if (bytes_equal(value, BYTES("all")) || find_gateway(s, value) != NULL)
		return (true);
	buf_str(accepted, "all");
	for (i = 0; i < s->n_gateways; i++)
		buf_printf(accepted, ", %s", s->gateways[i].name);
	return (false);
}

/* Each model as it came, and the gateway it came from. */
static enum result
add_models(struct bytes text, const char *gateway, struct buf *to)
{
	struct buf name = { 0 };
	struct bytes list = text, model;
	bool first = true;

	if (json_check(text) != R_OK)
		return (R_BAD_ANSWER);
	if (json_kind_of(text) == JSON_OBJECT)
		list = json_member(text, BYTES("data"));
	if (json_kind_of(list) != JSON_ARRAY)
		return (R_BAD_ANSWER);
	buf_json(&name, bytes_of(gateway));
	buf_add(to, BEFORE);
	while (json_next_element(&list, &model)) {
		if (json_kind_of(model) != JSON_OBJECT) {
			buf_fini(&name);
			return (R_BAD_ANSWER);
		}
		if (!first)
			buf_char(to, ',');
		first = false;
		json_add_object_with(to, model, BYTES("gateway"),
				     buf_bytes(&name));
	}
	buf_add(to, AFTER);
	buf_fini(&name);
	return (buf_error(to));
}

static enum result
load_gateway(struct load *l, const struct gateway *g)
{
	const struct entry *previous = l->cache->previous;
	struct upstream_answer answer = { 0 };
	enum result r;

	r = upstream_get(g->upstream,
			 previous != NULL ? previous->validators : BYTES_NONE,
			 l->cache->deadline_ms, &answer);
	if (r == R_OK)
		r = add_models(buf_bytes(&answer.body), g->name,
			       &l->cache->body);
	if (r == R_OK)
		buf_add(&l->cache->validators, buf_bytes(&answer.validators));
	else if (r != R_UNCHANGED)
		l->cache->retry_ms = upstream_retry_ms(g->upstream);
	upstream_answer_fini(&answer);
	return (r);
}

/* The values of all gateways behind each other; the names of those missing. */
static enum result
load_all(struct load *l)
{
	struct buf *to = &l->cache->body, missing = { 0 };
	enum result failure = R_OK;
	bool first = true;
	unsigned i, there = 0;

	if (l->cache->n_parts != l->services->n_gateways)
		return (R_NO_MEMORY); /* not all could be asked */
	buf_add(to, BEFORE);
	for (i = 0; i < l->cache->n_parts; i++) {
		const struct cache_part *part = &l->cache->parts[i];
		struct bytes models;

		if (part->answer.result != R_OK) {
			buf_str(&missing, missing.len > 0 ? "," : "");
			buf_json(&missing, part->name);
			failure = part->answer.result;
			continue;
		}
		there++;
		models = bytes_from(part->answer.entry->body, BEFORE.len);
		models.len -= AFTER.len;
		if (models.len == 0)
			continue;
		if (!first)
			buf_char(to, ',');
		first = false;
		buf_add(to, models);
	}
	buf_char(to, ']');
	if (missing.len > 0) {
		buf_str(to, ",\"unavailable\":[");
		buf_add(to, buf_bytes(&missing));
		buf_char(to, ']');
		l->cache->fresh_ms = INCOMPLETE_MS;
	}
	buf_char(to, '}');
	buf_fini(&missing);
	return (there == 0 && failure != R_OK ? failure : R_OK);
}

static enum result
load_catalogue(struct load *l)
{
	const struct gateway *g = find_gateway(l->services, l->values->of[1]);

	return (g != NULL ? load_gateway(l, g) : load_all(l));
}

static unsigned
catalogue_parts(const struct load *l, struct cache_part *parts)
{
	const struct services *s = l->services;
	struct values values = *l->values;
	unsigned i;

	if (!bytes_equal(values.of[1], BYTES("all")))
		return (0);
	for (i = 0; i < s->n_gateways; i++) {
		values.of[1] = bytes_of(s->gateways[i].name);
		parts[i].name = values.of[1];
		if (endpoint_part(l->served, &values, &parts[i]) != R_OK)
			break;
	}
	return (i);
}

/* What became of each gateway. */
static void
add_report(const struct cache_part *parts, unsigned n, struct buf *to)
{
	const struct cache_answer *a;
	struct bytes list, model;
	unsigned i, count;

	buf_add(to, BEFORE);
	for (i = 0; i < n; i++) {
		a = &parts[i].answer;
		buf_str(to, i > 0 ? ",{\"gateway\":" : "{\"gateway\":");
		buf_json(to, parts[i].name);
		if (a->result != R_OK) {
			buf_printf(to, ",\"synced\":false,\"error\":\"%s\"}",
				   result_text(a->result));
			continue;
		}
		list = json_member(a->entry->body, BYTES("data"));
		for (count = 0; json_next_element(&list, &model); count++)
			;
		buf_printf(to, ",\"synced\":true,\"models\":%u,\"ms\":%u}",
			   count, a->entry->cost_ms);
	}
	buf_add(to, AFTER);
}

/* Ask every gateway now, side by side; then have the catalogue of all made
 * anew. */
static enum result
run_sync(struct run *r)
{
	const struct services *s = r->services;
	const struct served *catalogue =
		router_find(s->router, "GET /api/models");
	struct cache_part parts[PARTS_MAX] = { 0 };
	struct values values = { .count = 2 };
	unsigned i, n = s->n_gateways;
	enum result result;

	/* Stale from now on: served while we load, and everywhere once we
	 * have. */
	result = cache_invalidate(s->cache, BYTES("models:*"), CACHE_SOFT);
	for (i = 0; i <= n && result == R_OK; i++) {
		values.of[1] = i < n ? bytes_of(s->gateways[i].name)
				     : BYTES("all");
		parts[i].name = values.of[1];
		result = endpoint_part(catalogue, &values, &parts[i]);
	}
	if (result == R_OK) {
		cache_wait(s->cache, parts, n, CACHE_NEW);
		cache_wait(s->cache, parts + n, 1, CACHE_YOUNG);
		add_report(parts, n, &r->body);
	}
	for (i = 0; i <= n; i++)
		cache_part_fini(&parts[i]);
	return (result);
}

static const struct param catalogue_params[] = {
	{ "gateway", PARAM_WORD, .otherwise = "all",
	  .accepts = accepts_gateway },
	PARAMS_END,
};

#define MODEL_FIELDS                                                           \
	{ "model_id", PARAM_TEXT, .in = IN_BODY, .min = 1, .max = 200 },       \
		{ "name", PARAM_TEXT, .in = IN_BODY, .min = 1, .max = 200 },   \
		{ "description", PARAM_TEXT,   .in = IN_BODY,                  \
		  .min = 0,	 .max = 10000, .otherwise = "" },              \
		{ "context_length", PARAM_INT,	.in = IN_BODY,                 \
		  .min = 1,	    .max = 1e9, .optional = true },            \
		{ "pricing", PARAM_OBJECT, .in = IN_BODY, .otherwise = "{}" }, \
		{ "parameters", PARAM_OBJECT, .in = IN_BODY,                   \
		  .otherwise = "{}" },                                         \
		PARAMS_END,

static const struct param create_params[] = { MODEL_FIELDS };
static const struct param replace_params[] = {
	{ "id", PARAM_UUID, .in = IN_PATH }, MODEL_FIELDS
};
static const struct param delete_params[] = {
	{ "id", PARAM_UUID, .in = IN_PATH },
	PARAMS_END,
};

#define MODEL_JSON                                                   \
	"json_build_object('id', m.id, 'model_id', m.model_id, "     \
	"'name', m.name, 'description', m.description, "             \
	"'context_length', m.context_length, 'pricing', m.pricing, " \
	"'parameters', m.parameters, 'created_at', m.created_at, "   \
	"'updated_at', m.updated_at)"

/* Its owner, or any admin. */
#define MAY_CHANGE                                   \
	"m.id = $2 AND (m.owner_id = $1 OR EXISTS (" \
	"SELECT FROM users WHERE id = $1 AND role = 'admin'))"

#define MODEL_DETAILS(missing)                                              \
	{                                                                   \
		[R_NOT_FOUND] = missing,                                    \
		[R_CONFLICT] = "model_id: you have a model of that name",   \
		[R_INVALID] = "model_id: expected letters, digits and any " \
			      "of . _ : / @ -, a letter or digit first",    \
	}

const struct endpoint models_endpoints[] = {
	{
		.route = "GET /api/models",
		.access = ACCESS_PUBLIC,
		.params = catalogue_params,
		.key = "models:{gateway}:all",
		.policy = { "models", MINUTES(10), MINUTES(2), DAYS(1) },
		.parts = catalogue_parts,
		.load = load_catalogue,
		.warm = WARM_DEFAULTS,
	},
	{
		.route = "GET /api/models",
		.when = "owner=me",
		.access = ACCESS_USER,
		.key = "models:user:{user}",
		.policy = { "models", MINUTES(10), MINUTES(2), DAYS(1) },
		.sql = "SELECT json_build_object('data', coalesce(json_agg(" MODEL_JSON
		       " ORDER BY m.created_at, m.id), '[]')) "
		       "FROM models m WHERE m.owner_id = $1",
		.load = load_json,
	},
	{
		.route = "POST /api/models",
		.access = ACCESS_USER,
		.params = create_params,
		.sql = "INSERT INTO models AS m (owner_id, model_id, name, "
		       "description, context_length, pricing, parameters) "
		       "VALUES ($1, $2, $3, $4, $5, $6, $7) "
		       "RETURNING json_build_object('data', " MODEL_JSON ")",
		.run = run_json,
		.status = 201,
		.details = MODEL_DETAILS("you are no user any more"),
		.emits = "model.created",
	},
	{
		.route = "PUT /api/models/{id}",
		.access = ACCESS_USER,
		.params = replace_params,
		.sql = "UPDATE models m SET model_id = $3, name = $4, "
		       "description = $5, context_length = $6, pricing = $7, "
		       "parameters = $8, updated_at = now() WHERE " MAY_CHANGE
		       " RETURNING json_build_object('data', " MODEL_JSON ")",
		.run = run_json,
		.details = MODEL_DETAILS("id: you have no model of that id"),
		.emits = "model.updated",
	},
	{
		.route = "DELETE /api/models/{id}",
		.access = ACCESS_USER,
		.params = delete_params,
		.sql = "DELETE FROM models m WHERE " MAY_CHANGE
		       " RETURNING json_build_object('data', "
		       "json_build_object('id', m.id, 'deleted', true))",
		.run = run_json,
		.details = MODEL_DETAILS("id: you have no model of that id"),
		.emits = "model.deleted",
	},
	{
		.route = "POST /api/admin/sync-models",
		.access = ACCESS_ADMIN,
		.run = run_sync,
		.apart = APART_WAIT,
		.emits = "models.synced",
	},
	ENDPOINTS_END,
};
