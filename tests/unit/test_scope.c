/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "cache/scope.h"

#include <check.h>
#include <string.h>

#define SECRET BYTES("0123456789abcdef")
#define USER "00000000-0000-4000-8000-000000000001"

static struct buf out;

static void
teardown(void)
{
	buf_fini(&out);
}

static const struct {
	const char *scope, *key;
	bool matches;
} cases[] = {
	{ "*", "models:all:all", true },
	{ "*", "", true },
	{ "models:*", "models:all:all", true },
	{ "models:*", "models:", true },
	{ "models:*", "models", false },
	{ "models:*", "models2:all", false },
	{ "models:*", "user:models:all", false },
	{ "models:all:all", "models:all:all", true },
	{ "models:all:all", "models:all:all:x", false },
	{ "models:all", "models:all:all", false },
	{ "models*", "models:all", false }, /* no part ends there */
	{ "models*", "models*", true },
	{ "*:all", "models:all", false },
	{ "", "", true },
	{ "", "x", false },
	{ ":*", ":x", true },
	{ ":*", "x", false },
};

START_TEST(scope_matches_its_key_or_what_begins_with_its_parts)
{
	ck_assert_msg(scope_matches(bytes_of(cases[_i].scope),
				    bytes_of(cases[_i].key)) ==
			      cases[_i].matches,
		      "%s and %s", cases[_i].scope, cases[_i].key);
}
END_TEST

START_TEST(list_names_all_scopes_that_match_widest_first)
{
	ck_assert_uint_eq(scope_list(BYTES("user:AB12:data"), &out), 4);
	ck_assert(bytes_equal(buf_bytes(&out), BYTES("*\0user:*\0user:AB12:*\0"
						     "user:AB12:data\0")));
	buf_clear(&out);
	ck_assert_uint_eq(scope_list(BYTES("plain"), &out), 2);
	ck_assert(bytes_equal(buf_bytes(&out), BYTES("*\0plain\0")));
}
END_TEST

START_TEST(every_listed_scope_matches_the_key)
{
	struct bytes key = BYTES("admin:users:50:0:"), rest, scope;
	unsigned count = scope_list(key, &out), seen = 0;

	for (rest = buf_bytes(&out); rest.len > 0; seen++) {
		scope = bytes_cut(&rest, '\0');
		ck_assert(scope_matches(scope, key));
	}
	ck_assert_uint_eq(seen, count);
	ck_assert_uint_eq(count, 6);
}
END_TEST

START_TEST(key_of_too_many_parts_has_no_list)
{
	ck_assert_uint_eq(scope_list(BYTES("1:2:3:4:5:6:7:8:9:10:11"), &out),
			  SCOPES_MAX);
	buf_clear(&out);
	ck_assert_uint_eq(scope_list(BYTES("1:2:3:4:5:6:7:8:9:10:11:12"), &out),
			  0);
}
END_TEST

START_TEST(user_hash_depends_on_secret_and_user)
{
	char a[USER_HASH_DIGITS + 1], b[USER_HASH_DIGITS + 1];

	scope_user_hash(SECRET, BYTES(USER), a);
	ck_assert_uint_eq(strlen(a), USER_HASH_DIGITS);
	ck_assert_uint_eq(strspn(a, "0123456789abcdef"), USER_HASH_DIGITS);
	scope_user_hash(SECRET, BYTES(USER), b);
	ck_assert_str_eq(a, b);
	scope_user_hash(BYTES("0123456789abcdeF"), BYTES(USER), b);
	ck_assert_str_ne(a, b);
	scope_user_hash(SECRET, BYTES("another"), b);
	ck_assert_str_ne(a, b);
	/* RFC 4231, test case 2 */
	scope_user_hash(BYTES("Jefe"), BYTES("what do ya want for nothing?"),
			a);
	ck_assert_str_eq(a, "5bdcc146bf60754e");
}
END_TEST

static const struct {
	const char *before, *middle, *after;
} logged[] = {
	{ "user:", "@" USER, ":data" },	  { "", "@" USER, "" },
	{ "models:user:", "@" USER, "" }, { "usage:", "@" USER, ":*" },
	{ "usage:", "@" USER, ":" },	  { "usage:", "@" USER, "::x" },
};

START_TEST(named_user_becomes_the_hash_and_the_rest_stays)
{
	char hash[USER_HASH_DIGITS + 1];
	struct buf scope = { 0 }, wanted = { 0 };

	scope_user_hash(SECRET, BYTES(USER), hash);
	buf_printf(&scope, "%s%s%s", logged[_i].before, logged[_i].middle,
		   logged[_i].after);
	buf_printf(&wanted, "%s%s%s", logged[_i].before, hash,
		   logged[_i].after);
	scope_hash_user(SECRET, buf_bytes(&scope), &out);
	ck_assert_str_eq(out.at, wanted.at);
	buf_fini(&scope);
	buf_fini(&wanted);
}
END_TEST

static const char *const plain[] = {
	"*",	 "models:*", "models:all:all",
	"a:@:b", "a:x@y",    "admin:users:50:0:",
	"::",	 ":",	     "",
	"@",	 "a",
};

START_TEST(scope_without_a_user_stays_as_it_is)
{
	buf_str(&out, "");
	scope_hash_user(SECRET, bytes_of(plain[_i]), &out);
	ck_assert_str_eq(out.at, plain[_i]);
}
END_TEST

START_TEST(failed_allocations_are_reported)
{
	struct bytes key = BYTES("a-long-prefix-that-fills-the-first-block:"
				 "another-part:and-one-more:to-grow-again");
	unsigned n = 0;

	do {
		teardown();
		mem_fail_after(++n);
		(void)scope_list(key, &out);
		mem_fail_after(0);
		ck_assert_uint_lt(n, 100);
	} while (buf_error(&out) != R_OK);
	ck_assert_uint_gt(n, 2);
	ck_assert(bytes_ends(buf_bytes(&out), BYTES("grow-again\0")));
}
END_TEST

Suite *suite_scope(void);

Suite *
suite_scope(void)
{
	Suite *s = suite_create("scope");
	TCase *t = tcase_create("scope");

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_loop_test(t,
			    scope_matches_its_key_or_what_begins_with_its_parts,
			    0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(t, list_names_all_scopes_that_match_widest_first);
	tcase_add_test(t, every_listed_scope_matches_the_key);
	tcase_add_test(t, key_of_too_many_parts_has_no_list);
	tcase_add_test(t, user_hash_depends_on_secret_and_user);
	tcase_add_loop_test(t, named_user_becomes_the_hash_and_the_rest_stays,
			    0, sizeof(logged) / sizeof(logged[0]));
	tcase_add_loop_test(t, scope_without_a_user_stays_as_it_is, 0,
			    sizeof(plain) / sizeof(plain[0]));
	tcase_add_test(t, failed_allocations_are_reported);
	suite_add_tcase(s, t);
	return (s);
}
