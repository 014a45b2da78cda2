/* SPDX-License-Identifier: MIT */
/* Connections and their requests, from the first to the last of a server. */
#include "../harness/fcgi.h"
#include "../harness/scratch.h"
#include "../records.h"
#include "serving.h"
#include "web/server.h"

#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

Suite *suite_server(void);

START_TEST(kept_connection_serves_one_request_after_another)
{
	struct serving *s = serving_start(NULL, 1);
	int fd = serving_connect(s);

	for (int i = 0; i < 100; i++)
		serving_check_hit(fd);
	(void)close(fd);
	serving_stop(s);
}
END_TEST

START_TEST(connection_that_is_not_kept_closes_after_the_answer)
{
	struct serving *s = serving_start(_i == 0 ? NULL : "127.0.0.1:0", 1);
	const struct fcgi_request once = { .uri = "/park?once" };
	int fd = serving_connect(s);

	fcgi_send(fd, &once);
	wait_until(serving_parked(s) == 1, SERVING_SOON_MS);
	/* Nobody reads these; they must not cost the answer. */
	fcgi_send_raw(fd, "junk", 4);
	serving_answer_one(s);
	serving_check_answer(fd, "once");
	serving_check_closed(fd);
	serving_stop(s);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
	struct serving *s = serving_start(NULL, 2);
	int fd = serving_connect(s);
	struct buf all = { 0 };
	char byte;

	records_request(&all, 1, RECORDS_KEEP, "/echo", BYTES("one"));
	records_request(&all, 2, RECORDS_KEEP, "/park?two", BYTES_NONE);
	records_request(&all, 3, RECORDS_KEEP, "/pool?three", BYTES_NONE);
	records_request(&all, 1, RECORDS_KEEP, "/echo", BYTES("four"));
	records_request(&all, 2, RECORDS_CLOSE, "/pool?five", BYTES_NONE);
	fcgi_send_raw(fd, all.at, all.len);
	buf_fini(&all);
	serving_check_answer(fd, "POST ok one");
	wait_until(serving_parked(s) == 1, SERVING_SOON_MS);
	ck_assert_int_eq(fcgi_receive_raw(fd, &byte, 1, 0), -2);
	serving_answer_one(s);
	serving_check_answer(fd, "two");
	serving_check_answer(fd, "three");
	serving_check_answer(fd, "POST ok four");
	serving_check_answer(fd, "five");
	serving_check_closed(fd);
	serving_stop(s);
}
END_TEST

START_TEST(pipelining_client_that_does_not_read_gets_all_in_the_end)
{
	struct serving *s = serving_start(NULL, 1);
	int fd = serving_connect(s);
	struct buf all = { 0 };

	for (int i = 0; i < 300; i++)
		records_request(&all, 1, RECORDS_KEEP, "/hit", BYTES_NONE);
	ck_assert(fcgi_send_raw(fd, all.at, all.len));
	buf_fini(&all);
	/* The socket is full, in the middle of one of them. */
	wait_until(serving_answers(s) > serving_released(s), SERVING_SOON_MS);
	for (int i = 0; i < 300; i++) {
		struct http_response *r = fcgi_receive(fd, SERVING_SOON_MS);

		ck_assert_msg(r->error == NULL, "%s", r->error);
		ck_assert_int_eq(r->status, 200);
		ck_assert_uint_eq(r->body_len, 2048);
	}
	(void)close(fd);
	serving_stop(s);
}
END_TEST

static double
processor_ms(void)
{
	struct timespec used;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return ((double)used.tv_sec * 1e3 + (double)used.tv_nsec / 1e6);
}

START_TEST(what_waits_behind_a_parked_request_takes_no_processor_time)
{
	struct serving *s = serving_start(NULL, 1);
	int fd = serving_connect(s);
	double used, until;

	serving_ask(fd, "/park?first");
	wait_until(serving_parked(s) == 1, SERVING_SOON_MS);
	serving_ask(fd, "/park?second");
	used = processor_ms();
	until = harness_now_ms() + 500;
	while (harness_now_ms() < until)
		harness_nap();
	ck_assert_double_lt(processor_ms() - used, 100);
	serving_answer_one(s);
	serving_check_answer(fd, "first");
	wait_until(serving_parked(s) == 1, SERVING_SOON_MS);
	serving_answer_one(s);
	serving_check_answer(fd, "second");
	(void)close(fd);
	serving_stop(s);
}
END_TEST

