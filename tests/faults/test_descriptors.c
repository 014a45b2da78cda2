/* SPDX-License-Identifier: MIT */
/*
 * Workers short of descriptors: all are answered, in their turn or with a refusal.
 */
#include "faults.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

Suite *suite_descriptors(void);

static void
limit_descriptors(pid_t pid, rlim_t most)
{
	struct rlimit limit;

	ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, NULL, &limit), 0);
	limit.rlim_cur = most; /* it may be raised again */
	ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

#define CROWD 2000

START_TEST(two_thousand_connections_on_256_descriptors_are_all_answered)
{
	const struct rlimit enough = { 4096, 4096 };
	int fds[CROWD];

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &enough), 0);
	stack_workers(1);
	limit_descriptors(harness_worker_pid(stack.worker, 0), 256);
	faults_ok(ALPHA, NULL, 2000);
	for (int i = 0; i < CROWD; i++) {
		fds[i] = fcgi_connect(stack.socket);
		ck_assert_int_ge(fds[i], 0);
		fcgi_send(fds[i],
			  &(struct fcgi_request){ .uri = ALPHA, .keep = true });
	}
	for (int i = 0; i < CROWD; i++) {
		assert_status(fcgi_receive(fds[i], 20000), 200);
		close(fds[i]);
	}
	faults_ok(ALPHA, NULL, 500);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 1);
}
END_TEST

/* Clients that send nothing but a byte hold what there is. */
START_TEST(without_descriptors_it_waits_and_then_goes_on)
{
	int fds[100];
	pid_t pid;

	stack_workers(1);
	pid = harness_worker_pid(stack.worker, 0);
	faults_ok(ALPHA, NULL, 2000);
	limit_descriptors(pid, faults_descriptors(pid) + 20);
	for (int i = 0; i < 100; i++) {
		fds[i] = fcgi_connect(stack.socket);
		ck_assert(fcgi_send_raw(fds[i], "\1", 1));
	}
	/* One that has a connection is served. */
	for (int i = 0; i < 5; i++) {
		struct http_response *r = http_send(&(struct http_request){
			.url = stack_url(ALPHA), .timeout_ms = 2000 });

		if (r->status != 0)
			assert_status(r, 200);
	}
	for (int i = 0; i < 100; i++)
		close(fds[i]);
	wait_until(stack_get(ALPHA, NULL)->status == 200, 5000);
	faults_ok(BETA, NULL, 3000);
	faults_ok(ALPHA, NULL, 500);
}
END_TEST

/* The lowest number that no descriptor has: a limit that leaves none to be had. */
static unsigned
first_free(pid_t pid)
{
	char target[64];
	unsigned n = 0;

	while (readlink(scratch_printf("/proc/%d/fd/%u", (int)pid, n), target,
			sizeof(target)) > 0)
		n++;
	return (n);
}

/* On a connection that is kept. */
static struct http_response *
ask_on(int fd, const char *path)
{
	fcgi_send(fd, &(struct fcgi_request){ .uri = path, .keep = true });
	return (fcgi_receive(fd, 10000));
}

/* Beta is at an origin to which there is no connection yet. */
START_TEST(load_without_descriptors_is_refused_in_time_and_goes_on_with_some)
{
	struct harness_upstream *u = harness_upstream_new(NULL);
	pid_t pid;
	int fd;

	harness_env_set(stack.env, "MODELS_GATEWAYS",
			"alpha=%s/alpha/models,beta=%s/beta/models",
			stack.upstream->url, u->url);
	harness_env_set(stack.env, "UPSTREAM_TIMEOUT_MS", "1000");
	stack_workers(1);
	pid = harness_worker_pid(stack.worker, 0);
	fd = fcgi_connect(stack.socket);
	assert_status(ask_on(fd, ALPHA), 200);
	limit_descriptors(pid, first_free(pid));
	for (int i = 0; i < 5; i++) {
		struct http_response *r = ask_on(fd, BETA);

		if (r->status != 200)
			stack_assert_refusal(r);
		ck_assert_msg(r->ms < harness_limit_ms(1500), "%s",
			      stack_describe(r));
		assert_status(ask_on(fd, ALPHA), 200);
	}
	limit_descriptors(pid, 256);
	wait_until(ask_on(fd, BETA)->status == 200, 5000);
	close(fd);
	harness_upstream_stop(u);
}
END_TEST

Suite *
suite_descriptors(void)
{
	Suite *s = suite_create("descriptors");
	TCase *t = faults_case(s, "descriptors");

	tcase_add_test(
		t,
		two_thousand_connections_on_256_descriptors_are_all_answered);
	tcase_add_test(t, without_descriptors_it_waits_and_then_goes_on);
	tcase_add_test(
		t,
		load_without_descriptors_is_refused_in_time_and_goes_on_with_some);
	return (s);
}
