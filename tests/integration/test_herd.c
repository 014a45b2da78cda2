/* SPDX-License-Identifier: MIT */
/*
 * One load for each key in the whole deployment, however many ask.
 */
#include "../harness/harness.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

Suite *suite_herd(void);

#define PATH "/api/models?gateway=alpha"
#define CLIENTS 500
#define LEASE_MS 2000

static struct http_response *
herd(const char *path, unsigned clients)
{
	return (http_many(&(struct http_request){ .url = stack_url(path),
						  .drop_body = true },
			  clients));
}

static void
assert_alike(const struct http_response *all, unsigned n)
{
	const char *tag = http_header(&all[0], "ETag");

	ck_assert_ptr_nonnull(tag);
	for (unsigned i = 0; i < n; i++) {
		assert_status(&all[i], 200);
		ck_assert_str_eq(http_header(&all[i], "ETag"), tag);
		ck_assert(all[i].body_hash == all[0].body_hash);
	}
}

static void
cold_herd(void)
{
	struct http_response *all;

	harness_upstream_control(stack.upstream, "path=/&delay_ms=1500");
	stack_workers(4);
	all = herd(PATH, CLIENTS);
	assert_alike(all, CLIENTS);
	ck_assert_uint_eq(stack_upstream_count("/"), 1);
	ck_assert_msg(http_percentile(all, CLIENTS, 0.99) <
			      harness_limit_ms(4000),
		      "p99 %.0f ms", http_percentile(all, CLIENTS, 0.99));
}

START_TEST(herd_on_a_cold_key_loads_once)
{
	cold_herd();
}
END_TEST

START_TEST(herd_without_redis_loads_once)
{
	harness_env_set(stack.env, "DISABLE_REDIS_CACHE", "true");
	cold_herd();
}
END_TEST

START_TEST(herd_with_an_unreachable_redis_loads_once)
{
	harness_env_set(stack.env, "REDIS_URL", "unix:///nowhere/redis");
	cold_herd();
}
END_TEST

START_TEST(herd_on_all_gateways_loads_each_once)
{
	struct http_response *all;

	harness_upstream_control(stack.upstream, "path=/&delay_ms=1000");
	stack_workers(4);
	all = herd("/api/models", CLIENTS);
	assert_alike(all, CLIENTS);
	ck_assert_uint_eq(stack_upstream_count("/alpha/models"), 1);
	ck_assert_uint_eq(stack_upstream_count("/beta/models"), 1);
}
END_TEST

START_TEST(herd_holds_more_requests_than_there_are_loader_threads)
{
	struct http_response *all;

	harness_env_set(stack.env, "LOADER_THREADS", "2");
	harness_upstream_control(stack.upstream, "path=/&delay_ms=800");
	stack_workers(1);
	all = herd(PATH, 200);
	assert_alike(all, 200);
	ck_assert_uint_eq(stack_upstream_count("/"), 1);
}
END_TEST

/* A worker of its own beside those behind nginx. */
static struct harness_worker *
another_worker(void)
{
	return (harness_worker_new(
		&(struct harness_worker_options){ .env = stack.env }));
}

static void
kill_the_loader(void)
{
	struct harness_worker *loader;
	struct http_response *answer;
	int asked, waiting;
	char byte;

	stack_workers(1);
	loader = another_worker();
	harness_upstream_control(stack.upstream,
				 "path=/alpha&mode=hang&times=1");
	asked = fcgi_connect(loader->socket);
	fcgi_send(asked, &(struct fcgi_request){ .uri = PATH });
	wait_until(stack_upstream_count("/alpha") == 1, 5000);
	waiting = fcgi_connect(stack.socket);
	fcgi_send(waiting, &(struct fcgi_request){ .uri = PATH });
	ck_assert_int_eq((int)fcgi_receive_raw(waiting, &byte, 1, 300), -2);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 1);
	harness_worker_kill(loader, 0);
	answer = fcgi_receive(waiting, 10000);
	assert_status(answer, 200);
	ck_assert_msg(answer->ms < harness_limit_ms(LEASE_MS + 500),
		      "%.0f ms after the kill", answer->ms);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 2);
	close(asked);
	close(waiting);
	harness_worker_stop(loader);
}

START_TEST(killed_loader_delays_others_by_its_lease_at_most)
{
	kill_the_loader();
}
END_TEST

START_TEST(killed_loader_without_redis_delays_others_by_its_lease_at_most)
{
	harness_env_set(stack.env, "DISABLE_REDIS_CACHE", "true");
	kill_the_loader();
}
END_TEST

START_TEST(slow_loader_keeps_its_lease_as_long_as_it_lives)
{
	struct http_response *all;

	harness_upstream_control(stack.upstream, "path=/&delay_ms=%d",
				 3 * LEASE_MS);
	stack_workers(2);
	all = herd(PATH, 40);
	assert_alike(all, 40);
	ck_assert_uint_eq(stack_upstream_count("/"), 1);
}
END_TEST

START_TEST(hits_are_not_delayed_by_a_herd_that_waits)
{
	struct http_request requests[200];
	struct http_response *all;

	harness_env_set(stack.env, "LOADER_THREADS", "8");
	stack_workers(1);
	assert_status(stack_get(PATH, NULL), 200);
	harness_upstream_control(stack.upstream, "path=/beta&delay_ms=2000");
	for (unsigned i = 0; i < 200; i++)
		requests[i] = (struct http_request){
			.url = stack_url(i % 2 ? PATH
					       : "/api/models?gateway=beta"),
			.drop_body = true
		};
	all = http_all(requests, 200);
	for (unsigned i = 0; i < 200; i++) {
		assert_status(&all[i], 200);
		if (i % 2)
			ck_assert_msg(all[i].ms < harness_limit_ms(1500),
				      "hit: %.0f ms", all[i].ms);
		else
			ck_assert_msg(all[i].ms > 1900, "miss: %.0f ms",
				      all[i].ms);
	}
	ck_assert_uint_eq(stack_upstream_count("/beta"), 1);
}
END_TEST

START_TEST(clients_that_leave_do_not_stop_the_load)
{
	int fd;

	harness_upstream_control(stack.upstream, "path=/&delay_ms=500");
	stack_workers(1);
	fd = fcgi_connect(stack.socket);
	fcgi_send(fd, &(struct fcgi_request){ .uri = PATH });
	wait_until(stack_upstream_count("/") == 1, 5000);
	close(fd);
	assert_status(stack_get(PATH, NULL), 200);
	ck_assert_uint_eq(stack_upstream_count("/"), 1);
}
END_TEST

Suite *
suite_herd(void)
{
	Suite *s = suite_create("herd");
	TCase *t = tcase_create("herd");

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, stack_begin, stack_end);
	tcase_add_test(t, herd_on_a_cold_key_loads_once);
	tcase_add_test(t, herd_without_redis_loads_once);
	tcase_add_test(t, herd_with_an_unreachable_redis_loads_once);
	tcase_add_test(t, herd_on_all_gateways_loads_each_once);
	tcase_add_test(t,
		       herd_holds_more_requests_than_there_are_loader_threads);
	tcase_add_test(t, killed_loader_delays_others_by_its_lease_at_most);
	tcase_add_test(
		t,
		killed_loader_without_redis_delays_others_by_its_lease_at_most);
	tcase_add_test(t, slow_loader_keeps_its_lease_as_long_as_it_lives);
	tcase_add_test(t, hits_are_not_delayed_by_a_herd_that_waits);
	tcase_add_test(t, clients_that_leave_do_not_stop_the_load);
	suite_add_tcase(s, t);
	return (s);
}
