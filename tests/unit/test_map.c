/* SPDX-License-Identifier: MIT */
#include "../runner.h"

#include "base/alloc.h"
#include "base/map.h"
#include "base/random.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define ITEMS 4096

struct item {
	char key[24];
	bool present;
	unsigned seen;
};

static struct item items[ITEMS];

static struct bytes
key_of(const struct item *i)
{
	return (bytes_of(i->key));
}

static void
setup(void)
{
	for (int i = 0; i < ITEMS; i++) {
		items[i] = (struct item){ 0 };
		(void)snprintf(items[i].key, sizeof(items[i].key), "key:%d", i);
	}
}

static void
walk_and_compare(const struct map *m)
{
	size_t cursor = 0, count = 0;
	struct item *item;

	for (int i = 0; i < ITEMS; i++) {
		items[i].seen = 0;
		count += items[i].present;
		ENSURE(map_get(m, key_of(&items[i])) ==
		       (items[i].present ? &items[i] : NULL));
	}
	ck_assert_uint_eq(map_count(m), count);
	while ((item = map_next(m, &cursor)) != NULL)
		item->seen++;
	for (int i = 0; i < ITEMS; i++)
		ENSURE(items[i].seen == items[i].present);
}

START_TEST(random_changes_agree_with_a_plain_table)
{
	struct map *m = map_new();
	uint64_t seed = random_cheap(), state = seed;

	printf("random_changes_agree_with_a_plain_table: seed %llu\n",
	       (unsigned long long)seed);
	for (int step = 1; step <= 200000; step++) {
		struct item *item;

		state = state * 6364136223846793005u + 1442695040888963407u;
		item = &items[(state >> 33) % ITEMS];
		/* Grow, then shrink, then grow again. */
		if ((state >> 20) % 8 < (step / 50000 % 2 == 0 ? 6u : 2u)) {
			ENSURE(map_put(m, key_of(item), item) == R_OK);
			item->present = true;
		} else {
			ENSURE(map_remove(m, key_of(item)) ==
			       (item->present ? item : NULL));
			item->present = false;
		}
		if (step % 20000 == 0)
			walk_and_compare(m);
	}
	map_free(m);
}
END_TEST

START_TEST(an_empty_map_has_nothing)
{
	struct map *m = map_new();
	size_t cursor = 0;

	ck_assert_ptr_null(map_get(m, BYTES("x")));
	ck_assert_ptr_null(map_remove(m, BYTES("x")));
	ck_assert_ptr_null(map_next(m, &cursor));
	ck_assert_uint_eq(map_count(m), 0);
	map_free(m);
	map_free(NULL);
}
END_TEST

START_TEST(put_replaces_item_and_key)
{
	struct map *m = map_new();
	char old_key[] = "same", new_key[] = "same";
	int first, second;

	ck_assert_int_eq(map_put(m, bytes_of(old_key), &first), R_OK);
	ck_assert_int_eq(map_put(m, bytes_of(new_key), &second), R_OK);
	old_key[0] = 'x'; /* its memory is no longer of concern */
	ck_assert_uint_eq(map_count(m), 1);
	ck_assert_ptr_eq(map_get(m, BYTES("same")), &second);
	ck_assert_ptr_null(map_get(m, BYTES("xame")));
	map_free(m);
}
END_TEST

START_TEST(keys_may_be_empty_or_hold_nuls)
{
	struct map *m = map_new();
	int a, b, c;

	ck_assert_int_eq(map_put(m, (struct bytes){ NULL, 0 }, &a), R_OK);
	ck_assert_int_eq(map_put(m, BYTES("\0"), &b), R_OK);
	ck_assert_int_eq(map_put(m, BYTES("\0\0"), &c), R_OK);
	ck_assert_ptr_eq(map_get(m, BYTES_NONE), &a);
	ck_assert_ptr_eq(map_get(m, BYTES("\0")), &b);
	ck_assert_ptr_eq(map_remove(m, BYTES_NONE), &a);
	ck_assert_ptr_eq(map_get(m, BYTES("\0\0")), &c);
	map_free(m);
}
END_TEST

START_TEST(the_item_walked_over_may_be_removed)
{
	struct map *m = map_new();
	size_t cursor = 0;
	unsigned walked = 0;
	struct item *item;

	for (int i = 0; i < ITEMS; i++)
		ck_assert_int_eq(map_put(m, key_of(&items[i]), &items[i]),
				 R_OK);
	while ((item = map_next(m, &cursor)) != NULL) {
		ck_assert_uint_eq(item->seen++, 0);
		ck_assert_ptr_eq(map_remove(m, key_of(item)), item);
		walked++;
	}
	ck_assert_uint_eq(walked, ITEMS);
	ck_assert_uint_eq(map_count(m), 0);
	map_free(m);
}
END_TEST

/* The table must not fill up with the marks of what is gone: a search would
 * not end. */
START_TEST(passing_items_leave_no_trace)
{
	struct map *m = map_new();
	char key[24];
	int item;

	for (int i = 0; i < 300000; i++) {
		(void)snprintf(key, sizeof(key), "passing:%d", i);
		ENSURE(map_put(m, bytes_of(key), &item) == R_OK);
		ENSURE(map_remove(m, bytes_of(key)) == &item);
	}
	ck_assert_ptr_null(map_get(m, BYTES("absent")));
	map_free(m);
}
END_TEST

START_TEST(a_failed_put_changes_nothing)
{
	struct map *m;
	unsigned failures = 0;

	mem_fail_after(1);
	ck_assert_ptr_null(map_new());
	m = map_new();
	for (int i = 0; i < ITEMS; i++) {
		mem_fail_after(1);
		if (map_put(m, key_of(&items[i]), &items[i]) != R_OK) {
			failures++;
			ck_assert_ptr_null(map_get(m, key_of(&items[i])));
			ck_assert_uint_eq(map_count(m), (size_t)i);
			mem_fail_after(0);
			ck_assert_int_eq(map_put(m, key_of(&items[i]),
						 &items[i]),
					 R_OK);
		}
		mem_fail_after(0);
		items[i].present = true;
	}
	ck_assert_uint_gt(failures, 5);
	walk_and_compare(m);
	map_free(m);
}
END_TEST

Suite *suite_map(void);

Suite *
suite_map(void)
{
	Suite *s = suite_create("map");
	TCase *t = tcase_create("map");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_set_timeout(t, 20);
	tcase_add_test(t, random_changes_agree_with_a_plain_table);
	tcase_add_test(t, an_empty_map_has_nothing);
	tcase_add_test(t, put_replaces_item_and_key);
	tcase_add_test(t, keys_may_be_empty_or_hold_nuls);
	tcase_add_test(t, the_item_walked_over_may_be_removed);
	tcase_add_test(t, passing_items_leave_no_trace);
	tcase_add_test(t, a_failed_put_changes_nothing);
	suite_add_tcase(s, t);
	return (s);
}
