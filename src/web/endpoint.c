/* SPDX-License-Identifier: MIT */
#include "endpoint.h"

#include "../base/log.h"
#include "../cache/scope.h"

#include <string.h>

/* Arguments of a query: each value's length (four bytes, all ones for an absent
 * value), then its bytes. */
#define ABSENT UINT32_MAX

static void
pack(const struct values *v, struct buf *to)
{
	uint32_t len;
	unsigned i;

	for (i = 0; i < v->count; i++) {
		len = v->of[i].at == NULL ? ABSENT : (uint32_t)v->of[i].len;
		buf_add(to, (struct bytes){ (const char *)&len, sizeof(len) });
		if (len != ABSENT)
			buf_add(to, v->of[i]);
	}
}

static bool
unpack(struct bytes from, struct values *v)
{
	uint32_t len;

	for (v->count = 0; from.len > 0; v->count++) {
		if (from.len < sizeof(len) || v->count == VALUES_MAX)
			return (false);
		memcpy(&len, from.at, sizeof(len));
		from = bytes_from(from, sizeof(len));
		v->of[v->count] = (struct bytes){ NULL, 0 };
		if (len == ABSENT)
			continue;
		if (len > from.len)
			return (false);
		v->of[v->count] = (struct bytes){ from.at, len };
		from = bytes_from(from, len);
	}
	return (true);
}

enum result
endpoint_values(const struct served *e, struct bytes arguments,
		struct values *out)
{
	if (unpack(arguments, out) && out->count == e->n_params + 1)
		return (R_OK);
	return (R_INVALID);
}

static enum result
load(void *context, struct cache_load *cache)
{
	const struct served *e = context;
	struct values values;
	struct load l = { e->services, e, &values, cache };

	if (endpoint_values(e, cache->arguments, &values) != R_OK)
		return (R_INTERNAL);
	return (e->endpoint->load(&l));
}

static unsigned
list_parts(void *context, const struct cache_load *cache,
	   struct cache_part *parts)
{
	const struct served *e = context;
	struct cache_load copy = *cache;
	struct values values;
	const struct load l = { e->services, e, &values, &copy };

	if (endpoint_values(e, cache->arguments, &values) != R_OK)
		return (0);
	return (e->endpoint->parts(&l, parts));
}

static bool
parse_method(struct bytes name, enum method *method)
{
	enum method m;

	for (m = METHOD_GET; m < METHOD_OTHER; m++)
		if (bytes_equal(name, bytes_of(method_name(m)))) {
			*method = m;
			return (true);
		}
	return (false);
}

/* Take what stands in the next braces; false when there are no more. */
static bool
next_name(struct bytes *rest, struct bytes *name)
{
	(void)bytes_cut(rest, '{');
	*name = bytes_cut(rest, '}');
	return (name->len > 0);
}

static bool
has_name(struct bytes template, const char *wanted)
{
	struct bytes name;

	while (next_name(&template, &name))
		if (bytes_equal(name, bytes_of(wanted)))
			return (true);
	return (false);
}

static const struct param *
find_param(const struct endpoint *e, struct bytes name)
{
	const struct param *p;

	for (p = e->params; p != NULL && p->name != NULL; p++)
		if (bytes_equal(bytes_of(p->name), name))
			return (p);
	return (NULL);
}

/* All that an answer depends on must be in its key. */
static const char *
flaw_in_key(const struct endpoint *e)
{
	struct bytes key = bytes_of(e->key), rest = key, name;
	const struct param *p;

	while (next_name(&rest, &name))
		if (!bytes_equal(name, BYTES("user")) &&
		    !bytes_equal(name, BYTES("params")) &&
		    find_param(e, name) == NULL)
			return ("has a name in its .key that is no parameter");
	for (p = e->params; p != NULL && p->name != NULL; p++) {
		if (p->in == IN_BODY)
			return ("has .load but a parameter in the body");
		if (!has_name(key, p->name) && !has_name(key, "params"))
			return ("has a parameter that is not in its .key");
	}
	if (has_name(key, "user") != (e->access == ACCESS_USER) &&
	    e->access != ACCESS_ADMIN)
		return (e->access == ACCESS_USER
				? "is for a user but has no {user} in its .key"
				: "is public but has {user} in its .key");
	return (NULL);
}

