/* SPDX-License-Identifier: MIT */
/*
 * Workers that are killed, told to end, cut off, and talked nonsense to.
 */
#include "faults.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
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

#define WRITERS 4
#define CLIENTS (WRITERS + 50)
#define WORKERS 4

/* What the clients of a test have been told. */
struct tally {
	unsigned taken, lost_writes, lost_reads;
	const char *names; /* of what was taken, as a list in SQL */
};

/* All clients at once: the writers, each with a model of a name of its own, and the
 * readers. */
static void
ask_all(const char *login, unsigned round, struct tally *t)
{
	const char *const headers[] = { login, "Content-Type: application/json",
					NULL };
	struct http_request all[CLIENTS];
	struct http_response *r;

	for (unsigned i = 0; i < CLIENTS; i++)
		all[i] = (struct http_request){ .url = stack_url(ALPHA) };
	for (unsigned i = 0; i < WRITERS; i++)
		all[i] = (struct http_request){
			.method = "POST",
			.url = stack_url("/api/models"),
			.headers = headers,
			.body = scratch_printf("{\"model_id\":\"acme/%u-%u\","
					       "\"name\":\"x\"}",
					       round, i)
		};
	r = http_all(all, CLIENTS);
	for (unsigned i = 0; i < CLIENTS; i++) {
		/* nginx says 502 for a worker that died over a request. */
		if (r[i].status == 502) {
			*(i < WRITERS ? &t->lost_writes : &t->lost_reads) += 1;
			stack_assert_discreet(&r[i]);
			continue;
		}
		assert_status(&r[i], i < WRITERS ? 201 : 200);
		if (i < WRITERS) {
			t->taken++;
			t->names = scratch_printf("%s,'acme/%u-%u'", t->names,
						  round, i);
		}
	}
	http_free(r, CLIENTS);
}

/* nginx asks somebody else when a connection that it has kept breaks, unless that would
 * send a mutation twice.  So it is mutations that fail, once for each kill and writer
 * at most; and now and then a reader on a new connection. */
