/* SPDX-License-Identifier: MIT */
#include "../harness/fcgi.h"
#include "../harness/scratch.h"
#include "../records.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "serving.h"
#include "web/server.h"

#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000
#define SOON (10 * SECOND)

static int
connect_to(struct serving *s)
{
	int fd = fcgi_connect(serving_address(s));

	ck_assert_int_ge(fd, 0);
	return (fd);
}

static void
ask(int fd, const char *uri)
{
	fcgi_send(fd, &(struct fcgi_request){ .uri = uri, .keep = true });
}

static void
check_answer(int fd, const char *body)
{
	struct http_response *r = fcgi_receive(fd, SOON);

	ck_assert_msg(r->error == NULL, "%s", r->error);
	ck_assert_int_eq(r->status, 200);
	ck_assert_str_eq(r->body, body);
}

static void
check_hit(int fd)
{
	struct http_response *r;

	ask(fd, "/hit");
	r = fcgi_receive(fd, SOON);
	ck_assert_msg(r->error == NULL, "%s", r->error);
	ck_assert_uint_eq(r->body_len, 2048);
}

/* The peer has closed, in order. */
static void
check_closed(int fd)
{
	char byte;

	ck_assert_int_eq(fcgi_receive_raw(fd, &byte, 1, SOON), 0);
	(void)close(fd);
}

/* A connection of its own gets a hit. */
static void
check_serving(struct serving *s)
{
	int fd = connect_to(s);

	check_hit(fd);
	(void)close(fd);
}

static void
check_big(int fd)
{
	struct http_response *r = fcgi_receive(fd, 6 * SOON);

	ck_assert_msg(r->error == NULL, "%s", r->error);
	ck_assert_uint_eq(r->body_len, SERVING_BIG_BYTES);
	for (size_t i = 0; i < r->body_len; i += 499)
		ck_assert_int_eq(r->body[i], 'a' + (char)(i / 1000 % 26));
}

static unsigned
open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return (n);
}

START_TEST(kept_connection_serves_one_request_after_another)
{
	struct serving *s = serving_start(NULL, 1);
	int fd = connect_to(s);

	for (int i = 0; i < 100; i++)
		check_hit(fd);
	(void)close(fd);
	serving_stop(s);
}
END_TEST

START_TEST(connection_that_is_not_kept_closes_after_the_answer)
{
	struct serving *s = serving_start(_i == 0 ? NULL : "127.0.0.1:0", 1);
	const struct fcgi_request once = { .uri = "/park?once" };
	int fd = connect_to(s);

	fcgi_send(fd, &once);
	wait_until(serving_parked(s) == 1, SOON);
	/* Nobody reads these; they must not cost the answer. */
	fcgi_send_raw(fd, "junk", 4);
	serving_answer_one(s);
	check_answer(fd, "once");
	check_closed(fd);
	serving_stop(s);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
	struct serving *s = serving_start(NULL, 2);
	int fd = connect_to(s);
	struct buf all = { 0 };
	char byte;

	records_request(&all, 1, RECORDS_KEEP, "/echo", BYTES("one"));
	records_request(&all, 2, RECORDS_KEEP, "/park?two", BYTES_NONE);
	records_request(&all, 3, RECORDS_KEEP, "/pool?three", BYTES_NONE);
	records_request(&all, 1, RECORDS_KEEP, "/echo", BYTES("four"));
	records_request(&all, 2, RECORDS_CLOSE, "/pool?five", BYTES_NONE);
	fcgi_send_raw(fd, all.at, all.len);
	buf_fini(&all);
	check_answer(fd, "POST ok one");
	wait_until(serving_parked(s) == 1, SOON);
	ck_assert_int_eq(fcgi_receive_raw(fd, &byte, 1, 0), -2);
	serving_answer_one(s);
	check_answer(fd, "two");
	check_answer(fd, "three");
	check_answer(fd, "POST ok four");
	check_answer(fd, "five");
	check_closed(fd);
	serving_stop(s);
}
END_TEST

