/* SPDX-License-Identifier: MIT */
/*
 * What changes the product's data, by a request or by SQL, and what readers then see.
 */
#include "product.h"

#include <string.h>

Suite *suite_mutations(void);

#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define JSON "Content-Type: application/json"

static struct product product;

static void
begin(void)
{
	stack_begin();
	product = product_new();
}

static struct http_response *
change(const char *method, const char *path, const char *body,
       const char *login)
{
	return (stack_request(method, path, body, login, JSON, NULL));
}

/* By Anna, of what is Anna's; %s in the path is her server, or in /api/admin herself. */
static const struct {
	const char *method, *path, *body, *read, *shows;
	bool admin;
	int status;
} changes[] = {
	{ "PATCH", "/api/user/data", "{\"name\":\"Anna \\u00e4\"}",
	  "/api/user/data", "Anna \xc3\xa4", false, 200 },
	{ "PATCH", "/api/user/data", "{\"preferences\":{\"theme\":\"dim\"}}",
	  "/api/user/data", "\"theme\": \"dim\"", false, 200 },
	{ "PATCH", "/api/user/data", "{\"name\":\"renamed\"}",
	  "/api/admin/users", "renamed", true, 200 },
	{ "PATCH", "/api/admin/users/%s",
	  "{\"subscription\":{\"plan\":\"team\"},\"credits\":1.000001}",
	  "/api/user/data", "1.000001", true, 200 },
	{ "POST", "/api/admin/users", "{\"email\":\"new@example.org\"}",
	  "/api/admin/users", "new@example.org", true, 201 },
	{ "POST", "/api/usage",
	  "{\"model\":\"a/new\",\"cost\":123.0000000001,\"input_tokens\":7}",
	  "/api/usage/costs?group_by=model", "123.0000000001", false, 201 },
	{ "PATCH", "/api/servers/%s", "{\"state\":\"draining\",\"load\":0.25}",
	  "/api/servers/status", "draining", false, 200 },
};

static const char *
reader(const char *path)
{
	return (strstr(path, "admin") != NULL ? product.root : product.anna);
}

/* Of any worker: with three of them, six reads are two of each. */
static void
assert_reads(const char *path, const char *mark, bool shown)
{
	const struct http_response *r;

	for (int n = 0; n < 6; n++) {
		r = stack_get(path, reader(path), NULL);
		assert_status(r, 200);
		ck_assert_msg((strstr(r->body, mark) != NULL) == shown,
			      "read %d: %s", n, stack_describe(r));
	}
}

START_TEST(read_after_a_change_shows_it)
{
	const char *path, *read = changes[_i].read, *mark = changes[_i].shows;

	harness_env_set(stack.env, "NEAR_CACHE", "off");
	stack_workers(3);
	assert_reads(read, mark, false);
	path = strstr(changes[_i].path, "%s") == NULL ? changes[_i].path
	       : changes[_i].admin
		       ? scratch_printf("/api/admin/users/%s",
					product_id("anna@example.org"))
		       : scratch_printf("/api/servers/%s",
					product_server("anna@example.org"));
	assert_status(change(changes[_i].method, path, changes[_i].body,
			     reader(path)),
		      changes[_i].status);
	assert_reads(read, mark, true);
}
END_TEST

/* Redis must have been told before the answer. */
START_TEST(change_waits_for_a_slow_log)
{
	const struct http_response *r;

	harness_env_set(stack.env, "NEAR_CACHE", "off");
	stack_workers(3);
	assert_reads("/api/user/data", "renamed", false);
	stack_slow_log(800);
	r = change("PATCH", "/api/user/data", "{\"name\":\"renamed\"}",
		   product.anna);
	assert_status(r, 200);
	ck_assert_double_ge(r->ms, 800);
	assert_reads("/api/user/data", "renamed", true);
}
END_TEST

