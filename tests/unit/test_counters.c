/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/counters.h"
#include "cache/exposition.h"
#include "cache/metrics_report.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_counters(void);

/* Each test runs in a process of its own, so counting begins at nothing. */

static struct counters_totals totals;

static uint64_t
total(const char *label, unsigned cell)
{
	counters_read(&totals);
	return (totals.of[counters_label(label)][cell]);
}

START_TEST(label_is_known_by_its_text)
{
	char copy[] = "models";
	unsigned label = counters_label("models");

	ck_assert_uint_ne(label, 0);
	ck_assert_uint_eq(counters_label(copy), label);
	ck_assert_uint_eq(counters_label_copy("models"), label);
	ck_assert_uint_ne(counters_label("servers"), label);
	ck_assert_str_eq(counters_label_value(label), "models");
	ck_assert_uint_eq(counters_label(NULL), 0);
}
END_TEST

START_TEST(labels_without_room_count_under_none)
{
	static char names[2 * COUNTERS_LABELS][8];

	for (unsigned i = 0; i < 2 * COUNTERS_LABELS; i++) {
		snprintf(names[i], sizeof(names[i]), "l%u", i);
		counters_add(counters_label(names[i]), COUNT_MISSES, 1);
	}
	ck_assert_uint_eq(counters_labels(), COUNTERS_LABELS);
	ck_assert_uint_eq(total(NULL, counters_cell_of(COUNT_MISSES)),
			  COUNTERS_LABELS + 1);
	ck_assert_uint_eq(total("l0", counters_cell_of(COUNT_MISSES)), 1);
}
END_TEST

#define THREADS 24
#define ADDITIONS 20000

static void *
count_much(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < ADDITIONS; i++) {
		counters_add(counters_label("models"), COUNT_HITS_MEMORY, 1);
		counters_observe(counters_label("models"), TIME_CACHED_MEMORY,
				 40);
	}
	return (NULL);
}

START_TEST(nothing_is_lost_between_threads)
{
	unsigned cell = counters_cell_of_times(TIME_CACHED_MEMORY);
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count_much,
						NULL),
				 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(total("models", counters_cell_of(COUNT_HITS_MEMORY)),
			  THREADS * ADDITIONS);
	ck_assert_uint_eq(total("models", cell), THREADS * ADDITIONS);
	ck_assert_uint_eq(total("models", cell + COUNTERS_BUCKETS),
			  40 * THREADS * ADDITIONS);
}
END_TEST

START_TEST(time_falls_into_the_bucket_that_includes_it)
{
	unsigned cell = counters_cell_of_times(TIME_LOAD_TIME);

	counters_observe(0, TIME_LOAD_TIME, 50);
	counters_observe(0, TIME_LOAD_TIME, 51);
	counters_observe(0, TIME_LOAD_TIME, 0);
	counters_observe(0, TIME_LOAD_TIME, -5);
	counters_observe(0, TIME_LOAD_TIME, INT64_MAX);
	ck_assert_uint_eq(total(NULL, cell), 3);
	ck_assert_uint_eq(total(NULL, cell + 1), 1);
	ck_assert_uint_eq(total(NULL, cell + COUNTERS_BUCKETS - 1), 1);
}
END_TEST

START_TEST(every_cell_is_found_by_its_words)
{
	for (unsigned i = 0; i < COUNTERS_CELLS; i++) {
		struct counters_cell c = counters_cell(i);

		ck_assert_uint_eq(counters_find(bytes_of(c.name),
						bytes_of(c.tier), c.bound_us),
				  i);
	}
	ck_assert_uint_eq(counters_find(BYTES("no"), BYTES(""), 0),
			  COUNTERS_CELLS);
}
END_TEST

