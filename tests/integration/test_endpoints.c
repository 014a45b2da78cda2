/* SPDX-License-Identifier: MIT */
/*
 * What every cached endpoint of the product owes its readers, over nginx.
 */
#include "product.h"

#include <stdlib.h>
#include <string.h>

Suite *suite_endpoints(void);

#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define GZIP "Accept-Encoding: gzip"

static const struct {
	const char *path, *category; /* of its settings */
	bool admin;
	const char *allow;
} endpoints[] = {
	{ "/api/user/data", "USER_DATA", false, "GET, HEAD, PATCH" },
	{ "/api/admin/users", "ADMIN_USERS", true, "GET, HEAD, POST" },
	{ "/api/usage/costs?group_by=model", "USAGE_COSTS", false,
	  "GET, HEAD" },
	{ "/api/servers/status", "SERVERS", false, "GET, HEAD" },
	{ "/api/analytics/data?range=7d", "ANALYTICS", false, "GET, HEAD" },
};

static struct product product;

static void
begin(void)
{
	stack_begin();
	product = product_new();
}

static const char *
reader(int i)
{
	return (endpoints[i].admin ? product.root : product.anna);
}

static void
set_policy(int i, const char *what, const char *value)
{
	harness_env_set(stack.env,
			scratch_printf("%s_CACHE_%s_MS", endpoints[i].category,
				       what),
			"%s", value);
}

START_TEST(second_read_is_a_hit_with_the_same_bytes)
{
	const struct http_response *miss, *hit;

	stack_workers(1);
	miss = stack_get(endpoints[_i].path, reader(_i), NULL);
	assert_status(miss, 200);
	assert_cache(miss, "MISS", NULL);
	ck_assert_str_eq(http_header(miss, "Content-Type"),
			 "application/json; charset=utf-8");
	ck_assert_str_eq(http_header(miss, "Cache-Control"),
			 "private, no-cache");
	hit = stack_get(endpoints[_i].path, reader(_i), NULL);
	assert_cache(hit, "HIT", "memory");
	ck_assert(hit->body_hash == miss->body_hash);
	ck_assert_str_eq(http_header(hit, "ETag"), http_header(miss, "ETag"));
}
END_TEST

START_TEST(known_etag_is_a_304_and_head_has_no_body)
{
	const struct http_response *get, *known, *head;

	stack_workers(1);
	get = stack_get(endpoints[_i].path, reader(_i), NULL);
	assert_status(get, 200);
	known = stack_get(endpoints[_i].path, reader(_i),
			  scratch_printf("If-None-Match: %s",
					 http_header(get, "ETag")),
			  NULL);
	assert_status(known, 304);
	ck_assert_uint_eq(known->body_len, 0);
	head = stack_request("HEAD", endpoints[_i].path, NULL, reader(_i),
			     NULL);
	assert_status(head, 200);
	ck_assert_uint_eq(head->body_len, 0);
	ck_assert_str_eq(http_header(head, "ETag"), http_header(get, "ETag"));
}
END_TEST

START_TEST(gzip_is_sent_to_those_who_take_it)
{
	const char *headers[] = { reader(_i), NULL };
	const struct http_response *plain, *packed, *decoded;

	stack_workers(1);
	plain = stack_get(endpoints[_i].path, reader(_i), NULL);
	assert_status(plain, 200);
	ck_assert_uint_gt(plain->body_len, 1024);
	packed = stack_get(endpoints[_i].path, reader(_i), GZIP, NULL);
	ck_assert_str_eq(http_header(packed, "Content-Encoding"), "gzip");
	ck_assert_uint_lt(packed->body_len, plain->body_len);
	decoded = http_send(
		&(struct http_request){ .url = stack_url(endpoints[_i].path),
					.headers = headers,
					.decode = true });
	ck_assert(decoded->body_hash == plain->body_hash);
}
END_TEST

