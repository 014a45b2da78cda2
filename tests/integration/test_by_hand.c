/* SPDX-License-Identifier: MIT */
/* What operators invalidate, list and refresh by hand. */
#include "product.h"

#include <string.h>
#include <unistd.h>

Suite *suite_by_hand(void);

#define ALPHA "/api/models?gateway=alpha"

static json_t *
invalidate(const char *admin, const char *body)
{
	return (product_data(stack_request("POST", "/api/cache/invalidate",
					   body, admin,
					   "Content-Type: application/json",
					   NULL),
			     "data"));
}

static const struct {
	const char *body;
	long long entries;
	const char *scope;
	bool alpha, beta; /* gone? */
} forms[] = {
	{ "{\"category\":\"models\"}", 2, "models:*", true, true },
	{ "{\"category\":\"all\"}", 3, "*", true, true },
	{ "{\"category\":\"usage\"}", 0, "usage:*", false, false },
	{ "{\"pattern\":\"models:*\"}", 2, "models:*", true, true },
	{ "{\"pattern\":\"models:alpha:all\"}", 1, "models:alpha:all", true,
	  false },
	{ "{\"pattern\":\"*:alpha:*\"}", 1, "models:alpha:all", true, false },
	{ "{\"pattern\":\"mod*beta*\"}", 1, "models:beta:all", false, true },
	{ "{\"pattern\":\"models:????:all\"}", 1, "models:beta:all", false,
	  true },
	{ "{\"pattern\":\"models:a_pha:all\"}", 0, "models:a_pha:all", false,
	  false },
	{ "{\"event\":\"models.synced\"}", 2, "models:*", true, true },
};

START_TEST(each_form_of_invalidation_takes_out_what_it_names)
{
	const char *admin = stack_login("root@example.org", "admin");
	json_t *answer;

	stack_workers(2);
	assert_status(stack_get(ALPHA, NULL), 200);
	assert_status(stack_get("/api/models?gateway=beta", NULL), 200);
	assert_status(stack_get("/metrics", admin, NULL), 200);
	answer = invalidate(admin, forms[_i].body);
	ck_assert_int_eq(tree_int(answer, "invalidated"), forms[_i].entries);
	ck_assert_str_eq(tree_string(answer, "scopes.0"), forms[_i].scope);
	assert_cache(stack_get(ALPHA, NULL), forms[_i].alpha ? "MISS" : "HIT",
		     NULL);
	assert_cache(stack_get("/api/models?gateway=beta", NULL),
		     forms[_i].beta ? "MISS" : "HIT", NULL);
}
END_TEST

START_TEST(soft_invalidation_serves_the_old_while_it_loads_the_new)
{
	const char *admin = stack_login("root@example.org", "admin");

	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	ck_assert_int_eq(tree_int(invalidate(admin, "{\"category\":\"models\","
						    "\"soft\":true}"),
				  "invalidated"),
			 1);
	assert_cache(stack_get(ALPHA, NULL), "STALE", NULL);
	wait_until(strcmp(http_header(stack_get(ALPHA, NULL), "X-Cache"),
			  "HIT") == 0,
		   10000);
}
END_TEST

/* What is made of a stale part is stale, and is left alone for a while; but when it may
 * be served no more, it is made anew. */
START_TEST(whole_of_stale_parts_that_is_taken_out_is_made_anew)
{
	const char *admin = stack_login("root@example.org", "admin");

	stack_workers(1);
	assert_status(stack_get("/api/models", NULL), 200);
	harness_upstream_control(stack.upstream, "path=/alpha&mode=hang");
	invalidate(admin, "{\"pattern\":\"models:alpha:all\",\"soft\":true}");
	for (int i = 0; i < 3; i++) {
		invalidate(admin, "{\"pattern\":\"models:all:all\"}");
		assert_status(stack_get("/api/models", NULL), 200);
	}
}
END_TEST

/* The first look at the log is a short one. */
START_TEST(invalidation_waits_for_a_slow_log)
{
	const char *admin = stack_login("root@example.org", "admin");

	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	stack_slow_log(800);
	ck_assert_int_eq(
		tree_int(invalidate(admin, "{\"pattern\":\"models:alpha:*\"}"),
			 "invalidated"),
		1);
	assert_cache(stack_get(ALPHA, NULL), "MISS", NULL);
}
END_TEST

