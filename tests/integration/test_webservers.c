/* SPDX-License-Identifier: MIT */
/*
 * The worker under each spawner and behind each web server.
 */
#include "../harness/harness.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

Suite *suite_webservers(void);

#define PATH "/api/models?gateway=alpha"
#define CLIENTS 500

static void
assert_serves(const char *base)
{
	char *url = scratch_printf("%s%s", base, PATH);
	const struct http_response *r;

	assert_status(http_get(url, NULL), 200);
	r = http_get(url, NULL);
	assert_cache(r, "HIT", NULL);
	r = http_get(url,
		     scratch_printf("If-None-Match: %s",
				    http_header(r, "ETag")),
		     NULL);
	assert_status(r, 304);
	r = http_request("HEAD", url, NULL, NULL);
	assert_status(r, 200);
	r = http_request("PATCH", url, "{}", "Content-Type: application/json",
			 NULL);
	assert_status(r, 405);
	r = http_get(scratch_printf("%s/api/models?gateway=%%2Fx", base), NULL);
	assert_status(r, 400);
	ck_assert_str_eq(http_header(r, "Content-Type"),
			 "application/problem+json");
}

/* Spawners, behind nginx. */

static const struct {
	int how;
	unsigned processes;
} spawners[] = {
	{ WORKER_INHERITS, 1 },	  { WORKER_INHERITS, 3 },
	{ WORKER_LISTENS, 1 },	  { WORKER_SPAWN_FCGI, 1 },
	{ WORKER_SPAWN_FCGI, 3 }, { WORKER_MULTIWATCH, 2 },
};

START_TEST(worker_serves_under_each_spawner)
{
	struct harness_worker_options o = { .env = stack.env,
					    .processes = spawners[_i].processes,
					    .socket = stack.socket };

	o.how = spawners[_i].how;
	stack.worker = harness_worker_new(&o);
	assert_serves(stack.nginx->url);
	ck_assert_uint_eq(stack.worker->n, spawners[_i].processes);
	for (unsigned i = 0; i < stack.worker->n; i++)
		ck_assert(process_is_running(stack.worker->processes[i]));
}
END_TEST

START_TEST(multiwatch_replaces_a_killed_worker)
{
	stack.worker = harness_worker_new(
		&(struct harness_worker_options){ .env = stack.env,
						  .processes = 1,
						  .socket = stack.socket,
						  .how = WORKER_MULTIWATCH });
	assert_status(stack_get(PATH, NULL), 200);
	harness_worker_kill(stack.worker, 0);
	wait_until(stack_get(PATH, NULL)->status == 200, 10000);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 1);
}
END_TEST

START_TEST(worker_takes_over_a_stale_socket_but_not_a_live_one)
{
	const struct harness_worker_options o = { .env = stack.env,
						  .socket = stack.socket,
						  .how = WORKER_LISTENS };
	struct process_result second;

	stack.worker = harness_worker_new(&o);
	second =
		harness_warmfront(stack.env, "-l", stack.worker->address, NULL);
	ck_assert_int_ne(second.status, 0);
	ck_assert_ptr_nonnull(strstr(second.err, stack.socket));
	assert_status(stack_get(PATH, NULL), 200);
	harness_worker_kill(stack.worker, 0);
	ck_assert_int_eq(access(stack.socket, F_OK), 0);
	harness_worker_start(stack.worker);
	assert_status(stack_get(PATH, NULL), 200);
}
END_TEST

START_TEST(worker_listens_on_tcp)
{
	unsigned port = harness_free_port();
	char *address = scratch_printf("127.0.0.1:%u", port);
	struct harness_nginx *n = harness_nginx_new(
		&(struct harness_nginx_options){ .worker = address });
	struct process *p = process_start(&(struct process_options){
		.argv = (const char *const[]){ harness_binary("WARMFRONT_BIN",
							      "warmfront"),
					       "serve", "-l", address, NULL },
		.env = harness_env_list(stack.env) });

	wait_until(fcgi_get(address, "/", NULL)->status != 0, 10000);
	assert_serves(n->url);
	ck_assert_int_eq(process_stop(p), 0);
	harness_nginx_stop(n);
}
END_TEST

START_TEST(nginx_serves_without_kept_connections)
{
	struct harness_nginx *n =
		harness_nginx_new(&(struct harness_nginx_options){
			.worker = scratch_printf("unix:%s", stack.socket) });

	stack_workers(2);
	assert_serves(n->url);
	harness_nginx_stop(n);
}
END_TEST

START_TEST(lighttpd_serves_over_a_given_socket)
{
	struct harness_lighttpd *l = harness_lighttpd_new(
		&(struct harness_lighttpd_options){ .worker = stack.socket });

	stack_workers(2);
	wait_until(http_get(scratch_printf("%s%s", l->url, PATH), NULL)
				   ->status == 200,
		   10000);
	assert_serves(l->url);
	harness_lighttpd_stop(l);
}
END_TEST