START_TEST(requests_are_answered_from_other_threads)
{
	struct serving *s = serving_start(NULL, 4);
	int fds[50];

	for (int i = 0; i < 50; i++)
		fds[i] = serving_connect(s);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 50; i++)
			serving_ask(fds[i], scratch_printf("/pool?%d", i));
		for (int i = 0; i < 50; i++)
			serving_check_answer(fds[i], scratch_printf("%d", i));
	}
	for (int i = 0; i < 50; i++)
		(void)close(fds[i]);
	serving_stop(s);
}
END_TEST

START_TEST(request_in_single_bytes_is_answered)
{
	struct serving *s = serving_start("127.0.0.1:0", 1);
	int fd = serving_connect(s);
	size_t length;
	char *bytes = fcgi_encode(&(struct fcgi_request){ .uri = "/echo",
							  .body = "slowly" },
				  &length);

	for (size_t i = 0; i < length; i++)
		ck_assert(fcgi_send_raw(fd, bytes + i, 1));
	serving_check_answer(fd, "GET ok slowly");
	serving_check_closed(fd);
	serving_stop(s);
}
END_TEST

START_TEST(large_request_bodies_arrive_whole)
{
	struct serving *s = serving_start(NULL, 1);
	struct buf request = { 0 }, wanted = { 0 };
	int fd = serving_connect(s);

	buf_str(&wanted, "POST ok ");
	while (wanted.len < SERVING_BODY_LIMIT)
		buf_printf(&wanted, "%zu ", wanted.len);
	records_request(&request, 1, RECORDS_KEEP, "/echo",
			bytes_from(buf_bytes(&wanted), 8));
	for (int i = 0; i < 10; i++) {
		ck_assert(fcgi_send_raw(fd, request.at, request.len));
		serving_check_answer(fd, wanted.at);
	}
	buf_fini(&request);
	buf_fini(&wanted);
	(void)close(fd);
	serving_stop(s);
}
END_TEST

START_TEST(half_closed_client_gets_its_answer)
{
	struct serving *s = serving_start(_i == 0 ? NULL : "127.0.0.1:0", 1);
	int fd = serving_connect(s);

	serving_ask(fd, "/park?still here");
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	wait_until(serving_parked(s) == 1, SERVING_SOON_MS);
	serving_check_serves(s);
	serving_answer_one(s);
	serving_check_answer(fd, "still here");
	serving_check_closed(fd);
	serving_stop(s);
}
END_TEST

START_TEST(idle_connections_hold_up_nobody)
{
	struct serving *s = serving_start(NULL, 4);
	int fds[500];

	for (int i = 0; i < 500; i++) {
		fds[i] = serving_connect(s);
		serving_check_hit(fds[i]);
	}
	for (int i = 0; i < 50; i++)
		serving_check_serves(s);
	for (int i = 499; i >= 0; i--)
		serving_check_hit(fds[i]);
	for (int i = 0; i < 500; i++)
		(void)close(fds[i]);
	serving_stop(s);
}
END_TEST

START_TEST(socket_that_does_not_listen_is_refused)
{
	struct server_options options = { .threads = 1 };
	struct server *server;
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	options.listener.fd = pair[0];
	ck_assert_int_eq(server_new(&options, &server), R_INVALID);
	(void)close(pair[0]);
	(void)close(pair[1]);
	ck_assert_int_eq(server_new(&options, &server), R_INVALID);
	server_free(NULL);
}
END_TEST

START_TEST(drain_answers_what_is_there_and_ends)
{
	struct serving *s = serving_start(NULL, 2);
	int idle = serving_connect(s), parked = serving_connect(s),
	    half = serving_connect(s), slow = serving_connect(s);
	size_t length;
	char *bytes = fcgi_encode(&(struct fcgi_request){ .uri = "/hit",
							  .keep = true },
				  &length);

	serving_check_hit(idle);
	serving_ask(parked, "/park?at last");
	serving_ask(slow, "/big");
	ck_assert(fcgi_send_raw(half, bytes, length - 9));
	wait_until(serving_parked(s) == 1 && serving_answers(s) == 2,
		   SERVING_SOON_MS);
	serving_check_serves(s);
	serving_check_serves(s);
	serving_end(s);
	serving_check_closed(idle);
	ck_assert(!serving_has_ended(s));
	ck_assert(fcgi_send_raw(half, bytes + length - 9, 9));
	ck_assert_uint_eq(fcgi_receive(half, SERVING_SOON_MS)->body_len, 2048);
	serving_check_closed(half);
	serving_check_big(slow);
	serving_check_closed(slow);
	serving_answer_one(s);
	serving_check_answer(parked, "at last");
	serving_check_closed(parked);
	wait_until(serving_has_ended(s), 2000);
	serving_stop(s);
}
END_TEST