START_TEST(pipelining_client_that_does_not_read_gets_all_in_the_end)
{
	struct serving *s = serving_start(NULL, 1);
	int fd = connect_to(s);
	struct buf all = { 0 };

	for (int i = 0; i < 300; i++)
		records_request(&all, 1, RECORDS_KEEP, "/hit", BYTES_NONE);
	ck_assert(fcgi_send_raw(fd, all.at, all.len));
	buf_fini(&all);
	/* The socket is full, in the middle of one of them. */
	wait_until(serving_answers(s) > serving_released(s), SOON);
	for (int i = 0; i < 300; i++) {
		struct http_response *r = fcgi_receive(fd, SOON);

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
	int fd = connect_to(s);
	double used, until;

	ask(fd, "/park?first");
	wait_until(serving_parked(s) == 1, SOON);
	ask(fd, "/park?second");
	used = processor_ms();
	until = harness_now_ms() + 500;
	while (harness_now_ms() < until)
		harness_nap();
	ck_assert_double_lt(processor_ms() - used, 100);
	serving_answer_one(s);
	check_answer(fd, "first");
	wait_until(serving_parked(s) == 1, SOON);
	serving_answer_one(s);
	check_answer(fd, "second");
	(void)close(fd);
	serving_stop(s);
}
END_TEST

START_TEST(requests_are_answered_from_other_threads)
{
	struct serving *s = serving_start(NULL, 4);
	int fds[50];

	for (int i = 0; i < 50; i++)
		fds[i] = connect_to(s);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 50; i++)
			ask(fds[i], scratch_printf("/pool?%d", i));
		for (int i = 0; i < 50; i++)
			check_answer(fds[i], scratch_printf("%d", i));
	}
	for (int i = 0; i < 50; i++)
		(void)close(fds[i]);
	serving_stop(s);
}
END_TEST

START_TEST(half_a_record_holds_up_nobody)
{
	struct serving *s = serving_start(NULL, 1);
	size_t length;
	char *bytes = fcgi_encode(&(struct fcgi_request){ .uri = "/echo",
							  .body = "late" },
				  &length);
	int fds[40];

	for (int i = 0; i < 40; i++) {
		fds[i] = connect_to(s);
		ck_assert(fcgi_send_raw(fds[i], bytes,
					(size_t)i * (length - 1) / 39));
	}
	for (int i = 0; i < 50; i++)
		check_serving(s);
	for (int i = 0; i < 40; i++) {
		size_t sent = (size_t)i * (length - 1) / 39;

		ck_assert(fcgi_send_raw(fds[i], bytes + sent, length - sent));
		check_answer(fds[i], "GET ok late");
		check_closed(fds[i]);
	}
	serving_stop(s);
}
END_TEST

START_TEST(request_in_single_bytes_is_answered)
{
	struct serving *s = serving_start("127.0.0.1:0", 1);
	int fd = connect_to(s);
	size_t length;
	char *bytes = fcgi_encode(&(struct fcgi_request){ .uri = "/echo",
							  .body = "slowly" },
				  &length);

	for (size_t i = 0; i < length; i++)
		ck_assert(fcgi_send_raw(fd, bytes + i, 1));
	check_answer(fd, "GET ok slowly");
	check_closed(fd);
	serving_stop(s);
}
END_TEST

START_TEST(large_request_bodies_arrive_whole)
{
	struct serving *s = serving_start(NULL, 1);
	struct buf request = { 0 }, wanted = { 0 };
	int fd = connect_to(s);

	buf_str(&wanted, "POST ok ");
	while (wanted.len < SERVING_BODY_LIMIT)
		buf_printf(&wanted, "%zu ", wanted.len);
	records_request(&request, 1, RECORDS_KEEP, "/echo",
			bytes_from(buf_bytes(&wanted), 8));
	for (int i = 0; i < 10; i++) {
		ck_assert(fcgi_send_raw(fd, request.at, request.len));
		check_answer(fd, wanted.at);
	}
	buf_fini(&request);
	buf_fini(&wanted);
	(void)close(fd);
	serving_stop(s);
}
END_TEST

START_TEST(slow_reader_gets_all_while_others_are_served)
{
	struct serving *s = serving_start(_i == 0 ? NULL : "127.0.0.1:0", 1);
	int slow = connect_to(s), quick = connect_to(s);

	ask(slow, "/big");
	wait_until(serving_answers(s) == 1, SOON);
	for (int i = 0; i < 100; i++)
		check_hit(quick);
	wait_until(serving_released(s) == 100, SOON);
	check_big(slow);
	check_hit(slow);
	(void)close(slow);
	(void)close(quick);
	serving_stop(s);
}
END_TEST

