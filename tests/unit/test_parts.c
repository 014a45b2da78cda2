/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "cache/parts.h"

#include <check.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>

#define MOST 8
#define SINCE 20 /* what memory has been told of */

/* The fetches under way; a test answers them when it likes. */
static struct asked {
	char key[16];
	enum cache_demand demand;
	int64_t deadline_ms;
	cache_done *done;
	void *arg;
} asked[MOST];
static unsigned n_asked, n_listed;
static enum { LATER, AT_ONCE } answers;

static struct timers *timers;
static struct memory *memory;
static struct parts *parts;
static atomic_uint there_calls;
static bool out_was_set;

static unsigned
list(void *context, const struct cache_load *load, struct cache_part *to)
{
	unsigned i;

	ck_assert_ptr_eq(context, &n_listed);
	ck_assert(bytes_equal(load->key, BYTES("whole")));
	for (i = 0; i < n_listed; i++) {
		to[i].name = BYTES("part");
		buf_printf(&to[i].key, "part:%u", i);
		buf_str(&to[i].log_key, "part");
		buf_str(&to[i].arguments, "arguments");
	}
	return (n_listed);
}

static struct entry *
make_entry(const char *body)
{
	const struct entry_parts p = { .key = BYTES("part"),
				       .body = bytes_of(body),
				       .life = { 10, 20, 30, 40 },
				       .fence = 7 };
	struct entry *e;

	ck_assert_int_eq(entry_new(&p, &e), R_OK);
	return (e);
}

static void
answer(unsigned i, enum result result)
{
	struct cache_answer a = { .result = result };

	if (result == R_OK)
		a.entry = make_entry(asked[i].key);
	asked[i].done(asked[i].arg, &a);
}

static void
fetch(void *fetcher, const struct cache_query *q, cache_done *done, void *arg)
{
	struct asked *a = &asked[n_asked++];

	ck_assert_ptr_eq(fetcher, asked);
	*a = (struct asked){ .demand = q->demand,
			     .deadline_ms = q->deadline_ms,
			     .done = done,
			     .arg = arg };
	ck_assert_uint_lt(q->key.len, sizeof(a->key));
	memcpy(a->key, q->key.at, q->key.len);
	if (answers == AT_ONCE)
		answer(n_asked - 1, R_OK);
}

static void
there(void *arg)
{
	ck_assert_ptr_eq(arg, &there_calls);
	out_was_set = parts != NULL;
	atomic_fetch_add(&there_calls, 1);
}

static bool
begin(unsigned count)
{
	static const struct cache_source source = { .list_parts = list,
						    .context = &n_listed };
	const struct cache_query whole = { .key = BYTES("whole"),
					   .source = &source,
					   .demand = CACHE_YOUNG };
	const struct cache_load load = { .key = BYTES("whole"),
					 .deadline_ms = 12345 };
	const struct parts_options options = { .timers = timers,
					       .memory = memory,
					       .since = SINCE,
					       .fetch = fetch,
					       .fetcher = asked,
					       .there = there,
					       .arg = &there_calls };

	n_listed = count;
	return (parts_fetch(&whole, &load, &options, &parts));
}

static void
setup(void)
{
	clock_advance_ms(0); /* waits look out for jumps from now on */
	timers = timers_new();
	ck_assert_ptr_nonnull(timers);
	memory = memory_new(1 << 20);
	ck_assert_ptr_nonnull(memory);
	n_asked = 0;
	atomic_store(&there_calls, 0);
	parts = NULL;
}

static void
teardown(void)
{
	parts_free(parts);
	memory_free(memory);
	timers_free(timers);
}

static void
wait_until_there(void)
{
	int64_t deadline_ms = clock_monotonic_ms() + 20000;

	while (atomic_load(&there_calls) == 0 &&
	       clock_monotonic_ms() < deadline_ms)
		(void)poll(NULL, 0, 1);
	ck_assert_uint_eq(atomic_load(&there_calls), 1);
}

static void
part_is(unsigned i, enum result result)
{
	const struct cache_part *p;
	unsigned count;

	p = parts_list(parts, &count);
	ck_assert_uint_lt(i, count);
	ck_assert_int_eq(p[i].answer.result, result);
	if (result == R_OK)
		ck_assert(bytes_equal(p[i].answer.entry->body,
				      buf_bytes(&p[i].key)));
	else
		ck_assert_ptr_null(p[i].answer.entry);
}

/* Waits until the timers have done all that was due `delay_ms` from now. */
static void
set_flag(void *flag)
{
	atomic_store((atomic_bool *)flag, true);
}

static void
advance_past(int64_t delay_ms)
{
	atomic_bool done = false;

	ck_assert_int_eq(timer_after(timers, delay_ms, set_flag, &done), R_OK);
	clock_advance_ms(delay_ms);
	while (!atomic_load(&done)) /* check's own deadline ends it */
		(void)poll(NULL, 0, 1);
}