START_TEST(stranger_is_a_401_and_only_admins_are_admins)
{
	stack_workers(1);
	assert_status(stack_get(endpoints[_i].path, reader(_i), NULL), 200);
	assert_status(stack_get(endpoints[_i].path, NULL), 401);
	assert_status(stack_get(endpoints[_i].path,
				"Authorization: Bearer nonsense", NULL),
		      401);
	if (endpoints[_i].admin)
		assert_status(stack_get(endpoints[_i].path, product.anna, NULL),
			      403);
}
END_TEST

START_TEST(other_method_is_a_405_that_names_the_right_ones)
{
	const struct http_response *r;

	stack_workers(1);
	r = stack_request("PUT", endpoints[_i].path, "{}", reader(_i), NULL);
	assert_status(r, 405);
	ck_assert_str_eq(http_header(r, "Allow"), endpoints[_i].allow);
	assert_status(stack_get(scratch_printf("%.*s/x",
					       (int)strcspn(endpoints[_i].path,
							    "?"),
					       endpoints[_i].path),
				reader(_i), NULL),
		      endpoints[_i].admin ? 405 : 404);
}
END_TEST

START_TEST(second_user_never_sees_the_first_ones_data)
{
	const struct http_response *anna, *ben;

	if (endpoints[_i].admin)
		return;
	harness_env_set(stack.env, "NEAR_CACHE", _i % 2 ? "on" : "off");
	stack_workers(2);
	for (int n = 0; n < 4; n++) {
		anna = stack_get(endpoints[_i].path, product.anna, NULL);
		ben = stack_get(endpoints[_i].path, product.ben, NULL);
		assert_status(anna, 200);
		assert_status(ben, 200);
		ck_assert_ptr_nonnull(strstr(anna->body, "anna"));
		ck_assert_ptr_null(strstr(ben->body, "anna"));
		ck_assert_ptr_nonnull(strstr(ben->body, "ben"));
	}
}
END_TEST

START_TEST(ttl_of_zero_is_a_bypass)
{
	set_policy(_i, "TTL", "0");
	stack_workers(1);
	for (int n = 0; n < 3; n++) {
		const struct http_response *r =
			stack_get(endpoints[_i].path, reader(_i), NULL);

		assert_status(r, 200);
		assert_cache(r, "BYPASS", NULL);
	}
	ck_assert_str_eq(harness_sql(stack.owner_url,
				     "SELECT count(*) FROM cache_entries "
				     "WHERE cache_key NOT LIKE 'auth:%%'"),
			 "0");
}
END_TEST

START_TEST(ttl_of_the_environment_is_kept_to)
{
	const struct http_response *r;

	set_policy(_i, "TTL", "1000");
	set_policy(_i, "REFRESH", "0");
	set_policy(_i, "GRACE", "0");
	stack_workers(1);
	assert_cache(stack_get(endpoints[_i].path, reader(_i), NULL), "MISS",
		     NULL);
	r = stack_get(endpoints[_i].path, reader(_i), NULL);
	assert_cache(r, "HIT", NULL);
	wait_until((r = stack_get(endpoints[_i].path, reader(_i), NULL),
		    strcmp(http_header(r, "X-Cache"), "MISS") == 0),
		   5000);
}
END_TEST

/* Parameters. */

