/* SPDX-License-Identifier: MIT */
#include "params.h"

#include "../base/json.h"
#include "param_value.h"

#include <string.h>

/* Percent-decode; R_INVALID when it is malformed.  Plain text is not copied. */
static enum result
decode(struct bytes raw, bool plus_is_space, struct arena *arena,
       struct bytes *out)
{
	char *to;
	size_t n;

	if (bytes_find(raw, '%') < 0 &&
	    (!plus_is_space || bytes_find(raw, '+') < 0)) {
		*out = raw;
		return (R_OK);
	}
	if ((to = arena_alloc(arena, raw.len)) == NULL)
		return (R_NO_MEMORY);
	if (!bytes_percent_decode(raw, plus_is_space, to, &n))
		return (R_INVALID);
	*out = (struct bytes){ to, n };
	return (R_OK);
}

static const struct param *
find(const struct served *e, struct bytes name, enum param_in in, unsigned *at)
{
	const struct param *p = e->endpoint->params;
	unsigned i;

	for (i = 0; i < e->n_params; i++)
		if (p[i].in == in && bytes_equal(name, bytes_of(p[i].name))) {
			*at = i + 1;
			return (&p[i]);
		}
	return (NULL);
}

/* Say which parameters there are. */
static void
list_known(const struct served *e, enum param_in in, struct buf *to)
{
	const char *before = "; known: ";
	unsigned i;

	for (i = 0; i < e->n_params; i++)
		if (e->endpoint->params[i].in == in) {
			buf_printf(to, "%s%s", before,
				   e->endpoint->params[i].name);
			before = ", ";
		}
}

/* A name from the client, in a message to the client: not too long. */
static void
refuse(const struct served *e, const char *what, struct bytes name,
       enum param_in in, struct buf *problem)
{
	if (name.len > 60)
		name.len = 60;
	buf_printf(problem, "%s \"%.*s\"", what, BYTES_ARG(name));
	list_known(e, in, problem);
}

static enum result
take_query(const struct served *e, const struct request *rq,
	   struct arena *arena, struct values *v, struct buf *problem)
{
	struct bytes rest = rq->query, pair, name, value, raw;
	const struct param *p;
	unsigned at = 0;
	enum result r;

	while (rest.len > 0) {
		pair = bytes_cut(&rest, '&');
		if (pair.len == 0 ||
		    (e->endpoint->when != NULL &&
		     bytes_equal(pair, bytes_of(e->endpoint->when))))
			continue;
		raw = bytes_cut(&pair, '=');
		if ((r = decode(raw, true, arena, &name)) != R_OK ||
		    (r = decode(pair, true, arena, &value)) != R_OK) {
			refuse(e, "malformed percent-encoding in parameter",
			       raw, IN_QUERY, problem);
			return (r);
		}
		if ((p = find(e, name, IN_QUERY, &at)) == NULL) {
			refuse(e, "unknown parameter", name, IN_QUERY, problem);
			return (R_INVALID);
		}
		if (v->of[at].at != NULL) {
			buf_printf(problem, "%s: given twice", p->name);
			return (R_INVALID);
		}
		if ((r = param_value_check(p, e->services, arena, &value,
					   problem)) != R_OK)
			return (r);
		v->of[at] = value;
	}
	return (R_OK);
}

static enum result
take_path(const struct served *e, const struct request *rq, struct arena *arena,
	  struct values *v, struct buf *problem)
{
	struct bytes route = e->path, path = rq->path, part, raw, name, value;
	const struct param *p;
	unsigned at = 0;
	enum result r;

	while (route.len > 0) {
		part = bytes_cut(&route, '/');
		raw = bytes_cut(&path, '/');
		if (part.len < 2 || part.at[0] != '{')
			continue;
		name = (struct bytes){ part.at + 1, part.len - 2 };
		if ((p = find(e, name, IN_PATH, &at)) == NULL)
			return (R_INTERNAL);
		if ((r = decode(raw, false, arena, &value)) != R_OK) {
			buf_printf(problem, "%s: malformed percent-encoding",
				   p->name);
			return (r);
		}
		if ((r = param_value_check(p, e->services, arena, &value,
					   problem)) != R_OK)
			return (r);
		v->of[at] = value;
	}
	return (R_OK);
}

/* Defaults for what is absent; an error for what must not be. */
static enum result
complete(const struct served *e, enum param_in in, struct arena *arena,
	 struct values *v, struct buf *problem)
{
	const struct param *p = e->endpoint->params;
	struct bytes *value;
	enum result r;
	unsigned i;

	for (i = 0; i < e->n_params; i++) {
		value = &v->of[i + 1];
		/* In a key, empty and absent look the same. */
		if (in == IN_QUERY && p[i].in == in && p[i].optional &&
		    value->len == 0)
			value->at = NULL;
		if (p[i].in != in || value->at != NULL)
			continue;
		if ((r = param_value_default(&p[i], arena, value)) != R_OK)
			return (r);
		if (value->at == NULL && !p[i].optional) {
			buf_printf(problem, "%s: missing", p[i].name);
			return (R_INVALID);
		}
	}
	return (R_OK);
}

/* Dates that belong together are in order; as texts they sort as in time. */
static enum result
order_dates(const struct served *e, struct arena *arena, struct values *v,
	    struct buf *problem)
{
	const struct param *p = e->endpoint->params;
	struct bytes *from, to;
	unsigned i, at = 0;
	enum result r;

