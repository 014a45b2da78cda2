/* SPDX-License-Identifier: MIT */
/* What cron starts. */
#include "product.h"

#include <string.h>

Suite *suite_warming(void);

#define CRON "Authorization: Bearer " HARNESS_CRON_SECRET

static json_t *
warm(void)
{
	return (product_data(stack_get("/cron/cache-warming", CRON, NULL),
			     "data"));
}

START_TEST(cron_needs_its_secret)
{
	const char *admin = stack_login("root@example.org", "admin");

	stack_workers(1);
	assert_status(stack_get("/cron/cache-warming", NULL), 401);
	assert_status(stack_get("/cron/cache-warming", admin, NULL), 401);
	assert_status(stack_get("/cron/cache-warming", CRON "x", NULL), 401);
	assert_status(stack_get("/cron/cache-warming", CRON, NULL), 200);
	assert_status(stack_request("POST", "/cron/cache-warming", NULL, CRON,
				    NULL),
		      200);
	harness_worker_stop(stack.worker);
	harness_env_unset(stack.env, "CRON_SECRET");
	stack_workers(1);
	assert_status(stack_get("/cron/cache-warming", CRON, NULL), 403);
	assert_status(stack_get("/cron/cache-warming", "Authorization: Bearer ",
				NULL),
		      403);
}
END_TEST

START_TEST(warming_makes_the_first_request_a_hit)
{
	const char *user = stack_login("someone@example.org", "user");
	const char *admin = stack_login("root@example.org", "admin");
	json_t *tasks;

	stack_workers(2);
	harness_sql(stack.owner_url,
		    "INSERT INTO usage_events (user_id, model) "
		    "SELECT id, 'm' FROM users "
		    "WHERE email = 'someone@example.org'");
	tasks = tree_at(warm(), "tasks");
	ck_assert_int_eq(tree_int(tree_find(tasks, "task", "models"), "loaded"),
			 1);
	ck_assert_int_eq(tree_int(tree_find(tasks, "task", "user_data"),
				  "loaded"),
			 1);
	ck_assert_ptr_nonnull(tree_find(tasks, "task", "cleanup"));
	assert_cache(stack_get("/api/models", NULL), "HIT", NULL);
	assert_cache(stack_get("/api/user/data", user, NULL), "HIT", NULL);
	assert_cache(stack_get("/api/admin/users", admin, NULL), "HIT", NULL);
	tasks = tree_at(warm(), "tasks");
	ck_assert_int_eq(tree_int(tree_find(tasks, "task", "models"), "fresh"),
			 1);
}
END_TEST

START_TEST(failure_of_one_task_holds_up_no_other)
{
	const char *user = stack_login("someone@example.org", "user");
	json_t *tasks;

	harness_sql(stack.owner_url,
		    "INSERT INTO usage_events (user_id, model) "
		    "SELECT id, 'm' FROM users");
	harness_upstream_control(stack.upstream, "path=/&mode=not-json");
	stack_workers(1);
	tasks = tree_at(warm(), "tasks");
	ck_assert(json_is_false(
		json_object_get(tree_find(tasks, "task", "models"), "ok")));
	ck_assert_int_eq(tree_int(tree_find(tasks, "task", "models"), "failed"),
			 1);
	ck_assert_int_eq(tree_int(tree_find(tasks, "task", "user_data"),
				  "loaded"),
			 1);
	assert_cache(stack_get("/api/user/data", user, NULL), "HIT", NULL);
}
END_TEST

START_TEST(of_two_crons_at_once_one_does_the_work)
{
	const char *const headers[] = { CRON, NULL };
	const struct http_request request = {
		.url = stack_url("/cron/cache-warming"), .headers = headers
	};
	struct http_response *both;
	unsigned done = 0;

	harness_upstream_control(stack.upstream, "path=/&delay_ms=800");
	stack_workers(2);
	both = http_many(&request, 4);
	for (int i = 0; i < 4; i++)
		done += strcmp(tree_string(product_data(&both[i], "data"),
					   "status"),
			       "done") == 0;
	ck_assert_uint_eq(done, 1);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 1);
	ck_assert_str_eq(tree_string(warm(), "status"), "done");
}
END_TEST

START_TEST(warming_keeps_to_its_time)
{
	const struct http_response *r;

	harness_env_set(stack.env, "WARMING_BUDGET_MS", "300");
	harness_upstream_control(stack.upstream, "path=/&mode=hang");
	harness_env_set(stack.env, "UPSTREAM_TIMEOUT_MS", "20000");
	stack_workers(1);
	r = stack_get("/cron/cache-warming", CRON, NULL);
	assert_status(r, 200);
	ck_assert_msg(r->ms < 3000, "%.1f ms", r->ms);
}
END_TEST

Suite *
suite_warming(void)
{
	Suite *s = suite_create("warming");
	TCase *t = tcase_create("warming");

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, stack_begin, stack_end);
	tcase_add_test(t, cron_needs_its_secret);
	tcase_add_test(t, warming_makes_the_first_request_a_hit);
	tcase_add_test(t, failure_of_one_task_holds_up_no_other);
	tcase_add_test(t, of_two_crons_at_once_one_does_the_work);
	tcase_add_test(t, warming_keeps_to_its_time);
	suite_add_tcase(s, t);
	return (s);
}