static const struct {
	const char *path, *detail;
} refused[] = {
	{ "/api/user/data?x=1", "unknown parameter \\\"x\\\"" },
	{ "/api/admin/users?limit=0",
	  "limit: expected a whole number from 1 to 200" },
	{ "/api/admin/users?limit=201", "limit: expected" },
	{ "/api/admin/users?limit=ten", "limit: expected" },
	{ "/api/admin/users?offset=-1", "offset: expected" },
	{ "/api/admin/users?page=2", "known: limit, offset, q" },
	{ "/api/usage/costs?group_by=hour",
	  "group_by: expected one of: day model" },
	{ "/api/usage/costs?from=2026-02-29",
	  "from: expected a date, YYYY-MM-DD, from 1970 to 9999" },
	{ "/api/usage/costs?to=yesterday", "to: expected a date" },
	{ "/api/usage/costs?to=0001-01-05", "to: expected a date" },
	{ "/api/usage/costs?from=2026-03-02&to=2026-03-01",
	  "from: expected a date that is not after to, 2026-03-01" },
	{ "/api/usage/costs?from=9999-12-31",
	  "from: expected a date that is not after to, 20" },
	{ "/api/usage/costs?from=2026-03-02&from=2026-03-02",
	  "from: given twice" },
	{ "/api/servers/status?verbose=1", "unknown parameter" },
	{ "/api/analytics/data?range=1y",
	  "range: expected one of: 24h 7d 30d" },
};

START_TEST(bad_parameter_is_a_400_that_says_what_is_accepted)
{
	const struct http_response *r;

	stack_workers(1);
	r = stack_get(refused[_i].path, product.root, NULL);
	assert_status(r, 400);
	ck_assert_str_eq(http_header(r, "Content-Type"),
			 "application/problem+json");
	ck_assert_msg(strstr(r->body, refused[_i].detail) != NULL, "%s",
		      r->body);
}
END_TEST

START_TEST(equal_questions_share_one_entry)
{
	stack_workers(1);
	assert_cache(stack_get("/api/admin/users", product.root, NULL), "MISS",
		     NULL);
	assert_cache(stack_get("/api/admin/users?offset=0&limit=050",
			       product.root, NULL),
		     "HIT", NULL);
	assert_cache(stack_get("/api/admin/users?q=", product.root, NULL),
		     "HIT", NULL);
	assert_cache(stack_get("/api/analytics/data", product.anna, NULL),
		     "MISS", NULL);
	assert_cache(stack_get("/api/analytics/data?range=24h", product.anna,
			       NULL),
		     "HIT", NULL);
}
END_TEST

START_TEST(costs_of_today_are_those_of_the_day_that_is_named)
{
	const char *from, *to;
	json_t *data;

	stack_workers(1);
	data = product_data(stack_get("/api/usage/costs", product.anna, NULL),
			    "data");
	from = tree_string(data, "from");
	to = tree_string(data, "to");
	ck_assert_str_eq(harness_sql(stack.owner_url,
				     "SELECT date '%s' - date '%s' + 1", to,
				     from),
			 "30");
	assert_cache(stack_get(scratch_printf("/api/usage/costs?to=%s", to),
			       product.anna, NULL),
		     "HIT", NULL);
	assert_cache(stack_get(scratch_printf("/api/usage/costs?from=%s&to=%s",
					      from, to),
			       product.anna, NULL),
		     "HIT", NULL);
	ck_assert_str_eq(
		harness_sql(stack.owner_url,
			    "SELECT count(*) FROM cache_entries WHERE "
			    "cache_key LIKE 'usage:%%:costs:%s:%s:day'",
			    from, to),
		"1");
	assert_status(stack_request("POST", "/api/usage", "{\"model\":\"m\"}",
				    product.anna,
				    "Content-Type: application/json", NULL),
		      201);
	assert_cache(stack_get("/api/usage/costs", product.anna, NULL), "MISS",
		     NULL);
}
END_TEST

/* As long as the document allows, whatever they take in a key. */
static const char *const characters[] = {
	"x", "*", "%", ":", "\xc3\xa9", "\xe6\xbc\xa2", "\xf0\x9f\xa6\x80"
};

