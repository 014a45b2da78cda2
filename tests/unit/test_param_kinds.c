/* SPDX-License-Identifier: MIT */
/* Dates, addresses, and what a PATCH may leave out. */
#include "base/alloc.h"
#include "base/clock.h"
#include "web/params.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

Suite *suite_param_kinds(void);

#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const struct param dates[] = {
	{ "from", PARAM_DATE, .optional = true, .until = "to", .days = 30 },
	{ "to", PARAM_DATE, .otherwise = "today" },
	PARAMS_END,
};
static const struct endpoint get = {
	.route = "GET /days",
	.params = dates,
	.key = "days:{params}",
	.policy = { "x", 1, 1, 1 },
	.sql = "",
	.load = load_json,
};

static const struct param fields[] = {
	{ "email", PARAM_EMAIL, .in = IN_BODY, .optional = true },
	{ "day", PARAM_DATE, .in = IN_BODY, .optional = true },
	{ "object", PARAM_OBJECT, .in = IN_BODY, .optional = true },
	PARAMS_END,
};
static const struct endpoint patch = {
	.route = "PATCH /user",
	.params = fields,
	.sql = "",
	.run = run_json,
};

static struct config *config;
static struct services services;
static struct served got, patched;
static struct arena arena;
static struct values values;
static struct buf problem;

static void
setup(void)
{
	static const struct config_policy none[] = { { NULL, 0, 0, 0 } };

	ck_assert_int_eq(clearenv(), 0);
	ck_assert_int_eq(config_read(none, &config, &problem), R_OK);
	services.config = config;
	ck_assert_int_eq(endpoint_serve(&get, &services, &got, &problem), R_OK);
	ck_assert_int_eq(endpoint_serve(&patch, &services, &patched, &problem),
			 R_OK);
}

static void
teardown(void)
{
	arena_fini(&arena);
	buf_fini(&problem);
	config_free(config);
}

static enum result
from_query(const char *query)
{
	const struct request rq = { .path = BYTES("/days"),
				    .query = bytes_of(query) };

	buf_clear(&problem);
	return (params_from_url(&got, &rq, &arena, &values, &problem));
}

static enum result
from_body(const char *body)
{
	const struct request rq = { .path = BYTES("/user") };

	buf_clear(&problem);
	ck_assert_int_eq(params_from_url(&patched, &rq, &arena, &values,
					 &problem),
			 R_OK);
	return (params_from_body(&patched, bytes_of(body), &arena, &values,
				 &problem));
}

static void
assert_refused(enum result r, const char *message)
{
	ck_assert_int_eq(r, R_INVALID);
	ck_assert_msg(strstr(problem.at, message) != NULL, "%s", problem.at);
}

static const char *const days[] = {
	"1970-01-01", "1999-12-31", "2000-02-29",
	"2024-02-29", "2026-04-30", "9999-12-31",
};

START_TEST(day_of_the_calendar_is_a_date)
{
	char query[32];

	snprintf(query, sizeof(query), "to=%s", days[_i]);
	ck_assert_msg(from_query(query) == R_OK, "%s", problem.at);
	ck_assert(bytes_equal(values.of[2], bytes_of(days[_i])));
}
END_TEST

static const char *const no_days[] = {
	"",	      "today",	     "2026-4-30",   "26-04-30",
	"2026-00-01", "2026-13-01",  "2026-04-00",  "2026-04-31",
	"2026-02-29", "1900-02-29",  "0000-01-01",  "-001-01-01",
	"2026-04--1", "2026/04/30",  "2026-04-3x",  "2026-04-30T00:00:00Z",
	"20260430",   "2026-04-30 ", " 2026-04-30", "2026-1e-01",
	"1969-12-31", "0001-01-05",
};

START_TEST(anything_else_is_no_date)
{
	char query[48];

	snprintf(query, sizeof(query), "from=%s", no_days[_i]);
	assert_refused(from_query(query),
		       "from: expected a date, YYYY-MM-DD, from 1970 to 9999");
}
END_TEST

