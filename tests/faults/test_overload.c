/* SPDX-License-Identifier: MIT */
/*
 * More work than threads: what a tier has is served all the same, and what cannot
 * be had soon is refused at once.
 */
#include "faults.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *suite_overload(void);

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define UPSTREAM_MS 4000
#define PATIENCE_MS 2000 /* of the queue for threads */
#define JSON "Content-Type: application/json"

/* A worker whose one loader waits for alpha. */
static int
occupy(void)
{
	int fd;

	harness_upstream_control(stack.upstream, "path=/alpha&mode=hang");
	harness_env_set(stack.env, "LOADER_THREADS", "1");
	harness_env_set(stack.env, "UPSTREAM_TIMEOUT_MS", "%d", UPSTREAM_MS);
	stack_workers(1);
	fd = fcgi_connect(stack.socket);
	fcgi_send(fd, &(struct fcgi_request){ .uri = ALPHA });
	wait_until(stack_upstream_count("/alpha") == 1, 5000);
	return (fd);
}

/* Put beta into the tiers, by a worker that then ends. */
static void
prepare(void)
{
	stack_workers(1);
	faults_ok(BETA, NULL, 2000);
	wait_until(faults_is_stored("models:beta"), 5000);
	wait_until(strstr(harness_redis_command(stack.redis, "KEYS *"),
			  "models:beta"),
		   5000);
	harness_worker_stop(stack.worker);
}

START_TEST(redis_answers_while_all_loaders_are_busy)
{
	int fd;

	prepare();
	fd = occupy();
	assert_cache(faults_ok(BETA, NULL, 1000), "HIT", NULL);
	close(fd);
}
END_TEST

START_TEST(postgres_answers_while_all_loaders_are_busy)
{
	int fd;

	prepare();
	harness_redis_command(stack.redis, "FLUSHALL");
	fd = occupy();
	assert_cache(faults_ok(BETA, NULL, 1000), "HIT", NULL);
	close(fd);
}
END_TEST

static bool
beta_is_stale(void)
{
	return (strcmp(harness_sql(stack.owner_url,
				   "SELECT fresh_until < now() "
				   "FROM cache_entries WHERE cache_key "
				   "LIKE 'models:beta%%'"),
		       "t") == 0);
}

START_TEST(stale_answers_are_given_while_all_loaders_are_busy)
{
	int fd;

	stack_age_fast();
	prepare();
	wait_until(beta_is_stale(), 5000);
	if (_i == 1)
		harness_redis_command(stack.redis, "FLUSHALL");
	fd = occupy();
	for (int i = 0; i < 20; i++)
		assert_cache(faults_ok(BETA, NULL, 1000), "STALE", NULL);
	close(fd);
}
END_TEST

/* Nothing is cached, so each request is a load of its own, of which there can be
 * two at a time: the first get their turn, the others hear at once. */
START_TEST(requests_beyond_what_can_be_loaded_are_refused_at_once)
{
	struct http_request request = { .url = stack_url(ALPHA) };
	struct http_response *all;
	int fds[60];
	double began;

	harness_upstream_control(stack.upstream, "path=/alpha&mode=hang");
	harness_env_set(stack.env, "LOADER_THREADS", "2");
	harness_env_set(stack.env, "UPSTREAM_TIMEOUT_MS", "%d", UPSTREAM_MS);
	harness_env_set(stack.env, "MODELS_CACHE_TTL_MS", "0");
	stack_workers(1);
	for (int i = 0; i < 60; i++) {
		fds[i] = fcgi_connect(stack.socket);
		fcgi_send(fds[i], &(struct fcgi_request){ .uri = ALPHA });
	}
	began = harness_now_ms();
	wait_until(http_send(&request)->ms < 500 ||
			   harness_now_ms() - began > PATIENCE_MS + 1000,
		   20000);
	all = http_many(&request, 100);
	for (unsigned i = 0; i < 100; i++) {
		stack_assert_refusal(&all[i]);
		ck_assert_int_eq(all[i].status, 503);
		ck_assert_msg(all[i].ms < harness_limit_ms(1000), "%.0f ms",
			      all[i].ms);
	}
	for (int i = 0; i < 60; i++) {
		struct http_response *r = fcgi_receive(fds[i], 20000);

		ck_assert_msg(r->status == 503 || r->status == 504, "%d",
			      r->status);
		close(fds[i]);
	}
	harness_upstream_control(stack.upstream, "path=/alpha&mode=normal");
	wait_until(faults_get(ALPHA, NULL)->status == 200, 15000);
}
END_TEST

#define CROWD 60
#define NEW_NAME "{\"name\":\"new\"}"

/* A change of one's own data; status 0: it has been waiting for a second. */
static const struct http_response *
rename_user(const char *login)
{
	return (http_send(&(struct http_request){
		.method = "PATCH",
		.url = stack_url(PROFILE),
		.headers = (const char *const[]){ login, JSON, NULL },
		.body = NEW_NAME,
		.timeout_ms = 1000 }));
}

/* No loader takes one more, and that is said at once. */
static bool
is_full(const char *login)
{
	const struct http_response *r = rename_user(login);

	if (r->status == 0)
		return (false);
	stack_assert_refusal(r);
	ck_assert_int_eq(r->status, 503);
	return (true);
}