START_TEST(lighttpd_spawns_workers_itself)
{
	struct harness_lighttpd *l = harness_lighttpd_new(&(
		struct harness_lighttpd_options){
		.spawn = (const char *const[]){ harness_binary("WARMFRONT_BIN",
							       "warmfront"),
						NULL },
		.processes = 2,
		.env = harness_env_list(stack.env) });
	pid_t children[8];
	struct process *workers[2];

	ck_assert_uint_eq(process_children(process_pid(l->process), children,
					   8),
			  2);
	for (unsigned i = 0; i < 2; i++)
		workers[i] = process_adopt(children[i], stack.upstream->log);
	assert_serves(l->url);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 1);
	harness_lighttpd_stop(l);
	for (unsigned i = 0; i < 2; i++)
		wait_until(!process_is_running(workers[i]), 10000);
}
END_TEST

/* Kept connections. */

static void
assert_none_waits(const char *base)
{
	const struct http_request q = {
		.url = scratch_printf("%s%s", base, PATH), .drop_body = true
	};
	struct http_response *all;

	assert_status(http_get(q.url, NULL), 200);
	for (int round = 0; round < 3; round++) {
		all = http_many(&q, CLIENTS);
		for (unsigned i = 0; i < CLIENTS; i++) {
			assert_status(&all[i], 200);
			/* The whole herd takes a fraction of this. */
			ck_assert_msg(all[i].ms < harness_limit_ms(1500),
				      "round %d: %.0f ms", round, all[i].ms);
		}
	}
}

START_TEST(nginx_with_kept_connections_and_500_clients_over_4_threads)
{
	harness_env_set(stack.env, "WORKER_THREADS", "4");
	stack_workers(1);
	assert_none_waits(stack.nginx->url);
}
END_TEST

START_TEST(lighttpd_with_500_clients_over_4_threads)
{
	struct harness_lighttpd *l;

	harness_env_set(stack.env, "WORKER_THREADS", "4");
	stack_workers(1);
	l = harness_lighttpd_new(
		&(struct harness_lighttpd_options){ .worker = stack.socket });
	assert_none_waits(l->url);
	harness_lighttpd_stop(l);
}
END_TEST

START_TEST(idle_connections_cost_no_thread)
{
	int idle[CLIENTS];
	struct http_response *r;

	harness_env_set(stack.env, "WORKER_THREADS", "2");
	stack_workers(1);
	assert_status(stack_get(PATH, NULL), 200);
	for (int i = 0; i < CLIENTS; i++) {
		idle[i] = fcgi_connect(stack.socket);
		ck_assert_int_ge(idle[i], 0);
		if (i % 2) {
			fcgi_send(idle[i], &(struct fcgi_request){
						   .uri = PATH, .keep = true });
			r = fcgi_receive(idle[i], 5000);
			assert_status(r, 200);
		}
	}
	for (int i = 0; i < 20; i++) {
		r = fcgi_get(stack.socket, PATH, NULL);
		assert_status(r, 200);
		ck_assert_msg(r->ms < harness_limit_ms(200), "%.1f ms", r->ms);
	}
	for (int i = 0; i < CLIENTS; i++) {
		if (i % 2) { /* still good */
			fcgi_send(idle[i], &(struct fcgi_request){
						   .uri = PATH, .keep = true });
			assert_status(fcgi_receive(idle[i], 5000), 200);
		}
		close(idle[i]);
	}
}
END_TEST

START_TEST(half_a_request_holds_up_nobody)
{
	size_t len;
	char *bytes = fcgi_encode(&(struct fcgi_request){ .uri = PATH }, &len);
	int slow[16];

	harness_env_set(stack.env, "WORKER_THREADS", "2");
	stack_workers(1);
	for (size_t i = 0; i < 16; i++) {
		slow[i] = fcgi_connect(stack.socket);
		ck_assert(
			fcgi_send_raw(slow[i], bytes, 3 + i * (len - 4) / 16));
	}
	for (int i = 0; i < 5; i++) {
		struct http_response *r = fcgi_get(stack.socket, PATH, NULL);

		assert_status(r, 200);
		ck_assert_msg(r->ms < harness_limit_ms(1000), "%.1f ms", r->ms);
	}
	for (size_t i = 0; i < 16; i++) {
		size_t sent = 3 + i * (len - 4) / 16;

		ck_assert(fcgi_send_raw(slow[i], bytes + sent, len - sent));
		assert_status(fcgi_receive(slow[i], 5000), 200);
		close(slow[i]);
	}
}
END_TEST

Suite *
suite_webservers(void)
{
	Suite *s = suite_create("webservers");
	TCase *t = tcase_create("webservers");

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, stack_begin, stack_end);
	tcase_add_loop_test(t, worker_serves_under_each_spawner, 0,
			    (int)(sizeof(spawners) / sizeof(spawners[0])));
	tcase_add_test(t, multiwatch_replaces_a_killed_worker);
	tcase_add_test(t, worker_takes_over_a_stale_socket_but_not_a_live_one);
	tcase_add_test(t, worker_listens_on_tcp);
	tcase_add_test(t, nginx_serves_without_kept_connections);
	tcase_add_test(t, lighttpd_serves_over_a_given_socket);
	tcase_add_test(t, lighttpd_spawns_workers_itself);
	tcase_add_test(
		t, nginx_with_kept_connections_and_500_clients_over_4_threads);
	tcase_add_test(t, lighttpd_with_500_clients_over_4_threads);
	tcase_add_test(t, idle_connections_cost_no_thread);
	tcase_add_test(t, half_a_request_holds_up_nobody);
	suite_add_tcase(s, t);
	return (s);
}
