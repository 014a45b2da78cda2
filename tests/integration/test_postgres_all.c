/* SPDX-License-Identifier: MIT */
/* Several statements side by side. */
#include "../harness/harness.h"

#include "base/clock.h"
#include "store/postgres.h"

#include <string.h>

Suite *suite_postgres_all(void);

static struct harness_postgres *server;
static struct postgres *pg;

static void
start_server(void)
{
	server = harness_postgres_new(NULL);
	/* Come, and wait up to 5 s until `n` have; how many have. */
	harness_sql(server->url,
		    "CREATE SEQUENCE arrivals; "
		    "CREATE FUNCTION meet(n integer) RETURNS bigint "
		    "LANGUAGE plpgsql AS $$ DECLARE here bigint; BEGIN "
		    "PERFORM nextval('arrivals'); "
		    "FOR i IN 1..500 LOOP "
		    "SELECT last_value INTO here FROM arrivals; "
		    "EXIT WHEN here >= n; PERFORM pg_sleep(0.01); "
		    "END LOOP; RETURN here; END $$");
}

static void
stop_server(void)
{
	harness_postgres_stop(server);
}

static void
connect_with(unsigned pool_size)
{
	harness_sql(server->url, "ALTER SEQUENCE arrivals RESTART");
	pg = postgres_new(&(struct postgres_options){
		.url = server->url,
		.name = "all",
		.pool_size = pool_size,
		.connect_timeout_ms = 5000,
		.statement_timeout_ms = 10000,
	});
	ck_assert_ptr_nonnull(pg);
}

static void
teardown(void)
{
	postgres_free(pg);
	pg = NULL;
}

/* Run them, and check the first column of each. */
static void
assert_all(const char *const *sql, unsigned n, const char *value,
	   const char *const *wanted)
{
	const struct postgres_value values[] = { { bytes_of(value), PG_TEXT } };
	struct postgres_rows *rows[POSTGRES_ALL_MAX];

	ck_assert_int_eq(postgres_query_all(pg, 0, sql, n, values, 1, rows),
			 R_OK);
	for (unsigned i = 0; i < n; i++) {
		ck_assert_str_eq(postgres_get(rows[i], 0, 0).at, wanted[i]);
		postgres_rows_free(rows[i]);
	}
}

static const char *const meetings[] = { "SELECT meet($1::integer) >= 4",
					"SELECT meet($1::integer) >= 4",
					"SELECT meet($1::integer) >= 4",
					"SELECT meet($1::integer) >= 4" };

START_TEST(statements_run_at_the_same_time)
{
	const char *const met[] = { "t", "t", "t", "t" };

	connect_with(4);
	assert_all(meetings, 4, "4", met);
}
END_TEST

START_TEST(those_without_a_connection_run_when_one_is_free)
{
	const char *const sql[] = { "SELECT 'a' || $1", "SELECT 'b' || $1",
				    "SELECT 'c' || $1", "SELECT 'd' || $1",
				    "SELECT 'e' || $1" };
	const char *const wanted[] = { "ax", "bx", "cx", "dx", "ex" };

	for (unsigned size = 1; size <= 3; size++) {
		connect_with(size);
		assert_all(sql, 5, "x", wanted);
		teardown();
	}
}
END_TEST

START_TEST(one_failure_fails_all_and_harms_no_connection)
{
	const char *const sql[] = { "SELECT $1::integer",
				    "SELECT 1 / ($1::integer - 5)",
				    "SELECT $1::integer + 1" };
	const char *const six[] = { "6", "1", "7" };
	const struct postgres_value five[] = { { BYTES("5"), PG_TEXT } };
	struct postgres_rows *rows[POSTGRES_ALL_MAX];

	for (unsigned size = 1; size <= 3; size++) {
		connect_with(size);
		ck_assert_int_eq(postgres_query_all(pg, 0, sql, 3, five, 1,
						    rows),
				 R_INVALID);
		assert_all(sql, 3, "6", six);
		teardown();
	}
}
END_TEST

START_TEST(deadline_is_that_of_all)
{
	const struct postgres_value five[] = { { BYTES("5"), PG_TEXT } };
	struct postgres_rows *rows[POSTGRES_ALL_MAX];
	double began_ms = harness_now_ms();

	/* Five never come. */
	connect_with(4);
	ck_assert_int_eq(postgres_query_all(pg, clock_monotonic_ms() + 300,
					    meetings, 4, five, 1, rows),
			 R_TIMEOUT);
	ck_assert(harness_now_ms() - began_ms < 4000);
}
END_TEST

START_TEST(server_that_is_gone_is_said_to_be_unavailable)
{
	const struct postgres_value one[] = { { BYTES("1"), PG_TEXT } };
	struct postgres_rows *rows[POSTGRES_ALL_MAX];

	pg = postgres_new(&(struct postgres_options){
		.url = "postgresql:///x?host=/nowhere",
		.name = "all",
		.pool_size = 4,
		.connect_timeout_ms = 500,
		.statement_timeout_ms = 1000,
	});
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(postgres_query_all(pg, 0, meetings, 4, one, 1,
						    rows),
				 R_UNAVAILABLE);
}
END_TEST

Suite *
suite_postgres_all(void)
{
	Suite *s = suite_create("postgres_all");
	TCase *t = tcase_create("postgres_all");

	tcase_add_unchecked_fixture(t, start_server, stop_server);
	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_test(t, statements_run_at_the_same_time);
	tcase_add_test(t, those_without_a_connection_run_when_one_is_free);
	tcase_add_test(t, one_failure_fails_all_and_harms_no_connection);
	tcase_add_test(t, deadline_is_that_of_all);
	tcase_add_test(t, server_that_is_gone_is_said_to_be_unavailable);
	suite_add_tcase(s, t);
	return (s);
}
