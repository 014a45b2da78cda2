/* SPDX-License-Identifier: MIT */
#include "../harness/harness.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/postgres.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#define CONNECT_MS 300
#define STATEMENT_MS 500

static struct harness_postgres *server;
static struct postgres *pg;
static const char *log_path;

static void
setup(void)
{
	server = harness_postgres_new(NULL);
	log_path = scratch_printf("%s/worker.log", server->directory);
	ck_assert_int_eq(log_open(scratch_printf("file:%s", log_path),
				  LOG_LEVEL_INFO),
			 R_OK);
	pg = postgres_new(&(struct postgres_options){
		server->url, "tested", 4, CONNECT_MS, STATEMENT_MS });
	ck_assert_ptr_nonnull(pg);
}

static void
teardown(void)
{
	postgres_free(pg);
	log_close();
	harness_postgres_stop(server);
}

static enum result
try(const char *sql)
{
	return (postgres_run(pg, 0, sql, NULL, 0));
}

/* The server with all its processes. */
static void
signal_server(int number)
{
	pid_t children[64];
	unsigned n =
		process_children(process_pid(server->process), children, 64);

	process_signal(server->process, number);
	while (n > 0)
		kill(children[--n], number);
}

static unsigned
logged(const char *words)
{
	const char *at = scratch_read(log_path);
	unsigned n = 0;

	for (; (at = strstr(at, words)) != NULL; at++)
		n++;
	return (n);
}

START_TEST(a_stopped_server_costs_no_more_than_the_deadlines)
{
	double began = harness_now_ms();

	signal_server(SIGSTOP);
	/* No connection yet: the connect deadline counts. */
	ck_assert_int_eq(try("SELECT 1"), R_UNAVAILABLE);
	ck_assert(harness_now_ms() - began >= CONNECT_MS - 1);
	ck_assert(harness_now_ms() - began < CONNECT_MS + 400);
	signal_server(SIGCONT);
	wait_until(try("SELECT 1") == R_OK, 10000);

	signal_server(SIGSTOP);
	began = harness_now_ms();
	ck_assert_int_eq(try("SELECT 1"), R_TIMEOUT);
	ck_assert(harness_now_ms() - began >= STATEMENT_MS - 1);
	ck_assert(harness_now_ms() - began < STATEMENT_MS + 400);
	signal_server(SIGCONT);
}
END_TEST

START_TEST(a_stopped_server_is_not_waited_for_by_every_call_and_heals)
{
	unsigned refused = 0;
	double began;

	ck_assert_int_eq(try("SELECT 1"), R_OK);
	signal_server(SIGSTOP);
	for (int i = 0; i < 3; i++)
		ck_assert_int_ne(try("SELECT 1"), R_OK);
	ck_assert_int_eq(postgres_state(pg), BREAKER_OPEN);
	began = harness_now_ms();
	for (int i = 0; i < 100; i++)
		refused += try("SELECT 1") == R_UNAVAILABLE;
	ck_assert_uint_eq(refused, 100);
	/* A probe or two may have fallen into that. */
	ck_assert(harness_now_ms() - began < 2 * CONNECT_MS + 400);
	signal_server(SIGCONT);
	wait_until(try("SELECT 1") == R_OK, 10000);
	ck_assert_int_eq(postgres_state(pg), BREAKER_CLOSED);
}
END_TEST

START_TEST(a_killed_server_is_refused_at_once_and_found_again)
{
	double began;

	ck_assert_int_eq(try("SELECT 1"), R_OK);
	harness_postgres_kill(server);
	began = harness_now_ms();
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(try("SELECT 1"), R_UNAVAILABLE);
	ck_assert(harness_now_ms() - began < 500);
	ck_assert_int_ne(postgres_state(pg), BREAKER_CLOSED);
	harness_postgres_start(server);
	wait_until(try("SELECT 1") == R_OK, 10000);
	/* One line each for the loss and the return, however many calls there were; of
	 * the loss two, if the server has had time for a last word. */
	ck_assert_uint_ge(logged("postgres: no connection"), 1);
	ck_assert_uint_le(logged("postgres: no connection"), 2);
	ck_assert_uint_eq(logged("postgres: connected again"), 1);
	ck_assert_uint_eq(logged("postgres fails"), 1);
	ck_assert_uint_eq(logged("postgres answers again"), 1);
}
END_TEST

START_TEST(a_restart_between_calls_goes_unnoticed)
{
	ck_assert_int_eq(try("SELECT 1"), R_OK);
	harness_postgres_stop(server);
	harness_postgres_start(server);
	ck_assert_int_eq(try("SELECT 1"), R_OK);

	harness_postgres_kill(server);
	harness_postgres_start(server);
	ck_assert_int_eq(try("SELECT 1"), R_OK);
	ck_assert_uint_eq(logged("postgres"), 0);
}
END_TEST

