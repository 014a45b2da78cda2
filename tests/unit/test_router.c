/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "web/router.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* Two families of endpoints; each declares itself by its `sql`. */
static const struct param id_params[] = {
	{ "id", PARAM_UUID, .in = IN_PATH },
	PARAMS_END,
};
static const struct param part_params[] = {
	{ "id", PARAM_UUID, .in = IN_PATH },
	{ "part", PARAM_TEXT, .in = IN_PATH },
	PARAMS_END,
};

#define LOAD(route_, key_)                                            \
	.route = (route_), .key = (key_), .policy = { "x", 1, 1, 1 }, \
	.load = load_json
#define RUN(route_) .route = (route_), .run = run_json

static const struct endpoint things[] = {
	{ LOAD("GET /api/things", "things"), .sql = "list" },
	{ LOAD("GET /api/things", "things:{user}"), .when = "owner=me",
	  .access = ACCESS_USER, .sql = "list mine" },
	{ RUN("POST /api/things"), .sql = "create" },
	{ RUN("DELETE /api/things/{id}"), .params = id_params,
	  .sql = "delete" },
	{ RUN("PUT /api/things/{id}"), .params = id_params, .sql = "replace" },
	{ LOAD("GET /api/things/{id}/parts/{part}", "parts:{params}"),
	  .params = part_params, .sql = "part" },
	ENDPOINTS_END,
};
static const struct endpoint others[] = {
	{ RUN("PATCH /api/things/{id}"), .params = id_params, .sql = "change" },
	{ LOAD("GET /api/narrow", "narrow:{user}"), .when = "owner=me",
	  .access = ACCESS_USER, .sql = "narrow" },
	{ LOAD("GET /api/things/all", "all"), .sql = "all" },
	{ LOAD("GET /", "root"), .sql = "root" },
	ENDPOINTS_END,
};
static const struct endpoint *const families[] = { things, others };

static struct config *config;
static struct services services;
static struct router *router;
static struct buf problem, allow;

static void
setup(void)
{
	static const struct config_policy none[] = { { NULL, 0, 0, 0 } };

	ck_assert_int_eq(clearenv(), 0);
	ck_assert_int_eq(config_read(none, &config, &problem), R_OK);
	services.config = config;
	ck_assert_msg(router_new(families, 2, &services, &router, &problem) ==
			      R_OK,
		      "%s", problem.at);
}

static void
teardown(void)
{
	router_free(router);
	config_free(config);
	buf_fini(&problem);
	buf_fini(&allow);
}

static enum result
match(enum method method, const char *path, const char *query,
      const struct served **out)
{
	const struct request rq = { .method = method,
				    .path = bytes_of(path),
				    .query = bytes_of(query) };

	buf_clear(&allow);
	return (router_match(router, &rq, out, &allow));
}

#define ID "00000000-0000-4000-8000-000000000001"

static const struct {
	enum method method;
	const char *path, *query, *sql; /* NULL: 404 */
} routes[] = {
	{ METHOD_GET, "/api/things", "", "list" },
	{ METHOD_HEAD, "/api/things", "", "list" },
	{ METHOD_POST, "/api/things", "", "create" },
	{ METHOD_GET, "/api/things", "owner=me", "list mine" },
	{ METHOD_HEAD, "/api/things", "a=b&owner=me", "list mine" },
	{ METHOD_GET, "/api/things", "owner=you", "list" },
	{ METHOD_GET, "/api/things", "owner=mean&xowner=me", "list" },
	{ METHOD_GET, "/api/things", "owner=m%65", "list" },
	{ METHOD_POST, "/api/things", "owner=me", "create" },
	{ METHOD_DELETE, "/api/things/" ID, "", "delete" },
	{ METHOD_PUT, "/api/things/" ID, "", "replace" },
	{ METHOD_PATCH, "/api/things/" ID, "", "change" },
	{ METHOD_PUT, "/api/things/no-uuid", "", "replace" },
	{ METHOD_GET, "/api/things/" ID "/parts/x%2Fy", "", "part" },
	{ METHOD_GET, "/api/things/all", "", "all" },
	{ METHOD_GET, "/", "", "root" },
	{ METHOD_GET, "/api/narrow", "owner=me", "narrow" },
	{ METHOD_GET, "/api/narrow", "", NULL },
	{ METHOD_GET, "/api/thing", "", NULL },
	{ METHOD_GET, "/api/things2", "", NULL },
	{ METHOD_GET, "/API/things", "", NULL },
	{ METHOD_GET, "/api/things/", "", NULL },
	{ METHOD_GET, "//api/things", "", NULL },
	{ METHOD_GET, "api/things", "", NULL },
	{ METHOD_GET, "", "", NULL },
	{ METHOD_GET, "*", "", NULL },
	{ METHOD_PUT, "/api/things/" ID "/", "", NULL },
	{ METHOD_PUT, "/api/things//" ID, "", NULL },
	{ METHOD_PUT, "/api/other/" ID, "", NULL },
	{ METHOD_GET, "/api/things/" ID "/parts", "", NULL },
	{ METHOD_GET, "/api/things/" ID "/parts/", "", NULL },
	{ METHOD_GET, "/api/things/" ID "/parts/x/y", "", NULL },
	{ METHOD_GET, "/api/things//parts/x", "", NULL },
	{ METHOD_OTHER, "/nowhere", "", NULL },
};