START_TEST(client_gone_while_parked_costs_nothing)
{
	struct serving *s = serving_start(NULL, 1);
	unsigned before;

	check_serving(s);
	before = open_descriptors();
	for (int i = 0; i < 50; i++) {
		int fd = connect_to(s);

		ask(fd, "/park");
		wait_until(serving_parked(s) == (unsigned)i + 1, SOON);
		(void)close(fd);
	}
	/* The descriptors go at once, what is being made is waited for. */
	wait_until(open_descriptors() <= before, SOON);
	check_serving(s);
	while (serving_parked(s) > 0)
		serving_answer_one(s);
	wait_until(serving_released(s) == serving_answers(s), SOON);
	check_serving(s);
	serving_stop(s);
}
END_TEST

START_TEST(client_gone_in_mid_answer_costs_nothing)
{
	struct serving *s = serving_start(NULL, 1);

	for (int i = 0; i < 10; i++) {
		int fd = connect_to(s);
		char some[1000];

		ask(fd, "/big");
		ck_assert_int_gt(fcgi_receive_raw(fd, some, sizeof(some), SOON),
				 0);
		(void)close(fd);
	}
	wait_until(serving_answers(s) == 10 && serving_released(s) == 10, SOON);
	check_serving(s);
	serving_stop(s);
}
END_TEST

START_TEST(half_closed_client_gets_its_answer)
{
	struct serving *s = serving_start(_i == 0 ? NULL : "127.0.0.1:0", 1);
	int fd = connect_to(s);

	ask(fd, "/park?still here");
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	wait_until(serving_parked(s) == 1, SOON);
	check_serving(s);
	serving_answer_one(s);
	check_answer(fd, "still here");
	check_closed(fd);
	serving_stop(s);
}
END_TEST

START_TEST(idle_connections_hold_up_nobody)
{
	struct serving *s = serving_start(NULL, 4);
	int fds[500];

	for (int i = 0; i < 500; i++) {
		fds[i] = connect_to(s);
		check_hit(fds[i]);
	}
	for (int i = 0; i < 50; i++)
		check_serving(s);
	for (int i = 499; i >= 0; i--)
		check_hit(fds[i]);
	for (int i = 0; i < 500; i++)
		(void)close(fds[i]);
	serving_stop(s);
}
END_TEST

START_TEST(junk_closes_its_connection_only)
{
	struct serving *s = serving_start(NULL, 1);
	int kept = connect_to(s);

	check_hit(kept);
	for (int i = 0; i < 20; i++) {
		int fd = connect_to(s);
		char junk[64] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

		if (i > 0) {
			memset(junk, i, sizeof(junk));
			junk[0] = 2;
		}
		fcgi_send_raw(fd, junk, sizeof(junk));
		check_closed(fd);
		check_hit(kept);
	}
	(void)close(kept);
	serving_stop(s);
}
END_TEST

static void
check_status(int fd, int status)
{
	struct http_response *r = fcgi_receive(fd, SOON);

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
	int fd = connect_to(s);
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
	check_hit(fd);
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
	int fd = connect_to(s);
	struct buf params = { 0 }, body = { 0 };
	struct http_response *r;

	records_pair(&params, "REQUEST_METHOD", BYTES("POST"));
	records_pair(&params, "REQUEST_URI", BYTES("/echo"));
	records_pair(&params, "CONTENT_LENGTH", bytes_of(bodies[_i].length));
	while (body.len < bodies[_i].sent)
		buf_char(&body, '0');
	send_request(fd, buf_bytes(&params), buf_bytes(&body));
	r = fcgi_receive(fd, SOON);
	ck_assert_msg(r->error == NULL, "%s", r->error);
	ck_assert_str_eq(r->body, bodies[_i].answer);
	check_hit(fd);
	buf_fini(&params);
	buf_fini(&body);
	(void)close(fd);
	serving_stop(s);
}
END_TEST

START_TEST(aborted_request_leaves_the_connection_to_the_next)
{
	struct serving *s = serving_start(NULL, 1);
	int fd = connect_to(s);
	struct http_response *r;
	struct buf all = { 0 };

	records_begin(&all, 1, RECORDS_RESPONDER, RECORDS_KEEP);
	records_stream(&all, RECORDS_PARAMS, 1, BYTES("\1\1ab"), 10);
	records_add(&all, RECORDS_ABORT, 1, BYTES_NONE, 0);
	ck_assert(fcgi_send_raw(fd, all.at, all.len));
	r = fcgi_receive(fd, SOON); /* END_REQUEST, and nothing before */
	ck_assert_str_eq(r->error, "no end of the headers");
	check_hit(fd);
	buf_clear(&all);
	records_begin(&all, 1, 2, RECORDS_CLOSE);
	ck_assert(fcgi_send_raw(fd, all.at, all.len));
	r = fcgi_receive(fd, SOON);
	ck_assert_str_eq(r->error, "UNKNOWN_ROLE");
	check_closed(fd);
	buf_fini(&all);
	serving_stop(s);
}
END_TEST

