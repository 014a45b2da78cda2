/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "store/breaker.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>

static struct breaker *b;

static void
setup(void)
{
	b = breaker_new(&(struct breaker_options){ "test", 3, 250, 1000 });
	ck_assert_ptr_nonnull(b);
}

static void
teardown(void)
{
	breaker_free(b);
}

static void
fail_once(void)
{
	ck_assert(breaker_allow(b));
	breaker_failure(b);
}

static void
open_it(void)
{
	for (int i = 0; i < 3; i++)
		fail_once();
	ck_assert_int_eq(breaker_state(b), BREAKER_OPEN);
}

START_TEST(failures_in_a_row_open_it)
{
	fail_once();
	fail_once();
	ck_assert_int_eq(breaker_state(b), BREAKER_CLOSED);
	ck_assert_int_eq(breaker_retry_ms(b), 0);
	fail_once();
	ck_assert_int_eq(breaker_state(b), BREAKER_OPEN);
	ck_assert(!breaker_allow(b));
	ck_assert_int_gt(breaker_retry_ms(b), 0);
	ck_assert_int_le(breaker_retry_ms(b), 250);
}
END_TEST

START_TEST(a_success_in_between_keeps_it_closed)
{
	for (int i = 0; i < 10; i++) {
		fail_once();
		fail_once();
		ck_assert(breaker_allow(b));
		breaker_success(b);
	}
	ck_assert_int_eq(breaker_state(b), BREAKER_CLOSED);
}
END_TEST

START_TEST(after_the_pause_one_call_probes)
{
	open_it();
	clock_advance_ms(251);
	ck_assert_int_eq(breaker_retry_ms(b), 0);
	ck_assert(breaker_allow(b));
	ck_assert_int_eq(breaker_state(b), BREAKER_HALF_OPEN);
	ck_assert(!breaker_allow(b));
	breaker_success(b);
	ck_assert_int_eq(breaker_state(b), BREAKER_CLOSED);
	ck_assert(breaker_allow(b));
}
END_TEST

START_TEST(each_failed_probe_doubles_the_pause_up_to_its_bound)
{
	static const int64_t pauses[] = { 250, 500, 1000, 1000, 1000 };

	open_it();
	for (unsigned i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		ck_assert_int_gt(breaker_retry_ms(b), pauses[i] - 50);
		ck_assert_int_le(breaker_retry_ms(b), pauses[i]);
		clock_advance_ms(pauses[i]);
		fail_once();
	}
	/* After a recovery it begins with the short pause again. */
	clock_advance_ms(1000);
	ck_assert(breaker_allow(b));
	breaker_success(b);
	open_it();
	ck_assert_int_le(breaker_retry_ms(b), 250);
}
END_TEST

START_TEST(a_forgotten_probe_lets_the_next_call_probe)
{
	open_it();
	clock_advance_ms(251);
	ck_assert(breaker_allow(b));
	breaker_forget(b);
	ck_assert(breaker_allow(b));
	ck_assert(!breaker_allow(b));
}
END_TEST

START_TEST(a_forgotten_call_changes_nothing)
{
	fail_once();
	fail_once();
	ck_assert(breaker_allow(b));
	breaker_forget(b);
	ck_assert_int_eq(breaker_state(b), BREAKER_CLOSED);
	fail_once();
	ck_assert_int_eq(breaker_state(b), BREAKER_OPEN);
}
END_TEST

START_TEST(late_failures_do_not_lengthen_the_pause)
{
	/* Six calls are under way when the first three fail. */
	for (int i = 0; i < 6; i++)
		ck_assert(breaker_allow(b));
	for (int i = 0; i < 6; i++)
		breaker_failure(b);
	ck_assert_int_le(breaker_retry_ms(b), 250);
	clock_advance_ms(251);
	ck_assert(breaker_allow(b));
}
END_TEST

static atomic_int allowed;

static void *
ask(void *arg)
{
	(void)arg;
	if (breaker_allow(b))
		atomic_fetch_add(&allowed, 1);
	return (NULL);
}

START_TEST(of_many_threads_one_probes)
{
	pthread_t threads[16];

	open_it();
	clock_advance_ms(251);
	for (int i = 0; i < 16; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ask, NULL),
				 0);
	for (int i = 0; i < 16; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(atomic_load(&allowed), 1);
}
END_TEST

START_TEST(no_memory_gives_no_breaker)
{
	struct breaker_options options = { "test", 1, 1, 1 };
	struct breaker *made = NULL;

	for (unsigned n = 1; made == NULL; n++) {
		mem_fail_after(n);
		made = breaker_new(&options);
		mem_fail_after(0);
		ck_assert_uint_lt(n, 10);
	}
	breaker_free(made);
	breaker_free(NULL);
}
END_TEST

Suite *suite_breaker(void);

Suite *
suite_breaker(void)
{
	Suite *s = suite_create("breaker");
	TCase *t = tcase_create("breaker");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, failures_in_a_row_open_it);
	tcase_add_test(t, a_success_in_between_keeps_it_closed);
	tcase_add_test(t, after_the_pause_one_call_probes);
	tcase_add_test(t, each_failed_probe_doubles_the_pause_up_to_its_bound);
	tcase_add_test(t, a_forgotten_probe_lets_the_next_call_probe);
	tcase_add_test(t, a_forgotten_call_changes_nothing);
	tcase_add_test(t, late_failures_do_not_lengthen_the_pause);
	tcase_add_test(t, of_many_threads_one_probes);
	tcase_add_test(t, no_memory_gives_no_breaker);
	suite_add_tcase(s, t);
	return (s);
}
