/* SPDX-License-Identifier: MIT */
/* Clients that send what is none, are slow, or leave. */
#include "../harness/fcgi.h"
#include "../harness/scratch.h"
#include "../records.h"
#include "base/clock.h"
#include "serving.h"

#include <check.h>
#include <string.h>
#include <unistd.h>

Suite *suite_server_faults(void);

#define SECOND 1000

START_TEST(half_a_record_holds_up_nobody)
{
	struct serving *s = serving_start(NULL, 1);
	size_t length;
	char *bytes = fcgi_encode(&(struct fcgi_request){ .uri = "/echo",
							  .body = "late" },
				  &length);
	int fds[40];

	for (int i = 0; i < 40; i++) {
		fds[i] = serving_connect(s);
		ck_assert(fcgi_send_raw(fds[i], bytes,
					(size_t)i * (length - 1) / 39));
	}
	for (int i = 0; i < 50; i++)
		serving_check_serves(s);
	for (int i = 0; i < 40; i++) {
		size_t sent = (size_t)i * (length - 1) / 39;

		ck_assert(fcgi_send_raw(fds[i], bytes + sent, length - sent));
		serving_check_answer(fds[i], "GET ok late");
		serving_check_closed(fds[i]);
	}
	serving_stop(s);
}
END_TEST

START_TEST(slow_reader_gets_all_while_others_are_served)
{
	struct serving *s = serving_start(_i == 0 ? NULL : "127.0.0.1:0", 1);
	int slow = serving_connect(s), quick = serving_connect(s);

	serving_ask(slow, "/big");
	wait_until(serving_answers(s) == 1, SERVING_SOON_MS);
	for (int i = 0; i < 100; i++)
		serving_check_hit(quick);
	wait_until(serving_released(s) == 100, SERVING_SOON_MS);
	serving_check_big(slow);
	serving_check_hit(slow);
	(void)close(slow);
	(void)close(quick);
	serving_stop(s);
}
END_TEST

START_TEST(client_gone_while_parked_costs_nothing)
{
	struct serving *s = serving_start(NULL, 1);
	unsigned before;

	serving_check_serves(s);
	before = serving_descriptors();
	for (int i = 0; i < 50; i++) {
		int fd = serving_connect(s);

		serving_ask(fd, "/park");
		wait_until(serving_parked(s) == (unsigned)i + 1,
			   SERVING_SOON_MS);
		(void)close(fd);
	}
	/* The descriptors go at once, what is being made is waited for. */
	wait_until(serving_descriptors() <= before, SERVING_SOON_MS);
	serving_check_serves(s);
	while (serving_parked(s) > 0)
		serving_answer_one(s);
	wait_until(serving_released(s) == serving_answers(s), SERVING_SOON_MS);
	serving_check_serves(s);
	serving_stop(s);
}
END_TEST

START_TEST(client_gone_in_mid_answer_costs_nothing)
{
	struct serving *s = serving_start(NULL, 1);

	for (int i = 0; i < 10; i++) {
		int fd = serving_connect(s);
		char some[1000];

		serving_ask(fd, "/big");
		ck_assert_int_gt(fcgi_receive_raw(fd, some, sizeof(some),
						  SERVING_SOON_MS),
				 0);
		(void)close(fd);
	}
	wait_until(serving_answers(s) == 10 && serving_released(s) == 10,
		   SERVING_SOON_MS);
	serving_check_serves(s);
	serving_stop(s);
}
END_TEST

START_TEST(junk_closes_its_connection_only)
{
	struct serving *s = serving_start(NULL, 1);
	int kept = serving_connect(s);

	serving_check_hit(kept);
	for (int i = 0; i < 20; i++) {
		int fd = serving_connect(s);
		char junk[64] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

		if (i > 0) {
			memset(junk, i, sizeof(junk));
			junk[0] = 2;
		}
		fcgi_send_raw(fd, junk, sizeof(junk));
		serving_check_closed(fd);
		serving_check_hit(kept);
	}
	(void)close(kept);
	serving_stop(s);
}
END_TEST

static void
check_status(int fd, int status)
{
	struct http_response *r = fcgi_receive(fd, SERVING_SOON_MS);

	ck_assert_msg(r->error == NULL, "%s", r->error);
	ck_assert_int_eq(r->status, status);
}

/* A request with these PARAMS and this body, as they are. */
static void
send_request(int fd, struct bytes params, struct bytes body)
{
	struct buf all = { 0 };

	records_begin(&all, 1, RECORDS_RESPONDER, RECORDS_KEEP);
	records_stream(&all, RECORDS_PARAMS, 1, params, 60000);
	records_stream(&all, RECORDS_STDIN, 1, body, 60000);
	ck_assert(fcgi_send_raw(fd, all.at, all.len));
	buf_fini(&all);
}

START_TEST(request_that_is_none_is_refused_and_the_next_served)
{
	struct serving *s = serving_start(NULL, 1);
	int fd = serving_connect(s);
	struct buf huge = { 0 };

	send_request(fd, BYTES_NONE, BYTES_NONE);
	check_status(fd, 400);
	send_request(fd, BYTES("\1\2a"), BYTES_NONE);
	check_status(fd, 400);
	while (huge.len < 200000)
		records_pair(&huge, "HTTP_X", BYTES("very much of it"));
	send_request(fd, buf_bytes(&huge), BYTES_NONE);
	check_status(fd, 431);
	buf_fini(&huge);
	serving_check_hit(fd);
	(void)close(fd);
	serving_stop(s);
}
END_TEST

