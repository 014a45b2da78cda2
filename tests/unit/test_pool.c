/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/pool.h"
#include "base/timer.h"

#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#define PATIENCE_MS 10000
#define HOUR_MS 3600000

/* A gate that jobs wait at, and a record of those that came. */
static struct {
	struct lock lock;
	struct signal changed;
	bool open;
	int arrived;
	int order[64];
	int count;
} gate;

static int numbers[64];

static void
setup(void)
{
	lock_init(&gate.lock, LOCK_PARTS);
	signal_init(&gate.changed);
	for (int i = 0; i < 64; i++)
		numbers[i] = i;
}

static void
teardown(void)
{
	signal_fini(&gate.changed);
	lock_fini(&gate.lock);
}

static void
gate_open(void)
{
	lock_take(&gate.lock);
	gate.open = true;
	signal_wake_all(&gate.changed);
	lock_give(&gate.lock);
}

/* Wait until a counter of the gate has reached `least`. */
static void
gate_wait(const int *counter, int least)
{
	int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	lock_take(&gate.lock);
	while (*counter < least && clock_left_ms(deadline) > 0)
		signal_wait(&gate.changed, &gate.lock, deadline);
	ck_assert_int_ge(*counter, least);
	lock_give(&gate.lock);
}

static int
gate_count(void)
{
	int count;

	lock_take(&gate.lock);
	count = gate.count;
	lock_give(&gate.lock);
	return (count);
}

static void
note(void *arg)
{
	lock_take(&gate.lock);
	gate.order[gate.count++] = *(int *)arg;
	signal_wake_all(&gate.changed);
	lock_give(&gate.lock);
}

static void
note_one(void *arg)
{
	(void)arg;
	lock_take(&gate.lock);
	gate.arrived++;
	signal_wake_all(&gate.changed);
	lock_give(&gate.lock);
}

static void
pass_gate(void *arg)
{
	lock_take(&gate.lock);
	gate.arrived++;
	signal_wake_all(&gate.changed);
	while (!gate.open)
		signal_wait(&gate.changed, &gate.lock,
			    clock_monotonic_ms() + PATIENCE_MS);
	lock_give(&gate.lock);
	note(arg);
}

static struct pool *
make_pool(unsigned threads, unsigned queue_limit)
{
	struct pool_options options = {
		.name = "a-name-too-long-to-show",
		.threads = threads,
		.queue_limit = queue_limit,
	};
	struct pool *p = pool_new(&options);

	ck_assert_ptr_nonnull(p);
	return (p);
}

static int
count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		count += e->d_name[0] != '.';
	(void)closedir(dir);
	return (count);
}

START_TEST(one_thread_runs_jobs_in_order)
{
	struct pool *p = make_pool(1, 64);

	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(pool_submit(p, note, &numbers[i]), R_OK);
	pool_free(p);
	ck_assert_int_eq(gate.count, 64);
	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(gate.order[i], i);
}
END_TEST

/* Each job waits until all have begun. */
START_TEST(all_threads_work_at_once)
{
	struct pool *p = make_pool(8, 0);

	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(pool_submit(p, pass_gate, &numbers[i]), R_OK);
	gate_wait(&gate.arrived, 8);
	gate_open();
	pool_free(p);
	ck_assert_int_eq(gate.count, 8);
}
END_TEST

START_TEST(threads_start_when_there_is_work_for_them)
{
	int before = count_threads(), with_one;
	struct pool *p = make_pool(4, 8);

	ck_assert_int_eq(count_threads(), before);
	ck_assert_int_eq(pool_submit(p, pass_gate, &numbers[0]), R_OK);
	with_one = count_threads(); /* and perhaps a sanitizer's own */
	ck_assert_int_gt(with_one, before);
	ck_assert_int_eq(pool_submit(p, pass_gate, &numbers[1]), R_OK);
	ck_assert_int_eq(count_threads(), with_one + 1);
	gate_open();
	pool_free(p);
}
END_TEST

START_TEST(a_full_queue_refuses)
{
	struct pool *p = make_pool(1, 2);

	for (int i = 0; i < 3; i++) /* one runs, two wait */
		ck_assert_int_eq(pool_submit(p, pass_gate, &numbers[i]), R_OK);
	ck_assert_int_eq(pool_submit(p, pass_gate, &numbers[3]), R_BUSY);
	gate_wait(&gate.arrived, 1);
	ck_assert_int_eq(pool_submit(p, pass_gate, &numbers[3]), R_BUSY);
	gate_open();
	gate_wait(&gate.count, 3);
	pool_free(p);
	ck_assert_int_eq(gate.count, 3);
}
END_TEST

