/* SPDX-License-Identifier: MIT */
#include "cache/waiters.h"

#include <check.h>
#include <stdlib.h>

#define MOST 8

/* What each waiter was told. */
static struct cache_answer told[MOST];
static unsigned calls[MOST];
static struct waiter *list;

static void
done(void *arg, const struct cache_answer *answer)
{
	size_t i = (size_t)(uintptr_t)arg;

	told[i] = *answer;
	calls[i]++;
}

static struct waiter *
add(size_t i, enum joined joined, int64_t deadline_ms)
{
	struct waiter *w = calloc(1, sizeof(*w)), **end = &list;

	ck_assert_ptr_nonnull(w);
	*w = (struct waiter){ .done = done,
			      .arg = (void *)(uintptr_t)i,
			      .joined = joined,
			      .deadline_ms = deadline_ms };
	while (*end != NULL)
		end = &(*end)->next;
	*end = w;
	return (w);
}

static void
answer_all(struct waiter *taken, enum result result)
{
	const struct cache_answer a = { .result = result };

	waiters_answer(taken, &a);
}

static void
assert_calls(const unsigned *wanted)
{
	for (unsigned i = 0; i < MOST; i++)
		ck_assert_msg(calls[i] == wanted[i], "waiter %u: %u calls", i,
			      calls[i]);
}

static void
teardown(void)
{
	answer_all(waiters_take(&list, JOINED_AFTER), R_TIMEOUT);
	ck_assert_ptr_null(list);
}

START_TEST(only_those_that_joined_early_enough_are_taken)
{
	add(0, JOINED_AFTER, 1);
	add(1, JOINED_BEFORE, 1);
	add(2, JOINED_DURING, 1);
	add(3, JOINED_BEFORE, 1);
	add(4, JOINED_AFTER, 1);
	answer_all(waiters_take(&list, JOINED_BEFORE), R_OK);
	assert_calls((unsigned[MOST]){ 0, 1, 0, 1 });
	answer_all(waiters_take(&list, JOINED_BEFORE), R_OK);
	answer_all(waiters_take(&list, JOINED_DURING), R_OK);
	assert_calls((unsigned[MOST]){ 0, 1, 1, 1 });
	answer_all(waiters_take(&list, JOINED_AFTER), R_OK);
	assert_calls((unsigned[MOST]){ 1, 1, 1, 1, 1 });
	ck_assert_ptr_null(list);
}
END_TEST

START_TEST(taken_ones_keep_their_order)
{
	struct waiter *taken;

	add(0, JOINED_BEFORE, 1);
	add(1, JOINED_AFTER, 1);
	add(2, JOINED_BEFORE, 1);
	taken = waiters_take(&list, JOINED_BEFORE);
	ck_assert_uint_eq((uintptr_t)taken->arg, 0);
	ck_assert_uint_eq((uintptr_t)taken->next->arg, 2);
	ck_assert_ptr_null(taken->next->next);
	answer_all(taken, R_OK);
}
END_TEST

START_TEST(overdue_ones_go_and_the_others_wait_on)
{
	ck_assert_int_eq(waiters_next_deadline(list), INT64_MAX);
	add(0, JOINED_BEFORE, 300);
	add(1, JOINED_AFTER, 100);
	add(2, JOINED_DURING, 200);
	ck_assert_int_eq(waiters_next_deadline(list), 100);
	ck_assert_ptr_null(waiters_take_overdue(&list, 99));
	answer_all(waiters_take_overdue(&list, 200), R_TIMEOUT);
	assert_calls((unsigned[MOST]){ 0, 1, 1 });
	ck_assert_int_eq(waiters_next_deadline(list), 300);
}
END_TEST

START_TEST(new_step_makes_all_who_wait_early)
{
	add(0, JOINED_AFTER, 1);
	add(1, JOINED_DURING, 1);
	waiters_begin_step(list);
	add(2, JOINED_DURING, 1);
	answer_all(waiters_take(&list, JOINED_BEFORE), R_OK);
	assert_calls((unsigned[MOST]){ 1, 1 });
	waiters_begin_step(NULL);
}
END_TEST

START_TEST(each_gets_a_reference_of_its_own)
{
	const struct entry_parts parts = { .key = BYTES("k"),
					   .body = BYTES("{}") };
	struct cache_answer a = { .result = R_OK, .tier = CACHE_REDIS };

	ck_assert_int_eq(entry_new(&parts, &a.entry), R_OK);
	add(0, JOINED_BEFORE, 1);
	add(1, JOINED_BEFORE, 1);
	waiters_answer(waiters_take(&list, JOINED_AFTER), &a);
	entry_unref(a.entry);
	ck_assert(bytes_equal(told[0].entry->body, BYTES("{}")));
	entry_unref(told[0].entry);
	ck_assert(bytes_equal(told[1].entry->body, BYTES("{}")));
	ck_assert_int_eq(told[1].tier, CACHE_REDIS);
	entry_unref(told[1].entry);
}
END_TEST

START_TEST(only_who_started_the_load_did_not_share_it)
{
	struct cache_answer a = { .result = R_OK, .status = CACHE_MISS };

	add(0, JOINED_BEFORE, 1)->first = true;
	add(1, JOINED_BEFORE, 1);
	waiters_answer(waiters_take(&list, JOINED_AFTER), &a);
	ck_assert(!told[0].collapsed);
	ck_assert(told[1].collapsed);
	a.status = CACHE_HIT;
	add(2, JOINED_BEFORE, 1);
	waiters_answer(waiters_take(&list, JOINED_AFTER), &a);
	ck_assert(!told[2].collapsed);
}
END_TEST

/* One that asks again as soon as it is answered. */
static void
ask_again(void *arg, const struct cache_answer *answer)
{
	done(arg, answer);
	add(5, JOINED_BEFORE, 1);
}

START_TEST(answered_one_may_join_again_at_once)
{
	add(0, JOINED_BEFORE, 1)->done = ask_again;
	add(1, JOINED_BEFORE, 1);
	answer_all(waiters_take(&list, JOINED_AFTER), R_OK);
	assert_calls((unsigned[MOST]){ 1, 1 });
	ck_assert_uint_eq((uintptr_t)list->arg, 5);
}
END_TEST

Suite *suite_waiters(void);

Suite *
suite_waiters(void)
{
	Suite *s = suite_create("waiters");
	TCase *t = tcase_create("waiters");

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_test(t, only_those_that_joined_early_enough_are_taken);
	tcase_add_test(t, taken_ones_keep_their_order);
	tcase_add_test(t, overdue_ones_go_and_the_others_wait_on);
	tcase_add_test(t, new_step_makes_all_who_wait_early);
	tcase_add_test(t, each_gets_a_reference_of_its_own);
	tcase_add_test(t, only_who_started_the_load_did_not_share_it);
	tcase_add_test(t, answered_one_may_join_again_at_once);
	suite_add_tcase(s, t);
	return (s);
}