START_TEST(request_finds_its_endpoint_or_none)
{
	const struct served *s = NULL;
	enum result r =
		match(routes[_i].method, routes[_i].path, routes[_i].query, &s);

	if (routes[_i].sql == NULL) {
		ck_assert_int_eq(r, R_NOT_FOUND);
		ck_assert_uint_eq(allow.len, 0);
		return;
	}
	ck_assert_int_eq(r, R_OK);
	ck_assert_str_eq(s->endpoint->sql, routes[_i].sql);
}
END_TEST

static const struct {
	enum method method;
	const char *path, *allow;
} refused[] = {
	{ METHOD_PUT, "/api/things", "GET, HEAD, POST" },
	{ METHOD_OTHER, "/api/things", "GET, HEAD, POST" },
	{ METHOD_GET, "/api/things/" ID, "PUT, PATCH, DELETE" },
	{ METHOD_HEAD, "/api/things/" ID, "PUT, PATCH, DELETE" },
	{ METHOD_POST, "/api/things/" ID "/parts/x", "GET, HEAD" },
	{ METHOD_PUT, "/api/things/all", "GET, HEAD" },
};

START_TEST(wrong_method_is_told_the_right_ones_each_once)
{
	const struct served *s = NULL;

	ck_assert_int_eq(match(refused[_i].method, refused[_i].path, "", &s),
			 R_INVALID);
	ck_assert_ptr_null(s);
	ck_assert_str_eq(allow.at, refused[_i].allow);
}
END_TEST

START_TEST(endpoint_is_found_by_its_route)
{
	ck_assert_str_eq(router_find(router, "GET /api/things")->endpoint->sql,
			 "list");
	ck_assert_str_eq(
		router_find(router, "PATCH /api/things/{id}")->endpoint->sql,
		"change");
	ck_assert_ptr_null(router_find(router, "GET /api/narrow"));
	ck_assert_ptr_null(router_find(router, "HEAD /api/things"));
	ck_assert_ptr_null(router_find(router, "PUT /api/things/" ID));
}
END_TEST

static enum result
load_it(struct load *l)
{
	(void)l;
	return (R_OK);
}

static enum result
run_it(struct run *r)
{
	(void)r;
	return (R_OK);
}

static const struct param body_params[] = {
	{ "a", PARAM_INT, .in = IN_BODY, .min = 0, .max = 9 },
	PARAMS_END,
};
static const struct param query_params[] = {
	{ "a", PARAM_INT, .min = 0, .max = 9 },
	PARAMS_END,
};
static const struct param wordless_params[] = {
	{ "a", PARAM_WORD, .optional = true },
	PARAMS_END,
};
static const struct param double_params[] = {
	{ "a", PARAM_UUID, .optional = true },
	{ "a", PARAM_UUID, .in = IN_BODY },
	PARAMS_END,
};
static const struct param lonely_params[] = {
	{ "a", PARAM_DATE, .optional = true, .until = "b" },
	PARAMS_END,
};
static const struct query uneven_queries[] = {
	{ "a", "SELECT $1" },
	{ "b", "SELECT $10" },
	QUERIES_END,
};
static struct param many_params[VALUES_MAX + 1];

static unsigned
list_parts(const struct load *l, struct cache_part *parts)
{
	(void)l, (void)parts;
	return (0);
}

#define POLICY .policy = { "x", 1, 1, 1 }

