/* SPDX-License-Identifier: MIT */
#include "../harness/harness.h"
#include "web/listen.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static struct listener
open_one(const char *address)
{
	struct buf problem = { 0 };
	struct listener l = { .fd = -1 };

	ck_assert_msg(listen_open(address, &l, &problem) == R_OK, "%s",
		      problem.at);
	ck_assert_uint_eq(problem.len, 0);
	return (l);
}

static void
check_refused(const char *address, enum result result, const char *why)
{
	struct buf problem = { 0 };
	struct listener l = { .fd = -1 };

	ck_assert_int_eq(listen_open(address, &l, &problem), result);
	ck_assert_int_eq(l.fd, -1);
	ck_assert_msg(strstr(problem.at, address) != NULL &&
			      strstr(problem.at, why) != NULL,
		      "%s", problem.at);
	buf_fini(&problem);
}

static const char *
socket_path(void)
{
	return (scratch_printf("%s/socket", scratch_directory("listen")));
}

START_TEST(socket_that_nobody_listens_on_is_replaced)
{
	const char *path = socket_path(),
		   *address = scratch_printf("unix:%s", path);
	struct listener l;
	struct stat st;
	int client;

	(void)umask(027);
	(void)close(open_one(address).fd);
	ck_assert_int_eq(fcgi_connect(path), -1);
	l = open_one(address);
	client = fcgi_connect(path);
	ck_assert_int_ge(client, 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0640);
	(void)close(client);
	listen_close(&l);
}
END_TEST

START_TEST(live_socket_is_left_alone)
{
	const char *path = socket_path(),
		   *address = scratch_printf("unix:%s", path);
	struct listener l = open_one(address);
	int client;

	check_refused(address, R_CONFLICT, "in use");
	client = fcgi_connect(path);
	ck_assert_int_ge(client, 0);
	(void)close(client);
	listen_close(&l);
}
END_TEST

START_TEST(file_that_is_no_socket_is_left_alone)
{
	const char *path = socket_path();

	scratch_write(path, "precious");
	check_refused(scratch_printf("unix:%s", path), R_CONFLICT, "in use");
	ck_assert_str_eq(scratch_read(path), "precious");
}
END_TEST

static const char *const hosts[] = { "127.0.0.1", "", "localhost" };

START_TEST(port_is_opened_once)
{
	unsigned port = harness_free_port();
	const char *address = scratch_printf("%s:%u", hosts[_i], port);
	struct listener l = open_one(address);
	int client;

	check_refused(address, R_CONFLICT, "in use");
	client = fcgi_connect(scratch_printf("127.0.0.1:%u", port));
	ck_assert(client >= 0 || _i == 2); /* which may be ::1 */
	(void)close(client);
	listen_close(&l);
}
END_TEST

/* Whether somebody can connect to a path or a port of this machine. */
static bool
is_heard(const char *address)
{
	int fd = fcgi_connect(address);

	if (fd >= 0)
		(void)close(fd);
	return (fd >= 0);
}

START_TEST(socket_that_is_left_makes_room_for_another)
{
	const char *address =
		_i == 0 ? scratch_printf("unix:%s", socket_path())
			: scratch_printf("127.0.0.1:%u", harness_free_port());
	struct listener left = open_one(address), next;
	int early = fcgi_connect(address), late;

	ck_assert_int_ge(early, 0);
	listen_leave(&left);
	ck_assert(!is_heard(address));
	if (_i == 0) /* who had connected */
		ck_assert_int_ge(accept(left.fd, NULL, NULL), 0);
	next = open_one(address);
	listen_leave(&left);
	listen_close(&left);
	late = fcgi_connect(address);
	ck_assert_int_ge(late, 0);
	ck_assert_int_ge(accept(next.fd, NULL, NULL), 0);
	listen_close(&next);
	ck_assert(!is_heard(address));
	(void)close(early);
	(void)close(late);
}
END_TEST

