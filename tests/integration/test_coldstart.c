/* SPDX-License-Identifier: MIT */
/*
 * A cold start costs no upstream request: PostgreSQL has what was there before.
 */
#include "../harness/harness.h"

#include <signal.h>
#include <string.h>

Suite *suite_coldstart(void);

#define PATH "/api/models?gateway=alpha"

static bool
is_stored(void)
{
	return (strcmp(harness_sql(
			       stack.owner_url,
			       "SELECT count(*) > 0 FROM "
			       "cache_entries WHERE cache_key LIKE 'models:alpha%%'"),
		       "t") == 0);
}

/* A catalogue that is in every tier by now. */
static const struct http_response *
warm_up(void)
{
	const struct http_response *r;

	harness_upstream_control(stack.upstream, "path=/&delay_ms=300");
	r = stack_get(PATH, NULL);
	assert_status(r, 200);
	assert_cache(r, "MISS", NULL);
	wait_until(is_stored(), 5000);
	return (r);
}

static void
assert_same(const struct http_response *r, const struct http_response *first)
{
	assert_status(r, 200);
	ck_assert(r->body_hash == first->body_hash);
	ck_assert_str_eq(http_header(r, "ETag"), http_header(first, "ETag"));
	ck_assert_uint_eq(stack_upstream_count("/"), 1);
}

START_TEST(fresh_workers_hit_redis)
{
	const struct http_response *first, *r;

	stack_workers(2);
	first = warm_up();
	wait_until(strcmp(harness_redis_command(stack.redis, "DBSIZE"), "0"),
		   5000);
	harness_worker_respawn(stack.worker);
	r = stack_get(PATH, NULL);
	assert_cache(r, "HIT", "redis");
	assert_same(r, first);
	ck_assert_msg(r->ms < harness_limit_ms(200), "%.1f ms", r->ms);
}
END_TEST

START_TEST(fresh_workers_with_an_empty_redis_hit_postgres)
{
	const struct http_response *first, *r;

	stack_workers(2);
	first = warm_up();
	harness_redis_command(stack.redis, "FLUSHALL");
	harness_worker_respawn(stack.worker);
	r = stack_get(PATH, NULL);
	assert_cache(r, "HIT", "postgres");
	assert_same(r, first);
}
END_TEST

START_TEST(hit_in_postgres_fills_the_tiers_above)
{
	stack_workers(1);
	warm_up();
	harness_redis_command(stack.redis, "FLUSHALL");
	harness_worker_respawn(stack.worker);
	assert_cache(stack_get(PATH, NULL), "HIT", "postgres");
	assert_cache(stack_get(PATH, NULL), "HIT", "memory");
	wait_until(strcmp(harness_redis_command(
				  stack.redis, "EXISTS wf:v1:models:alpha:all"),
			  "1") == 0,
		   5000);
	harness_worker_respawn(stack.worker);
	assert_cache(stack_get(PATH, NULL), "HIT", "redis");
}
END_TEST

START_TEST(without_redis_fresh_workers_hit_postgres)
{
	const struct http_response *first, *r;

	harness_env_set(stack.env, "DISABLE_REDIS_CACHE", "true");
	stack_workers(2);
	first = warm_up();
	harness_worker_respawn(stack.worker);
	r = stack_get(PATH, NULL);
	assert_cache(r, "HIT", "postgres");
	assert_same(r, first);
	ck_assert_str_eq(harness_redis_command(stack.redis, "DBSIZE"), "0");
}
END_TEST

START_TEST(redis_out_of_reach_costs_no_error_and_no_upstream_request)
{
	const struct http_response *first, *r;

	stack_workers(1);
	first = warm_up();
	harness_env_set(stack.env, "REDIS_URL", "unix:///nowhere/redis");
	harness_worker_respawn(stack.worker);
	r = stack_get(PATH, NULL);
	assert_cache(r, "HIT", "postgres");
	assert_same(r, first);
	r = stack_get(PATH, NULL);
	assert_cache(r, "HIT", "memory");
	ck_assert_msg(r->ms < harness_limit_ms(100), "%.1f ms", r->ms);
}
END_TEST

START_TEST(near_cache_off_asks_redis_each_time)
{
	const struct http_response *first, *r;

	harness_env_set(stack.env, "NEAR_CACHE", "off");
	stack_workers(1);
	first = warm_up();
	for (int i = 0; i < 3; i++) {
		r = stack_get(PATH, NULL);
		assert_cache(r, "HIT", "redis");
		assert_same(r, first);
	}
}
END_TEST

