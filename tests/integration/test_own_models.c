/* SPDX-License-Identifier: MIT */
/*
 * Users' own models, and the API keys that guard them, over nginx.
 */
#include "../harness/harness.h"

#include <string.h>

Suite *suite_own_models(void);

#define MINE "/api/models?owner=me"
#define JSON "Content-Type: application/json"

#define SUPPORT                                                              \
	"{\"model_id\":\"acme/support-7b:free\",\"name\":\"Support \\u2014 " \
	"7B\",\"description\":\"It's \\\"ours\\\"; DROP TABLE models;--\","  \
	"\"context_length\":8192,\"pricing\":{\"prompt\":\"0.0000002\"}}"
#define SMALL "{\"model_id\":\"acme/small\",\"name\":\"Small\"}"

static json_t *
tree_of(const struct http_response *r)
{
	return (tree_parse(r->body, r->body_len));
}

static const char *
create(const char *login, const char *body)
{
	const struct http_response *r =
		stack_request("POST", "/api/models", body, login, JSON, NULL);
	const char *id;

	assert_status(r, 201);
	id = tree_string(tree_of(r), "data.id");
	ck_assert_uint_eq(strlen(id), 36);
	return (id);
}

static size_t
count_of(const char *login)
{
	const struct http_response *r = stack_get(MINE, login, NULL);

	assert_status(r, 200);
	return (tree_count(tree_of(r), "data"));
}

START_TEST(own_models_are_cached_for_their_owner_alone)
{
	const char *anna = stack_login("anna@example.org", "user");
	const char *ben = stack_login("ben@example.org", "user");
	const struct http_response *r;

	stack_workers(2);
	create(anna, SUPPORT);
	r = stack_get(MINE, anna, NULL);
	assert_status(r, 200);
	ck_assert_str_eq(tree_string(tree_of(r), "data.0.model_id"),
			 "acme/support-7b:free");
	ck_assert_str_eq(http_header(r, "Cache-Control"), "private, no-cache");
	wait_until(strcmp(http_header(stack_get(MINE, anna, NULL), "X-Cache"),
			  "HIT") == 0,
		   5000);
	ck_assert_uint_eq(count_of(ben), 0);
	ck_assert_uint_eq(count_of(anna), 1);
}
END_TEST

START_TEST(model_keeps_every_field)
{
	const char *anna = stack_login("anna@example.org", "user");
	json_t *tree;

	stack_workers(1);
	create(anna, SUPPORT);
	tree = tree_of(stack_get(MINE, anna, NULL));
	ck_assert_str_eq(tree_string(tree, "data.0.name"), "Support — 7B");
	ck_assert_str_eq(tree_string(tree, "data.0.description"),
			 "It's \"ours\"; DROP TABLE models;--");
	ck_assert_int_eq(tree_int(tree, "data.0.context_length"), 8192);
	ck_assert_str_eq(tree_string(tree, "data.0.pricing.prompt"),
			 "0.0000002");
}
END_TEST

START_TEST(mutation_shows_in_the_next_read_through_any_worker)
{
	const char *anna = stack_login("anna@example.org", "user");
	const struct http_response *r;
	const char *id, *path;

	harness_env_set(stack.env, "NEAR_CACHE", "off");
	stack_workers(4);
	ck_assert_uint_eq(count_of(anna), 0);
	id = create(anna, SUPPORT);
	path = scratch_printf("/api/models/%s", id);
	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(count_of(anna), 1);
	assert_status(stack_request("PUT", path, SMALL, anna, JSON, NULL), 200);
	for (int i = 0; i < 8; i++) {
		r = stack_get(MINE, anna, NULL);
		ck_assert_str_eq(tree_string(tree_of(r), "data.0.model_id"),
				 "acme/small");
		ck_assert_str_eq(tree_string(tree_of(r), "data.0.description"),
				 "");
	}
	r = stack_request("DELETE", path, NULL, anna, NULL);
	ck_assert_msg(r->status == 200 || r->status == 204, "%s",
		      stack_describe(r));
	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(count_of(anna), 0);
	assert_status(stack_request("DELETE", path, NULL, anna, NULL), 404);
}
END_TEST