	for (i = 0; i < e->n_params; i++) {
		if (p[i].until == NULL ||
		    find(e, bytes_of(p[i].until), p[i].in, &at) == NULL)
			continue;
		from = &v->of[i + 1];
		to = v->of[at];
		if (to.at != NULL && from->at == NULL && p[i].days > 0) {
			r = param_value_days_before(to, p[i].days - 1, arena,
						    from);
			if (r != R_OK)
				return (r);
		}
		if (from->at == NULL || to.at == NULL ||
		    memcmp(from->at, to.at, to.len) <= 0)
			continue;
		buf_printf(problem,
			   "%s: expected a date that is not after %s, %.*s",
			   p[i].name, p[i].until, BYTES_ARG(to));
		return (R_INVALID);
	}
	return (R_OK);
}

enum result
params_complete(const struct served *e, struct arena *arena, struct values *v,
		struct buf *problem)
{
	enum result r = complete(e, IN_QUERY, arena, v, problem);

	return (r == R_OK ? order_dates(e, arena, v, problem) : r);
}

enum result
params_part(const struct served *e, struct values *v, struct cache_part *part)
{
	struct arena arena = { 0 };
	struct buf problem = { 0 };
	enum result r = params_complete(e, &arena, v, &problem);

	if (r == R_OK)
		r = endpoint_part(e, v, part);
	buf_fini(&problem);
	arena_fini(&arena);
	return (r);
}

enum result
params_from_url(const struct served *e, const struct request *rq,
		struct arena *arena, struct values *v, struct buf *problem)
{
	enum result r;
	unsigned i;

	v->count = e->n_params + 1;
	for (i = 1; i < v->count; i++)
		v->of[i] = (struct bytes){ NULL, 0 };
	if ((r = take_query(e, rq, arena, v, problem)) != R_OK)
		return (r);
	if ((r = take_path(e, rq, arena, v, problem)) != R_OK)
		return (r);
	return (params_complete(e, arena, v, problem));
}

static bool
is_optional(const struct param *p)
{
	return (p->optional || p->otherwise != NULL);
}

/* The text of a JSON value, as the parameter wants it. */
static enum result
take_member(const struct param *p, struct bytes raw, struct arena *arena,
	    struct bytes *value, struct buf *problem)
{
	bool is_string = raw.len > 0 && raw.at[0] == '"';
	bool wants_string = p->kind == PARAM_TEXT || p->kind == PARAM_WORD ||
			    p->kind == PARAM_UUID || p->kind == PARAM_DATE ||
			    p->kind == PARAM_EMAIL;
	struct buf text = { 0 };
	enum result r;

	if (wants_string != is_string) {
		buf_printf(problem, "%s: expected %s", p->name,
			   wants_string		     ? "a string"
			   : p->kind == PARAM_OBJECT ? "a JSON object"
			   : p->kind == PARAM_BOOL   ? "true or false"
						     : "a number");
		return (R_INVALID);
	}
	*value = raw;
	if (!is_string)
		return (R_OK);
	json_add_string(&text, raw);
	r = buf_error(&text);
	if (r == R_OK) {
		*value = arena_copy(arena, buf_bytes(&text));
		r = value->at == NULL ? R_NO_MEMORY : R_OK;
	}
	buf_fini(&text);
	return (r);
}

static bool
has_any(const struct served *e, enum param_in in, const struct values *v)
{
	unsigned i;

	for (i = 0; i < e->n_params; i++)
		if (e->endpoint->params[i].in == in && v->of[i + 1].at != NULL)
			return (true);
	return (false);
}

enum result
params_from_body(const struct served *e, struct bytes body, struct arena *arena,
		 struct values *v, struct buf *problem)
{
	/* A PATCH leaves what is absent as it is; null is a value, then. */
	bool is_patch = e->method == METHOD_PATCH;
	struct bytes rest, name, raw, value;
	struct buf text = { 0 };
	const struct param *p;
	unsigned at = 0;
	enum result r;

	if (json_check(body) != R_OK || json_kind_of(body) != JSON_OBJECT) {
		buf_str(problem, "the body: expected a JSON object");
		return (R_INVALID);
	}
	for (rest = body, r = R_OK;
	     r == R_OK && json_next_member(&rest, &name, &raw);) {
		buf_clear(&text);
		json_add_string(&text, name);
		if ((r = buf_error(&text)) != R_OK)
			break;
		p = find(e, buf_bytes(&text), IN_BODY, &at);
		if (p == NULL) {
			refuse(e, "unknown field", buf_bytes(&text), IN_BODY,
			       problem);
			r = R_INVALID;
		} else if (v->of[at].at != NULL) {
			buf_printf(problem, "%s: given twice", p->name);
			r = R_INVALID;
		} else if (is_optional(p) && !is_patch &&
			   bytes_equal(raw, BYTES("null"))) {
			continue;
		} else if ((r = take_member(p, raw, arena, &value, problem)) ==
				   R_OK &&
			   (r = param_value_check(p, e->services, arena, &value,
						  problem)) == R_OK) {
			v->of[at] = value;
		}
	}
	buf_fini(&text);
	if (r == R_OK && is_patch && !has_any(e, IN_BODY, v)) {
		buf_str(problem, "the body: expected at least one field");
		list_known(e, IN_BODY, problem);
		r = R_INVALID;
	}
	return (r != R_OK ? r : complete(e, IN_BODY, arena, v, problem));
}
