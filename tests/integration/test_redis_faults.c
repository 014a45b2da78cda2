/* SPDX-License-Identifier: MIT */
#include "../harness/harness.h"
#include "canned.h"
#include "redis_client.h"

#include "base/alloc.h"
#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS 200
/* How much longer than its deadline a call may take on a busy machine. */
#define SLACK_MS 1500

static struct harness_redis *
start(void)
{
	return (harness_redis_new(&(struct harness_redis_options){
		.transport = REDIS_TCP,
	}));
}

/* The call's result, and that it took at most `limit_ms`. */
static enum result
timed_ping(struct redis *r, double limit_ms)
{
	double begin = harness_now_ms();
	enum result result = CLIENT_CALL(r, "PING");
	double took = harness_now_ms() - begin;

	ck_assert_msg(took < limit_ms, "took %.0f ms", took);
	return (result);
}

/* Call until the breaker is open; the failure that came first. */
static enum result
call_until_open(struct redis *r)
{
	enum result first = CLIENT_CALL(r, "PING");

	for (int i = 0; i < 5 && redis_state(r) == BREAKER_CLOSED; i++)
		ck_assert_int_ne(timed_ping(r, TIMEOUT_MS + SLACK_MS), R_OK);
	ck_assert_int_eq(redis_state(r), BREAKER_OPEN);
	return (first);
}

START_TEST(stopped_server_times_out_then_is_refused_then_heals)
{
	struct harness_redis *server = start();
	struct redis *r = client_new(server->tcp_url, TIMEOUT_MS);
	double begin;
	int quick = 0;

	ck_assert_int_eq(CLIENT_CALL(r, "PING"), R_OK);
	process_signal(server->process, SIGSTOP);
	begin = harness_now_ms();
	ck_assert_int_eq(CLIENT_CALL(r, "PING"), R_TIMEOUT);
	ck_assert_double_ge(harness_now_ms() - begin, TIMEOUT_MS - 1);
	ck_assert_double_le(harness_now_ms() - begin, TIMEOUT_MS + SLACK_MS);
	(void)call_until_open(r);
	for (int i = 0; i < 50; i++) {
		begin = harness_now_ms();
		ck_assert_int_ne(CLIENT_CALL(r, "PING"), R_OK);
		quick += harness_now_ms() - begin < TIMEOUT_MS / 2.0;
	}
	ck_assert_int_ge(quick, 45); /* the others were probes */
	process_signal(server->process, SIGCONT);
	wait_until(CLIENT_CALL(r, "PING") == R_OK, 5000);
	ck_assert_int_eq(redis_state(r), BREAKER_CLOSED);
	ck_assert_int_eq(CLIENT_CALL(r, "PING"), R_OK);
	redis_free(r);
}
END_TEST

START_TEST(open_breaker_refuses_without_waiting)
{
	struct redis *r = client_new("unix:///nonexistent/redis", TIMEOUT_MS);
	struct client_tally tally = { 0 };
	unsigned refused = 0;

	ck_assert_int_eq(call_until_open(r), R_UNAVAILABLE);
	for (int i = 0; i < 1000; i++)
		refused += CLIENT_SEND(r, &tally, "PING") == R_UNAVAILABLE;
	/* All but the probes, of which each pause allows one. */
	ck_assert_uint_ge(refused, 990);
	wait_until(atomic_load(&tally.ended) == 1000 - refused, 1000);
	ck_assert_uint_eq(tally.results[R_OK], 0);
	redis_free(r);
}
END_TEST

START_TEST(killed_server_fails_each_command_in_flight_once)
{
	struct harness_redis *server = start();
	struct redis *r = client_new(server->url, 10000);
	struct client_tally tally = { 0 };
	unsigned sent = 0;

	ck_assert_int_eq(CLIENT_CALL(r, "PING"), R_OK);
	for (; sent < 1000; sent++)
		ck_assert_int_eq(CLIENT_SEND(r, &tally, "BLPOP", "none", "0"),
				 R_OK);
	harness_redis_kill(server);
	wait_until(atomic_load(&tally.ended) == sent, 3000);
	ck_assert_uint_eq(tally.results[R_UNAVAILABLE], sent);
	redis_free(r);
	ck_assert_uint_eq(tally.ended, sent);
}
END_TEST

/* The tally first, so that it serves as the argument of both. */
struct pair_tally {
	struct client_tally all;
	atomic_uint firsts;
};

static void
count_pair_first(void *arg, enum result r, const struct redis_reply *reply)
{
	struct pair_tally *t = arg;

	ck_assert_int_eq(r, R_OK);
	ck_assert_ptr_nonnull(reply);
	atomic_fetch_add(&t->firsts, 1);
}

