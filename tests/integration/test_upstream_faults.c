/* SPDX-License-Identifier: MIT */
#include "../harness/harness.h"
#include "canned.h"

#include "base/clock.h"
#include "store/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIMEOUT_MS 300
#define SLACK_MS 1500

static struct harness_upstream *origin;

static void
start_origin(void)
{
	origin = harness_upstream_new(NULL);
}

static void
stop_origin(void)
{
	harness_upstream_stop(origin);
}

static struct upstream *
client_to(const char *url, int64_t timeout_ms)
{
	struct upstream *u = NULL;

	ck_assert_int_eq(upstream_new(
				 &(struct upstream_options){
					 .name = "test",
					 .url = url,
					 .timeout_ms = timeout_ms,
					 .connect_timeout_ms = timeout_ms,
					 .max_bytes = 1 << 20,
				 },
				 &u),
			 R_OK);
	return (u);
}

/* One whose paths under /NAME do as `mode` says. */
static struct upstream *
client(const char *name, const char *mode, int64_t timeout_ms)
{
	harness_upstream_control(origin, "path=/%s&%s", name, mode);
	return (client_to(scratch_printf("%s/%s", origin->url, name),
			  timeout_ms));
}

static enum result
get(struct upstream *u)
{
	struct upstream_answer a;
	enum result r =
		upstream_get(u, BYTES_NONE, clock_monotonic_ms() + 10000, &a);

	upstream_answer_fini(&a);
	return (r);
}

static void
expect_open(struct upstream *u, enum result failure)
{
	double begin;

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(upstream_state(u), BREAKER_CLOSED);
		ck_assert_int_eq(get(u), failure);
	}
	ck_assert_int_eq(upstream_state(u), BREAKER_OPEN);
	ck_assert_int_gt(upstream_retry_ms(u), 0);
	ck_assert_int_le(upstream_retry_ms(u), 1000);
	begin = harness_now_ms();
	ck_assert_int_eq(get(u), R_UNAVAILABLE);
	ck_assert_double_lt(harness_now_ms() - begin, 200);
}

START_TEST(failures_in_a_row_open_the_breaker_and_an_answer_closes_it)
{
	struct upstream *u = client("errors", "status=500", 5000);

	expect_open(u, R_BAD_ANSWER);
	ck_assert_uint_eq(harness_upstream_count(origin, "/errors"), 3);
	/* A probe that fails opens it for longer. */
	clock_advance_ms(1001);
	ck_assert_int_eq(get(u), R_BAD_ANSWER);
	ck_assert_int_eq(upstream_state(u), BREAKER_OPEN);
	ck_assert_int_gt(upstream_retry_ms(u), 1000);
	harness_upstream_control(origin, "path=/errors&mode=normal");
	clock_advance_ms(2001);
	ck_assert_int_eq(get(u), R_OK);
	ck_assert_int_eq(upstream_state(u), BREAKER_CLOSED);
	ck_assert_int_eq(upstream_retry_ms(u), 0);
	upstream_free(u);
}
END_TEST

static const struct {
	const char *name, *mode;
	enum result result;
} failing[] = {
	{ "hang", "mode=hang", R_TIMEOUT },
	{ "trickle", "mode=trickle", R_TIMEOUT },
	{ "reset", "mode=refuse-reset", R_BAD_ANSWER },
	{ "truncate", "mode=truncate", R_BAD_ANSWER },
	{ "chunk-cut", "mode=chunk-cut", R_BAD_ANSWER },
};

START_TEST(broken_transfers_fail_in_time_and_open_the_breaker)
{
	struct upstream *u =
		client(failing[_i].name, failing[_i].mode, TIMEOUT_MS);
	double begin = harness_now_ms();

	expect_open(u, failing[_i].result);
	ck_assert_double_lt(harness_now_ms() - begin,
			    3 * (TIMEOUT_MS + SLACK_MS));
	upstream_free(u);
}
END_TEST

START_TEST(refused_connection_is_unavailable)
{
	struct upstream *u = client_to(scratch_printf("http://127.0.0.1:%u/",
						      harness_free_port()),
				       1000);

	expect_open(u, R_UNAVAILABLE);
	upstream_free(u);
}
END_TEST

START_TEST(unknown_host_is_unavailable)
{
	struct upstream *u = client_to("http://no-such-host.invalid/", 3000);
	enum result r = get(u);

	/* A name server may also just not answer. */
	ck_assert(r == R_UNAVAILABLE || r == R_TIMEOUT);
	upstream_free(u);
}
END_TEST

START_TEST(deadline_of_the_caller_counts)
{
	struct upstream *u = client("late", "mode=hang", 60000);
	struct upstream_answer a;
	double begin = harness_now_ms();

	ck_assert_int_eq(upstream_get(u, BYTES_NONE,
				      clock_monotonic_ms() + TIMEOUT_MS, &a),
			 R_TIMEOUT);
	ck_assert_double_lt(harness_now_ms() - begin, TIMEOUT_MS + SLACK_MS);
	ck_assert_int_eq(upstream_get(u, BYTES_NONE, clock_monotonic_ms() - 1,
				      &a),
			 R_TIMEOUT);
	ck_assert_uint_eq(harness_upstream_count(origin, "/late"), 1);
	upstream_free(u);
}
END_TEST