START_TEST(hundred_characters_of_any_kind_are_looked_for)
{
	char name[100 * 4 + 1] = "", path[32 + 100 * 12] = "";
	size_t len = strlen(characters[_i]), i;
	char *end;

	for (i = 0; i < 100; i++)
		memcpy(name + i * len, characters[_i], len);
	end = stpcpy(path, "/api/admin/users?limit=200&q=");
	for (i = 0; i < 100 * len; i++)
		end += sprintf(end, "%%%02X", (unsigned char)name[i]);
	harness_sql(stack.owner_url,
		    "INSERT INTO users (email, name) "
		    "VALUES ('found@example.org', 'a' || repeat('%s', 100))",
		    characters[_i]);
	stack_workers(2);
	ck_assert_str_eq(tree_string(product_data(stack_get(path, product.root,
							    NULL),
						  "data"),
				     "0.email"),
			 "found@example.org");
	assert_cache(stack_get(path, product.root, NULL), "HIT", NULL);
	end = stpcpy(end, "x");
	assert_status(stack_get(path, product.root, NULL), 400);
}
END_TEST

START_TEST(list_of_users_is_paged_and_searched)
{
	json_t *page;

	harness_sql(stack.owner_url,
		    "INSERT INTO users (email, name) SELECT 'u' || i || "
		    "'@many.example', 'Under_score %% ' || i "
		    "FROM generate_series(1, 120) AS i");
	stack_workers(1);
	page = product_data(stack_get("/api/admin/users", product.root, NULL),
			    "");
	ck_assert_uint_eq(tree_count(page, "data"), 50);
	ck_assert_int_eq(tree_int(page, "total"), 123);
	ck_assert_int_eq(tree_int(page, "limit"), 50);
	page = product_data(stack_get("/api/admin/users?limit=100&offset=100",
				      product.root, NULL),
			    "");
	ck_assert_uint_eq(tree_count(page, "data"), 23);
	ck_assert_int_eq(tree_int(page, "offset"), 100);
	page = product_data(stack_get("/api/admin/users?q=U7%40MANY",
				      product.root, NULL),
			    "");
	ck_assert_int_eq(tree_int(page, "total"), 1);
	ck_assert_str_eq(tree_string(page, "data.0.email"), "u7@many.example");
	/* Nothing in it is a pattern. */
	page = product_data(stack_get("/api/admin/users?q=_%25", product.root,
				      NULL),
			    "");
	ck_assert_int_eq(tree_int(page, "total"), 0);
	ck_assert_uint_eq(tree_count(page, "data"), 0);
}
END_TEST

START_TEST(money_keeps_every_digit)
{
	const struct http_response *r;

	stack_workers(1);
	/* 20 times 0.1, and 1 to 20 of the tenth decimal. */
	r = stack_get("/api/usage/costs", product.anna, NULL);
	assert_status(r, 200);
	ck_assert_msg(strstr(r->body, "2.0000000210") != NULL, "%s", r->body);
	ck_assert_int_eq(tree_int(product_data(r, "data"), "totals.requests"),
			 20);
}
END_TEST

/* What PostgreSQL's log has of the workers' statements with this text in them; and how many
 * connections sent them. */
static unsigned
statements(const char *text, unsigned *connections)
{
	char *log = scratch_read(process_output(stack.postgres->process));
	char *rest = log, *line, *at;
	long seen[64], pid;
	unsigned n = 0, n_seen = 0, i;

	while ((line = strsep(&rest, "\n")) != NULL) {
		if (strstr(line, "execute") == NULL ||
		    strstr(line, text) == NULL ||
		    (at = strchr(line, '[')) == NULL)
			continue;
		pid = strtol(at + 1, NULL, 10);
		for (i = 0; i < n_seen && seen[i] != pid; i++)
			;
		if (i == n_seen && n_seen < 64)
			seen[n_seen++] = pid;
		n++;
	}
	*connections = n_seen;
	return (n);
}

static void
log_statements(void)
{
	harness_sql(stack.owner_url,
		    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET "
		    "log_statement = ''all''', current_database()); END $$");
	harness_sql_close(stack.owner_url);
}

