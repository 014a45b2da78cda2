/* SPDX-License-Identifier: MIT */
/* What /api/health/cache tells of what is there and what is not. */
#include "../harness/harness.h"

#include <signal.h>
#include <string.h>

Suite *suite_health(void);

#define ALPHA "/api/models?gateway=alpha"

static json_t *
health(int status)
{
	const struct http_response *r = stack_get("/api/health/cache", NULL);

	assert_status(r, status);
	ck_assert_msg(r->ms < 200, "%.1f ms", r->ms);
	ck_assert_ptr_null(http_header(r, "X-Cache"));
	return (tree_at(tree_parse(r->body, r->body_len), "data"));
}

START_TEST(health_is_ok_while_all_is_there)
{
	json_t *h;

	stack_workers(1);
	wait_until(tree_int(health(200), "log.position") > 0, 5000);
	h = health(200);
	ck_assert_str_eq(tree_string(h, "status"), "ok");
	ck_assert_str_eq(tree_string(h, "tiers.memory.state"), "up");
	ck_assert_str_eq(tree_string(h, "tiers.redis.state"), "up");
	ck_assert_str_eq(tree_string(h, "tiers.postgres.state"), "up");
	ck_assert_str_eq(tree_string(h, "tiers.postgres.breaker"), "closed");
	ck_assert(json_is_number(tree_at(h, "tiers.redis.latency_ms")));
	ck_assert_str_eq(tree_string(h, "gateways.alpha.breaker"), "closed");
	ck_assert_int_eq(tree_int(h, "log.behind"), 0);
}
END_TEST

START_TEST(health_answers_in_time_whatever_stands_still)
{
	int which = _i + 1; /* 1: PostgreSQL, 2: Redis, 3: both */
	json_t *h;

	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	health(200);
	if (which & 1)
		harness_postgres_signal(stack.postgres, SIGSTOP);
	if (which & 2)
		process_signal(stack.redis->process, SIGSTOP);
	wait_until(strcmp(tree_string(h = health(200), "status"), "degraded") ==
			   0,
		   5000);
	for (int i = 0; i < 100; i++)
		h = health(200);
	harness_postgres_signal(stack.postgres, SIGCONT);
	process_signal(stack.redis->process, SIGCONT);
	ck_assert_str_eq(tree_string(h, "tiers.postgres.state"),
			 which & 1 ? "down" : "up");
	ck_assert_str_eq(tree_string(h, "tiers.redis.state"),
			 which & 2 ? "down" : "up");
	wait_until(strcmp(tree_string(health(200), "status"), "ok") == 0,
		   15000);
}
END_TEST

START_TEST(health_is_503_when_there_is_nothing_to_answer_from)
{
	struct harness_postgres *pg = harness_postgres_new(NULL);

	harness_env_set(stack.env, "DISABLE_REDIS_CACHE", "true");
	harness_env_unset(stack.env, "MODELS_GATEWAYS");
	harness_env_set(stack.env, "DATABASE_URL", "%s", pg->url);
	harness_postgres_stop(pg);
	stack_workers(1);
	ck_assert_str_eq(tree_string(health(503), "status"), "down");
	ck_assert_str_eq(tree_string(health(503), "tiers.redis.state"), "off");
}
END_TEST

START_TEST(health_answers_while_all_loaders_are_busy)
{
	struct http_response *all;
	const struct http_request requests[] = {
		{ .url = stack_url(ALPHA) },
		{ .url = stack_url("/api/models?gateway=beta") },
		{ .url = stack_url("/api/models") },
		{ .url = stack_url("/api/health/cache") },
	};

	harness_env_set(stack.env, "LOADER_THREADS", "1");
	harness_upstream_control(stack.upstream, "path=/&delay_ms=1500");
	stack_workers(1);
	all = http_all(requests, 4);
	ck_assert_int_eq(all[3].status, 200);
	ck_assert_msg(all[3].ms < 1000, "%.1f ms", all[3].ms);
}
END_TEST

/* More than there are threads for those who do. */
#define WAITERS 40

START_TEST(health_answers_while_many_wait_for_loads)
{
	const char *headers[] = { stack_login("admin@test.example", "admin"),
				  "Content-Type: application/json", NULL };
	const struct fcgi_request refresh = {
		.method = "POST",
		.uri = "/api/admin/cache/refresh",
		.headers = headers,
		.body = "{\"key\":\"models:alpha:all\"}",
	};
	int waiting[WAITERS];
	unsigned late = 0;
	char byte;

	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	harness_upstream_control(stack.upstream, "path=/&delay_ms=2500");
	for (int i = 0; i < WAITERS; i++) {
		waiting[i] = fcgi_connect(stack.socket);
		fcgi_send(waiting[i], &refresh);
	}
	wait_until(stack_upstream_count("/alpha/models") == 2, 5000);
	for (int i = 0; i < 20; i++)
		late += stack_get("/api/health/cache", NULL)->ms >
			harness_limit_ms(200);
	ck_assert_msg(late <= 2, "%u of 20", late);
	assert_status(stack_get("/metrics", headers[0], NULL), 200);
	/* The last of them waits still. */
	ck_assert_int_eq(fcgi_receive_raw(waiting[WAITERS - 1], &byte, 1, 0),
			 -2);
	for (int i = 0; i < WAITERS; i++)
		assert_status(fcgi_receive(waiting[i], 30000), 200);
}
END_TEST

Suite *
suite_health(void)
{
	Suite *s = suite_create("health");
	TCase *t = tcase_create("health");

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, stack_begin, stack_end);
	tcase_add_test(t, health_is_ok_while_all_is_there);
	tcase_add_loop_test(t, health_answers_in_time_whatever_stands_still, 0,
			    3);
	tcase_add_test(t, health_is_503_when_there_is_nothing_to_answer_from);
	tcase_add_test(t, health_answers_while_all_loaders_are_busy);
	tcase_add_test(t, health_answers_while_many_wait_for_loads);
	suite_add_tcase(s, t);
	return (s);
}