START_TEST(invalidation_has_more_time_than_other_statements)
{
	const char *admin = stack_login("root@example.org", "admin");

	harness_env_set(stack.env, "DATABASE_TIMEOUT_MS", "500");
	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	harness_sql(stack.owner_url,
		    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql "
		    "AS $$BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$; "
		    "CREATE TRIGGER slow BEFORE DELETE ON cache_entries "
		    "FOR EACH STATEMENT EXECUTE FUNCTION slow()");
	ck_assert_int_eq(
		tree_int(invalidate(admin, "{\"pattern\":\"models:alpha:*\"}"),
			 "invalidated"),
		1);
}
END_TEST

START_TEST(event_takes_out_one_users_entries)
{
	const char *admin = stack_login("root@example.org", "admin");
	const char *user = stack_login("someone@example.org", "user");
	const char *id;

	stack_workers(1);
	id = harness_sql(stack.owner_url, "SELECT id FROM users WHERE email = "
					  "'someone@example.org'");
	assert_status(stack_get("/api/user/data", user, NULL), 200);
	assert_status(stack_get("/api/user/data", admin, NULL), 200);
	ck_assert_int_ge(
		tree_int(invalidate(
				 admin,
				 scratch_printf("{\"event\":\"user.profile."
						"updated\",\"userId\":\"%s\"}",
						id)),
			 "invalidated"),
		1);
	assert_cache(stack_get("/api/user/data", user, NULL), "MISS", NULL);
	assert_cache(stack_get("/api/user/data", admin, NULL), "HIT", NULL);
}
END_TEST

/* Keys as they may be, in the order of their bytes; what a pattern takes out of them. */
#define ODD_KEYS                                                              \
	"'Odd:x', 'odd', 'odd:', 'odd:%', 'odd:a%b', 'odd:a:b', 'odd:a\\b', " \
	"'odd:a_b', 'odd:axb', 'odd:s', 'odd:s:1', 'odd:s:z', 'odd:s;', "     \
	"'odd:\u00e9', 'odd:\u00e9:1', 'odd:\u00e9\u00e9:1', 'odd:\U0001f600', 'odd;', 'oddity:x'"

static const struct {
	const char *pattern, *taken;
} takings[] = {
	{ "odd:a%b", "odd:a%b" },
	{ "odd:a_b", "odd:a_b" },
	{ "odd:%", "odd:%" },
	{ "odd:a\\\\\\\\b", "odd:a\\b" },
	{ "odd:\u00e9", "odd:\u00e9" },
	{ "odd:\U0001f600", "odd:\U0001f600" },
	{ "odd:s:*", "odd:s:1 odd:s:z" },
	{ "odd:\u00e9:*", "odd:\u00e9:1" },
	{ "odd:a_b:*", "" },
	{ "odd:*",
	  "odd: odd:% odd:a%b odd:a:b odd:a\\b odd:a_b odd:axb odd:s odd:s:1 "
	  "odd:s:z odd:s; odd:\u00e9 odd:\u00e9:1 odd:\u00e9\u00e9:1 odd:\U0001f600" },
	{ "odd:a?b", "odd:a%b odd:a:b odd:a\\b odd:a_b odd:axb" },
	{ "odd:?:1", "odd:s:1 odd:\u00e9:1" },
};

START_TEST(pattern_takes_out_just_the_keys_it_matches)
{
	const char *admin = stack_login("root@example.org", "admin");
	const char *soft = _i % 2 == 0 ? "false" : "true";
	json_t *answer;

	stack_workers(1);
	harness_sql(stack.owner_url,
		    "CREATE TABLE odd AS SELECT unnest(ARRAY[%s]) AS key; "
		    "INSERT INTO cache_entries (cache_key, wire, fence, "
		    "loaded_at, fresh_until, expires_at, size_bytes) "
		    "SELECT key, '', 0, now(), now() + interval '1 hour', "
		    "now() + interval '1 day', 0 FROM odd",
		    ODD_KEYS);
	answer = invalidate(admin,
			    scratch_printf("{\"pattern\":\"%s\",\"soft\":%s}",
					   takings[_i / 2].pattern, soft));
	ck_assert_str_eq(
		harness_sql(stack.owner_url,
			    "SELECT coalesce(string_agg(key, ' ' "
			    "ORDER BY key COLLATE \"C\"), '') FROM odd "
			    "WHERE NOT EXISTS (SELECT FROM cache_entries "
			    "WHERE cache_key = key AND fresh_until > now())"),
		takings[_i / 2].taken);
	ck_assert_str_eq(
		harness_sql(
			stack.owner_url,
			"SELECT count(*) FROM odd WHERE NOT EXISTS "
			"(SELECT FROM cache_entries WHERE cache_key = key)"),
		_i % 2 == 0 ? scratch_printf("%lld",
					     tree_int(answer, "invalidated"))
			    : "0");
}
END_TEST

