/* SPDX-License-Identifier: MIT */
/* The numbers that operators see: /metrics and the statistics. */
#include "product.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_metrics(void);

#define ALPHA "/api/models?gateway=alpha"
#define CRON "Authorization: Bearer " HARNESS_CRON_SECRET

static json_t *
stats(const char *admin)
{
	return (product_data(stack_get("/api/admin/cache/stats", admin, NULL),
			     "data"));
}

static const char *
scrape(void)
{
	const struct http_response *r = stack_get("/metrics", CRON, NULL);

	assert_status(r, 200);
	ck_assert_ptr_nonnull(
		strstr(http_header(r, "Content-Type"), "text/plain"));
	return (r->body);
}

/* The sum of a family's samples whose line contains `with`. */
static double
sum_of(const char *text, const char *family, const char *with)
{
	size_t len = strlen(family);
	double sum = 0;
	char *copy = scratch_printf("%s", text), *line, *save = NULL;

	for (line = strtok_r(copy, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save))
		if (strncmp(line, family, len) == 0 &&
		    (line[len] == '{' || line[len] == ' ') &&
		    strstr(line, with) != NULL)
			sum += strtod(strrchr(line, ' '), NULL);
	return (sum);
}

static long
requests_in(const char *text)
{
	static const char *const families[] = {
		"warmfront_cache_hits_total", "warmfront_cache_stale_total",
		"warmfront_cache_misses_total", "warmfront_cache_errors_total",
		"warmfront_cache_bypasses_total"
	};
	double sum = 0;

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		sum += sum_of(text, families[i], "category=\"models\"");
	return ((long)sum);
}

/* One for which all workers have answered in time. */
static const char *
current(void)
{
	const char *text;

	wait_until((text = scrape(),
		    sum_of(text, "warmfront_metrics_current", "") == 1),
		   5000);
	return (text);
}

static void
ask_often(const char *path, unsigned n)
{
	const struct http_request request = { .url = stack_url(path),
					      .drop_body = true };
	struct http_response *all;

	for (; n > 0; n -= n < 100 ? n : 100) {
		unsigned some = n < 100 ? n : 100;

		all = http_many(&request, some);
		for (unsigned i = 0; i < some; i++)
			ck_assert_int_eq(all[i].status, 200);
		http_free(all, some);
	}
}

START_TEST(ten_thousand_requests_of_four_workers_are_ten_thousand_on_any)
{
	stack_workers(4);
	ask_often(ALPHA, 10000);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(requests_in(current()), 10000);
	ck_assert(sum_of(scrape(), "warmfront_workers", "") == 4);
	ck_assert(sum_of(scrape(), "warmfront_metrics_whole", "") == 1);
}
END_TEST

START_TEST(metrics_survive_a_restart)
{
	stack_workers(2);
	ask_often(ALPHA, 500);
	harness_worker_stop(stack.worker);
	harness_worker_start(stack.worker);
	ck_assert_int_eq(requests_in(current()), 500);
	ask_often(ALPHA, 20);
	ck_assert_int_eq(requests_in(current()), 520);
	ck_assert(sum_of(scrape(), "warmfront_workers", "") == 2);
}
END_TEST

START_TEST(killed_worker_takes_a_second_of_counting_at_most)
{
	stack_workers(2);
	ask_often(ALPHA, 300);
	wait_until(requests_in(scrape()) == 300, 5000);
	harness_worker_kill_all(stack.worker);
	harness_worker_start(stack.worker);
	ck_assert_int_eq(requests_in(scrape()), 300);
}
END_TEST

START_TEST(metrics_of_one_worker_are_there_while_postgres_is_not)
{
	const char *text;

	stack_workers(1);
	ask_often(ALPHA, 50);
	harness_postgres_signal(stack.postgres, SIGSTOP);
	text = scrape();
	harness_postgres_signal(stack.postgres, SIGCONT);
	ck_assert(sum_of(text, "warmfront_metrics_whole", "") == 0);
	ck_assert_int_eq(requests_in(text), 50);
	wait_until(sum_of(scrape(), "warmfront_metrics_whole", "") == 1, 10000);
	ck_assert_int_eq(requests_in(scrape()), 50);
}
END_TEST