static const struct {
	const char *length;
	size_t sent;
	const char *answer;
} bodies[] = {
	{ "5", 5, "POST ok 00000" },
	{ "5", 4, "POST invalid 0000" },
	{ "5", 6, "POST invalid 000000" },
	{ "0", 1, "POST invalid 0" },
	{ "-5", 5, "POST invalid 00000" },
	{ "", 3, "POST ok 000" },
	{ "100001", 100001, "POST too large " },
	{ "5", 100001, "POST too large " },
};

START_TEST(bodies_that_lie_about_their_length_are_told)
{
	struct serving *s = serving_start(NULL, 1);
	int fd = serving_connect(s);
	struct buf params = { 0 }, body = { 0 };
	struct http_response *r;

	records_pair(&params, "REQUEST_METHOD", BYTES("POST"));
	records_pair(&params, "REQUEST_URI", BYTES("/echo"));
	records_pair(&params, "CONTENT_LENGTH", bytes_of(bodies[_i].length));
	while (body.len < bodies[_i].sent)
		buf_char(&body, '0');
	send_request(fd, buf_bytes(&params), buf_bytes(&body));
	r = fcgi_receive(fd, SERVING_SOON_MS);
	ck_assert_msg(r->error == NULL, "%s", r->error);
	ck_assert_str_eq(r->body, bodies[_i].answer);
	serving_check_hit(fd);
	buf_fini(&params);
	buf_fini(&body);
	(void)close(fd);
	serving_stop(s);
}
END_TEST

START_TEST(aborted_request_leaves_the_connection_to_the_next)
{
	struct serving *s = serving_start(NULL, 1);
	int fd = serving_connect(s);
	struct http_response *r;
	struct buf all = { 0 };

	records_begin(&all, 1, RECORDS_RESPONDER, RECORDS_KEEP);
	records_stream(&all, RECORDS_PARAMS, 1, BYTES("\1\1ab"), 10);
	records_add(&all, RECORDS_ABORT, 1, BYTES_NONE, 0);
	ck_assert(fcgi_send_raw(fd, all.at, all.len));
	r = fcgi_receive(fd,
			 SERVING_SOON_MS); /* END_REQUEST, and nothing before */
	ck_assert_str_eq(r->error, "no end of the headers");
	serving_check_hit(fd);
	buf_clear(&all);
	records_begin(&all, 1, 2, RECORDS_CLOSE);
	ck_assert(fcgi_send_raw(fd, all.at, all.len));
	r = fcgi_receive(fd, SERVING_SOON_MS);
	ck_assert_str_eq(r->error, "UNKNOWN_ROLE");
	serving_check_closed(fd);
	buf_fini(&all);
	serving_stop(s);
}
END_TEST

START_TEST(connections_without_progress_close_after_30_s)
{
	struct serving *s = serving_start(NULL, 1);
	int half = serving_connect(s), slow = serving_connect(s),
	    idle = serving_connect(s), parked = serving_connect(s);

	clock_advance_ms(0);
	serving_check_hit(idle);
	ck_assert(fcgi_send_raw(half, "\1\1\0", 3));
	serving_ask(slow, "/big");
	serving_ask(parked, "/park?patient");
	wait_until(serving_parked(s) == 1 && serving_answers(s) == 2,
		   SERVING_SOON_MS);
	clock_advance_ms(29 * SECOND);
	serving_check_serves(s);
	ck_assert(fcgi_send_raw(half, "\1", 1)); /* progress */
	serving_check_serves(s);
	wait_until(serving_released(s) == 3, SERVING_SOON_MS);
	clock_advance_ms(2 * SECOND);
	wait_until(serving_released(s) == 4, SERVING_SOON_MS); /* the big one */
	ck_assert(fcgi_send_raw(half, "\0", 1));
	serving_check_serves(s);
	clock_advance_ms(31 * SECOND);
	serving_check_closed(half);
	serving_check_hit(idle);
	serving_answer_one(s);
	serving_check_answer(parked, "patient");
	(void)close(slow);
	(void)close(idle);
	(void)close(parked);
	serving_stop(s);
}
END_TEST

Suite *
suite_server_faults(void)
{
	Suite *s = suite_create("server_faults");
	TCase *t = tcase_create("server_faults");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, half_a_record_holds_up_nobody);
	tcase_add_loop_test(t, slow_reader_gets_all_while_others_are_served, 0,
			    2);
	tcase_add_test(t, client_gone_while_parked_costs_nothing);
	tcase_add_test(t, client_gone_in_mid_answer_costs_nothing);
	tcase_add_test(t, junk_closes_its_connection_only);
	tcase_add_test(t, request_that_is_none_is_refused_and_the_next_served);
	tcase_add_loop_test(t, bodies_that_lie_about_their_length_are_told, 0,
			    (int)(sizeof(bodies) / sizeof(bodies[0])));
	tcase_add_test(t, aborted_request_leaves_the_connection_to_the_next);
	tcase_add_test(t, connections_without_progress_close_after_30_s);
	suite_add_tcase(s, t);
	return (s);
}
