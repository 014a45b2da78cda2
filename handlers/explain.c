/* SPDX-License-Identifier: MIT */
/*
 * explain: why a key is answered as it is.
 *
 *	GET /api/admin/cache/explain?key=	what each tier holds, the records of
 *						the log, what would come next
 *
 * A user in the key is the hash that stands there, or "@" and the id.
 */
#include "handler.h"

/* The key as the log names it: that takes the user's id, which the entry knows. */
static void
find_log_key(struct run *r, struct explain *x, struct cache_part *part)
{
	const struct served *served =
		router_find_by_key(r->services->router, x->key);
	const struct entry *e = explain_entry(x);
	struct values values;

	if (served == NULL)
		return;
	x->policy = &served->policy;
	if (e == NULL ||
	    endpoint_values(served, e->arguments, &values) != R_OK ||
	    endpoint_part(served, &values, part) != R_OK ||
	    !bytes_equal(buf_bytes(&part->key), x->key))
		return;
	x->log_key = buf_bytes(&part->log_key);
	explain_look(x);
}

static enum result
run_explain(struct run *r)
{
	struct bytes asked = r->values->of[1];
	struct cache_part part = { 0 };
	struct explain x = { .cache = r->services->cache, .log_key = asked };
	struct buf key = { 0 };
	enum result result;

	cache_hash_users(r->services->cache, asked, &key);
	if ((result = buf_error(&key)) == R_OK) {
		x.key = buf_bytes(&key);
		explain_look(&x);
		find_log_key(r, &x, &part);
		buf_str(&r->body, "{\"data\":");
		explain_tell(&x, &r->body);
		buf_char(&r->body, '}');
	}
	explain_fini(&x);
	cache_part_fini(&part);
	buf_fini(&key);
	return (result);
}

static const struct param explain_params[] = {
	{ "key", PARAM_TEXT, .min = 1, .max = 512 },
	PARAMS_END,
};

const struct endpoint explain_endpoints[] = {
	{
		.route = "GET /api/admin/cache/explain",
		.access = ACCESS_ADMIN,
		.params = explain_params,
		.run = run_explain,
	},
	ENDPOINTS_END,
};