START_TEST(freeing_runs_what_is_queued)
{
	struct pool *p = make_pool(2, 32);

	gate_open();
	for (int i = 0; i < 32; i++)
		ck_assert_int_eq(pool_submit(p, pass_gate, &numbers[i]), R_OK);
	pool_free(p);
	ck_assert_int_eq(gate.count, 32);
	pool_free(NULL);
}
END_TEST

static void
submit_until_refused(void *arg)
{
	int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	int passed = 0;

	/* The other thread takes each at once, so only a stop refuses. */
	while (pool_submit(arg, note_one, NULL) == R_OK &&
	       clock_left_ms(deadline) > 0)
		gate_wait(&gate.arrived, ++passed);
	if (clock_left_ms(deadline) > 0)
		note(&numbers[7]);
}

START_TEST(a_pool_that_stops_refuses)
{
	struct pool *p = make_pool(2, 8);

	ck_assert_int_eq(pool_submit(p, submit_until_refused, p), R_OK);
	gate_wait(&gate.arrived, 3);
	pool_free(p);
	ck_assert_int_eq(gate.count, 1);
	ck_assert_int_eq(gate.order[0], 7);
}
END_TEST

static void
check_thread(void *arg)
{
	sigset_t blocked;
	char name[32];

	(void)pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	if (sigismember(&blocked, SIGTERM) == 1 &&
	    sigismember(&blocked, SIGPIPE) == 1 &&
	    sigismember(&blocked, SIGUSR1) == 1)
		note(arg);
	/* The starter names the thread just after it has begun. */
	for (int64_t end = clock_monotonic_ms() + PATIENCE_MS;
	     clock_left_ms(end) > 0;) {
		(void)pthread_getname_np(pthread_self(), name, sizeof(name));
		if (strcmp(name, "a-name-too-long") == 0) {
			note(arg);
			return;
		}
		(void)sched_yield();
	}
}

START_TEST(threads_are_named_and_deaf_to_signals)
{
	struct pool *p = make_pool(1, 1);
	sigset_t blocked;

	ck_assert_int_eq(pool_submit(p, check_thread, &numbers[0]), R_OK);
	pool_free(p);
	ck_assert_int_eq(gate.count, 2);
	(void)pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	ck_assert_int_eq(sigismember(&blocked, SIGTERM), 0);
}
END_TEST

START_TEST(lack_of_memory_makes_no_pool_and_no_timers)
{
	struct pool_options options = { .name = "x",
					.threads = 1,
					.queue_limit = 1 };

	for (unsigned n = 1; n <= 3; n++) {
		mem_fail_after(n);
		ck_assert_ptr_null(pool_new(&options));
	}
	mem_fail_after(1);
	ck_assert_ptr_null(timers_new());
	mem_fail_after(0);
}
END_TEST

/* ---- timers ---- */

START_TEST(calls_come_in_the_order_they_are_due)
{
	static const int delays[] = { 40, 10, 30, 10, 0, 20, -5, 30 };
	static const int expected[] = { 6, 4, 1, 3, 5, 2, 7, 0 };
	struct timers *t = timers_new();

	clock_advance_ms(0);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(timer_after(t, HOUR_MS + delays[i] * 1000,
					     note, &numbers[i]),
				 R_OK);
	ck_assert_int_eq(gate_count(), 0);
	clock_advance_ms(2 * HOUR_MS);
	gate_wait(&gate.count, 8);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(gate.order[i], expected[i]);
	timers_free(t);
}
END_TEST

START_TEST(nothing_is_called_before_it_is_due)
{
	struct timers *t = timers_new();

	clock_advance_ms(0);
	ck_assert_int_eq(timer_after(t, HOUR_MS, note, &numbers[0]), R_OK);
	ck_assert_int_eq(timer_after(t, 2 * HOUR_MS, note, &numbers[1]), R_OK);
	clock_advance_ms(HOUR_MS);
	gate_wait(&gate.count, 1);
	/* A call due now comes after all that were due before it. */
	ck_assert_int_eq(timer_after(t, 0, note, &numbers[2]), R_OK);
	gate_wait(&gate.count, 2);
	ck_assert_int_eq(gate.order[0], 0);
	ck_assert_int_eq(gate.order[1], 2);
	timers_free(t);
	ck_assert_int_eq(gate.count, 3);
}
END_TEST