START_TEST(connections_without_progress_close_after_30_s)
{
	struct serving *s = serving_start(NULL, 1);
	int half = connect_to(s), slow = connect_to(s), idle = connect_to(s),
	    parked = connect_to(s);

	clock_advance_ms(0);
	check_hit(idle);
	ck_assert(fcgi_send_raw(half, "\1\1\0", 3));
	ask(slow, "/big");
	ask(parked, "/park?patient");
	wait_until(serving_parked(s) == 1 && serving_answers(s) == 2, SOON);
	clock_advance_ms(29 * SECOND);
	check_serving(s);
	ck_assert(fcgi_send_raw(half, "\1", 1)); /* progress */
	check_serving(s);
	wait_until(serving_released(s) == 3, SOON);
	clock_advance_ms(2 * SECOND);
	wait_until(serving_released(s) == 4, SOON); /* the big one */
	ck_assert(fcgi_send_raw(half, "\0", 1));
	check_serving(s);
	clock_advance_ms(31 * SECOND);
	check_closed(half);
	check_hit(idle);
	serving_answer_one(s);
	check_answer(parked, "patient");
	(void)close(slow);
	(void)close(idle);
	(void)close(parked);
	serving_stop(s);
}
END_TEST

START_TEST(drain_answers_what_is_there_and_ends)
{
	struct serving *s = serving_start(NULL, 2);
	int idle = connect_to(s), parked = connect_to(s), half = connect_to(s),
	    slow = connect_to(s);
	size_t length;
	char *bytes = fcgi_encode(&(struct fcgi_request){ .uri = "/hit",
							  .keep = true },
				  &length);

	check_hit(idle);
	ask(parked, "/park?at last");
	ask(slow, "/big");
	ck_assert(fcgi_send_raw(half, bytes, length - 9));
	wait_until(serving_parked(s) == 1 && serving_answers(s) == 2, SOON);
	check_serving(s);
	check_serving(s);
	serving_end(s);
	check_closed(idle);
	ck_assert(!serving_has_ended(s));
	ck_assert(fcgi_send_raw(half, bytes + length - 9, 9));
	ck_assert_uint_eq(fcgi_receive(half, SOON)->body_len, 2048);
	check_closed(half);
	check_big(slow);
	check_closed(slow);
	serving_answer_one(s);
	check_answer(parked, "at last");
	check_closed(parked);
	wait_until(serving_has_ended(s), 2 * SECOND);
	serving_stop(s);
}
END_TEST

START_TEST(drain_ends_in_time_whatever_is_left)
{
	struct serving *s = serving_start(NULL, 2);
	int parked = connect_to(s), half = connect_to(s), slow = connect_to(s);

	ask(parked, "/park?too late");
	ask(slow, "/big");
	ck_assert(fcgi_send_raw(half, "\1\1\0", 3));
	wait_until(serving_parked(s) == 1 && serving_answers(s) == 1, SOON);
	serving_end(s);
	wait_until(serving_has_ended(s), SOON);
	check_closed(parked);
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
		wait_until(serving_has_ended(s), SOON);
		serving_stop(s);
	}
}
END_TEST

/* A server in a child of its own, which may hold `more` descriptors than it has at
 * its start. */
static pid_t
serve_with_few_descriptors(const char *address, rlim_t more)
{
	struct rlimit limit;
	struct serving *s;
	int ready[2], signal;
	sigset_t end;
	pid_t child;
	char byte;

	ck_assert_int_eq(pipe(ready), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child > 0) {
		(void)close(ready[1]);
		ck_assert_int_eq(read(ready[0], &byte, 1), 1);
		(void)close(ready[0]);
		return (child);
	}
	(void)sigemptyset(&end);
	(void)sigaddset(&end, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &end, NULL);
	s = serving_start(address, 2);
	limit.rlim_cur = limit.rlim_max = open_descriptors() - 3 + more;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(write(ready[1], "!", 1), 1);
	(void)sigwait(&end, &signal);
	serving_stop(s);
	_exit(0);
}