static const char *const malformed[] = {
	"{}",
	"[]",
	"{\"category\":\"nothing\"}",
	"{\"category\":\"models\",\"pattern\":\"*\"}",
	"{\"event\":\"no.such.event\"}",
	"{\"pattern\":\"\"}",
	"{\"category\":\"models\",\"soft\":\"yes\"}",
	("{\"category\":\"models\",\"userId\":"
	 "\"0a0a0a0a-0000-4000-8000-000000000000\"}"),
	"{\"all\":true}",
};

START_TEST(malformed_invalidation_is_refused)
{
	const char *admin = stack_login("root@example.org", "admin");

	stack_workers(1);
	assert_status(stack_request("POST", "/api/cache/invalidate",
				    malformed[_i], admin,
				    "Content-Type: application/json", NULL),
		      400);
}
END_TEST

/* The models that are stored, or some of them: "&limit=1". */
static json_t *
list(const char *admin, const char *which)
{
	const char *path =
		scratch_printf("/api/cache/invalidate?pattern=models:*%s",
			       which);

	return (product_data(stack_get(path, admin, NULL), ""));
}

START_TEST(keys_are_listed_by_pattern_in_pages)
{
	const char *admin = stack_login("root@example.org", "admin");
	json_t *page;

	stack_workers(1);
	assert_status(stack_get("/api/models", NULL), 200);
	wait_until(tree_int(page = list(admin, ""), "total") == 3, 5000);
	ck_assert_str_eq(tree_string(page, "data.0.key"), "models:all:all");
	ck_assert_str_eq(tree_string(page, "data.0.tier"), "memory");
	ck_assert_int_gt(tree_int(page, "data.0.ttl_seconds"), 400);
	ck_assert_int_gt(tree_int(page, "data.0.size_bytes"), 1000);
	ck_assert_uint_eq(tree_count(page, "data.0.tiers"), 3);
	page = list(admin, "&limit=1&offset=2");
	ck_assert_uint_eq(tree_count(page, "data"), 1);
	ck_assert_str_eq(tree_string(page, "data.0.key"), "models:beta:all");
	page = list(admin, "&offset=9");
	ck_assert_int_eq(tree_int(page, "total"), 3);
	ck_assert_uint_eq(tree_count(page, "data"), 0);
	assert_status(stack_get("/api/cache/invalidate?limit=1000", admin,
				NULL),
		      400);
}
END_TEST

START_TEST(refresh_loads_a_stored_key_now)
{
	const char *admin = stack_login("root@example.org", "admin");
	const char *user = stack_login("someone@example.org", "user");
	const char *json = "Content-Type: application/json", *key;

	stack_workers(2);
	assert_status(stack_get(ALPHA, NULL), 200);
	harness_upstream_control(stack.upstream, "path=/alpha&mode=version:2");
	assert_status(stack_request("POST", "/api/admin/cache/refresh",
				    "{\"key\":\"models:alpha:all\"}", admin,
				    json, NULL),
		      200);
	wait_until(strstr(stack_get(ALPHA, NULL)->body, "Edition 2."), 5000);
	assert_status(stack_get("/api/user/data", user, NULL), 200);
	key = harness_sql(stack.owner_url,
			  "SELECT cache_key FROM cache_entries "
			  "WHERE cache_key LIKE 'user:%%'");
	assert_status(stack_request("POST", "/api/admin/cache/refresh",
				    scratch_printf("{\"key\":\"%s\"}", key),
				    admin, json, NULL),
		      200);
	assert_status(stack_request("POST", "/api/admin/cache/refresh",
				    "{\"key\":\"models:beta:all\"}", admin,
				    json, NULL),
		      404);
	assert_status(stack_request("POST", "/api/admin/cache/refresh",
				    "{\"key\":\"no:such:key\"}", admin, json,
				    NULL),
		      404);
}
END_TEST

