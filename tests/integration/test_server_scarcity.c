/* SPDX-License-Identifier: MIT */
/* A server that runs out of descriptors, or of memory. */
#include "../harness/fcgi.h"
#include "../harness/scratch.h"
#include "../records.h"
#include "base/alloc.h"
#include "serving.h"

#include <check.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

Suite *suite_server_scarcity(void);

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
	limit.rlim_cur = limit.rlim_max = serving_descriptors() + more;
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
		serving_check_hit(fds[i]);
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
	serving_ask(fd, "/hit");
	ck_assert_int_eq(fcgi_receive_raw(fd, &byte, 1, 300), -2);
	for (int i = 0; i < 40; i++)
		(void)close(busy[i]);
	ck_assert_uint_eq(fcgi_receive(fd, SERVING_SOON_MS)->body_len, 2048);
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
		int fd = serving_connect(s);
		struct http_response *r;

		mem_fail_after(n);
		(void)fcgi_send_raw(fd, request.at, 30);
		(void)fcgi_send_raw(fd, request.at + 30, request.len - 30);
		r = fcgi_receive(fd, SERVING_SOON_MS);
		if (r->error != NULL)
			ck_assert_str_ne(r->error, "no whole answer in time");
		mem_fail_after(0);
		(void)close(fd);
		serving_check_serves(s);
	}
	buf_fini(&request);
	serving_stop(s);
}
END_TEST

Suite *
suite_server_scarcity(void)
{
	Suite *s = suite_create("server_scarcity");
	TCase *t = tcase_create("server_scarcity");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, idle_connections_give_way_when_descriptors_run_out);
	tcase_add_test(t,
		       clients_wait_when_descriptors_run_out_and_none_is_idle);
	tcase_add_loop_test(t, server_survives_any_failed_allocation, 0, 3);
	suite_add_tcase(s, t);
	return (s);
}