static void
end_child(pid_t child)
{
	int status;

	ck_assert_int_eq(kill(child, SIGTERM), 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}

START_TEST(idle_connections_give_way_when_descriptors_run_out)
{
	const char *address =
		scratch_printf("unix:%s/socket", scratch_directory("server"));
	pid_t child = serve_with_few_descriptors(address, 20);
	int fds[200];

	for (int i = 0; i < 200; i++) {
		fds[i] = fcgi_connect(address);
		check_hit(fds[i]);
	}
	for (int i = 0; i < 200; i++)
		(void)close(fds[i]);
	end_child(child);
}
END_TEST

START_TEST(clients_wait_when_descriptors_run_out_and_none_is_idle)
{
	const char *address =
		scratch_printf("unix:%s/socket", scratch_directory("server"));
	pid_t child = serve_with_few_descriptors(address, 20);
	int busy[40], fd;
	char byte;

	for (int i = 0; i < 40; i++) {
		busy[i] = fcgi_connect(address);
		ck_assert(fcgi_send_raw(busy[i], "\1", 1));
	}
	fd = fcgi_connect(address);
	ask(fd, "/hit");
	ck_assert_int_eq(fcgi_receive_raw(fd, &byte, 1, 300), -2);
	for (int i = 0; i < 40; i++)
		(void)close(busy[i]);
	ck_assert_uint_eq(fcgi_receive(fd, SOON)->body_len, 2048);
	(void)close(fd);
	end_child(child);
}
END_TEST

/* Whatever allocation fails, the server lives on and releases what it took. */
START_TEST(server_survives_any_failed_allocation)
{
	static const char *const uris[] = { "/pool?x", "/big", "/hit" };
	struct serving *s = serving_start(NULL, 1);
	struct buf request = { 0 };

	records_request(&request, 1, RECORDS_KEEP, uris[_i],
			BYTES("with a body"));
	for (unsigned n = 1; n < 12; n++) {
		int fd = connect_to(s);
		struct http_response *r;

		mem_fail_after(n);
		(void)fcgi_send_raw(fd, request.at, 30);
		(void)fcgi_send_raw(fd, request.at + 30, request.len - 30);
		r = fcgi_receive(fd, SOON);
		if (r->error != NULL)
			ck_assert_str_ne(r->error, "no whole answer in time");
		mem_fail_after(0);
		(void)close(fd);
		check_serving(s);
	}
	buf_fini(&request);
	serving_stop(s);
}
END_TEST

START_TEST(socket_that_does_not_listen_is_refused)
{
	struct server_options options = { .threads = 1 };
	struct server *server;
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	options.listen_fd = pair[0];
	ck_assert_int_eq(server_new(&options, &server), R_INVALID);
	(void)close(pair[0]);
	(void)close(pair[1]);
	ck_assert_int_eq(server_new(&options, &server), R_INVALID);
	server_free(NULL);
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

static TCase *
connections_case(void)
{
	TCase *t = tcase_create("connections");

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
	return (t);
}

static TCase *
hostile_case(void)
{
	TCase *t = tcase_create("hostile");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, half_a_record_holds_up_nobody);
	tcase_add_loop_test(t, slow_reader_gets_all_while_others_are_served, 0,
			    2);
	tcase_add_test(t, client_gone_while_parked_costs_nothing);
	tcase_add_test(t, client_gone_in_mid_answer_costs_nothing);
	tcase_add_test(t, junk_closes_its_connection_only);
	tcase_add_test(t, request_that_is_none_is_refused_and_the_next_served);
	tcase_add_loop_test(t, bodies_that_lie_about_their_length_are_told, 0,
			    COUNT(bodies));
	tcase_add_test(t, aborted_request_leaves_the_connection_to_the_next);
	tcase_add_test(t, connections_without_progress_close_after_30_s);
	return (t);
}

static TCase *
scarcity_case(void)
{
	TCase *t = tcase_create("scarcity");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, drain_answers_what_is_there_and_ends);
	tcase_add_test(t, drain_ends_in_time_whatever_is_left);
	tcase_add_test(t, stop_before_the_start_ends_at_once);
	tcase_add_test(t, idle_connections_give_way_when_descriptors_run_out);
	tcase_add_test(t,
		       clients_wait_when_descriptors_run_out_and_none_is_idle);
	tcase_add_loop_test(t, server_survives_any_failed_allocation, 0, 3);
	return (t);
}

Suite *suite_server(void);

Suite *
suite_server(void)
{
	Suite *s = suite_create("server");

	suite_add_tcase(s, connections_case());
	suite_add_tcase(s, hostile_case());
	suite_add_tcase(s, scarcity_case());
	return (s);
}