START_TEST(near_caches_of_other_workers_follow_a_mutation)
{
	const char *anna = stack_login("anna@example.org", "user");

	stack_workers(4);
	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(count_of(anna), 0);
	create(anna, SUPPORT);
	wait_until(count_of(anna) == 1 && count_of(anna) == 1 &&
			   count_of(anna) == 1 && count_of(anna) == 1,
		   2000);
}
END_TEST

START_TEST(only_owner_and_admin_may_change_a_model)
{
	const char *anna = stack_login("anna@example.org", "user");
	const char *ben = stack_login("ben@example.org", "user");
	const char *root = stack_login("root@example.org", "admin");
	const char *path;
	const struct http_response *r;

	stack_workers(1);
	path = scratch_printf("/api/models/%s", create(anna, SUPPORT));
	/* Whether it exists is none of his business. */
	assert_status(stack_request("PUT", path, SMALL, ben, JSON, NULL), 404);
	assert_status(stack_request("DELETE", path, NULL, ben, NULL), 404);
	ck_assert_uint_eq(count_of(anna), 1);
	assert_status(stack_request("PUT", path, SMALL, root, JSON, NULL), 200);
	wait_until(strstr(stack_get(MINE, anna, NULL)->body, "acme/small"),
		   2000);
	r = stack_request("DELETE", path, NULL, root, NULL);
	ck_assert_msg(r->status == 200 || r->status == 204, "%s",
		      stack_describe(r));
	wait_until(count_of(anna) == 0, 2000);
}
END_TEST

static const struct {
	const char *body, *type;
	int status;
} bodies[] = {
	{ "", JSON, 400 },
	{ "{", JSON, 400 },
	{ "[]", JSON, 400 },
	{ "null", JSON, 400 },
	{ "{\"name\":\"no id\"}", JSON, 400 },
	{ "{\"model_id\":\"a/b\"}", JSON, 400 },
	{ "{\"model_id\":7,\"name\":\"x\"}", JSON, 400 },
	{ "{\"model_id\":\"a/b\",\"name\":\"\"}", JSON, 400 },
	{ "{\"model_id\":\" a b\",\"name\":\"x\"}", JSON, 400 },
	{ "{\"model_id\":\"a/b\",\"name\":\"x\",\"extra\":1}", JSON, 400 },
	{ "{\"model_id\":\"a/b\",\"model_id\":\"c/d\",\"name\":\"x\"}", JSON,
	  400 },
	{ "{\"model_id\":\"a/b\",\"name\":\"x\",\"context_length\":-1}", JSON,
	  400 },
	{ "{\"model_id\":\"a/b\",\"name\":\"x\",\"context_length\":1.5}", JSON,
	  400 },
	{ "{\"model_id\":\"a/b\",\"name\":\"x\",\"context_length\":1e99}", JSON,
	  400 },
	{ "{\"model_id\":\"a/b\",\"name\":\"x\",\"pricing\":[]}", JSON, 400 },
	{ "{\"model_id\":\"a/b\",\"name\":\"\\u0000\"}", JSON, 400 },
	{ "{\"model_id\":\"a/b\",\"name\":\"\\ud800\"}", JSON, 400 },
	{ "{\"model_id\":\"a/b\",\"name\":\"\xff\"}", JSON, 400 },
	{ "{\"model_id\":\"a/b\",\"name\":\"x\"} x", JSON, 400 },
	{ SMALL, "Content-Type: text/plain", 415 },
	{ SMALL, "Content-Type: application/x-www-form-urlencoded", 415 },
};

START_TEST(bad_body_is_refused)
{
	const char *anna = stack_login("anna@example.org", "user");
	const struct http_response *r;

	stack_workers(1);
	r = stack_request("POST", "/api/models", bodies[_i].body, anna,
			  bodies[_i].type, NULL);
	assert_status(r, bodies[_i].status);
	ck_assert_str_eq(http_header(r, "Content-Type"),
			 "application/problem+json");
	ck_assert_uint_eq(count_of(anna), 0);
}
END_TEST

