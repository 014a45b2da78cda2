/* SPDX-License-Identifier: MIT */
/*
 * Workers that are killed, told to end, cut off, talked nonsense to, and short of
 * descriptors.
 */
#include "faults.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

Suite *suite_worker_away(void);

static void
nap_ms(unsigned ms)
{
	const struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

#define KILLS 8 /* two for each: multiwatch gives one up that dies too often */

/* Somebody who kills a worker of multiwatch now and then, `n` times. */
static pid_t
killer(unsigned n)
{
	pid_t child = fork(), children[64], spawner;
	unsigned count;

	ck_assert_int_ge(child, 0);
	if (child > 0)
		return (child);
	spawner = process_pid(stack.worker->spawner);
	for (unsigned i = 0; i < n; i++) {
		nap_ms(200);
		count = process_children(spawner, children, 64);
		if (count > 0)
			kill(children[0], SIGKILL); /* the oldest */
	}
	_exit(0);
}

START_TEST(killed_under_load_nothing_that_was_answered_is_lost)
{
	const char *anna;
	unsigned taken = 0, failed = 0;
	int status;
	pid_t child;

	anna = stack_login("anna@example.org", "user");
	stack.worker = harness_worker_new(
		&(struct harness_worker_options){ .env = stack.env,
						  .processes = 4,
						  .how = WORKER_MULTIWATCH,
						  .socket = stack.socket });
	faults_ok(ALPHA, NULL, 2000);
	wait_until(faults_is_stored("models:alpha"), 5000);
	child = killer(KILLS);
	for (unsigned i = 0; waitpid(child, &status, WNOHANG) == 0; i++) {
		struct http_response *r = stack_request(
			"POST", "/api/models",
			scratch_printf("{\"model_id\":\"acme/%u\","
				       "\"name\":\"%u\"}",
				       i, i),
			anna, "Content-Type: application/json", NULL);

		/* nginx says 502 for a worker that died over a request. */
		ck_assert_msg(r->status == 201 || r->status == 502, "%s",
			      stack_describe(r));
		stack_assert_discreet(r);
		taken += r->status == 201;
		r = stack_get(ALPHA, NULL);
		ck_assert_msg(r->status == 200 || r->status == 502, "%s",
			      stack_describe(r));
		failed += r->status != 200;
	}
	ck_assert_int_eq(status, 0);
	ck_assert_uint_gt(taken, 20);
	ck_assert_uint_le(failed, KILLS); /* one each at most */
	wait_until(stack_get(ALPHA, NULL)->status == 200, 5000);
	ck_assert_int_eq(faults_add_model(anna, "last"), 201);
	ck_assert_int_ge(atoi(harness_sql(stack.owner_url,
					  "SELECT count(*) FROM models")),
			 (int)taken + 1);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 1);
}
END_TEST

START_TEST(told_to_end_under_load_it_answers_what_it_has)
{
	double began;
	int fds[100];

	stack_workers(1);
	harness_upstream_control(stack.upstream, "path=/&delay_ms=1000");
	for (int i = 0; i < 100; i++) {
		fds[i] = fcgi_connect(stack.socket);
		fcgi_send(fds[i], &(struct fcgi_request){
					  .uri = i % 2 ? ALPHA : BETA });
	}
	wait_until(stack_upstream_count("/") == 2, 5000);
	began = harness_now_ms();
	kill(harness_worker_pid(stack.worker, 0), SIGTERM);
	for (int i = 0; i < 100; i++) {
		assert_status(fcgi_receive(fds[i], 10000), 200);
		close(fds[i]);
	}
	ck_assert_int_eq(process_wait(stack.worker->processes[0], 10000), 0);
	ck_assert_double_lt(harness_now_ms() - began, harness_limit_ms(5000));
}
END_TEST