static const struct {
	const char *method, *path, *body, *detail;
	int status;
	bool admin;
} refused[] = {
	{ "PATCH", "/api/user/data", "{}", "expected at least one field", 400,
	  false },
	{ "PATCH", "/api/user/data", "{\"name\":null}",
	  "name: expected a string", 400, false },
	{ "PATCH", "/api/user/data", "{\"profile\":null}",
	  "profile: expected a JSON object", 400, false },
	{ "PATCH", "/api/user/data", "{\"credits\":100}",
	  "unknown field \\\"credits\\\"", 400, false },
	{ "PATCH", "/api/user/data", "{\"subscription\":{}}", "unknown field",
	  400, false },
	{ "PATCH", "/api/user/data", "{\"role\":\"admin\"}", "unknown field",
	  400, false },
	{ "PATCH", "/api/user/data", "{\"profile\":{\"a\":\"\\u0000\"}}",
	  "profile", 400, false },
	{ "POST", "/api/admin/users", "{\"email\":\"x@y.org\"}", "admin", 403,
	  false },
	{ "POST", "/api/admin/users", "{}", "email: missing", 400, true },
	{ "POST", "/api/admin/users", "{\"email\":\"anna\"}",
	  "email: expected an e-mail address", 400, true },
	{ "POST", "/api/admin/users", "{\"email\":\"ANNA@example.org\"}",
	  "email: there is a user with that address", 409, true },
	{ "POST", "/api/admin/users",
	  "{\"email\":\"x@y.org\",\"role\":\"root\"}",
	  "role: expected one of: user admin", 400, true },
	{ "PATCH", "/api/admin/users/7", "{\"name\":\"x\"}",
	  "id: expected a UUID", 400, true },
	{ "PATCH", "/api/admin/users/00000000-0000-4000-8000-000000000000",
	  "{\"name\":\"x\"}", "there is no such user", 404, true },
	{ "DELETE", "/api/admin/users/00000000-0000-4000-8000-000000000000",
	  NULL, "there is no such user", 404, true },
	{ "POST", "/api/usage", "{\"cost\":1}", "model: missing", 400, false },
	{ "POST", "/api/usage", "{\"model\":\"m\",\"cost\":-1}",
	  "cost: expected a number", 400, false },
	{ "POST", "/api/usage", "{\"model\":\"m\",\"cost\":\"1\"}",
	  "cost: expected a number", 400, false },
	{ "POST", "/api/usage", "{\"model\":\"m\",\"input_tokens\":2147483648}",
	  "input_tokens: expected a whole number", 400, false },
	{ "POST", "/api/usage", "{\"model\":\"m\",\"outcome\":\"fine\"}",
	  "outcome: expected one of", 400, false },
	{ "PATCH", "/api/servers/x", "{\"load\":0}", "id: expected a UUID", 400,
	  false },
};

START_TEST(bad_change_is_refused_with_its_reason)
{
	const char *tables =
		"SELECT md5(string_agg(t, '')) FROM (SELECT u::text AS t FROM users u "
		"UNION ALL SELECT e::text FROM usage_events e "
		"UNION ALL SELECT s::text FROM servers s ORDER BY 1) AS all_rows";
	const char *before = harness_sql(stack.owner_url, "%s", tables);
	const struct http_response *r;

	stack_workers(1);
	r = change(refused[_i].method, refused[_i].path, refused[_i].body,
		   refused[_i].admin ? product.root : product.anna);
	assert_status(r, refused[_i].status);
	ck_assert_str_eq(http_header(r, "Content-Type"),
			 "application/problem+json");
	ck_assert_msg(strstr(r->body, refused[_i].detail) != NULL, "%s",
		      r->body);
	ck_assert_str_eq(harness_sql(stack.owner_url, "%s", tables), before);
}
END_TEST