START_TEST(killed_workers_lose_nothing)
{
	const struct http_response *first, *r;

	stack_workers(4);
	first = warm_up();
	for (unsigned i = 0; i < 4; i++)
		harness_worker_kill(stack.worker, i);
	harness_worker_start(stack.worker);
	r = stack_get(PATH, NULL);
	assert_cache(r, "HIT", NULL);
	assert_same(r, first);
}
END_TEST

/* Another worker, which does not get on: it loads (8: R_UNAVAILABLE), or has failed to. */
static const struct {
	bool redis;
	const char *in_redis, *in_postgres;
} others[] = {
	{ false, NULL, "NULL" },
	{ false, NULL, "8" },
	{ true, "another", NULL },
	{ true, "!8", NULL },
};

static void
let_another_hold_the_lease(int which)
{
	if (others[which].redis)
		harness_redis_command(stack.redis,
				      "SET wf:v1:@lease:models:alpha:all %s "
				      "PX 20000",
				      others[which].in_redis);
	else
		harness_sql(stack.owner_url,
			    "INSERT INTO cache_leases (cache_key, holder, "
			    "expires_at, failure) VALUES ('models:alpha:all', "
			    "'another', clock_timestamp() + interval '20 s', "
			    "%s)",
			    others[which].in_postgres);
}

START_TEST(fresh_worker_shows_what_is_stale_while_another_loads)
{
	const struct http_response *first, *r;

	if (!others[_i].redis)
		harness_env_set(stack.env, "DISABLE_REDIS_CACHE", "true");
	stack_age_fast();
	stack_workers(1);
	first = warm_up();
	harness_worker_kill(stack.worker, 0);
	wait_until(strcmp(harness_sql(stack.owner_url,
				      "SELECT max(fresh_until) < now() "
				      "FROM cache_entries"),
			  "t") == 0,
		   5000);
	harness_redis_command(stack.redis, "FLUSHALL");
	let_another_hold_the_lease(_i);
	harness_worker_start(stack.worker);
	r = stack_get(PATH, NULL);
	assert_cache(r, "STALE", "postgres");
	assert_same(r, first);
	ck_assert_msg(r->ms < harness_limit_ms(1000), "%.1f ms", r->ms);
}
END_TEST

START_TEST(new_cache_version_starts_with_an_empty_redis)
{
	stack_workers(1);
	warm_up();
	harness_env_set(stack.env, "CACHE_VERSION", "v2");
	harness_worker_respawn(stack.worker);
	assert_cache(stack_get(PATH, NULL), "HIT", "postgres");
	ck_assert_ptr_nonnull(
		strstr(harness_redis_command(stack.redis, "KEYS *"),
		       "wf:v1:models:alpha"));
}
END_TEST

START_TEST(worker_that_is_told_to_end_answers_what_it_has)
{
	struct http_response *answer;
	int fd;

	harness_upstream_control(stack.upstream, "path=/&delay_ms=800");
	stack_workers(1);
	fd = fcgi_connect(stack.socket);
	fcgi_send(fd, &(struct fcgi_request){ .uri = PATH });
	wait_until(stack_upstream_count("/") == 1, 5000);
	kill(harness_worker_pid(stack.worker, 0), SIGTERM);
	answer = fcgi_receive(fd, 10000);
	assert_status(answer, 200);
	ck_assert_int_eq(process_wait(stack.worker->processes[0], 10000), 0);
}
END_TEST

Suite *
suite_coldstart(void)
{
	Suite *s = suite_create("coldstart");
	TCase *t = tcase_create("coldstart");

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, stack_begin, stack_end);
	tcase_add_test(t, fresh_workers_hit_redis);
	tcase_add_test(t, fresh_workers_with_an_empty_redis_hit_postgres);
	tcase_add_test(t, hit_in_postgres_fills_the_tiers_above);
	tcase_add_test(t, without_redis_fresh_workers_hit_postgres);
	tcase_add_test(
		t, redis_out_of_reach_costs_no_error_and_no_upstream_request);
	tcase_add_test(t, near_cache_off_asks_redis_each_time);
	tcase_add_test(t, killed_workers_lose_nothing);
	tcase_add_loop_test(
		t, fresh_worker_shows_what_is_stale_while_another_loads, 0,
		(int)(sizeof(others) / sizeof(others[0])));
	tcase_add_test(t, new_cache_version_starts_with_an_empty_redis);
	tcase_add_test(t, worker_that_is_told_to_end_answers_what_it_has);
	suite_add_tcase(s, t);
	return (s);
}