START_TEST(body_over_the_limit_is_a_413)
{
	const char *anna = stack_login("anna@example.org", "user");
	char *body = scratch_alloc(70001);

	harness_env_set(stack.env, "REQUEST_MAX_BYTES", "65536");
	stack_workers(1);
	memset(body, ' ', 70000);
	memcpy(body, SMALL, strlen(SMALL));
	assert_status(stack_request("POST", "/api/models", body, anna, JSON,
				    NULL),
		      413);
	body[60000] = '\0';
	assert_status(stack_request("POST", "/api/models", body, anna, JSON,
				    NULL),
		      201);
}
END_TEST

START_TEST(second_model_of_a_name_is_a_conflict)
{
	const char *anna = stack_login("anna@example.org", "user");
	const char *ben = stack_login("ben@example.org", "user");

	stack_workers(1);
	create(anna, SMALL);
	assert_status(stack_request("POST", "/api/models", SMALL, anna, JSON,
				    NULL),
		      409);
	create(ben, SMALL);
}
END_TEST

/* Keys. */

static const char *const strangers[] = {
	"Authorization: Bearer ",
	"Authorization: Bearer nonsense",
	"Authorization: Basic dXNlcjpwYXNz",
	("Authorization: Bearer wf_0123456789abcdef_"
	 "0000000000000000000000000000000000000000000000000000000000000000"),
	"X-API-Key: wf_x",
	"X-API-Key: ' OR 1=1 --",
};

START_TEST(stranger_is_a_401)
{
	const struct http_response *r;

	stack_workers(1);
	r = stack_get(MINE, strangers[_i], NULL);
	assert_status(r, 401);
	ck_assert_ptr_nonnull(http_header(r, "WWW-Authenticate"));
	assert_status(stack_request("POST", "/api/admin/sync-models", NULL,
				    strangers[_i], NULL),
		      401);
}
END_TEST

START_TEST(key_is_good_in_either_header)
{
	const char *login = stack_login("anna@example.org", "user");

	stack_workers(1);
	assert_status(stack_get(MINE, login, NULL), 200);
	assert_status(stack_get(MINE,
				scratch_printf("X-API-Key: %s",
					       login + strlen("Authorization: "
							      "Bearer ")),
				NULL),
		      200);
}
END_TEST

START_TEST(key_with_a_wrong_secret_is_a_401_even_when_its_id_is_cached)
{
	char *login =
		scratch_printf("%s", stack_login("anna@example.org", "user"));
	size_t last = strlen(login) - 1;

	stack_workers(1);
	assert_status(stack_get(MINE, login, NULL), 200);
	login[last] = login[last] == '0' ? '1' : '0';
	assert_status(stack_get(MINE, login, NULL), 401);
}
END_TEST

START_TEST(load_has_as_long_as_statements_have)
{
	const char *anna = stack_login("anna@example.org", "user");
	const struct http_response *r;

	harness_env_set(stack.env, "DATABASE_TIMEOUT_MS", "500");
	harness_sql(stack.owner_url,
		    "INSERT INTO models (owner_id, model_id, name) "
		    "SELECT id, 'm', 'm' FROM users; "
		    "CREATE FUNCTION nap() RETURNS boolean LANGUAGE plpgsql "
		    "AS $$BEGIN PERFORM pg_sleep(10); RETURN true; END$$; "
		    "CREATE POLICY nap ON models AS RESTRICTIVE FOR SELECT "
		    "TO warmfront_worker USING (nap())");
	stack_workers(1);
	r = stack_get(MINE, anna, NULL);
	assert_status(r, 504);
	ck_assert_msg(r->ms < harness_limit_ms(3000), "%.0f ms", r->ms);
}
END_TEST