START_TEST(a_terminated_idle_connection_is_replaced)
{
	ck_assert_int_eq(try("SELECT 1"), R_OK);
	harness_sql(server->url,
		    "SELECT pg_terminate_backend(pid, 5000) "
		    "FROM pg_stat_activity WHERE application_name = 'tested'");
	ck_assert_int_eq(try("SELECT 1"), R_OK);
}
END_TEST

static void *
sleep_long(void *arg)
{
	enum result *r = arg;

	*r = try("SELECT pg_sleep(30)");
	return (NULL);
}

START_TEST(a_server_killed_during_a_statement_ends_it)
{
	struct postgres *patient = postgres_new(&(struct postgres_options){
		server->url, "patient", 1, CONNECT_MS, 60000 });
	struct postgres *hasty = pg;
	enum result r = R_OK;
	pthread_t thread;
	double began;

	pg = patient;
	ck_assert_int_eq(pthread_create(&thread, NULL, sleep_long, &r), 0);
	wait_until(strcmp(harness_sql(server->url,
				      "SELECT count(*) FROM pg_stat_activity "
				      "WHERE query ~ '^SELECT pg_sleep'"),
			  "1") == 0,
		   5000);
	began = harness_now_ms();
	harness_postgres_kill(server);
	pthread_join(thread, NULL);
	ck_assert_int_eq(r, R_UNAVAILABLE);
	ck_assert(harness_now_ms() - began < 2000);
	pg = hasty;
	postgres_free(patient);
}
END_TEST

START_TEST(a_read_only_server_still_answers_questions)
{
	ck_assert_int_eq(try("CREATE TABLE t (i int)"), R_OK);
	harness_sql(server->url,
		    "ALTER SYSTEM SET default_transaction_read_only = on");
	harness_sql(server->url, "SELECT pg_reload_conf()");
	wait_until(try("INSERT INTO t VALUES (1)") == R_UNAVAILABLE, 5000);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(try("INSERT INTO t VALUES (1)"),
				 R_UNAVAILABLE);
	ck_assert_int_eq(try("SELECT * FROM t"), R_OK);
	ck_assert_int_eq(postgres_state(pg), BREAKER_CLOSED);
	/* Which is not said ten times. */
	ck_assert_uint_le(logged("25006"), 2);
}
END_TEST

START_TEST(a_locked_table_costs_its_own_callers_their_deadline_only)
{
	ck_assert_int_eq(try("CREATE TABLE t (i int)"), R_OK);
	harness_sql(server->url, "BEGIN; LOCK t");
	ck_assert_int_eq(try("SELECT * FROM t"), R_TIMEOUT);
	ck_assert_int_eq(try("SELECT 1"), R_OK);
	ck_assert_int_eq(postgres_state(pg), BREAKER_CLOSED);
	harness_sql(server->url, "COMMIT");
	ck_assert_int_eq(try("SELECT * FROM t"), R_OK);
}
END_TEST

/* Who was told that it failed may try again: it must not happen twice. */
START_TEST(a_statement_given_up_ends_and_does_not_happen_later)
{
	const char *backend;

	ck_assert_int_eq(try("CREATE TABLE t (i int)"), R_OK);
	backend = harness_sql(server->url, "SELECT pid FROM pg_stat_activity "
					   "WHERE application_name = 'tested'");
	harness_sql(server->url, "BEGIN; LOCK t");
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(try("INSERT INTO t VALUES (1)"), R_TIMEOUT);
	ck_assert_int_eq(postgres_state(pg), BREAKER_CLOSED);
	ck_assert_str_eq(harness_sql(server->url,
				     "SELECT pid FROM pg_stat_activity "
				     "WHERE application_name = 'tested' "
				     "AND state = 'idle'"),
			 backend);
	harness_sql(server->url, "COMMIT");
	ck_assert_int_eq(try("INSERT INTO t VALUES (2)"), R_OK);
	ck_assert_str_eq(harness_sql(server->url, "SELECT sum(i) FROM t"), "2");
}
END_TEST

START_TEST(a_failure_at_commit_is_a_failure)
{
	ck_assert_int_eq(
		try("CREATE TABLE t (i int UNIQUE INITIALLY DEFERRED)"), R_OK);
	ck_assert_int_eq(try("INSERT INTO t VALUES (1)"), R_OK);
	ck_assert_int_eq(try("INSERT INTO t VALUES (1)"), R_CONFLICT);
	ck_assert_int_eq(try("INSERT INTO t VALUES (2)"), R_OK);
	ck_assert_uint_eq(logged("postgres: no connection"), 0);
}
END_TEST

