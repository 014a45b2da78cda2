/* SPDX-License-Identifier: MIT */
#include "store/redis_url.h"

#include "base/alloc.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static struct redis_url
parse(const char *text)
{
	struct redis_url u;

	ck_assert_msg(redis_url_parse(text, &u) == R_OK, "refused: %s", text);
	return (u);
}

START_TEST(host_and_port_have_defaults)
{
	struct redis_url u = parse("redis://");

	ck_assert_str_eq(u.host, "127.0.0.1");
	ck_assert_str_eq(u.port, "6379");
	ck_assert_uint_eq(u.db, 0);
	ck_assert(!u.tls);
	ck_assert_ptr_null(u.password);
	redis_url_fini(&u);

	u = parse("redis:///3");
	ck_assert_str_eq(u.host, "127.0.0.1");
	ck_assert_uint_eq(u.db, 3);
	redis_url_fini(&u);
}
END_TEST

START_TEST(every_part_is_taken)
{
	struct redis_url u =
		parse("rediss://al%3Aice:p%40s%2Fs@r.example:7000/12");

	ck_assert(u.tls);
	ck_assert_str_eq(u.user, "al:ice");
	ck_assert_str_eq(u.password, "p@s/s");
	ck_assert_str_eq(u.host, "r.example");
	ck_assert_str_eq(u.port, "7000");
	ck_assert_uint_eq(u.db, 12);
	redis_url_fini(&u);
}
END_TEST

START_TEST(a_password_needs_no_user)
{
	static const char *const urls[] = { "redis://:secret@h",
					    "redis://secret@h" };

	for (int i = 0; i < 2; i++) {
		struct redis_url u = parse(urls[i]);

		ck_assert_ptr_null(u.user);
		ck_assert_str_eq(u.password, "secret");
		ck_assert_str_eq(u.host, "h");
		redis_url_fini(&u);
	}
}
END_TEST

START_TEST(address_in_brackets_is_ipv6)
{
	struct redis_url u = parse("redis://[::1]:6380/1");

	ck_assert_str_eq(u.host, "::1");
	ck_assert_str_eq(u.port, "6380");
	ck_assert_str_eq(u.shown, "redis://[::1]:6380");
	redis_url_fini(&u);
	u = parse("redis://[fe80::1]");
	ck_assert_str_eq(u.host, "fe80::1");
	ck_assert_str_eq(u.port, "6379");
	redis_url_fini(&u);
}
END_TEST

START_TEST(unix_socket_has_path_and_database)
{
	struct redis_url u = parse("unix://:pw@/run/red%20is.sock?db=2");

	ck_assert_str_eq(u.path, "/run/red is.sock");
	ck_assert_str_eq(u.password, "pw");
	ck_assert_uint_eq(u.db, 2);
	ck_assert_ptr_null(u.host);
	redis_url_fini(&u);
}
END_TEST

START_TEST(what_is_shown_holds_no_secret)
{
	struct redis_url u = parse("redis://user:hunter2@host:1/4");

	ck_assert_str_eq(u.shown, "redis://host:1");
	redis_url_fini(&u);
}
END_TEST

START_TEST(malformed_urls_are_refused)
{
	static const char *const urls[] = {
		"",
		"http://h",
		"redis:/h",
		"redis//h",
		"redis://h:0",
		"redis://h:65536",
		"redis://h:-1",
		"redis://h:x",
		"redis://h/x",
		"redis://h/-1",
		"redis://h/1/2",
		"redis://h?db=",
		"redis://h?dbx=1",
		"redis://h?x",
		"redis://[::1",
		"redis://[]:1",
		"redis://[::1]x",
		"redis://:%4@h",
		"redis://:%zz@h",
		"redis://:a%00b@h",
		"unix://relative",
		"unix://",
		"unix:///s?db=99999999999999999999",
		("unix:///aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct redis_url u;

		ck_assert_msg(redis_url_parse(urls[i], &u) == R_INVALID,
			      "accepted: %s", urls[i]);
	}
}
END_TEST

START_TEST(failed_allocations_are_reported_and_leak_nothing)
{
	enum result r = R_NO_MEMORY;
	struct redis_url u;

	for (unsigned n = 1; r == R_NO_MEMORY && n < 100; n++) {
		mem_fail_after(n);
		r = redis_url_parse("rediss://user:pw@host:1/2", &u);
		mem_fail_after(0);
	}
	ck_assert_int_eq(r, R_OK);
	redis_url_fini(&u);
}
END_TEST

Suite *suite_redis_url(void);

Suite *
suite_redis_url(void)
{
	Suite *s = suite_create("redis_url");
	TCase *c = tcase_create("redis_url");

	tcase_add_test(c, host_and_port_have_defaults);
	tcase_add_test(c, every_part_is_taken);
	tcase_add_test(c, a_password_needs_no_user);
	tcase_add_test(c, address_in_brackets_is_ipv6);
	tcase_add_test(c, unix_socket_has_path_and_database);
	tcase_add_test(c, what_is_shown_holds_no_secret);
	tcase_add_test(c, malformed_urls_are_refused);
	tcase_add_test(c, failed_allocations_are_reported_and_leak_nothing);
	suite_add_tcase(s, c);
	return (s);
}