START_TEST(all_servers_take_one_statement)
{
	unsigned before, connections, servers;
	json_t *data;

	harness_env_set(stack.env, "SERVERS_CACHE_TTL_MS", "0");
	log_statements();
	stack_workers(1);
	for (servers = 20; servers <= 220; servers += 200) {
		before = statements("FROM servers s", &connections);
		data = product_data(stack_get("/api/servers/status",
					      product.anna, NULL),
				    "data");
		ck_assert_uint_eq(json_array_size(data), servers);
		ck_assert_uint_eq(tree_count(data, "0.models"), 20);
		ck_assert_uint_eq(statements("FROM servers s", &connections),
				  before + 1);
		harness_sql(
			stack.owner_url,
			"INSERT INTO servers (owner_id, name) SELECT id, "
			"'more-%u-' || i FROM users, generate_series(1, 200) "
			"AS i WHERE email = 'anna@example.org'",
			servers);
	}
}
END_TEST

START_TEST(queries_of_analytics_have_a_connection_each)
{
	unsigned connections, n;
	json_t *data;

	/* Enough for the worker's own threads besides. */
	harness_env_set(stack.env, "DATABASE_POOL_SIZE", "16");
	log_statements();
	stack_workers(1);
	data = product_data(stack_get("/api/analytics/data?range=7d",
				      product.anna, NULL),
			    "data");
	ck_assert_int_eq(tree_int(data, "totals.requests"), 20);
	ck_assert_int_eq(tree_int(data, "before.requests"), 0);
	ck_assert_uint_eq(tree_count(data, "models"), 10);
	ck_assert_int_eq(tree_int(data, "outcomes.ok"), 20);
	ck_assert_int_eq(tree_int(data, "latency.p50"), 10);
	n = statements("FROM usage_events e", &connections);
	ck_assert_uint_eq(n, json_object_size(data));
	ck_assert_uint_eq(connections, n);
}
END_TEST

START_TEST(few_connections_are_enough_for_analytics)
{
	const struct http_response *r;

	harness_env_set(stack.env, "DATABASE_POOL_SIZE", "1");
	stack_workers(1);
	r = stack_get("/api/analytics/data?range=7d", product.anna, NULL);
	ck_assert_int_eq(tree_int(product_data(r, "data"), "totals.requests"),
			 20);
}
END_TEST

Suite *
suite_endpoints(void)
{
	Suite *s = suite_create("endpoints");
	TCase *t = tcase_create("endpoints");
	int n = LENGTH(endpoints);

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, begin, stack_end);
	tcase_add_loop_test(t, second_read_is_a_hit_with_the_same_bytes, 0, n);
	tcase_add_loop_test(t, known_etag_is_a_304_and_head_has_no_body, 0, n);
	tcase_add_loop_test(t, gzip_is_sent_to_those_who_take_it, 0, n);
	tcase_add_loop_test(t, stranger_is_a_401_and_only_admins_are_admins, 0,
			    n);
	tcase_add_loop_test(t, other_method_is_a_405_that_names_the_right_ones,
			    0, n);
	tcase_add_loop_test(t, second_user_never_sees_the_first_ones_data, 0,
			    n);
	tcase_add_loop_test(t, ttl_of_zero_is_a_bypass, 0, n);
	tcase_add_loop_test(t, ttl_of_the_environment_is_kept_to, 0, n);
	tcase_add_loop_test(t,
			    bad_parameter_is_a_400_that_says_what_is_accepted,
			    0, LENGTH(refused));
	tcase_add_test(t, equal_questions_share_one_entry);
	tcase_add_test(t, costs_of_today_are_those_of_the_day_that_is_named);
	tcase_add_loop_test(t, hundred_characters_of_any_kind_are_looked_for, 0,
			    LENGTH(characters));
	tcase_add_test(t, list_of_users_is_paged_and_searched);
	tcase_add_test(t, money_keeps_every_digit);
	tcase_add_test(t, all_servers_take_one_statement);
	tcase_add_test(t, queries_of_analytics_have_a_connection_each);
	tcase_add_test(t, few_connections_are_enough_for_analytics);
	suite_add_tcase(s, t);
	return (s);
}