START_TEST(what_is_another_users_is_a_404)
{
	const char *server = product_server("ben@example.org");

	stack_workers(1);
	assert_status(change("PATCH", scratch_printf("/api/servers/%s", server),
			     "{\"state\":\"down\"}", product.anna),
		      404);
	assert_status(
		change("POST", "/api/usage",
		       scratch_printf("{\"model\":\"m\",\"server_id\":\"%s\"}",
				      server),
		       product.anna),
		404);
	assert_status(
		change("POST", "/api/usage",
		       scratch_printf("{\"model\":\"m\",\"server_id\":\"%s\"}",
				      server),
		       product.ben),
		201);
}
END_TEST

static const char *const collisions[] = { "40001", "40P01" };

START_TEST(change_that_collides_with_another_may_be_tried_again)
{
	const char *body = "{\"email\":\"new@example.org\"}";
	const struct http_response *r;

	stack_workers(1);
	harness_sql(stack.owner_url,
		    "CREATE FUNCTION collide() RETURNS trigger "
		    "LANGUAGE plpgsql AS $$BEGIN RAISE SQLSTATE '%s'; END$$; "
		    "CREATE TRIGGER collide BEFORE INSERT ON users "
		    "FOR EACH ROW EXECUTE FUNCTION collide()",
		    collisions[_i]);
	r = change("POST", "/api/admin/users", body, product.root);
	assert_status(r, 503);
	stack_assert_refusal(r);
	harness_sql(stack.owner_url, "DROP TRIGGER collide ON users");
	assert_status(change("POST", "/api/admin/users", body, product.root),
		      201);
}
END_TEST

START_TEST(objects_are_merged_member_by_member)
{
	const struct http_response *r;
	json_t *data;

	stack_workers(1);
	assert_status(change("PATCH", "/api/user/data",
			     "{\"preferences\":{\"a\":{\"x\":1,\"y\":2},"
			     "\"b\":3}}",
			     product.anna),
		      200);
	r = change("PATCH", "/api/user/data",
		   "{\"preferences\":{\"a\":{\"x\":null,\"z\":4}}}",
		   product.anna);
	data = product_data(r, "data.preferences");
	ck_assert_uint_eq(json_object_size(data), 2);
	ck_assert_uint_eq(tree_count(data, "a"), 2);
	ck_assert_int_eq(tree_int(data, "a.y"), 2);
	ck_assert_int_eq(tree_int(data, "a.z"), 4);
	ck_assert_int_eq(tree_int(data, "b"), 3);
}
END_TEST

