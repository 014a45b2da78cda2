/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/json.h"
#include "web/problem.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct buf head, body;

static void
teardown(void)
{
	buf_fini(&head);
	buf_fini(&body);
}

static void
write_problem(const struct problem *p)
{
	buf_clear(&head);
	buf_clear(&body);
	problem_write(p, &head, &body);
	ck_assert_int_eq(buf_error(&head), R_OK);
	ck_assert_int_eq(buf_error(&body), R_OK);
	ck_assert_int_eq(json_check(buf_bytes(&body)), R_OK);
	ck_assert(bytes_ends(buf_bytes(&head), BYTES("\r\n\r\n")));
}

static bool
head_has(const char *text)
{
	return (strstr(head.at, text) != NULL);
}

static void
member_is(const char *name, const char *wanted)
{
	struct bytes is = json_member(buf_bytes(&body), bytes_of(name));

	ck_assert_msg(is.at != NULL && bytes_equal(is, bytes_of(wanted)),
		      "%s in %s", name, body.at);
}

START_TEST(body_says_what_the_status_line_says)
{
	const struct problem p = { .status = 404, .detail = "No \"x\"\n." };

	write_problem(&p);
	ck_assert(bytes_starts(buf_bytes(&head),
			       BYTES("Status: 404 Not Found\r\n")));
	ck_assert(head_has("\r\nContent-Type: application/problem+json\r\n"));
	ck_assert(head_has("\r\nCache-Control: no-store\r\n"));
	ck_assert(!head_has("Retry-After"));
	ck_assert(!head_has("WWW-Authenticate"));
	ck_assert(!head_has("Allow"));
	member_is("status", "404");
	member_is("title", "\"Not Found\"");
	member_is("type", "\"about:blank\"");
	member_is("detail", "\"No \\\"x\\\"\\n.\"");
}
END_TEST

START_TEST(length_is_that_of_the_body)
{
	const struct problem p = { .status = 400, .detail = "h\xc3\xa9" };
	const char *length;

	write_problem(&p);
	length = strstr(head.at, "Content-Length: ");
	ck_assert_ptr_nonnull(length);
	ck_assert_uint_eq(strtoul(length + 16, NULL, 10), body.len);
}
END_TEST

START_TEST(detail_that_is_not_utf8_makes_valid_json)
{
	const struct problem p = { .status = 400, .detail = "\xff\xc3\x01" };

	write_problem(&p);
	ck_assert(bytes_is_utf8(buf_bytes(&body)));
}
END_TEST

START_TEST(missing_detail_is_left_out)
{
	const struct problem p = { .status = 500 };

	write_problem(&p);
	ck_assert_ptr_null(json_member(buf_bytes(&body), BYTES("detail")).at);
}
END_TEST

static const struct {
	int64_t ms;
	const char *line;
} retries[] = {
	{ 1, "\r\nRetry-After: 1\r\n" },
	{ 1000, "\r\nRetry-After: 1\r\n" },
	{ 1001, "\r\nRetry-After: 2\r\n" },
	{ 59999, "\r\nRetry-After: 60\r\n" },
	{ INT64_MAX, "\r\nRetry-After: 9223372036854776\r\n" },
};

START_TEST(retry_after_is_in_seconds_rounded_up)
{
	const struct problem p = { .status = 503, .retry_ms = retries[_i].ms };

	write_problem(&p);
	ck_assert_msg(head_has(retries[_i].line), "%s", head.at);
}
END_TEST

START_TEST(each_status_brings_the_lines_it_must)
{
	struct problem p = { .status = 401 };

	write_problem(&p);
	ck_assert(head_has("\r\nWWW-Authenticate: Bearer "));
	p = (struct problem){ .status = 405, .allow = BYTES("GET, HEAD") };
	write_problem(&p);
	ck_assert(head_has("\r\nAllow: GET, HEAD\r\n"));
}
END_TEST

START_TEST(every_result_has_a_status_with_a_title)
{
	for (int r = R_OK + 1; r < R_COUNT_; r++) {
		int load = problem_status_of_load((enum result)r);
		int run = problem_status_of_run((enum result)r);

		ck_assert(load >= 400 && load <= 599);
		ck_assert(run >= 400 && run <= 599);
		ck_assert_str_ne(problem_title(load), "Error");
		ck_assert_str_ne(problem_title(run), "Error");
	}
	ck_assert_str_eq(problem_title(299), "Error");
}
END_TEST

START_TEST(results_mean_the_statuses_that_clients_expect)
{
	ck_assert_int_eq(problem_status_of_load(R_TIMEOUT), 504);
	ck_assert_int_eq(problem_status_of_load(R_UNAVAILABLE), 503);
	ck_assert_int_eq(problem_status_of_load(R_BUSY), 503);
	ck_assert_int_eq(problem_status_of_load(R_BAD_ANSWER), 502);
	ck_assert_int_eq(problem_status_of_load(R_NOT_FOUND), 404);
	/* Too large is the origin's fault in a load, the client's in a run. */
	ck_assert_int_eq(problem_status_of_load(R_TOO_LARGE), 502);
	ck_assert_int_eq(problem_status_of_run(R_TOO_LARGE), 413);
	ck_assert_int_eq(problem_status_of_run(R_CONFLICT), 409);
	ck_assert_int_eq(problem_status_of_run(R_INVALID), 400);
	ck_assert_int_eq(problem_status_of_run(R_FORBIDDEN), 403);
	ck_assert_int_eq(problem_status_of_run(R_INTERNAL), 500);
}
END_TEST

START_TEST(failed_allocations_are_reported)
{
	const struct problem p = { .status = 503,
				   .detail = "x",
				   .retry_ms = 1,
				   .allow = BYTES("GET") };
	unsigned n = 0;
	bool failed;

	do {
		teardown();
		mem_fail_after(++n);
		problem_write(&p, &head, &body);
		mem_fail_after(0);
		failed = buf_error(&head) != R_OK || buf_error(&body) != R_OK;
		ck_assert_uint_lt(n, 100);
	} while (failed);
	ck_assert_uint_gt(n, 2);
}
END_TEST

Suite *suite_problem(void);

Suite *
suite_problem(void)
{
	Suite *s = suite_create("problem");
	TCase *t = tcase_create("problem");

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_test(t, body_says_what_the_status_line_says);
	tcase_add_test(t, length_is_that_of_the_body);
	tcase_add_test(t, detail_that_is_not_utf8_makes_valid_json);
	tcase_add_test(t, missing_detail_is_left_out);
	tcase_add_loop_test(t, retry_after_is_in_seconds_rounded_up, 0,
			    sizeof(retries) / sizeof(retries[0]));
	tcase_add_test(t, each_status_brings_the_lines_it_must);
	tcase_add_test(t, every_result_has_a_status_with_a_title);
	tcase_add_test(t, results_mean_the_statuses_that_clients_expect);
	tcase_add_test(t, failed_allocations_are_reported);
	suite_add_tcase(s, t);
	return (s);
}
