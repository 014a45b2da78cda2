/* SPDX-License-Identifier: MIT */
#include "../harness/fcgi.h"
#include "../harness/scratch.h"
#include "web/listen.h"

#include <check.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int
open_one(const char *address)
{
	struct buf problem = { 0 };
	int fd = -1;

	ck_assert_msg(listen_open(address, &fd, &problem) == R_OK, "%s",
		      problem.at);
	ck_assert_uint_eq(problem.len, 0);
	return (fd);
}

static void
check_refused(const char *address, enum result result, const char *why)
{
	struct buf problem = { 0 };
	int fd = -1;

	ck_assert_int_eq(listen_open(address, &fd, &problem), result);
	ck_assert_int_eq(fd, -1);
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
	struct stat st;
	int fd, client;

	(void)umask(027);
	(void)close(open_one(address));
	ck_assert_int_eq(fcgi_connect(path), -1);
	fd = open_one(address);
	client = fcgi_connect(path);
	ck_assert_int_ge(client, 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0640);
	(void)close(client);
	(void)close(fd);
}
END_TEST

START_TEST(live_socket_is_left_alone)
{
	const char *path = socket_path(),
		   *address = scratch_printf("unix:%s", path);
	int fd = open_one(address), client;

	check_refused(address, R_CONFLICT, "in use");
	client = fcgi_connect(path);
	ck_assert_int_ge(client, 0);
	(void)close(client);
	(void)close(fd);
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
	int fd = open_one(address), client;

	check_refused(address, R_CONFLICT, "in use");
	client = fcgi_connect(scratch_printf("127.0.0.1:%u", port));
	ck_assert(client >= 0 || _i == 2); /* which may be ::1 */
	(void)close(client);
	(void)close(fd);
}
END_TEST

static const char *const wrong[] = {
	"",	      "unix:",	  "9000",      "/run/socket",
	"localhost",  "host:",	  "host:http", "host:-1",
	"host:65536", "::1:9000", "[::1]9000", "[]:9000",
	"[::1:9000",  "a]:9000",  "host:1 ",   "1.2.3.4.5:1",
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
	tcase_add_loop_test(t, what_is_no_address_is_refused, 0, COUNT(wrong));
	tcase_add_test(t, path_that_cannot_be_is_refused);
	suite_add_tcase(s, t);
	return (s);
}