START_TEST(report_of_this_process_has_all_it_counted)
{
	struct metrics_report r;

	counters_add(counters_label("models"), COUNT_MISSES, 3);
	counters_add(counters_label("servers"), COUNT_MISSES, 4);
	counters_observe(counters_label("models"), TIME_UNCACHED, 2000);
	ck_assert_int_eq(metrics_report_own(BYTES("{\"memory_bytes|\":12,"
						  "\"breaker|redis/open\":1}"),
					    &r),
			 R_OK);
	ck_assert_int_eq(metrics_count(&r, NULL, COUNT_MISSES), 7);
	ck_assert_int_eq(metrics_count(&r, "servers", COUNT_MISSES), 4);
	ck_assert_int_eq(metrics_count(&r, "user", COUNT_MISSES), 0);
	ck_assert_int_eq(metrics_times(&r, NULL, TIME_UNCACHED).count, 1);
	ck_assert_int_eq(metrics_times(&r, NULL, TIME_UNCACHED).sum_us, 2000);
	ck_assert_int_eq(metrics_gauge(&r, "memory_bytes", NULL), 12);
	ck_assert_int_eq(metrics_gauge(&r, "breaker", "redis/open"), 1);
	ck_assert(!r.whole);
	metrics_report_fini(&r);
}
END_TEST

START_TEST(report_survives_allocation_failure)
{
	struct metrics_report r;
	enum result result;
	unsigned n = 0;

	counters_add(counters_label("models"), COUNT_MISSES, 3);
	do {
		mem_fail_after(++n);
		result = metrics_report_own(BYTES("{\"a|b\":1}"), &r);
		mem_fail_after(0);
	} while (result == R_NO_MEMORY && n < 100);
	ck_assert_int_eq(result, R_OK);
	ck_assert_uint_gt(n, 1);
	metrics_report_fini(&r);
}
END_TEST

START_TEST(exposition_is_what_prometheus_reads)
{
	static const char *const wanted[] = {
		"# HELP warmfront_cache_misses_total Requests answered by a "
		"load.\n# TYPE warmfront_cache_misses_total counter\n"
		"warmfront_cache_misses_total{category=\"models\"} 3\n"
		"warmfront_cache_misses_total{category=\"servers\"} 4\n",
		"# TYPE warmfront_cache_uncached_answer_seconds histogram\n",
		"_seconds_bucket{category=\"models\",le=\"0.001000\"} 0\n",
		"_seconds_bucket{category=\"models\",le=\"0.002500\"} 1\n",
		"_seconds_bucket{category=\"models\",le=\"10.000000\"} 1\n",
		"_seconds_bucket{category=\"models\",le=\"+Inf\"} 2\n",
		"_seconds_sum{category=\"models\"} 22.000000\n",
		"_seconds_count{category=\"models\"} 2\n",
		"warmfront_cache_expired_entries_cleaned_total 9\n",
	};
	struct metrics_report r;
	struct buf text = { 0 };

	counters_add(counters_label("servers"), COUNT_MISSES, 4);
	counters_add(counters_label("models"), COUNT_MISSES, 3);
	counters_add(0, COUNT_CLEANED, 9);
	counters_observe(counters_label("models"), TIME_UNCACHED, 2000);
	counters_observe(counters_label("models"), TIME_UNCACHED, 21998000);
	ck_assert_int_eq(metrics_report_own(BYTES("{}"), &r), R_OK);
	exposition_report(&text, &r);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		ck_assert_msg(strstr(text.at, wanted[i]) != NULL,
			      "no %s in\n%s", wanted[i], text.at);
	metrics_report_fini(&r);
	buf_fini(&text);
}
END_TEST

START_TEST(labels_are_quoted)
{
	struct buf labels = { 0 };

	exposition_label(&labels, "a", BYTES("x\"y\\z\n"));
	exposition_label(&labels, "b", BYTES(""));
	ck_assert_str_eq(labels.at, "a=\"x\\\"y\\\\z\\n\",b=\"\"");
	buf_fini(&labels);
}
END_TEST

Suite *
suite_counters(void)
{
	Suite *s = suite_create("counters");
	TCase *t = tcase_create("counters");

	tcase_add_test(t, label_is_known_by_its_text);
	tcase_add_test(t, labels_without_room_count_under_none);
	tcase_add_test(t, nothing_is_lost_between_threads);
	tcase_add_test(t, time_falls_into_the_bucket_that_includes_it);
	tcase_add_test(t, every_cell_is_found_by_its_words);
	tcase_add_test(t, report_of_this_process_has_all_it_counted);
	tcase_add_test(t, report_survives_allocation_failure);
	tcase_add_test(t, exposition_is_what_prometheus_reads);
	tcase_add_test(t, labels_are_quoted);
	suite_add_tcase(s, t);
	return (s);
}
