/* SPDX-License-Identifier: MIT */
#include "router.h"

#include "../base/alloc.h"

#include <stdlib.h>

struct router {
	unsigned count;
	struct served served[];
};

enum result
router_new(const struct endpoint *const *families, unsigned n_families,
	   const struct services *services, struct router **out,
	   struct buf *problem)
{
	const struct endpoint *e;
	struct router *r;
	unsigned i, count = 0;
	enum result result;

	for (i = 0; i < n_families; i++)
		for (e = families[i]; e->route != NULL; e++)
			count++;
	r = mem_alloc(sizeof(*r) + count * sizeof(r->served[0]));
	if (r == NULL) {
		buf_str(problem, "out of memory");
		return (R_NO_MEMORY);
	}
	for (i = 0; i < n_families; i++)
		for (e = families[i]; e->route != NULL; e++) {
			result = endpoint_serve(e, services,
						&r->served[r->count++],
						problem);
			if (result != R_OK) {
				free(r);
				return (result);
			}
		}
	*out = r;
	return (R_OK);
}

void
router_free(struct router *r)
{
	free(r);
}

/* Does `path` have the form of `route`, whose "{name}" parts match any one
 * part? */
static bool
path_matches(struct bytes route, struct bytes path)
{
	struct bytes want, have;

	if (bytes_ends(path, BYTES("/")))
		return (false); /* an empty last part */
	while (route.len > 0 && path.len > 0) {
		want = bytes_cut(&route, '/');
		have = bytes_cut(&path, '/');
		if (want.len > 0 && want.at[0] == '{'
			    ? have.len == 0
			    : !bytes_equal(want, have))
			return (false);
	}
	return (route.len == 0 && path.len == 0);
}

/* Is "name=value" one of the query's parameters, to the letter? */
static bool
query_has(struct bytes query, struct bytes pair)
{
	while (query.len > 0)
		if (bytes_equal(bytes_cut(&query, '&'), pair))
			return (true);
	return (false);
}

static bool
is_for(const struct served *s, const struct request *rq)
{
	const char *when = s->endpoint->when;

	if (!bytes_starts(rq->path, s->fixed) ||
	    !(s->fixed.len == s->path.len ? rq->path.len == s->path.len
					  : path_matches(s->path, rq->path)))
		return (false);
	return (when == NULL || query_has(rq->query, bytes_of(when)));
}

/* Is there a route of just this path?  Then it is meant by it: in
 * /servers/status, "status" is nobody's {id}. */
static bool
is_literal(const struct router *r, struct bytes path)
{
	unsigned i;

	for (i = 0; i < r->count; i++)
		if (bytes_equal(r->served[i].path, path))
			return (true);
	return (false);
}

static void
list_allowed(bool const there[static METHOD_OTHER], struct buf *allow)
{
	enum method m;

	for (m = METHOD_GET; m < METHOD_OTHER; m++) {
		if (!there[m])
			continue;
		if (allow->len > 0)
			buf_str(allow, ", ");
		buf_str(allow, method_name(m));
	}
}

enum result
router_match(const struct router *r, const struct request *rq,
	     const struct served **out, struct buf *allow)
{
	enum method wanted = rq->method == METHOD_HEAD ? METHOD_GET
						       : rq->method;
	const struct served *s, *best = NULL;
	bool there[METHOD_OTHER] = { false }, found = false;
	bool literal = is_literal(r, rq->path);
	unsigned i;

	for (i = 0; i < r->count; i++) {
		s = &r->served[i];
		if (!is_for(s, rq) ||
		    (literal && !bytes_equal(s->path, rq->path)))
			continue;
		found = there[s->method] = true;
		if (s->method == wanted &&
		    (best == NULL || (best->endpoint->when == NULL &&
				      s->endpoint->when != NULL)))
			best = s;
	}
	if (best != NULL) {
		*out = best;
		return (R_OK);
	}
	if (!found)
		return (R_NOT_FOUND);
	there[METHOD_HEAD] = there[METHOD_GET];
	list_allowed(there, allow);
	return (R_INVALID);
}

const struct served *
router_find(const struct router *r, const char *route)
{
	unsigned i;

	for (i = 0; i < r->count; i++)
		if (r->served[i].endpoint->when == NULL &&
		    bytes_equal(bytes_of(r->served[i].endpoint->route),
				bytes_of(route)))
			return (&r->served[i]);
	return (NULL);
}

/* Can `key` come from the template?  "{params}" stands for any number of parts,
 * another name for one. */
static bool
key_matches(struct bytes template, struct bytes key)
{
	struct bytes want, have;

	while (template.len > 0) {
		want = bytes_cut(&template, ':');
		if (bytes_equal(want, BYTES("{params}")))
			return (true);
		have = bytes_cut(&key, ':');
		if (bytes_find(want, '{') < 0 && !bytes_equal(want, have))
			return (false);
		if (template.len > 0 && key.len == 0 &&
		    !bytes_ends(template, BYTES("}")))
			return (false);
	}
	return (key.len == 0);
}

const struct served *
router_find_by_key(const struct router *r, struct bytes key)
{
	const struct endpoint *e;
	unsigned i;

	for (i = 0; i < r->count; i++) {
		e = r->served[i].endpoint;
		if (e->load != NULL && key_matches(bytes_of(e->key), key))
			return (&r->served[i]);
	}
	return (NULL);
}

const char *
router_category(const struct router *r, const char *prefix)
{
	const struct endpoint *e;
	struct bytes key;
	unsigned i;

	for (i = 0; i < r->count; i++) {
		e = r->served[i].endpoint;
		key = bytes_of(e->key);
		if (e->load != NULL &&
		    bytes_equal(bytes_cut(&key, ':'), bytes_of(prefix)))
			return (e->policy.category);
	}
	return (bytes_equal(bytes_of(prefix), BYTES("auth")) ? "auth"
							     : "other");
}

const struct served *
router_at(const struct router *r, unsigned i)
{
	return (i < r->count ? &r->served[i] : NULL);
}