/* Not for one that began before it was asked for. */
START_TEST(refresh_waits_for_a_load_of_its_own)
{
	const char *admin = stack_login("root@example.org", "admin");
	const struct http_response *r;

	stack_age_fast();
	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	harness_upstream_control(stack.upstream, "path=/alpha&delay_ms=1500");
	wait_until((stack_get(ALPHA, NULL),
		    stack_upstream_count("/alpha") == 2),
		   5000);
	r = stack_request("POST", "/api/admin/cache/refresh",
			  "{\"key\":\"models:alpha:all\"}", admin,
			  "Content-Type: application/json", NULL);
	assert_status(r, 200);
	ck_assert_int_ge(tree_int(tree_parse(r->body, r->body_len),
				  "data.ttl_seconds"),
			 0);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 3);
}
END_TEST

START_TEST(refresh_of_too_large_a_catalogue_is_not_the_fault_of_the_request)
{
	const char *admin = stack_login("root@example.org", "admin");

	harness_env_set(stack.env, "UPSTREAM_MAX_BYTES", "100000");
	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	harness_upstream_control(stack.upstream,
				 "path=/alpha&mode=huge:200000");
	assert_status(stack_request("POST", "/api/admin/cache/refresh",
				    "{\"key\":\"models:alpha:all\"}", admin,
				    "Content-Type: application/json", NULL),
		      502);
}
END_TEST

START_TEST(refreshed_key_is_new_on_every_worker)
{
	const char *admin = stack_login("root@example.org", "admin");
	const struct harness_worker_options own = { .env = stack.env };
	struct harness_worker *one = harness_worker_new(&own);
	struct harness_worker *other = harness_worker_new(&own);

	assert_status(fcgi_get(one->address, ALPHA, NULL), 200);
	harness_upstream_control(stack.upstream, "path=/alpha&mode=version:2");
	assert_status(
		fcgi_ask(
			other->address,
			&(struct fcgi_request){
				.method = "POST",
				.uri = "/api/admin/cache/refresh",
				.headers =
					(const char *const[]){
						admin,
						"Content-Type: application/json",
						NULL },
				.body = "{\"key\":\"models:alpha:all\"}",
			}),
		200);
	wait_until(strstr(fcgi_get(one->address, ALPHA, NULL)->body,
			  "Edition 2."),
		   5000);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 2);
	harness_worker_stop(one);
	harness_worker_stop(other);
}
END_TEST

Suite *
suite_by_hand(void)
{
	Suite *s = suite_create("by_hand");
	TCase *t = tcase_create("by_hand");

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, stack_begin, stack_end);
	tcase_add_loop_test(t,
			    each_form_of_invalidation_takes_out_what_it_names,
			    0, (int)(sizeof(forms) / sizeof(forms[0])));
	tcase_add_test(t,
		       soft_invalidation_serves_the_old_while_it_loads_the_new);
	tcase_add_test(t, whole_of_stale_parts_that_is_taken_out_is_made_anew);
	tcase_add_test(t, invalidation_waits_for_a_slow_log);
	tcase_add_test(t, invalidation_has_more_time_than_other_statements);
	tcase_add_test(t, event_takes_out_one_users_entries);
	tcase_add_loop_test(t, pattern_takes_out_just_the_keys_it_matches, 0,
			    (int)(2 * sizeof(takings) / sizeof(takings[0])));
	tcase_add_loop_test(t, malformed_invalidation_is_refused, 0,
			    (int)(sizeof(malformed) / sizeof(malformed[0])));
	tcase_add_test(t, keys_are_listed_by_pattern_in_pages);
	tcase_add_test(t, refresh_loads_a_stored_key_now);
	tcase_add_test(t, refresh_waits_for_a_load_of_its_own);
	tcase_add_test(
		t,
		refresh_of_too_large_a_catalogue_is_not_the_fault_of_the_request);
	tcase_add_test(t, refreshed_key_is_new_on_every_worker);
	suite_add_tcase(s, t);
	return (s);
}