/* What is wrong, and what the message says of it. */
static const struct {
	struct endpoint endpoint;
	const char *message;
} wrong[] = {
	{ { .route = "FETCH /x", .run = run_it }, "method" },
	{ { .route = "/x", .run = run_it }, "method" },
	{ { .route = "", .run = run_it }, "method" },
	{ { .route = "GET /x" }, ".run" },
	{ { .route = "GET /x",
	    .key = "x",
	    POLICY,
	    .load = load_it,
	    .run = run_it },
	  "either" },
	{ { .route = "POST /x", .key = "x", POLICY, .load = load_it }, "GET" },
	{ { .route = "GET /x", POLICY, .load = load_it }, ".key" },
	{ { .route = "GET /x", .key = "x", .load = load_it }, ".policy" },
	{ { .route = "GET /x", .key = "x", POLICY, .load = load_json },
	  ".sql" },
	{ { .route = "POST /x", .run = run_json }, ".sql" },
	{ { .route = "GET /x",
	    .key = "x",
	    POLICY,
	    .load = load_it,
	    .access = ACCESS_USER },
	  "{user}" },
	{ { .route = "GET /x", .key = "x:{user}", POLICY, .load = load_it },
	  "{user}" },
	{ { .route = "GET /x", .key = "x:{a}", POLICY, .load = load_it },
	  "no parameter" },
	{ { .route = "GET /x",
	    .key = "x:a",
	    POLICY,
	    .load = load_it,
	    .params = query_params },
	  "not in its .key" },
	{ { .route = "GET /x",
	    .key = "x:{a}",
	    POLICY,
	    .load = load_it,
	    .params = body_params },
	  "body" },
	{ { .route = "PUT /x", .run = run_it, .parts = list_parts }, ".parts" },
	{ { .route = "GET /x",
	    .key = "x:{user}",
	    .access = ACCESS_USER,
	    POLICY,
	    .load = load_it,
	    .parts = list_parts },
	  ".parts" },
	{ { .route = "PUT /x/{id}", .run = run_it }, "path" },
	{ { .route = "PUT /x/{a}", .run = run_it, .params = query_params },
	  "path" },
	{ { .route = "PUT /x/id", .run = run_it, .params = id_params },
	  "path" },
	{ { .route = "PUT /x", .run = run_it, .params = wordless_params },
	  "words" },
	{ { .route = "PUT /x", .run = run_it, .params = double_params },
	  "two parameters" },
	{ { .route = "PUT /x", .run = run_it, .params = lonely_params },
	  ".until" },
	{ { .route = "GET /x",
	    .key = "x",
	    POLICY,
	    .load = load_json,
	    .sql = "SELECT $10, $1" },
	  "$1" },
	{ { .route = "GET /x", .key = "x", POLICY, .load = load_queries },
	  ".queries" },
	{ { .route = "GET /x",
	    .key = "x:{user}",
	    .access = ACCESS_USER,
	    POLICY,
	    .load = load_queries,
	    .queries = uneven_queries },
	  "different values" },
	{ { .route = "GET /x",
	    .key = "x",
	    POLICY,
	    .load = load_queries,
	    .queries = uneven_queries },
	  "$1" },
	{ { .route = "PUT /x", .run = run_it, .params = many_params },
	  "too many" },
};

START_TEST(wrong_declaration_is_refused_by_name)
{
	const struct endpoint list[] = { things[0], wrong[_i].endpoint,
					 ENDPOINTS_END };
	const struct endpoint *const family[] = { list };
	struct router *none = NULL;
	static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g",
					     "h", "i", "j", "k", "l", "m", "n",
					     "o", "p", "q", "r", "s", "t" };

	for (unsigned i = 0; i < VALUES_MAX; i++)
		many_params[i] =
			(struct param){ .name = names[i], .kind = PARAM_UUID };
	ck_assert_int_eq(router_new(family, 1, &services, &none, &problem),
			 R_INVALID);
	ck_assert_ptr_null(none);
	ck_assert_msg(strstr(problem.at, wrong[_i].endpoint.route) != NULL &&
			      strstr(problem.at, wrong[_i].message) != NULL,
		      "%s", problem.at);
}
END_TEST

START_TEST(configuration_overrides_a_policy_and_nothing_else)
{
	static const struct config_policy own[] = { { "x", 10, 1, 1 },
						    { NULL, 0, 0, 0 } };
	const struct served *s;

	s = router_find(router, "GET /api/things");
	ck_assert_int_eq(s->policy.ttl_ms, 1);
	router_free(router);
	config_free(config);
	ck_assert_int_eq(setenv("X_CACHE_TTL_MS", "9000", 1), 0);
	ck_assert_int_eq(config_read(own, &config, &problem), R_OK);
	services.config = config;
	ck_assert_int_eq(router_new(families, 2, &services, &router, &problem),
			 R_OK);
	s = router_find(router, "GET /api/things");
	ck_assert_int_eq(s->policy.ttl_ms, 9000);
	ck_assert_str_eq(s->policy.category, "x");
	ck_assert_int_eq(s->endpoint->policy.ttl_ms, 1);
}
END_TEST

START_TEST(no_memory_makes_no_router)
{
	struct router *made = NULL;
	unsigned n;

	for (n = 1; made == NULL; n++) {
		buf_fini(&problem);
		mem_fail_after(n);
		if (router_new(families, 2, &services, &made, &problem) != R_OK)
			ck_assert_ptr_null(made);
		mem_fail_after(0);
		ck_assert_uint_lt(n, 20);
	}
	ck_assert_uint_gt(n, 2);
	router_free(made);
	router_free(NULL);
}
END_TEST

Suite *suite_router(void);

Suite *
suite_router(void)
{
	Suite *s = suite_create("router");
	TCase *t = tcase_create("router");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, request_finds_its_endpoint_or_none, 0,
			    sizeof(routes) / sizeof(routes[0]));
	tcase_add_loop_test(t, wrong_method_is_told_the_right_ones_each_once, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(t, endpoint_is_found_by_its_route);
	tcase_add_loop_test(t, wrong_declaration_is_refused_by_name, 0,
			    sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(t, configuration_overrides_a_policy_and_nothing_else);
	tcase_add_test(t, no_memory_makes_no_router);
	suite_add_tcase(s, t);
	return (s);
}