START_TEST(a_listener_notices_that_its_server_is_gone)
{
	const struct postgres_options options = { .url = server->url,
						  .name = "listener",
						  .connect_timeout_ms =
							  CONNECT_MS };
	struct postgres_listener *l;
	double began;

	ck_assert_int_eq(postgres_listen(&options, "warmfront_log", &l), R_OK);
	harness_postgres_kill(server);
	began = harness_now_ms();
	ck_assert_int_eq(postgres_wait(l, clock_monotonic_ms() + 20000, -1),
			 R_UNAVAILABLE);
	ck_assert(harness_now_ms() - began < 2000);
	postgres_listener_free(l);
	ck_assert_int_eq(postgres_listen(&options, "warmfront_log", &l),
			 R_UNAVAILABLE);
	harness_postgres_start(server);
	ck_assert_int_eq(postgres_listen(&options, "warmfront_log", &l), R_OK);
	postgres_listener_free(l);
}
END_TEST

START_TEST(a_stopped_server_does_not_hold_a_listener_up)
{
	const struct postgres_options options = { .url = server->url,
						  .name = "listener",
						  .connect_timeout_ms =
							  CONNECT_MS };
	struct postgres_listener *l;
	double began = harness_now_ms();

	signal_server(SIGSTOP);
	ck_assert_int_eq(postgres_listen(&options, "warmfront_log", &l),
			 R_UNAVAILABLE);
	ck_assert(harness_now_ms() - began < CONNECT_MS + 400);
	signal_server(SIGCONT);
}
END_TEST

START_TEST(a_password_is_never_logged)
{
	static const char *const malformed[] = {
		"postgresql://u:sesame@[::1/db",
		"host=x password='sesame",
		"sesame",
		"postgresql://u:sesame@h/db?no_such_option=1",
	};
	struct postgres *refused;

	for (unsigned i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
		ck_assert_ptr_null(postgres_new(&(struct postgres_options){
			malformed[i], "tested", 1, CONNECT_MS, STATEMENT_MS }));
	ck_assert_uint_eq(logged("malformed"), 4);
	refused = postgres_new(&(struct postgres_options){
		"postgresql://u:sesame@127.0.0.1:1/db", "tested", 1, CONNECT_MS,
		STATEMENT_MS });
	ck_assert_int_eq(postgres_run(refused, 0, "SELECT 1", NULL, 0),
			 R_UNAVAILABLE);
	ck_assert_uint_eq(logged("no connection"), 1);
	ck_assert_uint_eq(logged("sesame"), 0);
	postgres_free(refused);
}
END_TEST

START_TEST(no_memory_is_reported_and_leaks_nothing)
{
	struct postgres_value value = { BYTES("a value"), PG_TEXT };
	struct postgres_rows *rows = NULL;
	struct postgres *made = NULL;
	unsigned failures = 0;

	for (unsigned n = 1; made == NULL; n++) {
		mem_fail_after(n);
		made = postgres_new(&(struct postgres_options){
			server->url, "tested", 1, 5000, 5000 });
		mem_fail_after(0);
		failures += made == NULL;
	}
	ck_assert_uint_gt(failures, 3);
	for (unsigned n = 1; rows == NULL; n++) {
		enum result r;

		mem_fail_after(n);
		r = postgres_query(made, 0, "SELECT $1::text", &value, 1,
				   &rows);
		mem_fail_after(0);
		ck_assert(r == R_OK || r == R_NO_MEMORY);
		ck_assert_int_eq(postgres_state(made), BREAKER_CLOSED);
	}
	postgres_rows_free(rows);
	postgres_free(made);
	postgres_free(NULL);
}
END_TEST

Suite *suite_postgres_faults(void);

Suite *
suite_postgres_faults(void)
{
	Suite *s = suite_create("postgres_faults");
	TCase *t = tcase_create("postgres_faults");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_stopped_server_costs_no_more_than_the_deadlines);
	tcase_add_test(
		t, a_stopped_server_is_not_waited_for_by_every_call_and_heals);
	tcase_add_test(t, a_killed_server_is_refused_at_once_and_found_again);
	tcase_add_test(t, a_restart_between_calls_goes_unnoticed);
	tcase_add_test(t, a_terminated_idle_connection_is_replaced);
	tcase_add_test(t, a_server_killed_during_a_statement_ends_it);
	tcase_add_test(t, a_read_only_server_still_answers_questions);
	tcase_add_test(
		t, a_locked_table_costs_its_own_callers_their_deadline_only);
	tcase_add_test(t, a_statement_given_up_ends_and_does_not_happen_later);
	tcase_add_test(t, a_failure_at_commit_is_a_failure);
	tcase_add_test(t, a_listener_notices_that_its_server_is_gone);
	tcase_add_test(t, a_stopped_server_does_not_hold_a_listener_up);
	tcase_add_test(t, a_password_is_never_logged);
	tcase_add_test(t, no_memory_is_reported_and_leaks_nothing);
	suite_add_tcase(s, t);
	return (s);
}