/* They do not wait long, and that is no sign of an outage. */
START_TEST(metrics_that_get_no_answer_in_time_harm_nobody)
{
	const char *anna = stack_login("anna@example.org", "user");
	const char *locker =
		scratch_printf("%s&application_name=locker", stack.owner_url);
	const struct http_request metrics = {
		.url = stack_url("/metrics"),
		.headers = (const char *const[]){ CRON, NULL },
	};
	const struct http_response *all;

	stack_workers(1);
	assert_status(stack_get("/api/user/data", anna, NULL), 200);
	harness_sql(locker, "BEGIN; LOCK TABLE cache_workers "
			    "IN ACCESS EXCLUSIVE MODE");
	all = http_many(&metrics, 8);
	assert_status(stack_request("POST", "/api/usage", "{\"model\":\"m\"}",
				    anna, "Content-Type: application/json",
				    NULL),
		      201);
	for (unsigned i = 0; i < 8; i++)
		assert_status(&all[i], 200);
	harness_sql(locker, "ROLLBACK");
}
END_TEST

START_TEST(metrics_tell_of_all_there_is_to_know)
{
	static const char *const wanted[] = {
		"warmfront_cache_cached_answer_seconds_bucket{category="
		"\"models\",tier=\"memory\",le=\"0.000050\"}",
		"warmfront_cache_uncached_answer_seconds_count{category="
		"\"models\"} 1",
		"warmfront_upstream_calls_total{gateway=\"alpha\"} 1",
		"warmfront_breaker_workers{dependency=\"postgres\",state="
		"\"closed\"} 1",
		"warmfront_breaker_workers{dependency=\"gateway alpha\",state="
		"\"closed\"} 1",
		"warmfront_cache_entries{category=\"models\",tier=\"postgres\"}"
		" 1",
		"warmfront_cache_entries{category=\"models\",tier=\"memory\"} 1",
		"warmfront_cache_entries{category=\"user_data\",tier=\"memory\"} 1",
		"warmfront_cache_entries{category=\"models\",tier=\"redis\"} 1",
		"warmfront_cache_bytes{category=\"models\",tier=\"memory\"} ",
		"warmfront_cache_bytes{category=\"user_data\",tier=\"redis\"} ",
		"warmfront_http_responses_total{code=\"2xx\"}",
		"# TYPE warmfront_cache_hits_total counter",
	};
	const char *user = stack_login("someone@example.org", "user");
	const char *text;

	stack_workers(1);
	for (int i = 0; i < 3; i++) {
		assert_status(stack_get(ALPHA, NULL), 200);
		assert_status(stack_get("/api/user/data", user, NULL), 200);
	}
	text = scrape();
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		ck_assert_msg(strstr(text, wanted[i]) != NULL,
			      "no %s in\n%.3000s", wanted[i],
			      strstr(text, "# HELP warmfront_cache_entries"));
	ck_assert_ptr_null(strstr(text, "someone"));
	ck_assert_ptr_null(strstr(text, "user:"));
}
END_TEST

/* With Prometheus's own tool, where there is one. */
START_TEST(metrics_are_to_the_taste_of_promtool)
{
	const char *file =
		scratch_printf("%s/metrics", scratch_directory("promtool"));
	const char *const argv[] = {
		"sh", "-c",
		scratch_printf("command -v promtool >/dev/null || exit 0; "
			       "promtool check metrics <%s 2>&1",
			       file),
		NULL
	};
	struct process_result result;

	stack_workers(1);
	ask_often(ALPHA, 3);
	product_data(stack_get("/cron/cache-warming", CRON, NULL), "data");
	scratch_write(file, scrape());
	result = process_run(&(struct process_options){ .argv = argv });
	ck_assert_msg(result.status == 0, "%d: %s", result.status, result.out);
}
END_TEST

