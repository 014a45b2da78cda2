/* SPDX-License-Identifier: MIT */
#include "../runner.h"

#include "cache/policy.h"

#include <check.h>

#define NOW 1700000000000

static const struct policy models = { "models", MINUTES(10), MINUTES(2),
				      HOURS(1) };

START_TEST(ttl_varies_by_a_tenth_at_most_and_reaches_both_ends)
{
	int64_t least = INT64_MAX, most = 0;

	for (uint64_t i = 0; i < 500000; i++) {
		/* steps that reach all remainders */
		struct lifetime l = policy_lifetime(&models, NOW, i * 7919);
		int64_t ttl_ms = l.fresh_until_ms - NOW;

		ENSURE(l.loaded_at_ms == NOW);
		least = ttl_ms < least ? ttl_ms : least;
		most = ttl_ms > most ? ttl_ms : most;
	}
	ck_assert_int_eq(least, MINUTES(9));
	ck_assert_int_eq(most, MINUTES(11));
}
END_TEST

START_TEST(other_times_hang_on_the_end_of_freshness)
{
	struct lifetime l = policy_lifetime(&models, NOW, UINT64_MAX);

	ck_assert_int_eq(l.refresh_at_ms, l.fresh_until_ms - MINUTES(2));
	ck_assert_int_eq(l.stale_until_ms, l.fresh_until_ms + HOURS(1));
}
END_TEST

START_TEST(refresh_is_never_due_before_the_load)
{
	struct policy p = { "x", SECONDS(30), SECONDS(60), 0 };
	struct lifetime l = policy_lifetime(&p, NOW, 5);

	ck_assert_int_eq(l.refresh_at_ms, NOW);
	ck_assert_int_eq(policy_judge(&l, NOW), USE_AND_REFRESH);
}
END_TEST

START_TEST(ttl_of_zero_is_never_fresh)
{
	struct policy p = { "x", 0, SECONDS(60), 0 };
	struct lifetime l = policy_lifetime(&p, NOW, 12345);

	ck_assert_int_eq(l.fresh_until_ms, NOW);
	ck_assert_int_eq(l.refresh_at_ms, NOW);
	ck_assert_int_eq(policy_judge(&l, NOW), FORGET);
}
END_TEST

START_TEST(verdict_changes_exactly_at_each_time)
{
	struct lifetime l = { 100, 200, 300, 400 };

	ck_assert_int_eq(policy_judge(&l, 0), USE); /* another host's clock */
	ck_assert_int_eq(policy_judge(&l, 100), USE);
	ck_assert_int_eq(policy_judge(&l, 199), USE);
	ck_assert_int_eq(policy_judge(&l, 200), USE_AND_REFRESH);
	ck_assert_int_eq(policy_judge(&l, 299), USE_AND_REFRESH);
	ck_assert_int_eq(policy_judge(&l, 300), USE_STALE_AND_REFRESH);
	ck_assert_int_eq(policy_judge(&l, 399), USE_STALE_AND_REFRESH);
	ck_assert_int_eq(policy_judge(&l, 400), FORGET);
}
END_TEST

START_TEST(expiring_makes_stale_and_never_longer_lived)
{
	struct lifetime l = { 100, 200, 300, 400 };

	lifetime_expire(&l, 150);
	ck_assert_int_eq(policy_judge(&l, 150), USE_STALE_AND_REFRESH);
	lifetime_expire(&l, 250);
	ck_assert_int_eq(l.fresh_until_ms, 150);
	ck_assert_int_eq(l.refresh_at_ms, 150);
	ck_assert_int_eq(l.stale_until_ms, 400);
}
END_TEST

START_TEST(absurd_policies_do_not_overflow)
{
	struct policy p = { "x", INT64_MAX, INT64_MAX, INT64_MAX };
	struct policy n = { "x", INT64_MIN, INT64_MIN, INT64_MIN };
	struct lifetime l = policy_lifetime(&p, NOW, UINT64_MAX);

	ck_assert_int_gt(l.fresh_until_ms, NOW);
	ck_assert_int_gt(l.stale_until_ms, l.fresh_until_ms);
	l = policy_lifetime(&n, NOW, UINT64_MAX);
	ck_assert_int_eq(policy_judge(&l, NOW), FORGET);
}
END_TEST

Suite *suite_policy(void);

Suite *
suite_policy(void)
{
	Suite *s = suite_create("policy");
	TCase *t = tcase_create("policy");

	tcase_add_test(t, ttl_varies_by_a_tenth_at_most_and_reaches_both_ends);
	tcase_add_test(t, other_times_hang_on_the_end_of_freshness);
	tcase_add_test(t, refresh_is_never_due_before_the_load);
	tcase_add_test(t, ttl_of_zero_is_never_fresh);
	tcase_add_test(t, verdict_changes_exactly_at_each_time);
	tcase_add_test(t, expiring_makes_stale_and_never_longer_lived);
	tcase_add_test(t, absurd_policies_do_not_overflow);
	suite_add_tcase(s, t);
	return (s);
}