static const char *
flaw_in_params(const struct endpoint *e, struct bytes path)
{
	struct bytes rest = path, name;
	const struct param *p;

	while (next_name(&rest, &name))
		if ((p = find_param(e, name)) == NULL || p->in != IN_PATH)
			return ("has a name in its path that is no parameter");
	for (p = e->params; p != NULL && p->name != NULL; p++) {
		if (p->in == IN_PATH && !has_name(path, p->name))
			return ("has a path parameter that is not in its path");
		if (p->kind == PARAM_WORD && p->of == NULL &&
		    p->accepts == NULL)
			return ("has a PARAM_WORD without words");
		if (find_param(e, bytes_of(p->name)) != p)
			return ("has two parameters of one name");
		if (p->until != NULL &&
		    find_param(e, bytes_of(p->until)) == NULL)
			return ("has an .until that is no parameter");
	}
	return (NULL);
}

/* Does the statement mention "$number"? */
static bool
mentions(const char *sql, unsigned number)
{
	struct bytes rest = bytes_of(sql);
	unsigned long found;

	while (rest.len > 0) {
		(void)bytes_cut(&rest, '$');
		for (found = 0; rest.len > 0 && rest.at[0] >= '0' &&
				rest.at[0] <= '9' && found <= VALUES_MAX;
		     rest = bytes_from(rest, 1))
			found = found * 10 + (unsigned long)(rest.at[0] - '0');
		if (found == number)
			return (true);
	}
	return (false);
}

/* An answer that is made for one user is in that user's key; and all statements
 * of an answer are given the same values. */
static const char *
flaw_in_sql(const struct endpoint *e)
{
	bool for_user = e->run != NULL || has_name(bytes_of(e->key), "user");
	const struct query *q;
	unsigned i, n = 0;

	if ((e->load == load_json || e->run == run_json) && e->sql == NULL)
		return ("has no .sql");
	if (e->load == load_queries && e->queries == NULL)
		return ("has no .queries");
	if (e->sql != NULL && !for_user && mentions(e->sql, 1))
		return ("uses $1, the caller, but has no {user} in its .key");
	for (q = e->queries; q != NULL && q->name != NULL; q++, n++) {
		if (!for_user && mentions(q->sql, 1))
			return ("uses $1, the caller, but has no {user} in its "
				".key");
		for (i = 1; i <= VALUES_MAX; i++)
			if (mentions(q->sql, i) != mentions(e->queries->sql, i))
				return ("has .queries with different values");
	}
	if (n > POSTGRES_ALL_MAX)
		return ("has too many .queries");
	return (NULL);
}

/* What is wrong with a declaration, or NULL. */
static const char *
flaw(const struct endpoint *e, enum method method, struct bytes path)
{
	const char *wrong;

	if ((e->load == NULL) == (e->run == NULL))
		return ("needs either .load or .run");
	if (e->load != NULL && method != METHOD_GET)
		return ("has .load but is not a GET");
	if (e->load != NULL && e->apart != APART_NOT)
		return ("has .load but is apart");
	if (e->load == NULL && e->warm != NULL)
		return ("has .warm but no .load");
	if (e->load != NULL && e->key == NULL)
		return ("has .load but no .key");
	if (e->load != NULL && e->policy.category == NULL)
		return ("has .load but no .policy");
	if (e->load != NULL && (wrong = flaw_in_key(e)) != NULL)
		return (wrong);
	if (e->parts != NULL && e->load == NULL)
		return ("has .parts but no .load");
	if (e->parts != NULL && has_name(bytes_of(e->key), "user"))
		return ("has .parts but {user} in its .key");
	if ((wrong = flaw_in_sql(e)) != NULL)
		return (wrong);
	return (flaw_in_params(e, path));
}