START_TEST(user_is_not_an_admin)
{
	const char *anna = stack_login("anna@example.org", "user");
	const struct http_response *r;

	stack_workers(1);
	r = stack_request("POST", "/api/admin/sync-models", NULL, anna, NULL);
	assert_status(r, 403);
	ck_assert_uint_eq(stack_upstream_count("/"), 0);
}
END_TEST

#define WORKERS 4

static int
status_of(const struct harness_worker *w, const char *login)
{
	return (fcgi_get(w->address, MINE, login, NULL)->status);
}

START_TEST(revoked_key_is_refused_by_all_workers_within_moments)
{
	const char *login = stack_login("anna@example.org", "user");
	const char *id =
		scratch_copy(login + strlen("Authorization: Bearer wf_"), 16);
	struct harness_env *env = harness_env_copy(stack.env);
	struct harness_worker *workers[WORKERS];
	struct process_result r;

	/* Each knows the key by heart. */
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = harness_worker_new(
			&(struct harness_worker_options){ .env = stack.env });
		for (unsigned n = 0; n < 3; n++)
			ck_assert_int_eq(status_of(workers[i], login), 200);
	}
	harness_env_set(env, "DATABASE_URL", "%s", stack.owner_url);
	r = harness_warmfront(env, "key", "revoke", id, NULL);
	ck_assert_msg(r.status == 0, "%s", r.err);
	for (unsigned i = 0; i < WORKERS; i++)
		wait_until(status_of(workers[i], login) == 401, 500);
	for (unsigned i = 0; i < 5 * WORKERS; i++)
		ck_assert_int_eq(status_of(workers[i % WORKERS], login), 401);
	for (unsigned i = 0; i < WORKERS; i++) {
		harness_worker_respawn(workers[i]);
		ck_assert_int_eq(status_of(workers[i], login), 401);
		harness_worker_stop(workers[i]);
	}
}
END_TEST

START_TEST(key_is_kept_nowhere_in_the_clear)
{
	const char *login = stack_login("anna@example.org", "user");
	const char *secret =
		login + strlen("Authorization: Bearer wf_0123456789abcdef_");
	char *log;

	stack_workers(1);
	assert_status(stack_get(MINE, login, NULL), 200);
	ck_assert_uint_eq(strlen(secret), 64);
	ck_assert_str_eq(harness_sql(stack.owner_url,
				     "SELECT count(*) FROM api_keys k "
				     "WHERE to_jsonb(k)::text LIKE '%%%s%%'",
				     secret),
			 "0");
	log = harness_worker_log(stack.worker);
	ck_assert_ptr_null(strstr(log, secret));
}
END_TEST

#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

Suite *
suite_own_models(void)
{
	Suite *s = suite_create("own_models");
	TCase *t = tcase_create("own_models");

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, stack_begin, stack_end);
	tcase_add_test(t, own_models_are_cached_for_their_owner_alone);
	tcase_add_test(t, model_keeps_every_field);
	tcase_add_test(t, mutation_shows_in_the_next_read_through_any_worker);
	tcase_add_test(t, near_caches_of_other_workers_follow_a_mutation);
	tcase_add_test(t, only_owner_and_admin_may_change_a_model);
	tcase_add_loop_test(t, bad_body_is_refused, 0, LENGTH(bodies));
	tcase_add_test(t, body_over_the_limit_is_a_413);
	tcase_add_test(t, second_model_of_a_name_is_a_conflict);
	tcase_add_loop_test(t, stranger_is_a_401, 0, LENGTH(strangers));
	tcase_add_test(t, key_is_good_in_either_header);
	tcase_add_test(
		t, key_with_a_wrong_secret_is_a_401_even_when_its_id_is_cached);
	tcase_add_test(t, load_has_as_long_as_statements_have);
	tcase_add_test(t, user_is_not_an_admin);
	tcase_add_test(t, revoked_key_is_refused_by_all_workers_within_moments);
	tcase_add_test(t, key_is_kept_nowhere_in_the_clear);
	suite_add_tcase(s, t);
	return (s);
}