START_TEST(a_sooner_call_overtakes_a_wait_in_progress)
{
	struct timers *t = timers_new();
	int64_t begin = clock_monotonic_ms();

	ck_assert_int_eq(timer_after(t, HOUR_MS, note, &numbers[0]), R_OK);
	ck_assert_int_eq(timer_after(t, 30, note, &numbers[1]), R_OK);
	gate_wait(&gate.count, 1);
	ck_assert_int_eq(gate.order[0], 1);
	ck_assert_int_ge(clock_monotonic_ms() - begin, 30);
	timers_free(t);
}
END_TEST

static struct timers *ending;

static void
call_again(void *arg)
{
	if (timer_after(ending, 0, note, arg) == R_BUSY)
		note(arg);
}

START_TEST(freeing_makes_the_calls_still_due_and_takes_no_more)
{
	ending = timers_new();
	ck_assert_int_eq(timer_after(ending, 3 * HOUR_MS, note, &numbers[3]),
			 R_OK);
	ck_assert_int_eq(timer_after(ending, HOUR_MS, note, &numbers[1]), R_OK);
	ck_assert_int_eq(timer_after(ending, 2 * HOUR_MS, call_again,
				     &numbers[2]),
			 R_OK);
	timers_free(ending);
	ck_assert_int_eq(gate.count, 3);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(gate.order[i], i + 1);
	timers_free(NULL);
}
END_TEST

#define MANY 5000
#define MINUTE_MS 60000

static struct {
	int64_t latest_ms;
	int calls, out_of_order;
} many;

static void
note_delay(void *arg)
{
	int64_t delay_ms = *(int64_t *)arg;

	many.calls++;
	many.out_of_order += delay_ms < many.latest_ms;
	many.latest_ms = delay_ms;
}

/* Minutes apart, so that the time it takes to ask does not matter. */
START_TEST(many_calls_stay_in_order)
{
	static int64_t delays_ms[MANY];
	struct timers *t = timers_new();
	unsigned state = 12345;

	for (int i = 0; i < MANY; i++) {
		state = state * 1103515245 + 12345;
		delays_ms[i] = (state >> 8) % 1000 * MINUTE_MS + MINUTE_MS;
		ck_assert_int_eq(timer_after(t, delays_ms[i], note_delay,
					     &delays_ms[i]),
				 R_OK);
	}
	timers_free(t);
	ck_assert_int_eq(many.calls, MANY);
	ck_assert_int_eq(many.out_of_order, 0);
}
END_TEST

START_TEST(a_call_that_finds_no_memory_is_refused)
{
	struct timers *t = timers_new();

	mem_fail_after(1);
	ck_assert_int_eq(timer_after(t, 0, note, &numbers[0]), R_NO_MEMORY);
	ck_assert_int_eq(timer_after(t, 0, note, &numbers[1]), R_OK);
	timers_free(t);
	ck_assert_int_eq(gate.count, 1);
	ck_assert_int_eq(gate.order[0], 1);
}
END_TEST

/* ---- locks, signals and the clock ---- */

START_TEST(a_wait_ends_at_its_deadline)
{
	int64_t begin = clock_monotonic_ms(), deadline = begin + 50;

	lock_take(&gate.lock);
	while (clock_left_ms(deadline) > 0)
		signal_wait(&gate.changed, &gate.lock, deadline);
	signal_wait(&gate.changed, &gate.lock, begin - 1000);
	lock_give(&gate.lock);
	ck_assert_int_ge(clock_monotonic_ms() - begin, 50);
	ck_assert_int_lt(clock_monotonic_ms() - begin, PATIENCE_MS);
}
END_TEST

static void
wait_an_hour(void *arg)
{
	int64_t deadline = clock_monotonic_ms() + HOUR_MS;

	lock_take(&gate.lock);
	gate.arrived++;
	signal_wake_all(&gate.changed);
	while (clock_left_ms(deadline) > 0)
		signal_wait(&gate.changed, &gate.lock, deadline);
	lock_give(&gate.lock);
	note(arg);
}

START_TEST(a_wait_follows_the_moved_clock)
{
	struct pool *p = make_pool(1, 1);

	clock_advance_ms(0);
	ck_assert_int_eq(pool_submit(p, wait_an_hour, &numbers[0]), R_OK);
	gate_wait(&gate.arrived, 1);
	clock_advance_ms(2 * HOUR_MS);
	pool_free(p);
	ck_assert_int_eq(gate.count, 1);
}
END_TEST