START_TEST(file_of_a_successor_stays)
{
	const char *path = socket_path(),
		   *address = scratch_printf("unix:%s", path);
	struct listener left = open_one(address), next;

	ck_assert_int_eq(unlink(path), 0);
	next = open_one(address);
	listen_close(&left);
	ck_assert(is_heard(path));
	listen_close(&next);
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(socket_of_others_is_left_to_them)
{
	const char *path = socket_path();
	struct listener ours = open_one(scratch_printf("unix:%s", path));
	struct listener inherited = { .fd = dup(ours.fd) };

	listen_close(&inherited);
	ck_assert(is_heard(path));
	listen_close(&ours);
}
END_TEST

START_TEST(host_that_nobody_knows_is_not_there)
{
	check_refused("nobody.invalid:9000", R_UNAVAILABLE, "cannot listen on");
}
END_TEST

/* The worker's exit status when it cannot listen on `address`; NULL: on fd 0. */
static int
refusal(const char *address)
{
	struct harness_env *env = harness_env_new();
	struct process_result r;

	harness_env_set(env, "DATABASE_URL", "postgresql:///none");
	r = harness_warmfront(env, "serve", address == NULL ? NULL : "-l",
			      address, NULL);
	ck_assert_ptr_nonnull(
		strstr(r.err, address == NULL ? "fd 0 is not" : address));
	return (r.status);
}

START_TEST(status_tells_a_wrong_option_from_a_socket_that_cannot_be_had)
{
	const char *path = socket_path(),
		   *address = scratch_printf("unix:%s", path);
	struct listener l = open_one(address);

	ck_assert_int_eq(refusal(NULL), EX_USAGE);
	ck_assert_int_eq(refusal("nonsense"), EX_USAGE);
	ck_assert_int_eq(refusal("unix:"), EX_USAGE);
	ck_assert_int_eq(refusal(address), EX_UNAVAILABLE);
	ck_assert_int_eq(refusal("nobody.invalid:9000"), EX_UNAVAILABLE);
	listen_close(&l);
}
END_TEST

static const char *const wrong[] = {
	"",	     "unix:",	  "9000",      "/run/socket", "localhost",
	"host:",     "host:http", "host:-1",   "host:65536",  "::1:9000",
	"[::1]9000", "[]:9000",	  "[::1:9000", "a]:9000",     "host:1 ",
};

START_TEST(what_is_no_address_is_refused)
{
	check_refused(wrong[_i], R_INVALID, "cannot listen on");
}
END_TEST

START_TEST(path_that_cannot_be_is_refused)
{
	char *path = scratch_printf("unix:/tmp/%0120d", 0);

	check_refused(path, R_INVALID, "107 bytes");
	check_refused("unix:/no/such/folder/socket", R_NOT_FOUND,
		      "No such file");
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

Suite *suite_listen(void);

Suite *
suite_listen(void)
{
	Suite *s = suite_create("listen");
	TCase *t = tcase_create("listen");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, socket_that_nobody_listens_on_is_replaced);
	tcase_add_test(t, live_socket_is_left_alone);
	tcase_add_test(t, file_that_is_no_socket_is_left_alone);
	tcase_add_loop_test(t, port_is_opened_once, 0, COUNT(hosts));
	tcase_add_loop_test(t, socket_that_is_left_makes_room_for_another, 0,
			    2);
	tcase_add_test(t, file_of_a_successor_stays);
	tcase_add_test(t, socket_of_others_is_left_to_them);
	tcase_add_loop_test(t, what_is_no_address_is_refused, 0, COUNT(wrong));
	tcase_add_test(t, path_that_cannot_be_is_refused);
	tcase_add_test(t, host_that_nobody_knows_is_not_there);
	tcase_add_test(
		t,
		status_tells_a_wrong_option_from_a_socket_that_cannot_be_had);
	suite_add_tcase(s, t);
	return (s);
}