/* Nobody accepted them before it began. */
START_TEST(drain_answers_who_has_connected)
{
	struct serving *s = serving_start(_i == 0 ? NULL : "127.0.0.1:0", 1);
	int busy = serving_connect(s), fds[20];

	serving_ask(busy, "/hold?busy");
	wait_until(serving_holds(s), SERVING_SOON_MS);
	for (int i = 0; i < 20; i++) {
		fds[i] = serving_connect(s);
		serving_ask(fds[i], "/hit");
	}
	serving_end(s);
	serving_let_go(s);
	serving_check_answer(busy, "busy");
	serving_check_closed(busy);
	for (int i = 0; i < 20; i++) {
		ck_assert_uint_eq(
			fcgi_receive(fds[i], SERVING_SOON_MS)->body_len, 2048);
		serving_check_closed(fds[i]);
	}
	serving_stop(s);
}
END_TEST

START_TEST(drain_refuses_who_comes_and_makes_room_for_a_successor)
{
	struct serving *next,
		*s = serving_start(_i == 0 ? NULL : "127.0.0.1:0", 2);
	int parked = serving_connect(s);

	serving_ask(parked, "/park?at last");
	wait_until(serving_parked(s) == 1, SERVING_SOON_MS);
	serving_end(s);
	wait_until(!serving_can_connect(s), SERVING_SOON_MS);
	ck_assert(!serving_has_ended(s));
	next = serving_start(serving_address(s), 2);
	serving_check_serves(next);
	serving_answer_one(s);
	serving_check_answer(parked, "at last");
	serving_check_closed(parked);
	serving_stop(s);
	serving_check_serves(next);
	serving_stop(next);
	ck_assert(!serving_can_connect(next));
}
END_TEST

START_TEST(drain_ends_in_time_whatever_is_left)
{
	struct serving *s = serving_start(NULL, 2);
	int parked = serving_connect(s), half = serving_connect(s),
	    slow = serving_connect(s);

	serving_ask(parked, "/park?too late");
	serving_ask(slow, "/big");
	ck_assert(fcgi_send_raw(half, "\1\1\0", 3));
	wait_until(serving_parked(s) == 1 && serving_answers(s) == 1,
		   SERVING_SOON_MS);
	serving_end(s);
	wait_until(serving_has_ended(s), SERVING_SOON_MS);
	serving_check_closed(parked);
	(void)close(half);
	(void)close(slow);
	serving_stop(s); /* answers the parked one, for nobody */
}
END_TEST

START_TEST(stop_before_the_start_ends_at_once)
{
	for (int i = 0; i < 20; i++) {
		struct serving *s = serving_start(NULL, 3);

		serving_end(s);
		wait_until(serving_has_ended(s), SERVING_SOON_MS);
		serving_stop(s);
	}
}
END_TEST

Suite *
suite_server(void)
{
	Suite *s = suite_create("server");
	TCase *t = tcase_create("server");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, kept_connection_serves_one_request_after_another);
	tcase_add_loop_test(t,
			    connection_that_is_not_kept_closes_after_the_answer,
			    0, 2);
	tcase_add_test(t, pipelined_requests_are_answered_in_order);
	tcase_add_test(
		t, pipelining_client_that_does_not_read_gets_all_in_the_end);
	tcase_add_test(
		t, what_waits_behind_a_parked_request_takes_no_processor_time);
	tcase_add_test(t, requests_are_answered_from_other_threads);
	tcase_add_test(t, request_in_single_bytes_is_answered);
	tcase_add_test(t, large_request_bodies_arrive_whole);
	tcase_add_loop_test(t, half_closed_client_gets_its_answer, 0, 2);
	tcase_add_test(t, idle_connections_hold_up_nobody);
	tcase_add_test(t, socket_that_does_not_listen_is_refused);
	tcase_add_test(t, drain_answers_what_is_there_and_ends);
	tcase_add_loop_test(t, drain_answers_who_has_connected, 0, 2);
	tcase_add_loop_test(
		t, drain_refuses_who_comes_and_makes_room_for_a_successor, 0,
		2);
	tcase_add_test(t, drain_ends_in_time_whatever_is_left);
	tcase_add_test(t, stop_before_the_start_ends_at_once);
	suite_add_tcase(s, t);
	return (s);
}