START_TEST(both_clocks_move_together)
{
	int64_t monotonic = clock_monotonic_ms(), wall = clock_wall_ms();

	clock_advance_ms(HOUR_MS);
	ck_assert_int_ge(clock_monotonic_ms() - monotonic, HOUR_MS);
	ck_assert_int_ge(clock_wall_ms() - wall, HOUR_MS);
	ck_assert_int_lt(clock_monotonic_ms() - monotonic, 2 * HOUR_MS);
	ck_assert_int_ge(clock_monotonic_us() / 1000, monotonic + HOUR_MS);
	ck_assert_int_eq(clock_left_ms(INT64_MAX), INT32_MAX);
	ck_assert_int_eq(clock_left_ms(INT64_MIN), 0);
	ck_assert_int_eq(clock_left_ms(clock_monotonic_ms() - 1), 0);
	ck_assert_int_gt(clock_left_ms(clock_monotonic_ms() + HOUR_MS), 0);
}
END_TEST

#ifdef LOCK_DEBUG

static struct lock low, high;

static void
setup_ranks(void)
{
	lock_init(&low, LOCK_FLIGHTS);
	lock_init(&high, LOCK_BREAKER);
}

START_TEST(rising_ranks_are_allowed)
{
	lock_take(&low);
	lock_take(&high);
	lock_give(&low); /* in any order */
	lock_give(&high);
	lock_take(&low);
	lock_give(&low);
}
END_TEST

START_TEST(a_falling_rank_aborts)
{
	lock_take(&high);
	lock_take(&low);
}
END_TEST

START_TEST(one_rank_twice_aborts)
{
	struct lock other;

	lock_init(&other, LOCK_FLIGHTS);
	lock_take(&low);
	lock_take(&other);
}
END_TEST

START_TEST(giving_what_is_not_held_aborts)
{
	lock_take(&low);
	lock_give(&low);
	lock_give(&low);
}
END_TEST

START_TEST(waiting_with_another_lock_aborts)
{
	struct signal s;

	signal_init(&s);
	lock_take(&low);
	lock_take(&high);
	signal_wait(&s, &high, 0);
}
END_TEST

static TCase *
make_ranks_case(void)
{
	TCase *t = tcase_create("lock ranks");

	tcase_add_checked_fixture(t, setup_ranks, NULL);
	tcase_add_test(t, rising_ranks_are_allowed);
	tcase_add_test_raise_signal(t, a_falling_rank_aborts, SIGABRT);
	tcase_add_test_raise_signal(t, one_rank_twice_aborts, SIGABRT);
	tcase_add_test_raise_signal(t, giving_what_is_not_held_aborts, SIGABRT);
	tcase_add_test_raise_signal(t, waiting_with_another_lock_aborts,
				    SIGABRT);
	return (t);
}

#endif

Suite *suite_pool(void);

Suite *
suite_pool(void)
{
	Suite *s = suite_create("pool");
	TCase *t = tcase_create("pool"), *timer = tcase_create("timer"),
	      *lock = tcase_create("lock");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, one_thread_runs_jobs_in_order);
	tcase_add_test(t, all_threads_work_at_once);
	tcase_add_test(t, threads_start_when_there_is_work_for_them);
	tcase_add_test(t, a_full_queue_refuses);
	tcase_add_test(t, freeing_runs_what_is_queued);
	tcase_add_test(t, a_pool_that_stops_refuses);
	tcase_add_test(t, threads_are_named_and_deaf_to_signals);
	tcase_add_test(t, lack_of_memory_makes_no_pool_and_no_timers);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(timer, setup, teardown);
	tcase_add_test(timer, calls_come_in_the_order_they_are_due);
	tcase_add_test(timer, nothing_is_called_before_it_is_due);
	tcase_add_test(timer, a_sooner_call_overtakes_a_wait_in_progress);
	tcase_add_test(timer,
		       freeing_makes_the_calls_still_due_and_takes_no_more);
	tcase_add_test(timer, many_calls_stay_in_order);
	tcase_add_test(timer, a_call_that_finds_no_memory_is_refused);
	suite_add_tcase(s, timer);
	tcase_add_checked_fixture(lock, setup, teardown);
	tcase_add_test(lock, a_wait_ends_at_its_deadline);
	tcase_add_test(lock, a_wait_follows_the_moved_clock);
	tcase_add_test(lock, both_clocks_move_together);
	suite_add_tcase(s, lock);
#ifdef LOCK_DEBUG
	suite_add_tcase(s, make_ranks_case());
#endif
	return (s);
}