/* On connections of their own. */
static void
crowd_in(const char *login, int fds[static CROWD])
{
	for (int i = 0; i < CROWD; i++) {
		fds[i] = fcgi_connect(stack.socket);
		fcgi_send(fds[i],
			  &(struct fcgi_request){
				  .method = "PATCH",
				  .uri = PROFILE,
				  .headers = (const char *const[]){ login, JSON,
								    NULL },
				  .body = NEW_NAME });
	}
}

static void
assert_all_are_told(const int fds[static CROWD])
{
	for (int i = 0; i < CROWD; i++) {
		const struct http_response *r = fcgi_receive(fds[i], 10000);

		ck_assert_msg(r->status == 200 || r->status == 503 ||
				      r->status == 504,
			      "%s", stack_describe(r));
		close(fds[i]);
	}
}

/* A lock in the database holds up the one loader, and behind it stand changes until
 * no more may: what is stale is given all the same, though nobody can refresh it. */
START_TEST(stale_answers_are_given_while_changes_are_refused)
{
	const char *anna = stack_login("anna@example.org", "user");
	unsigned late = 0;
	int fds[CROWD];

	stack_age_fast();
	harness_env_set(stack.env, "LOADER_THREADS", "1");
	stack_workers(1);
	faults_ok(BETA, NULL, 2000);
	faults_ok(PROFILE, anna, 2000);
	wait_until(faults_is_stored("models:beta") && beta_is_stale(), 5000);
	faults_lock("users");
	crowd_in(anna, fds);
	wait_until(is_full(anna), 10000);
	for (int i = 0; i < 100; i++) {
		const struct http_response *r = faults_ok(BETA, NULL, 1000);

		assert_cache(r, "STALE", "memory");
		late += r->ms > harness_limit_ms(50);
	}
	ck_assert_uint_le(late, 5);
	ck_assert(is_full(anna));
	faults_unlock();
	assert_all_are_told(fds);
	wait_until(rename_user(anna)->status == 200, 10000);
	wait_until(strcmp(http_header(faults_ok(BETA, NULL, 2000), "X-Cache"),
			  "STALE") != 0,
		   10000);
}
END_TEST

static long
resident_kib(void)
{
	char *status = scratch_read(
		scratch_printf("/proc/%d/status",
			       (int)harness_worker_pid(stack.worker, 0)));
	char *line = strstr(status, "VmRSS:");

	return (line != NULL ? strtol(line + 6, NULL, 10) : 0);
}

/* Sanitizers keep what is freed. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CROWD_MS 8000
#else
#define CROWD_MS 60000
#endif

static void
ask_for_all(const struct http_request *requests, unsigned n)
{
	struct http_response *all = http_all(requests, n);

	for (unsigned i = 0; i < n; i++)
		assert_status(&all[i], 200);
	http_free(all, n);
}

/* What anybody may have, what is their own, and now and then a change of that. */
START_TEST(two_hundred_clients_meet_no_error_and_memory_stays_flat)
{
	static const char *const paths[] = {
		ALPHA,
		BETA,
		"/api/models",
		MINE,
		PROFILE,
		"/api/usage/costs",
		"/api/servers/status",
	};
	const char *anna[] = { stack_login("anna@example.org", "user"), NULL };
	const char *ben[] = { stack_login("ben@example.org", "user"),
			      "Content-Type: application/json", NULL };
	struct http_request requests[200];
	double end;
	long before, after;

	stack_workers(1);
	for (unsigned i = 0; i < 200; i++)
		requests[i] = (struct http_request){
			.url = stack_url(paths[i % LENGTH(paths)]),
			.headers = i % 2 == 0 ? anna : ben,
			.drop_body = true
		};
	requests[0] = (struct http_request){
		.method = "PATCH",
		.url = stack_url(PROFILE),
		.headers = ben,
		.body = "{\"name\":\"Benjamin\"}",
	};
	for (int i = 0; i < 20; i++)
		ask_for_all(requests, 200);
	before = resident_kib();
	for (end = harness_now_ms() + CROWD_MS; harness_now_ms() < end;)
		ask_for_all(requests, 200);
	after = resident_kib();
	ck_assert_msg(after < before + before / 8 + 2048,
		      "%ld KiB, then %ld KiB", before, after);
}
END_TEST

Suite *
suite_overload(void)
{
	Suite *s = suite_create("overload");
	TCase *t = faults_case(s, "overload");

	tcase_add_test(t, redis_answers_while_all_loaders_are_busy);
	tcase_add_test(t, postgres_answers_while_all_loaders_are_busy);
	tcase_add_loop_test(t,
			    stale_answers_are_given_while_all_loaders_are_busy,
			    0, 2);
	tcase_add_test(t, stale_answers_are_given_while_changes_are_refused);
	tcase_add_test(t,
		       requests_beyond_what_can_be_loaded_are_refused_at_once);

	t = faults_case(s, "overload");
	tcase_set_timeout(t, 150);
	tcase_add_test(t,
		       two_hundred_clients_meet_no_error_and_memory_stays_flat);
	return (s);
}