START_TEST(no_parts_no_fetch)
{
	unsigned count = 9;

	ck_assert(!begin(0));
	ck_assert_ptr_null(parts);
	ck_assert_uint_eq(n_asked, 0);
	ck_assert_ptr_null(parts_list(NULL, &count));
	ck_assert_uint_eq(count, 0);
	parts_free(NULL);
}
END_TEST

START_TEST(all_are_asked_side_by_side_as_the_whole_is)
{
	ck_assert(begin(3));
	ck_assert_uint_eq(n_asked, 3);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(asked[i].demand, CACHE_YOUNG);
		ck_assert_int_eq(asked[i].deadline_ms, 12345);
	}
	ck_assert_str_eq(asked[2].key, "part:2");
	answer(1, R_OK);
	answer(0, R_TIMEOUT);
	ck_assert_uint_eq(atomic_load(&there_calls), 0);
	answer(2, R_OK);
	ck_assert_uint_eq(atomic_load(&there_calls), 1);
	part_is(0, R_TIMEOUT);
	part_is(1, R_OK);
	part_is(2, R_OK);
}
END_TEST

START_TEST(answers_may_come_before_the_fetch_returns)
{
	answers = AT_ONCE;
	ck_assert(begin(3));
	ck_assert_uint_eq(atomic_load(&there_calls), 1);
	ck_assert(out_was_set);
	part_is(2, R_OK);
}
END_TEST

START_TEST(patience_ends_for_parts_that_take_far_longer_than_the_first)
{
	ck_assert(begin(3));
	answer(0, R_OK);
	advance_past(2000);
	ck_assert_uint_eq(atomic_load(&there_calls), 0);
	clock_advance_ms(2001);
	wait_until_there();
	part_is(0, R_OK);
	part_is(1, R_TIMEOUT);
	/* Too late: dropped, and nobody is called again. */
	answer(1, R_OK);
	answer(2, R_UNAVAILABLE);
	ck_assert_uint_eq(atomic_load(&there_calls), 1);
	part_is(1, R_TIMEOUT);
	part_is(2, R_TIMEOUT);
}
END_TEST

START_TEST(slow_first_part_gives_the_others_as_long_again)
{
	ck_assert(begin(2));
	clock_advance_ms(60000);
	answer(0, R_OK);
	advance_past(30000);
	ck_assert_uint_eq(atomic_load(&there_calls), 0);
	clock_advance_ms(31000);
	wait_until_there();
	answer(1, R_OK);
}
END_TEST

START_TEST(failure_starts_no_patience)
{
	ck_assert(begin(3));
	answer(0, R_UNAVAILABLE);
	advance_past(100000);
	ck_assert_uint_eq(atomic_load(&there_calls), 0);
	answer(1, R_OK);
	answer(2, R_OK);
	ck_assert_uint_eq(atomic_load(&there_calls), 1);
}
END_TEST

START_TEST(patience_that_ends_after_the_last_part_says_nothing)
{
	ck_assert(begin(2));
	answer(0, R_OK);
	answer(1, R_OK);
	ck_assert_uint_eq(atomic_load(&there_calls), 1);
	parts_free(parts);
	parts = NULL;
	advance_past(5000);
	ck_assert_uint_eq(atomic_load(&there_calls), 1);
}
END_TEST

START_TEST(late_parts_may_come_after_all_is_released)
{
	ck_assert(begin(2));
	answer(0, R_OK);
	clock_advance_ms(5000);
	wait_until_there();
	parts_free(parts);
	parts = NULL;
	answer(1, R_OK);
}
END_TEST

START_TEST(timers_that_stop_end_patience_at_once)
{
	ck_assert(begin(2));
	answer(0, R_OK);
	timers_free(timers);
	timers = NULL;
	ck_assert_uint_eq(atomic_load(&there_calls), 1);
	answer(1, R_OK);
	part_is(1, R_TIMEOUT);
	timers = timers_new();
}
END_TEST

START_TEST(no_memory_for_a_timer_leaves_the_parts_own_deadlines)
{
	struct entry *e = make_entry("part:0");
	const struct cache_answer a = { .result = R_OK, .entry = e };

	ck_assert(begin(2));
	mem_fail_after(1);
	asked[0].done(asked[0].arg, &a);
	mem_fail_after(0);
	advance_past(100000);
	ck_assert_uint_eq(atomic_load(&there_calls), 0);
	answer(1, R_TIMEOUT);
	ck_assert_uint_eq(atomic_load(&there_calls), 1);
	part_is(0, R_OK);
}
END_TEST

START_TEST(no_memory_fetches_nothing)
{
	mem_fail_after(1);
	ck_assert(!begin(2));
	mem_fail_after(0);
	ck_assert_uint_eq(n_asked, 0);
	ck_assert_ptr_null(parts);
}
END_TEST