START_TEST(clients_that_leave_cost_nothing)
{
	unsigned before;
	char some[1000];
	pid_t pid;

	harness_upstream_control(stack.upstream, "path=/alpha&mode=huge:%d",
				 4 << 20);
	stack_workers(1);
	pid = harness_worker_pid(stack.worker, 0);
	faults_ok(ALPHA, NULL, 5000);
	before = faults_descriptors(pid);
	harness_upstream_control(stack.upstream, "path=/beta&delay_ms=500");
	for (int i = 0; i < 200; i++) {
		int fd = fcgi_connect(stack.socket);

		fcgi_send(fd, &(struct fcgi_request){ .uri = i % 2 ? ALPHA
								   : BETA });
		if (i % 4 == 1)
			(void)fcgi_receive_raw(fd, some, sizeof(some), 1000);
		close(fd);
	}
	faults_ok(BETA, NULL, 3000);
	faults_ok(ALPHA, NULL, 1000);
	wait_until(faults_descriptors(pid) <= before + 4, 5000);
	ck_assert_uint_eq(stack_upstream_count("/beta"), 1);
}
END_TEST

/* A request spoilt in one place or more, or nothing like one. */
static size_t
make_junk(char *to, size_t max, unsigned round, unsigned *seed)
{
	size_t len;
	char *whole = fcgi_encode(&(struct fcgi_request){ .uri = ALPHA }, &len);

	if (round % 2 == 0) {
		for (size_t i = 0; i < max; i++)
			to[i] = (char)rand_r(seed);
		return (max);
	}
	ck_assert_uint_le(len, max);
	memcpy(to, whole, len);
	for (unsigned i = 0; i <= round % 5; i++)
		to[(unsigned)rand_r(seed) % len] = (char)rand_r(seed);
	return (round % 3 == 0 ? (unsigned)rand_r(seed) % len : len);
}

START_TEST(junk_on_the_socket_harms_nobody)
{
	unsigned seed = 20260101, before;
	char junk[1024], answer[4096];
	pid_t pid;

	stack_workers(1);
	pid = harness_worker_pid(stack.worker, 0);
	faults_ok(ALPHA, NULL, 2000);
	before = faults_descriptors(pid);
	for (unsigned round = 0; round < 600; round++) {
		int fd = fcgi_connect(stack.socket);

		(void)fcgi_send_raw(fd, junk,
				    make_junk(junk, sizeof(junk), round,
					      &seed));
		(void)fcgi_receive_raw(fd, answer, sizeof(answer), 5);
		close(fd);
		if (round % 20 == 0)
			faults_ok(ALPHA, NULL, 500);
	}
	faults_ok(ALPHA, NULL, 500);
	wait_until(faults_descriptors(pid) <= before + 4, 5000);
	ck_assert(process_is_running(stack.worker->processes[0]));
}
END_TEST

START_TEST(aborted_requests_leave_room_for_the_next)
{
	size_t len;
	char *abort = fcgi_record(2, 1, "", 0, &len);
	unsigned before;
	pid_t pid;

	stack_workers(1);
	pid = harness_worker_pid(stack.worker, 0);
	faults_ok(ALPHA, NULL, 2000);
	before = faults_descriptors(pid);
	harness_upstream_control(stack.upstream, "path=/beta&delay_ms=1000");
	for (int i = 0; i < 100; i++) {
		int fd = fcgi_connect(stack.socket);

		fcgi_send(fd, &(struct fcgi_request){ .uri = BETA });
		(void)fcgi_send_raw(fd, abort, len);
		if (i % 10 == 0)
			(void)fcgi_receive(fd, 3000);
		close(fd);
	}
	faults_ok(BETA, NULL, 3000);
	faults_ok(ALPHA, NULL, 500);
	ck_assert_uint_eq(stack_upstream_count("/beta"), 1);
	wait_until(faults_descriptors(pid) <= before + 4, 5000);
}
END_TEST

static void
limit_descriptors(pid_t pid, rlim_t most)
{
	const struct rlimit limit = { most, most };

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

Suite *
suite_worker_away(void)
{
	Suite *s = suite_create("worker_away");
	TCase *t = faults_case(s, "worker_away");

	tcase_add_test(t, killed_under_load_nothing_that_was_answered_is_lost);
	tcase_add_test(t, told_to_end_under_load_it_answers_what_it_has);
	tcase_add_test(t, clients_that_leave_cost_nothing);
	tcase_add_test(t, junk_on_the_socket_harms_nobody);
	tcase_add_test(t, aborted_requests_leave_room_for_the_next);
	tcase_add_test(
		t,
		two_thousand_connections_on_256_descriptors_are_all_answered);
	tcase_add_test(t, without_descriptors_it_waits_and_then_goes_on);
	return (s);
}