START_TEST(killed_server_fails_each_pair_in_flight_once)
{
	struct harness_redis *server = start();
	struct redis *r = client_new(server->url, 10000);
	struct pair_tally tally = { 0 };
	const struct bytes argv[] = { BYTES("PING"), BYTES("BLPOP"),
				      BYTES("none"), BYTES("0") };
	const struct redis_pair pair = {
		argv, { 1, 3 }, count_pair_first, &tally
	};

	ck_assert_int_eq(CLIENT_CALL(r, "PING"), R_OK);
	for (unsigned i = 0; i < 100; i++)
		ck_assert_int_eq(redis_send_pair(r, &pair, client_count), R_OK);
	/* The first of the others waits behind the second of the first. */
	wait_until(atomic_load(&tally.firsts) == 1, 3000);
	harness_redis_kill(server);
	wait_until(atomic_load(&tally.all.ended) == 100, 3000);
	redis_free(r);
	ck_assert_uint_eq(tally.all.results[R_UNAVAILABLE], 100);
	ck_assert_uint_eq(tally.firsts, 1);
}
END_TEST

struct identity {
	struct redis *redis;
	char text[64];
};

static enum result
keep_identity(void *arg, const struct redis_reply *reply)
{
	struct identity *i = arg;

	(void)reply;
	snprintf(i->text, sizeof(i->text), "%s", redis_server(i->redis));
	return (R_OK);
}

static bool
asks_who_it_is(struct identity *i)
{
	const struct bytes ping = BYTES("PING");

	return (redis_call(i->redis, &ping, 1, keep_identity, i) == R_OK);
}

START_TEST(restarted_server_is_another)
{
	struct harness_redis *server = start();
	struct redis *r = client_new(server->url, TIMEOUT_MS);
	struct identity before = { .redis = r }, after = { .redis = r };

	ck_assert(asks_who_it_is(&before));
	ck_assert_uint_eq(strlen(before.text), 40);
	ck_assert_ptr_nonnull(
		strstr(harness_redis_command(server, "INFO server"),
		       before.text));
	harness_redis_kill(server);
	harness_redis_start(server);
	wait_until(asks_who_it_is(&after), 5000);
	ck_assert_ptr_nonnull(
		strstr(harness_redis_command(server, "INFO server"),
		       after.text));
	ck_assert_str_ne(before.text, after.text);
	redis_free(r);
}
END_TEST

START_TEST(server_that_does_not_say_who_it_is_is_used)
{
	const char *const arguments[] = { "--rename-command", "INFO", "",
					  NULL };
	struct harness_redis *server = harness_redis_new(
		&(struct harness_redis_options){ .extra = arguments });
	struct redis *r = client_new(server->url, TIMEOUT_MS);
	struct identity i = { .redis = r, .text = "some" };

	ck_assert(asks_who_it_is(&i));
	ck_assert_str_eq(i.text, "");
	redis_free(r);
}
END_TEST

START_TEST(restarted_server_is_found_again)
{
	struct harness_redis *server = start();
	struct redis *r = client_new(server->tcp_url, TIMEOUT_MS);

	ck_assert_int_eq(CLIENT_CALL(r, "SET", "a", "1"), R_OK);
	harness_redis_kill(server);
	(void)call_until_open(r);
	harness_redis_start(server);
	wait_until(CLIENT_CALL(r, "GET", "a") == R_OK, 5000);
	ck_assert_str_eq(client_text, "");
	ck_assert_int_eq(redis_state(r), BREAKER_CLOSED);
	redis_free(r);
}
END_TEST

START_TEST(slow_answer_fails_all_behind_it_and_the_connection)
{
	struct harness_redis *server = start();
	struct redis *r = client_new(server->url, TIMEOUT_MS);
	struct client_tally tally = { 0 };

	ck_assert_int_eq(CLIENT_CALL(r, "PING"), R_OK);
	ck_assert_int_eq(CLIENT_SEND(r, &tally, "BLPOP", "none", "0.6"), R_OK);
	ck_assert_int_eq(CLIENT_SEND(r, &tally, "PING"), R_OK);
	wait_until(atomic_load(&tally.ended) == 2, TIMEOUT_MS + SLACK_MS);
	ck_assert_uint_eq(tally.results[R_TIMEOUT], 2);
	ck_assert_int_eq(CLIENT_CALL(r, "PING"), R_OK);
	redis_free(r);
}
END_TEST

START_TEST(wrong_password_is_unavailable_and_stays_secret)
{
	static const char *const users[] = { "", "default" };
	struct harness_redis *server =
		harness_redis_new(&(struct harness_redis_options){
			.transport = REDIS_TCP,
			.password = "right",
		});
	char *log = scratch_printf("%s/client.log", server->directory);

	ck_assert_int_eq(log_open(scratch_printf("file:%s", log),
				  LOG_LEVEL_DEBUG),
			 R_OK);
	for (int i = 0; i < 2; i++) {
		struct redis *r = client_new(
			scratch_printf("redis://%s:hunter2@127.0.0.1:"
				       "%u",
				       users[i], server->port),
			TIMEOUT_MS);

		ck_assert_int_eq(call_until_open(r), R_UNAVAILABLE);
		redis_free(r);
	}
	log_close();
	ck_assert_ptr_nonnull(strstr(scratch_read(log), "WRONGPASS"));
	ck_assert_ptr_null(strstr(scratch_read(log), "hunter2"));
	/* Its reason is said once a client, not once a call. */
	ck_assert_uint_le(scratch_lines(log), 4);
}
END_TEST