START_TEST(killed_under_load_nothing_that_was_answered_is_lost)
{
	struct tally t = { .names = "''" };
	const char *anna = stack_login("anna@example.org", "user");
	unsigned round = 0;
	int status;
	pid_t child;

	stack.worker = harness_worker_new(
		&(struct harness_worker_options){ .env = stack.env,
						  .processes = WORKERS,
						  .how = WORKER_MULTIWATCH,
						  .socket = stack.socket });
	faults_ok(ALPHA, NULL, 2000);
	wait_until(faults_is_stored("models:alpha"), 5000);
	ask_all(anna, round++, &t);
	ck_assert_uint_eq(t.lost_reads + t.lost_writes, 0);
	child = killer(KILLS);
	while (waitpid(child, &status, WNOHANG) == 0)
		ask_all(anna, round++, &t);
	ck_assert_int_eq(status, 0);
	for (unsigned i = 0; i < WORKERS; i++)
		ck_assert(!process_is_running(stack.worker->processes[i]));
	ck_assert_uint_gt(t.taken, 20);
	ck_assert_uint_le(t.lost_writes, KILLS * WRITERS);
	ck_assert_uint_le(t.lost_reads, KILLS);
	wait_until(stack_get(ALPHA, NULL)->status == 200, 5000);
	ck_assert_int_eq(faults_add_model(anna, "last"), 201);
	ck_assert_int_eq(atoi(harness_sql(stack.owner_url,
					  "SELECT count(*) FROM models "
					  "WHERE model_id IN (%s)",
					  t.names)),
			 (int)t.taken);
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

START_TEST(told_to_end_it_makes_room_for_a_successor)
{
	struct harness_worker_options options = { .env = stack.env,
						  .how = WORKER_LISTENS };
	struct harness_worker *old = harness_worker_new(&options), *next;
	int fd = fcgi_connect(old->socket);

	harness_upstream_control(stack.upstream, "path=/&delay_ms=3000");
	fcgi_send(fd, &(struct fcgi_request){ .uri = ALPHA });
	wait_until(stack_upstream_count("/") == 1, 5000);
	kill(harness_worker_pid(old, 0), SIGTERM);
	wait_until(access(old->socket, F_OK) != 0, 2000);
	options.socket = old->socket;
	next = harness_worker_new(&options);
	ck_assert(process_is_running(old->processes[0]));
	assert_status(fcgi_receive(fd, 10000), 200);
	close(fd);
	harness_worker_stop(old);
	assert_status(fcgi_get(next->socket, "/api/health/cache", NULL), 200);
	harness_worker_stop(next);
	ck_assert_int_ne(access(next->socket, F_OK), 0);
}
END_TEST

/* In workers: what is used after its end is noticed, for it is filled with junk. */
static void
spoil_what_is_freed(void)
{
	harness_env_set(stack.env, "GLIBC_TUNABLES",
			"glibc.malloc.tcache_count=0:glibc.malloc.perturb=165");
}

START_TEST(told_to_end_again_and_again_it_ends_well)
{
	spoil_what_is_freed();
	for (int i = 0; i < 8; i++) {
		struct process *p;

		stack_workers(1);
		p = stack.worker->processes[0];
		faults_ok(ALPHA, NULL, 2000);
		while (process_is_running(p))
			kill(process_pid(p), SIGTERM);
		ck_assert_int_eq(process_wait(p, 10000), 0);
	}
}
END_TEST

/* A client asks and leaves, and the worker ends, while Redis says nothing. */
START_TEST(told_to_end_it_waits_for_lookups_that_nobody_waits_for)
{
	struct harness_postgres *pg = faults_own_postgres(NULL, NULL);
	struct harness_redis *redis = faults_own_redis(NULL);
	int fd;

	spoil_what_is_freed();
	harness_env_set(stack.env, "NEAR_CACHE", "off");
	harness_env_set(stack.env, "REDIS_TIMEOUT_MS", "1500");
	harness_env_set(stack.env, "WORKER_THREADS", "1");
	stack_workers(1);
	faults_ok(ALPHA, NULL, 2000);
	harness_postgres_kill(pg); /* else it waits for Redis to hear it out */
	process_signal(redis->process, SIGSTOP);
	fd = fcgi_connect(stack.socket);
	fcgi_send(fd, &(struct fcgi_request){ .uri = ALPHA });
	close(fd);
	for (int i = 0; i < 3; i++) /* until it has seen all that */
		assert_status(fcgi_get(stack.socket, "/", NULL), 404);
	kill(harness_worker_pid(stack.worker, 0), SIGTERM);
	ck_assert_int_eq(process_wait(stack.worker->processes[0], 10000), 0);
	process_signal(redis->process, SIGCONT);
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
	wait_until(faults_descriptors(pid) <= before + FAULTS_SPARE, 5000);
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
	wait_until(faults_descriptors(pid) <= before + FAULTS_SPARE, 5000);
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
	wait_until(faults_descriptors(pid) <= before + FAULTS_SPARE, 5000);
}
END_TEST

Suite *
suite_worker_away(void)
{
	Suite *s = suite_create("worker_away");
	TCase *t = faults_case(s, "worker_away");

	tcase_add_test(t, killed_under_load_nothing_that_was_answered_is_lost);
	tcase_add_test(t, told_to_end_under_load_it_answers_what_it_has);
	tcase_add_test(t, told_to_end_it_makes_room_for_a_successor);
	tcase_add_test(t, told_to_end_again_and_again_it_ends_well);
	tcase_add_test(t,
		       told_to_end_it_waits_for_lookups_that_nobody_waits_for);
	tcase_add_test(t, clients_that_leave_cost_nothing);
	tcase_add_test(t, junk_on_the_socket_harms_nobody);
	tcase_add_test(t, aborted_requests_leave_room_for_the_next);
	return (s);
}