enum result
endpoint_serve(const struct endpoint *e, const struct services *s,
	       struct served *out, struct buf *problem)
{
	struct bytes route = bytes_of(e->route);
	struct bytes method = bytes_cut(&route, ' ');
	struct config_policy policy;
	const char *wrong = "has an unknown method";
	const struct param *p;

	*out = (struct served){ .endpoint = e, .services = s, .path = route };
	out->fixed = bytes_cut(&route, '{');
	out->by_user = e->key != NULL && has_name(bytes_of(e->key), "user");
	if (parse_method(method, &out->method))
		wrong = flaw(e, out->method, out->path);
	for (p = e->params; p != NULL && p->name != NULL; p++)
		out->n_params++;
	if (out->n_params >= VALUES_MAX)
		wrong = "has too many parameters";
	if (wrong != NULL) {
		buf_printf(problem, "endpoint %s %s", e->route, wrong);
		return (R_INVALID);
	}
	out->source.context = out;
	out->source.load = load;
	out->source.list_parts = e->parts != NULL ? list_parts : NULL;
	out->policy = e->policy;
	if (e->load != NULL &&
	    config_policy(s->config, e->policy.category, &policy) == R_OK) {
		out->policy.ttl_ms = policy.ttl_ms;
		out->policy.refresh_ms = policy.refresh_ms;
		out->policy.grace_ms = policy.grace_ms;
	}
	return (R_OK);
}

/* The value that a name in a key template stands for. */
static struct bytes
value_of(const struct served *e, const struct values *v, struct bytes name)
{
	unsigned i;

	for (i = 0; i < e->n_params; i++)
		if (bytes_equal(name, bytes_of(e->endpoint->params[i].name)))
			return (v->of[i + 1]);
	return (BYTES_NONE);
}

/* The front of `text` that is ASCII, or the one that is not. */
static struct bytes
cut_ascii(struct bytes *text, bool ascii)
{
	struct bytes front = { text->at, 0 };

	while (front.len < text->len &&
	       ((unsigned char)text->at[front.len] < 0x80) == ascii)
		front.len++;
	*text = bytes_from(*text, front.len);
	return (front);
}

/* A value can neither end its part of the key nor match more than itself.  Letters of
 * any script stay as they are: escaped, each took three times its bytes. */
static void
add_value(struct buf *to, struct bytes value)
{
	while (value.len > 0) {
		buf_percent(to, cut_ascii(&value, true));
		buf_add(to, cut_ascii(&value, false));
	}
}

static void
add_all_params(const struct served *e, const struct values *v, struct buf *to)
{
	unsigned i;

	for (i = 0; i < e->n_params; i++) {
		if (i > 0)
			buf_char(to, ':');
		add_value(to, v->of[i + 1]);
	}
}

enum user_form { USER_HASHED, USER_IN_LOG };

static void
fill_template(const struct served *e, const struct values *v,
	      enum user_form form, struct buf *to)
{
	struct bytes rest = bytes_of(e->endpoint->key), name;
	char hash[USER_HASH_DIGITS + 1];

	while (rest.len > 0) {
		buf_add(to, bytes_cut(&rest, '{'));
		if (rest.len == 0)
			break;
		name = bytes_cut(&rest, '}');
		if (bytes_equal(name, BYTES("params"))) {
			add_all_params(e, v, to);
		} else if (!bytes_equal(name, BYTES("user"))) {
			add_value(to, value_of(e, v, name));
		} else if (form == USER_IN_LOG) {
			buf_char(to, '@');
			buf_add(to, v->of[0]);
		} else {
			cache_user_hash(e->services->cache, v->of[0], hash);
			buf_str(to, hash);
		}
	}
}