START_TEST(missing_password_is_unavailable)
{
	struct harness_redis *server =
		harness_redis_new(&(struct harness_redis_options){
			.transport = REDIS_TCP,
			.password = "right",
		});
	struct redis *r =
		client_new(scratch_printf("redis://127.0.0.1:%u", server->port),
			   TIMEOUT_MS);

	ck_assert_int_eq(call_until_open(r), R_UNAVAILABLE);
	redis_free(r);
}
END_TEST

static const char *const nonsense[] = {
	"",
	"-LOADING Redis is loading the dataset in memory\r\n",
	"-MASTERDOWN Link with MASTER is down\r\n",
	"HTTP/1.1 400 Bad Request\r\n\r\n",
	":1\r\n",
	"*2147483647\r\n",
	"+PO",
};

START_TEST(server_that_talks_nonsense_is_unavailable)
{
	unsigned port = canned_start(nonsense[_i]);
	struct redis *r =
		client_new(scratch_printf("redis://127.0.0.1:%u", port),
			   TIMEOUT_MS);

	ck_assert_int_ne(call_until_open(r), R_OK);
	redis_free(r);
}
END_TEST

/* A reply to PING, then what nobody asked for. */
START_TEST(answer_to_no_question_drops_the_connection)
{
	unsigned port = canned_start("+PONG\r\n+A\r\n+B\r\n+C\r\n");
	struct redis *r =
		client_new(scratch_printf("redis://127.0.0.1:%u", port),
			   TIMEOUT_MS);

	ck_assert_int_ne(CLIENT_CALL(r, "PING"), R_OK);
	redis_free(r);
}
END_TEST

START_TEST(unknown_host_is_unavailable_in_time)
{
	struct redis *r =
		client_new("redis://no-such-host.invalid", TIMEOUT_MS);

	ck_assert_int_ne(timed_ping(r, 2 * TIMEOUT_MS + SLACK_MS), R_OK);
	redis_free(r);
}
END_TEST

START_TEST(failed_allocations_are_reported)
{
	struct harness_redis *server = start();
	const struct redis_options options = {
		.url = server->url,
		.timeout_ms = 2000,
		.connect_timeout_ms = 2000,
		.queue_limit = 10,
	};
	enum result result = R_NO_MEMORY;
	struct redis *r;
	unsigned n;

	for (n = 1; result == R_NO_MEMORY; n++) {
		mem_fail_after(n);
		result = redis_new(&options, &r);
	}
	ck_assert_int_eq(result, R_OK);
	/* The connection and the commands on it. */
	result = R_NO_MEMORY;
	for (n = 1; result == R_NO_MEMORY; n++) {
		mem_fail_after(n);
		result = CLIENT_CALL(r, "PING");
	}
	mem_fail_after(0);
	ck_assert_int_eq(result, R_OK);
	ck_assert_uint_gt(n, 2);
	redis_free(r);
}
END_TEST

START_TEST(client_that_was_never_used_is_freed_at_once)
{
	struct redis *r = client_new("redis://127.0.0.1:1", TIMEOUT_MS);
	double begin = harness_now_ms();

	redis_free(r);
	ck_assert_double_lt(harness_now_ms() - begin, SLACK_MS);
	redis_free(NULL);
}
END_TEST

Suite *suite_redis_faults(void);

Suite *
suite_redis_faults(void)
{
	Suite *s = suite_create("redis_faults");
	TCase *c = tcase_create("redis_faults");
	int n = sizeof(nonsense) / sizeof(nonsense[0]);

	tcase_set_timeout(c, 30);
	tcase_add_test(c, stopped_server_times_out_then_is_refused_then_heals);
	tcase_add_test(c, open_breaker_refuses_without_waiting);
	tcase_add_test(c, killed_server_fails_each_command_in_flight_once);
	tcase_add_test(c, killed_server_fails_each_pair_in_flight_once);
	tcase_add_test(c, restarted_server_is_another);
	tcase_add_test(c, server_that_does_not_say_who_it_is_is_used);
	tcase_add_test(c, restarted_server_is_found_again);
	tcase_add_test(c, slow_answer_fails_all_behind_it_and_the_connection);
	tcase_add_test(c, wrong_password_is_unavailable_and_stays_secret);
	tcase_add_test(c, missing_password_is_unavailable);
	tcase_add_loop_test(c, server_that_talks_nonsense_is_unavailable, 0, n);
	tcase_add_test(c, answer_to_no_question_drops_the_connection);
	tcase_add_test(c, unknown_host_is_unavailable_in_time);
	tcase_add_test(c, failed_allocations_are_reported);
	tcase_add_test(c, client_that_was_never_used_is_freed_at_once);
	suite_add_tcase(s, c);
	return (s);
}