START_TEST(dates_that_belong_together_are_in_order)
{
	ck_assert_int_eq(from_query("from=2026-01-31&to=2026-02-01"), R_OK);
	ck_assert_int_eq(from_query("to=2026-01-31&from=2026-01-31"), R_OK);
	ck_assert_int_eq(from_query("to=2026-01-31"), R_OK);
	ck_assert_int_eq(from_query("from=2026-01-31"), R_OK);
	assert_refused(
		from_query("to=2026-01-31&from=2026-02-01"),
		"from: expected a date that is not after to, 2026-01-31");
	assert_refused(from_query("from=9999-12-31"),
		       "from: expected a date that is not after to, 20");
}
END_TEST

static const struct {
	const char *to, *from;
} months[] = {
	{ "2026-01-30", "2026-01-01" }, { "2026-03-01", "2026-01-31" },
	{ "2024-03-01", "2024-02-01" }, { "1970-01-30", "1970-01-01" },
	{ "1970-01-29", "1970-01-01" }, { "9999-12-31", "9999-12-02" },
};

START_TEST(absent_date_is_so_many_days_before_the_other)
{
	char query[32];

	snprintf(query, sizeof(query), "to=%s", months[_i].to);
	ck_assert_int_eq(from_query(query), R_OK);
	ck_assert_msg(bytes_equal(values.of[1], bytes_of(months[_i].from)),
		      "%.*s", BYTES_ARG(values.of[1]));
}
END_TEST

/* The key of a query, until the next call, and its `to`. */
static const char *
key_of(const char *query, char to[11])
{
	static char text[128];
	struct buf key = { 0 }, log_key = { 0 }, arguments = { 0 };

	ck_assert_msg(from_query(query) == R_OK, "%s", problem.at);
	ck_assert_int_eq(endpoint_query(&got, &values, &key, &log_key,
					&arguments),
			 R_OK);
	snprintf(text, sizeof(text), "%.*s", BYTES_ARG(buf_bytes(&key)));
	snprintf(to, 11, "%.*s", BYTES_ARG(values.of[2]));
	buf_fini(&key);
	buf_fini(&log_key);
	buf_fini(&arguments);
	return (text);
}

#define DAY_MS (24 * 60 * 60 * (int64_t)1000)

START_TEST(today_is_in_the_key_and_over_at_midnight)
{
	char first[128], to[11], next[11], named[64], written[11];
	time_t now;
	struct tm utc;

	clock_advance_ms(DAY_MS - 1000 - clock_wall_ms() % DAY_MS);
	now = clock_wall_ms() / 1000;
	strftime(written, sizeof(written), "%Y-%m-%d", gmtime_r(&now, &utc));
	strcpy(first, key_of("", to));
	ck_assert_str_eq(to, written);
	ck_assert_ptr_nonnull(strstr(first, to));
	snprintf(named, sizeof(named), "to=%s", to);
	ck_assert_str_eq(key_of(named, to), first);
	clock_advance_ms(1001);
	ck_assert_str_ne(key_of("", next), first);
	ck_assert_str_gt(next, to);
	ck_assert_str_eq(key_of(named, to), first);
}
END_TEST

/* As whoever warms does, who has no request. */
START_TEST(values_from_elsewhere_are_completed_as_a_query_is)
{
	struct values without;

	ck_assert_int_eq(from_query(""), R_OK);
	without = values;
	values.of[1] = values.of[2] = (struct bytes){ NULL, 0 };
	ck_assert_int_eq(params_complete(&got, &arena, &values, &problem),
			 R_OK);
	ck_assert(bytes_equal(values.of[1], without.of[1]));
	ck_assert(bytes_equal(values.of[2], without.of[2]));
	values.of[2] = BYTES("2026-01-31");
	values.of[1] = BYTES("2026-02-01");
	assert_refused(params_complete(&got, &arena, &values, &problem),
		       "from: expected");
}
END_TEST