START_TEST(whole_is_no_younger_and_lives_no_longer_than_its_parts)
{
	struct lifetime life = { 100, 200, 300, 400 };
	int64_t fence = 50;

	parts_limit(NULL, &life, &fence);
	ck_assert_int_eq(life.stale_until_ms, 400);
	ck_assert(begin(2));
	answer(0, R_OK);
	answer(1, R_NOT_FOUND);
	parts_limit(parts, &life, &fence);
	ck_assert_int_eq(fence, 7);
	ck_assert_int_eq(life.loaded_at_ms, 100);
	ck_assert_int_eq(life.refresh_at_ms, 20);
	ck_assert_int_eq(life.fresh_until_ms, 30);
	ck_assert_int_eq(life.stale_until_ms, 40);
	life = (struct lifetime){ 1, 2, 3, 4 };
	fence = 3;
	parts_limit(parts, &life, &fence);
	ck_assert_int_eq(fence, 3);
	ck_assert_int_eq(life.refresh_at_ms, 2);
	ck_assert_int_eq(life.fresh_until_ms, 3);
	ck_assert_int_eq(life.stale_until_ms, 4);
}
END_TEST

/* A part's answer is an entry that is fresh for as long; memory holds it or not. */
static void
answer_with(int64_t fresh_ms, bool held)
{
	int64_t now_ms = clock_wall_ms();
	const struct entry_parts p = {
		.key = BYTES("part"),
		.body = BYTES("body"),
		.life = { now_ms, now_ms, now_ms + fresh_ms, now_ms + 60000 },
		.fence = 7,
	};
	struct cache_answer a = { .result = R_OK };

	ck_assert_int_eq(entry_new(&p, &a.entry), R_OK);
	if (held)
		memory_put(memory, a.entry);
	asked[0].done(asked[0].arg, &a);
}

static const struct {
	int64_t fresh_ms;
	bool held;
	int64_t fence; /* of the whole */
} reaching[] = {
	{ 60000, true, SINCE },
	{ 60000, false, 7 },
	{ -1, true, 7 }, /* perhaps by a soft record */
};

START_TEST(part_that_memory_vouches_for_makes_no_whole_older)
{
	struct lifetime life = { 0 };
	int64_t fence = 50;

	ck_assert(begin(1));
	answer_with(reaching[_i].fresh_ms, reaching[_i].held);
	parts_limit(parts, &life, &fence);
	ck_assert_int_eq(fence, reaching[_i].fence);
}
END_TEST

static void *
answer_from_a_thread(void *arg)
{
	unsigned i = (unsigned)((struct asked *)arg - asked);

	answer(i, i % 3 == 1 ? R_UNAVAILABLE : R_OK);
	return (NULL);
}

START_TEST(parts_that_come_at_once_from_many_threads_call_once)
{
	pthread_t threads[MOST];

	for (unsigned round = 0; round < 50; round++) {
		n_asked = 0;
		atomic_store(&there_calls, 0);
		ck_assert(begin(MOST));
		for (unsigned i = 0; i < MOST; i++)
			ck_assert_int_eq(thread_start("part",
						      answer_from_a_thread,
						      &asked[i], &threads[i]),
					 R_OK);
		/* Patience may end at the same time. */
		clock_advance_ms(4000);
		for (unsigned i = 0; i < MOST; i++)
			ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert_uint_eq(atomic_load(&there_calls), 1);
		parts_free(parts);
		parts = NULL;
	}
}
END_TEST

Suite *suite_parts(void);

Suite *
suite_parts(void)
{
	Suite *s = suite_create("parts");
	TCase *t = tcase_create("parts");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, no_parts_no_fetch);
	tcase_add_test(t, all_are_asked_side_by_side_as_the_whole_is);
	tcase_add_test(t, answers_may_come_before_the_fetch_returns);
	tcase_add_test(
		t, patience_ends_for_parts_that_take_far_longer_than_the_first);
	tcase_add_test(t, slow_first_part_gives_the_others_as_long_again);
	tcase_add_test(t, failure_starts_no_patience);
	tcase_add_test(t, patience_that_ends_after_the_last_part_says_nothing);
	tcase_add_test(t, late_parts_may_come_after_all_is_released);
	tcase_add_test(t, timers_that_stop_end_patience_at_once);
	tcase_add_test(t, no_memory_for_a_timer_leaves_the_parts_own_deadlines);
	tcase_add_test(t, no_memory_fetches_nothing);
	tcase_add_test(t,
		       whole_is_no_younger_and_lives_no_longer_than_its_parts);
	tcase_add_loop_test(t,
			    part_that_memory_vouches_for_makes_no_whole_older,
			    0, (int)(sizeof(reaching) / sizeof(reaching[0])));
	tcase_add_test(t, parts_that_come_at_once_from_many_threads_call_once);
	suite_add_tcase(s, t);
	return (s);
}
