/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "cache/scope_table.h"

#include <check.h>
#include <stdio.h>

static struct scope_table *t;

static void
setup(void)
{
	t = scope_table_new(4);
	ck_assert_ptr_nonnull(t);
}

static void
teardown(void)
{
	mem_fail_after(0);
	scope_table_free(t);
}

static bool
is_newer(const char *key, int64_t fence)
{
	return (scope_table_judge(t, bytes_of(key), fence) != SCOPE_NONE);
}

START_TEST(empty_table_outdates_nothing)
{
	ck_assert(!is_newer("models:all:all", 0));
	scope_table_free(NULL);
}
END_TEST

START_TEST(record_outdates_older_fences_of_what_it_matches)
{
	scope_table_add(t, BYTES("models:*"), 10, SCOPE_HARD);
	ck_assert(is_newer("models:all:all", 9));
	ck_assert(!is_newer("models:all:all", 10));
	ck_assert(!is_newer("models:all:all", 11));
	ck_assert(!is_newer("models", 0));
	ck_assert(!is_newer("user:1:data", 0));
	scope_table_add(t, BYTES("user:1:data"), 11, SCOPE_HARD);
	ck_assert(is_newer("user:1:data", 10));
	ck_assert(!is_newer("user:1:data:more", 10));
	scope_table_add(t, BYTES("*"), 12, SCOPE_HARD);
	ck_assert(is_newer("user:1:data", 11));
	ck_assert(is_newer("anything", 11));
	ck_assert(!is_newer("anything", 12));
}
END_TEST

START_TEST(newest_position_of_a_scope_counts_in_any_order)
{
	scope_table_add(t, BYTES("models:*"), 10, SCOPE_HARD);
	scope_table_add(t, BYTES("models:*"), 20, SCOPE_HARD);
	scope_table_add(t, BYTES("models:*"), 15, SCOPE_HARD);
	ck_assert(is_newer("models:all:all", 19));
	ck_assert(!is_newer("models:all:all", 20));
}
END_TEST

START_TEST(soft_record_only_makes_stale_what_no_hard_one_ends)
{
	const struct bytes key = BYTES("models:all:all");

	scope_table_add(t, BYTES("models:*"), 10, SCOPE_HARD);
	scope_table_add(t, BYTES("models:*"), 20, SCOPE_SOFT);
	ck_assert_int_eq(scope_table_judge(t, key, 9), SCOPE_HARD);
	ck_assert_int_eq(scope_table_judge(t, key, 10), SCOPE_SOFT);
	ck_assert_int_eq(scope_table_judge(t, key, 20), SCOPE_NONE);
	scope_table_add(t, key, 30, SCOPE_HARD);
	ck_assert_int_eq(scope_table_judge(t, key, 20), SCOPE_HARD);
}
END_TEST

START_TEST(scope_is_copied)
{
	char scope[] = "models:*";

	scope_table_add(t, (struct bytes){ scope, 8 }, 10, SCOPE_HARD);
	scope[0] = 'x';
	ck_assert(is_newer("models:all:all", 9));
	ck_assert(!is_newer("xodels:all:all", 9));
}
END_TEST

static void
add_numbered(int first, int64_t position, int count)
{
	char scope[32];
	int i;

	for (i = first; i < first + count; i++) {
		(void)snprintf(scope, sizeof(scope), "a:%d:*", i);
		scope_table_add(t, bytes_of(scope), position++, SCOPE_HARD);
	}
}

START_TEST(full_table_rather_outdates_too_much)
{
	add_numbered(0, 10, 4);
	ck_assert(!is_newer("b:1", 0));
	add_numbered(4, 14, 1);
	ck_assert(is_newer("a:0:x", 9)); /* forgotten, but not forgiven */
	ck_assert(is_newer("a:3:x", 12));
	ck_assert(is_newer("a:4:x", 13));
	ck_assert(is_newer("b:1", 13)); /* nobody named it: the price */
	ck_assert(!is_newer("a:4:x", 14));
	ck_assert(!is_newer("b:1", 14));
	/* It remembers again. */
	add_numbered(0, 15, 4);
	ck_assert(is_newer("a:1:x", 15));
	ck_assert(!is_newer("a:1:x", 16));
	ck_assert(!is_newer("b:1", 14));
}
END_TEST

START_TEST(full_table_takes_a_known_scope_without_forgetting)
{
	add_numbered(0, 10, 4);
	add_numbered(2, 20, 1);
	ck_assert(is_newer("a:2:x", 19));
	ck_assert(!is_newer("b:1", 0));
}
END_TEST

START_TEST(floor_is_not_below_what_was_forgotten)
{
	scope_table_add(t, BYTES("models:*"), 100, SCOPE_HARD);
	add_numbered(0, 80, 4); /* late, and the table is full */
	ck_assert(is_newer("models:all:all", 99));
	ck_assert(!is_newer("models:all:all", 100));
}
END_TEST

START_TEST(key_of_too_many_parts_is_always_outdated)
{
	ck_assert(is_newer("1:2:3:4:5:6:7:8:9:10:11:12", 1000));
}
END_TEST

START_TEST(no_memory_outdates_rather_than_forgets)
{
	unsigned n;

	for (n = 1; n < 20; n++) {
		scope_table_free(t);
		setup();
		scope_table_add(t, BYTES("user:*"), 5, SCOPE_HARD);
		mem_fail_after(n);
		scope_table_add(t, BYTES("models:*"), 10, SCOPE_HARD);
		mem_fail_after(0);
		ck_assert(is_newer("models:all:all", 9));
		ck_assert(is_newer("user:1", 4));
		ck_assert(!is_newer("models:all:all", 10));
	}
	mem_fail_after(1);
	ck_assert(is_newer("models:all:all", 10)); /* cannot tell */
	mem_fail_after(0);
}
END_TEST

START_TEST(no_memory_makes_no_table)
{
	struct scope_table *made = NULL;
	unsigned n;

	for (n = 1; made == NULL; n++) {
		mem_fail_after(n);
		made = scope_table_new(4);
		ck_assert_uint_lt(n, 20);
	}
	mem_fail_after(0);
	ck_assert_uint_gt(n, 2);
	scope_table_free(made);
}
END_TEST

Suite *suite_scope_table(void);

Suite *
suite_scope_table(void)
{
	Suite *s = suite_create("scope_table");
	TCase *tc = tcase_create("scope_table");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, empty_table_outdates_nothing);
	tcase_add_test(tc, record_outdates_older_fences_of_what_it_matches);
	tcase_add_test(tc, newest_position_of_a_scope_counts_in_any_order);
	tcase_add_test(tc, soft_record_only_makes_stale_what_no_hard_one_ends);
	tcase_add_test(tc, scope_is_copied);
	tcase_add_test(tc, full_table_rather_outdates_too_much);
	tcase_add_test(tc, full_table_takes_a_known_scope_without_forgetting);
	tcase_add_test(tc, floor_is_not_below_what_was_forgotten);
	tcase_add_test(tc, key_of_too_many_parts_is_always_outdated);
	tcase_add_test(tc, no_memory_outdates_rather_than_forgets);
	tcase_add_test(tc, no_memory_makes_no_table);
	suite_add_tcase(s, tc);
	return (s);
}