/* RFC 7396, appendix A; then what it says nothing of. */
static const struct {
	const char *target, *patch, *result;
} merges[] = {
	{ "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
	{ "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}" },
	{ "{\"a\":\"b\"}", "{\"a\":null}", "{}" },
	{ "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}" },
	{ "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
	{ "{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}" },
	{ "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
	  "{\"a\":{\"b\":\"d\"}}" },
	{ "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}" },
	{ "[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]" },
	{ "{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]" },
	{ "{\"a\":\"foo\"}", "null", "null" },
	{ "{\"a\":\"foo\"}", "\"bar\"", "\"bar\"" },
	{ "{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}" },
	{ "[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}" },
	{ "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}" },
	{ "{\"a\":1}", "{}", "{\"a\":1}" },
	{ "{}", "{}", "{}" },
	{ "{\"\":1,\"\u00e4\":2}", "{\"\":null,\"\u00e4\":3}",
	  "{\"\u00e4\":3}" },
};

START_TEST(merging_is_that_of_rfc_7396)
{
	ck_assert_str_eq(harness_sql(stack.owner_url,
				     "SELECT json_merge_patch('%s', '%s') "
				     "= '%s'::jsonb",
				     merges[_i].target, merges[_i].patch,
				     merges[_i].result),
			 "t");
}
END_TEST

/* Too many in the end, which takes no longer to see than that of few. */
START_TEST(sixty_thousand_members_are_refused_within_seconds)
{
	char *body = scratch_alloc(1048576), *at = body;
	const struct http_response *r;

	stack_workers(1);
	at = stpcpy(at, "{\"profile\":{");
	for (int i = 0; i < 60000; i++)
		at += sprintf(at, "%s\"k%d\":%d", i > 0 ? "," : "", i, i % 9);
	stpcpy(at, "}}");
	r = change("PATCH", "/api/user/data", body, product.anna);
	assert_status(r, 400);
	ck_assert_ptr_nonnull(strstr(r->body, "at most 64 KiB"));
	ck_assert_double_lt(r->ms, harness_limit_ms(2000));
}
END_TEST

START_TEST(deleted_user_is_gone_with_key_and_all)
{
	const char *id = product_id("anna@example.org");
	const char *path = scratch_printf("/api/admin/users/%s", id);

	stack_workers(1);
	assert_status(stack_get("/api/user/data", product.anna, NULL), 200);
	assert_status(change("DELETE", path, NULL, product.root), 200);
	assert_status(stack_get("/api/user/data", product.anna, NULL), 401);
	ck_assert_ptr_null(
		strstr(stack_get("/api/admin/users", product.root, NULL)->body,
		       "anna"));
	/* Not oneself, so that an admin is left. */
	assert_status(change("DELETE",
			     scratch_printf("/api/admin/users/%s",
					    product_id("root@example.org")),
			     NULL, product.root),
		      404);
}
END_TEST

/* Their key is known until the log has told of it; here it never does. */
START_TEST(caller_who_was_deleted_a_moment_before_is_told_so)
{
	const struct http_response *model, *use;

	stack_workers(1);
	assert_status(stack_get("/api/user/data", product.anna, NULL), 200);
	harness_sql(stack.owner_url,
		    "ALTER TABLE users DISABLE TRIGGER USER; "
		    "ALTER TABLE api_keys DISABLE TRIGGER USER; "
		    "DELETE FROM users WHERE email = 'anna@example.org'");
	model = change("POST", "/api/models",
		       "{\"model_id\":\"new\",\"name\":\"N\"}", product.anna);
	assert_status(model, 404);
	ck_assert_ptr_nonnull(
		strstr(model->body, "\"you are no user any more\""));
	use = change("POST", "/api/usage", "{\"model\":\"m\"}", product.anna);
	assert_status(use, 404);
	ck_assert_ptr_nonnull(strstr(use->body, "are no user any more"));
}
END_TEST

START_TEST(role_counts_at_once)
{
	const char *path = scratch_printf("/api/admin/users/%s",
					  product_id("anna@example.org"));

	stack_workers(1);
	assert_status(stack_get("/api/admin/users", product.anna, NULL), 403);
	assert_status(change("PATCH", path, "{\"role\":\"admin\"}",
			     product.root),
		      200);
	assert_status(stack_get("/api/admin/users", product.anna, NULL), 200);
	assert_status(change("PATCH", path, "{\"role\":\"user\"}",
			     product.root),
		      200);
	assert_status(stack_get("/api/admin/users", product.anna, NULL), 403);
}
END_TEST

/* SQL that others run. */

static const struct {
	const char *sql, *read, *shows;
} statements[] = {
	{ "UPDATE users SET credits = 77.5 WHERE name = 'anna'",
	  "/api/user/data", "77.5" },
	{ "UPDATE users SET profile = '{\"bio\":\"short\"}'", "/api/user/data",
	  "short" },
	{ "INSERT INTO usage_events (user_id, model) SELECT id, 'sql/new' "
	  "FROM users WHERE name = 'anna'",
	  "/api/usage/costs?group_by=model", "sql/new" },
	{ "DELETE FROM usage_events", "/api/usage/costs?group_by=model",
	  "\"series\" : []" },
	{ "TRUNCATE usage_events", "/api/usage/costs?group_by=model",
	  "\"series\" : []" },
	{ "UPDATE servers SET name = 'other-' || name", "/api/servers/status",
	  "other-anna-1" },
	{ "DELETE FROM server_models", "/api/servers/status",
	  "\"models\" : []" },
	{ "UPDATE models SET name = 'fresh ' || name", "/api/servers/status",
	  "fresh Model" },
	{ "DELETE FROM servers", "/api/servers/status", "\"data\" : []" },
};

START_TEST(sql_that_others_run_shows_within_moments)
{
	const char *path = statements[_i].read;

	stack_workers(1);
	assert_status(stack_get(path, product.anna, NULL), 200);
	assert_cache(stack_get(path, product.anna, NULL), "HIT", NULL);
	harness_sql(stack.owner_url, "%s", statements[_i].sql);
	wait_until(strstr(stack_get(path, product.anna, NULL)->body,
			  statements[_i].shows) != NULL,
		   2000);
}
END_TEST

static const char *
records_of(const char *sql)
{
	const char *last = harness_sql(
		stack.owner_url,
		"SELECT coalesce(max(id), 0) FROM cache_invalidations");

	harness_sql(stack.owner_url, "%s", sql);
	return (harness_sql(stack.owner_url,
			    "SELECT string_agg(scope, ' ' ORDER BY scope) "
			    "FROM cache_invalidations WHERE id > %s",
			    last));
}

START_TEST(records_are_as_few_as_can_be)
{
	const char *anna = product_id("anna@example.org");

	ck_assert_str_eq(
		records_of("UPDATE users SET name = 'x' WHERE name = 'anna'"),
		scratch_printf("admin:users:* user:@%s:*", anna));
	/* Nothing that anybody sees. */
	ck_assert_str_eq(records_of("UPDATE users SET name = name, "
				    "updated_at = now()"),
			 "");
	ck_assert_str_eq(records_of("UPDATE users SET name = 'y' WHERE false"),
			 "");
	ck_assert_str_eq(records_of("BEGIN; UPDATE users SET name = 'y'; "
				    "ROLLBACK"),
			 "");
	ck_assert_str_eq(records_of("INSERT INTO usage_events (user_id, model) "
				    "SELECT id, 'm' FROM users, "
				    "generate_series(1, 500) "
				    "WHERE email = 'anna@example.org'"),
			 scratch_printf("usage:@%s:*", anna));
	ck_assert_str_eq(records_of("INSERT INTO users (email) SELECT i || "
				    "'@many.example' "
				    "FROM generate_series(1, 1000) AS i"),
			 "admin:users:*");
	ck_assert_str_eq(records_of("UPDATE users SET credits = 1"),
			 "admin:users:* user:*");
	ck_assert_str_eq(records_of("UPDATE users SET role = 'admin'"),
			 "admin:users:* auth:* user:*");
	ck_assert_str_eq(records_of("INSERT INTO usage_events (user_id, model) "
				    "SELECT id, 'm' FROM users"),
			 "usage:*");
}
END_TEST

Suite *
suite_mutations(void)
{
	Suite *s = suite_create("mutations");
	TCase *t = tcase_create("mutations");

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, begin, stack_end);
	tcase_add_loop_test(t, read_after_a_change_shows_it, 0,
			    LENGTH(changes));
	tcase_add_test(t, change_waits_for_a_slow_log);
	tcase_add_loop_test(t, bad_change_is_refused_with_its_reason, 0,
			    LENGTH(refused));
	tcase_add_test(t, what_is_another_users_is_a_404);
	tcase_add_loop_test(
		t, change_that_collides_with_another_may_be_tried_again, 0,
		LENGTH(collisions));
	tcase_add_test(t, objects_are_merged_member_by_member);
	tcase_add_loop_test(t, merging_is_that_of_rfc_7396, 0, LENGTH(merges));
	tcase_add_test(t, sixty_thousand_members_are_refused_within_seconds);
	tcase_add_test(t, deleted_user_is_gone_with_key_and_all);
	tcase_add_test(t, caller_who_was_deleted_a_moment_before_is_told_so);
	tcase_add_test(t, role_counts_at_once);
	tcase_add_loop_test(t, sql_that_others_run_shows_within_moments, 0,
			    LENGTH(statements));
	tcase_add_test(t, records_are_as_few_as_can_be);
	suite_add_tcase(s, t);
	return (s);
}