START_TEST(metrics_are_for_cron_and_admins)
{
	const char *admin = stack_login("root@example.org", "admin");
	const char *user = stack_login("someone@example.org", "user");

	stack_workers(1);
	assert_status(stack_get("/metrics", NULL), 401);
	assert_status(stack_get("/metrics", user, NULL), 403);
	assert_status(stack_get("/metrics", admin, NULL), 200);
	assert_status(stack_get("/metrics", CRON, NULL), 200);
	assert_status(stack_get("/metrics", CRON "x", NULL), 401);
	assert_status(stack_get("/api/admin/cache/stats", user, NULL), 403);
}
END_TEST

START_TEST(stats_have_the_numbers_that_the_contract_names)
{
	const char *admin = stack_login("root@example.org", "admin");
	json_t *s, *m;

	stack_workers(2);
	ask_often(ALPHA, 1);
	ask_often(ALPHA, 9);
	s = stats(admin);
	ck_assert_int_eq(tree_int(s, "requests"), 10);
	ck_assert_int_ge(tree_int(s, "hits"), 1);
	ck_assert(json_real_value(tree_at(s, "hit_rate")) +
			  json_real_value(tree_at(s, "miss_rate")) ==
		  1.0);
	ck_assert(json_is_number(tree_at(s, "avg_response_time_cached")));
	ck_assert(json_real_value(tree_at(s, "avg_response_time_uncached")) >
		  0);
	ck_assert(json_real_value(tree_at(s, "cache_size_mb")) > 0);
	ck_assert(json_is_integer(tree_at(s, "expired_entries_cleaned")));
	ck_assert(json_is_array(tree_at(s, "recommendations")));
	m = product_data(stack_get("/api/cache/invalidate?metrics=true", admin,
				   NULL),
			 "metrics.models");
	ck_assert_int_eq(tree_int(m, "hits") + tree_int(m, "misses"), 10);
	ck_assert(json_is_number(tree_at(m, "hitRate")));
	ck_assert_int_eq(tree_int(m, "errors"), 0);
	s = product_data(stack_get("/api/cache/invalidate?metrics=true"
				   "&pattern=models:*",
				   admin, NULL),
			 "");
	ck_assert_int_eq(tree_int(s, "total"), 1);
	ck_assert_ptr_nonnull(tree_at(s, "metrics.models"));
}
END_TEST

START_TEST(cleaned_entries_are_counted)
{
	const char *admin = stack_login("root@example.org", "admin");

	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	harness_sql(stack.owner_url, "UPDATE cache_entries SET expires_at = "
				     "now() WHERE cache_key LIKE 'models:%%'");
	product_data(stack_get("/cron/cache-warming", CRON, NULL), "data");
	ck_assert_int_ge(tree_int(stats(admin), "expired_entries_cleaned"), 1);
}
END_TEST

Suite *
suite_metrics(void)
{
	Suite *s = suite_create("metrics");
	TCase *t = tcase_create("metrics");

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, stack_begin, stack_end);
	tcase_add_test(
		t,
		ten_thousand_requests_of_four_workers_are_ten_thousand_on_any);
	tcase_add_test(t, metrics_survive_a_restart);
	tcase_add_test(t, killed_worker_takes_a_second_of_counting_at_most);
	tcase_add_test(t,
		       metrics_of_one_worker_are_there_while_postgres_is_not);
	tcase_add_test(t, metrics_that_get_no_answer_in_time_harm_nobody);
	tcase_add_test(t, metrics_tell_of_all_there_is_to_know);
	tcase_add_test(t, metrics_are_to_the_taste_of_promtool);
	tcase_add_test(t, metrics_are_for_cron_and_admins);
	tcase_add_test(t, stats_have_the_numbers_that_the_contract_names);
	tcase_add_test(t, cleaned_entries_are_counted);
	suite_add_tcase(s, t);
	return (s);
}