START_TEST(no_memory_for_a_date_is_not_the_clients_fault)
{
	unsigned n;

	for (n = 1; n <= 2; n++) {
		arena_fini(&arena);
		mem_fail_after(1);
		ck_assert_int_eq(from_query(n == 1 ? "" : "to=2026-01-31"),
				 R_NO_MEMORY);
		mem_fail_after(0);
	}
}
END_TEST

static const struct {
	const char *address;
	bool good;
} addresses[] = {
	{ "a@b", true },
	{ "anna.o'neil+x@example.org", true },
	{ "\xc3\xa4@\xc3\xb6.example", true },
	{ "", false },
	{ "anna", false },
	{ "@example.org", false },
	{ "anna@", false },
	{ "a@b@c", false },
	{ "a b@c", false },
	{ "a@b\\n", false },
	{ "a@b\\u0000", false },
	{ "a@b\\u007f", false },
};

START_TEST(address_has_one_at_sign_and_no_blanks)
{
	char body[64];

	snprintf(body, sizeof(body), "{\"email\":\"%s\"}",
		 addresses[_i].address);
	if (addresses[_i].good)
		ck_assert_msg(from_body(body) == R_OK, "%s", problem.at);
	else
		assert_refused(from_body(body),
			       "email: expected an e-mail address");
}
END_TEST

START_TEST(address_has_a_limit)
{
	char body[300];

	snprintf(body, sizeof(body), "{\"email\":\"%0250d@b.c\"}", 0);
	ck_assert_int_eq(from_body(body), R_OK);
	snprintf(body, sizeof(body), "{\"email\":\"%0251d@b.c\"}", 0);
	assert_refused(from_body(body), "email: expected");
}
END_TEST

START_TEST(patch_leaves_out_what_stays)
{
	ck_assert_int_eq(from_body("{\"day\":\"2026-01-31\"}"), R_OK);
	ck_assert_ptr_null(values.of[1].at);
	ck_assert_ptr_nonnull(values.of[2].at);
	ck_assert_ptr_null(values.of[3].at);
}
END_TEST

START_TEST(patch_of_nothing_is_refused)
{
	assert_refused(from_body("{}"), "at least one field; known: email, "
					"day, object");
}
END_TEST

/* It could be meant to remove the value, and nothing here can be removed. */
START_TEST(null_is_no_way_to_leave_something_out_of_a_patch)
{
	assert_refused(from_body("{\"email\":null}"),
		       "email: expected a string");
	assert_refused(from_body("{\"object\":null,\"day\":\"2026-01-31\"}"),
		       "object: expected a JSON object");
}
END_TEST

Suite *
suite_param_kinds(void)
{
	Suite *s = suite_create("param_kinds");
	TCase *t = tcase_create("param_kinds");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, day_of_the_calendar_is_a_date, 0, LENGTH(days));
	tcase_add_loop_test(t, anything_else_is_no_date, 0, LENGTH(no_days));
	tcase_add_test(t, dates_that_belong_together_are_in_order);
	tcase_add_loop_test(t, absent_date_is_so_many_days_before_the_other, 0,
			    LENGTH(months));
	tcase_add_test(t, today_is_in_the_key_and_over_at_midnight);
	tcase_add_test(t, values_from_elsewhere_are_completed_as_a_query_is);
	tcase_add_test(t, no_memory_for_a_date_is_not_the_clients_fault);
	tcase_add_loop_test(t, address_has_one_at_sign_and_no_blanks, 0,
			    LENGTH(addresses));
	tcase_add_test(t, address_has_a_limit);
	tcase_add_test(t, patch_leaves_out_what_stays);
	tcase_add_test(t, patch_of_nothing_is_refused);
	tcase_add_test(t, null_is_no_way_to_leave_something_out_of_a_patch);
	suite_add_tcase(s, t);
	return (s);
}