static const char *const too_large[] = { "mode=endless", "mode=huge:1048577",
					 "mode=huge:30000000" };

START_TEST(body_over_the_limit_is_refused)
{
	struct upstream *u = client("large", too_large[_i], 10000);

	ck_assert_int_eq(get(u), R_TOO_LARGE);
	/* It is alive, after all. */
	ck_assert_int_eq(upstream_state(u), BREAKER_CLOSED);
	upstream_free(u);
}
END_TEST

START_TEST(body_of_exactly_the_limit_is_taken)
{
	struct upstream *u = client("exact", "mode=huge:1048576", 10000);

	ck_assert_int_eq(get(u), R_OK);
	upstream_free(u);
}
END_TEST

START_TEST(client_errors_do_not_open_the_breaker)
{
	struct upstream *u = client("missing", "status=404", 5000);

	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(get(u), R_BAD_ANSWER);
	ck_assert_int_eq(upstream_state(u), BREAKER_CLOSED);
	ck_assert_uint_eq(harness_upstream_count(origin, "/missing"), 6);
	upstream_free(u);
}
END_TEST

static const char *const silencing[] = { "mode=retry-after:2",
					 "mode=retry-after:2&status=503" };

START_TEST(retry_after_is_kept)
{
	struct upstream *u = client("busy", silencing[_i], 5000);
	unsigned before = harness_upstream_count(origin, "/busy");

	ck_assert_int_eq(get(u), R_BAD_ANSWER);
	ck_assert_int_gt(upstream_retry_ms(u), 1000);
	ck_assert_int_le(upstream_retry_ms(u), 2000);
	ck_assert_int_eq(upstream_state(u), BREAKER_CLOSED);
	harness_upstream_control(origin, "path=/busy&mode=normal");
	ck_assert_int_eq(get(u), R_UNAVAILABLE);
	ck_assert_uint_eq(harness_upstream_count(origin, "/busy"), before + 1);
	clock_advance_ms(2001);
	ck_assert_int_eq(upstream_retry_ms(u), 0);
	ck_assert_int_eq(get(u), R_OK);
	upstream_free(u);
}
END_TEST

START_TEST(retry_after_may_be_a_date)
{
	char text[256], date[64];
	time_t then = time(NULL) + 100;
	struct upstream *u;
	struct tm tm;

	gmtime_r(&then, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	snprintf(text, sizeof(text),
		 "HTTP/1.1 429 Slow Down\r\nRetry-After: %s\r\n"
		 "Content-Length: 0\r\n\r\n",
		 date);
	u = client_to(scratch_printf("http://127.0.0.1:%u/",
				     canned_start(text)),
		      5000);
	ck_assert_int_eq(get(u), R_BAD_ANSWER);
	ck_assert_int_gt(upstream_retry_ms(u), 90000);
	ck_assert_int_le(upstream_retry_ms(u), 100000);
	upstream_free(u);
}
END_TEST

START_TEST(retry_after_of_ages_is_cut)
{
	struct upstream *u = client("ages", "mode=retry-after:99999999", 5000);

	ck_assert_int_eq(get(u), R_BAD_ANSWER);
	ck_assert_int_le(upstream_retry_ms(u), 5 * 60 * 1000);
	ck_assert_int_gt(upstream_retry_ms(u), 4 * 60 * 1000);
	upstream_free(u);
}
END_TEST

static const char *const junk[] = {
	"",
	"SSH-2.0-OpenSSH_9.2\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
	"HTTP/1.1 304 Not Modified\r\n\r\n", /* nobody asked for that */
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\njunk",
};

START_TEST(junk_is_a_bad_answer)
{
	struct upstream *u = client_to(scratch_printf("http://127.0.0.1:%u/",
						      canned_start(junk[_i])),
				       5000);

	ck_assert_int_eq(get(u), R_BAD_ANSWER);
	upstream_free(u);
}
END_TEST

Suite *suite_upstream_faults(void);

Suite *
suite_upstream_faults(void)
{
	Suite *s = suite_create("upstream_faults");
	TCase *c = tcase_create("upstream_faults");

	tcase_add_unchecked_fixture(c, start_origin, stop_origin);
	tcase_set_timeout(c, 30);
	tcase_add_test(
		c, failures_in_a_row_open_the_breaker_and_an_answer_closes_it);
	tcase_add_loop_test(c,
			    broken_transfers_fail_in_time_and_open_the_breaker,
			    0, sizeof(failing) / sizeof(failing[0]));
	tcase_add_test(c, refused_connection_is_unavailable);
	tcase_add_test(c, unknown_host_is_unavailable);
	tcase_add_test(c, deadline_of_the_caller_counts);
	tcase_add_loop_test(c, body_over_the_limit_is_refused, 0,
			    sizeof(too_large) / sizeof(too_large[0]));
	tcase_add_test(c, body_of_exactly_the_limit_is_taken);
	tcase_add_test(c, client_errors_do_not_open_the_breaker);
	tcase_add_loop_test(c, retry_after_is_kept, 0,
			    sizeof(silencing) / sizeof(silencing[0]));
	tcase_add_test(c, retry_after_may_be_a_date);
	tcase_add_test(c, retry_after_of_ages_is_cut);
	tcase_add_loop_test(c, junk_is_a_bad_answer, 0,
			    sizeof(junk) / sizeof(junk[0]));
	suite_add_tcase(s, c);
	return (s);
}