enum result
endpoint_query(const struct served *e, const struct values *v, struct buf *key,
	       struct buf *log_key, struct buf *arguments)
{
	struct values keyed = *v;

	/* What is not in the key is none of the loader's business. */
	if (!e->by_user)
		keyed.of[0] = (struct bytes){ NULL, 0 };
	fill_template(e, v, USER_HASHED, key);
	if (e->by_user)
		fill_template(e, v, USER_IN_LOG, log_key);
	else
		buf_add(log_key, buf_bytes(key));
	pack(&keyed, arguments);
	if (buf_error(key) != R_OK)
		return (buf_error(key));
	if (buf_error(log_key) != R_OK)
		return (buf_error(log_key));
	if (key->len > KEY_MAX_BYTES)
		return (R_TOO_LARGE);
	return (buf_error(arguments));
}

enum result
endpoint_part(const struct served *e, const struct values *v,
	      struct cache_part *part)
{
	part->policy = &e->policy;
	part->source = &e->source;
	return (endpoint_query(e, v, &part->key, &part->log_key,
			       &part->arguments));
}

static void
bind(const struct values *v, const char *sql,
     struct postgres_value values[static VALUES_MAX])
{
	unsigned i;

	for (i = 0; i < v->count; i++) {
		values[i].text = v->of[i];
		values[i].kind = v->of[i].at != NULL ? PG_TEXT : PG_NULL;
		if (!mentions(sql, i + 1))
			values[i] =
				(struct postgres_value){ .kind = PG_UNUSED };
	}
}

/* Run the endpoint's statement; its one value to `to`. */
static enum result
query(const struct served *e, const struct values *v, int64_t deadline_ms,
      struct buf *to)
{
	struct postgres_value values[VALUES_MAX];
	struct postgres_rows *rows;
	enum result r;

	bind(v, e->endpoint->sql, values);
	r = postgres_query(e->services->pg, deadline_ms, e->endpoint->sql,
			   values, v->count, &rows);
	if (r != R_OK)
		return (r);
	if (postgres_count(rows) == 0 || postgres_is_null(rows, 0, 0))
		r = R_NOT_FOUND;
	else
		buf_add(to, postgres_get(rows, 0, 0));
	postgres_rows_free(rows);
	return (r);
}

enum result
load_json(struct load *l)
{
	return (query(l->served, l->values,
		      postgres_deadline(l->services->pg, l->cache->deadline_ms),
		      &l->cache->body));
}

enum result
run_json(struct run *r)
{
	return (query(r->served, r->values, 0, &r->body));
}

enum result
load_queries(struct load *l)
{
	const struct query *q = l->served->endpoint->queries;
	struct postgres_rows *rows[POSTGRES_ALL_MAX];
	struct postgres_value values[VALUES_MAX];
	const char *sql[POSTGRES_ALL_MAX];
	struct buf *to = &l->cache->body;
	unsigned i, n;
	enum result r;

	for (n = 0; q[n].name != NULL; n++)
		sql[n] = q[n].sql;
	bind(l->values, sql[0], values);
	r = postgres_query_all(l->services->pg,
			       postgres_deadline(l->services->pg,
						 l->cache->deadline_ms),
			       sql, n, values, l->values->count, rows);
	if (r != R_OK)
		return (r);
	buf_str(to, "{\"data\":{");
	for (i = 0; i < n; i++) {
		buf_printf(to, "%s\"%s\":", i > 0 ? "," : "", q[i].name);
		if (postgres_count(rows[i]) == 0 ||
		    postgres_is_null(rows[i], 0, 0))
			buf_str(to, "null");
		else
			buf_add(to, postgres_get(rows[i], 0, 0));
		postgres_rows_free(rows[i]);
	}
	buf_str(to, "}}");
	return (R_OK);
}
