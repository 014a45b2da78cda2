/* SPDX-License-Identifier: MIT */
#include "wholes.h"

#include "../cache/scope.h"
#include "params.h"

static bool
match(struct bytes scopes, const struct buf *key)
{
	while (scopes.len > 0)
		if (scope_matches(bytes_cut(&scopes, '\0'), buf_bytes(key)))
			return (true);
	return (false);
}

static bool
match_part(const struct served *e, struct bytes scopes,
	   const struct cache_part *whole)
{
	const struct cache_load load = {
		.key = buf_bytes(&whole->key),
		.arguments = buf_bytes(&whole->arguments),
	};
	struct cache_part parts[PARTS_MAX] = { 0 };
	unsigned i, n = e->source.list_parts(e->source.context, &load, parts);
	bool found = false;

	for (i = 0; i < n && !found; i++)
		found = match(scopes, &parts[i].log_key);
	/* All: one that could not be listed whole may hold something, too. */
	for (i = 0; i < PARTS_MAX; i++)
		cache_part_fini(&parts[i]);
	return (found);
}

enum result
wholes_next(const struct router *r, unsigned *at, struct bytes scopes,
	    struct cache_part *whole)
{
	const struct served *e;
	struct values values;
	enum result result;

	*whole = (struct cache_part){ 0 };
	while ((e = router_at(r, *at)) != NULL) {
		(*at)++;
		if (e->source.list_parts == NULL)
			continue;
		values = (struct values){ .count = e->n_params + 1 };
		if ((result = params_part(e, &values, whole)) != R_OK)
			return (result);
		if (!match(scopes, &whole->log_key) &&
		    match_part(e, scopes, whole))
			return (R_OK);
		cache_part_fini(whole);
	}
	return (R_NOT_FOUND);
}

enum result
wholes_add(const struct router *r, struct buf *scopes)
{
	struct cache_part whole;
	unsigned at = 0;
	enum result result;

	while ((result = wholes_next(r, &at, buf_bytes(scopes), &whole)) ==
	       R_OK) {
		buf_add(scopes, buf_bytes(&whole.log_key));
		buf_char(scopes, '\0');
		cache_part_fini(&whole);
	}
	cache_part_fini(&whole);
	return (result == R_NOT_FOUND ? buf_error(scopes) : result);
}
