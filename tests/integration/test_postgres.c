/* SPDX-License-Identifier: MIT */
#include "../harness/harness.h"

#include "base/clock.h"
#include "store/postgres.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS 16

static struct harness_postgres *server;
static struct postgres *pg;

static struct postgres *
connect_as(const char *url, const char *name, unsigned pool_size)
{
	struct postgres *made = postgres_new(&(struct postgres_options){
		.url = url,
		.name = name,
		.pool_size = pool_size,
		.connect_timeout_ms = 5000,
		.statement_timeout_ms = 10000,
	});

	ck_assert_ptr_nonnull(made);
	return (made);
}

static void
start_server(void)
{
	server = harness_postgres_new(NULL);
}

static void
stop_server(void)
{
	harness_postgres_stop(server);
}

static struct postgres_value
text(const char *string)
{
	return (postgres_text(bytes_of(string)));
}

/* The first column of the first row; "" when there is none.  Until the next call. */
static const char *
ask(struct postgres *from, const char *sql)
{
	static char answer[256];
	struct postgres_rows *rows;

	ck_assert_int_eq(postgres_query(from, 0, sql, NULL, 0, &rows), R_OK);
	answer[0] = '\0';
	if (postgres_count(rows) > 0)
		snprintf(answer, sizeof(answer), "%s",
			 postgres_get(rows, 0, 0).at);
	postgres_rows_free(rows);
	return (answer);
}

static int
backends(const char *name)
{
	return (atoi(harness_sql(server->url,
				 "SELECT count(*) FROM pg_stat_activity "
				 "WHERE application_name = '%s'",
				 name)));
}

static void
setup(void)
{
	/* The last test's connections may still be going. */
	wait_until(backends("tested") == 0, 5000);
	pg = connect_as(server->url, "tested", 4);
}

static void
teardown(void)
{
	postgres_free(pg);
}

START_TEST(values_of_each_kind_come_back)
{
	char every[256];
	struct postgres_value values[5] = {
		{ { every, sizeof(every) }, PG_BYTEA },
		{ BYTES_NONE, PG_BYTEA },
		{ { "h\xc3\xa9'\"\\ cut here", 9 }, PG_TEXT },
		{ .kind = PG_NULL },
		text("-9223372036854775808"),
	};
	struct postgres_rows *rows;

	for (unsigned i = 0; i < sizeof(every); i++)
		every[i] = (char)i;
	ck_assert_int_eq(
		postgres_query(
			pg, 0,
			"SELECT $1::bytea, $2::bytea, $3::text, $4::text, "
			"$5::bigint, NULL::bytea, octet_length($1::bytea), ''",
			values, 5, &rows),
		R_OK);
	ck_assert_uint_eq(postgres_count(rows), 1);
	ck_assert(bytes_equal(postgres_get(rows, 0, 0), values[0].text));
	ck_assert_int_eq(postgres_get(rows, 0, 0).at[256], '\0');
	ck_assert(!postgres_is_null(rows, 0, 1));
	ck_assert_uint_eq(postgres_get(rows, 0, 1).len, 0);
	ck_assert(bytes_equal(postgres_get(rows, 0, 2), values[2].text));
	ck_assert(postgres_is_null(rows, 0, 3));
	ck_assert_uint_eq(postgres_get(rows, 0, 3).len, 0);
	ck_assert(postgres_get_int(rows, 0, 4) == INT64_MIN);
	ck_assert(postgres_is_null(rows, 0, 5));
	ck_assert_int_eq(postgres_get_int(rows, 0, 6), 256);
	ck_assert(!postgres_is_null(rows, 0, 7));
	ck_assert_int_eq(postgres_get_int(rows, 0, 7), 0);
	postgres_rows_free(rows);
}
END_TEST

START_TEST(list_of_strings_comes_back_from_an_array)
{
	static const char list[] = "a\"b\0c\\d\0\0{,}\0NULL\0 \xc3\xa4 ";
	struct buf literal = { 0 };
	struct postgres_value value;
	struct postgres_rows *rows;

	postgres_add_array(&literal, (struct bytes){ list, sizeof(list) });
	value = postgres_text(buf_bytes(&literal));
	ck_assert_int_eq(postgres_query(pg, 0,
					"SELECT string_agg(s, '|' ORDER BY n) "
					"FROM unnest($1::text[]) "
					"WITH ORDINALITY AS t (s, n)",
					&value, 1, &rows),
			 R_OK);
	ck_assert(bytes_equal(postgres_get(rows, 0, 0),
			      BYTES("a\"b|c\\d||{,}|NULL| \xc3\xa4 ")));
	postgres_rows_free(rows);
	buf_clear(&literal);
	postgres_add_array(&literal, BYTES_NONE);
	ck_assert(bytes_equal(buf_bytes(&literal), BYTES("{}")));
	buf_fini(&literal);
}
END_TEST

START_TEST(twenty_megabytes_come_back_and_cost_no_memory_afterwards)
{
	struct postgres *large = connect_as(server->url, "large", 1);
	struct bytes got;
	size_t size = 20u << 20;
	char *sent = scratch_alloc(size);
	struct postgres_value value = { { sent, size }, PG_BYTEA };
	struct postgres_rows *rows;

	for (size_t i = 0; i < size; i++)
		sent[i] = (char)(i * 2654435761u >> 13);
	ck_assert_int_eq(postgres_query(large, 0, "SELECT $1::bytea", &value, 1,
					&rows),
			 R_OK);
	got = postgres_get(rows, 0, 0);
	ck_assert_uint_eq(got.len, size);
	ck_assert(memcmp(got.at, sent, size) == 0);
	postgres_rows_free(rows);
	/* The connection whose buffers grew is not kept. */
	wait_until(backends("large") == 0, 5000);
	ck_assert_str_eq(ask(large, "SELECT 'next'"), "next");
	postgres_free(large);
}
END_TEST

START_TEST(a_nul_inside_a_text_is_refused)
{
	struct postgres_value value = { BYTES("a\0b"), PG_TEXT };

	ck_assert_int_eq(postgres_run(pg, 0, "SELECT $1::text", &value, 1),
			 R_INVALID);
	ck_assert_int_eq(backends("tested"), 0);
}
END_TEST

START_TEST(sql_errors_become_their_results)
{
	static const struct {
		const char *sqlstate;
		enum result result;
	} expected[] = {
		{ "23505", R_CONFLICT },    { "23503", R_NOT_FOUND },
		{ "23P01", R_CONFLICT },    { "40001", R_UNAVAILABLE },
		{ "40P01", R_UNAVAILABLE }, { "22P02", R_INVALID },
		{ "22003", R_INVALID },	    { "23502", R_INVALID },
		{ "23514", R_INVALID },	    { "42501", R_FORBIDDEN },
		{ "57014", R_TIMEOUT },	    { "55P03", R_TIMEOUT },
		{ "25006", R_UNAVAILABLE }, { "53100", R_UNAVAILABLE },
		{ "42P01", R_INTERNAL },    { "42601", R_INTERNAL },
		{ "P0001", R_INTERNAL },
	};
	char *backend =
		scratch_printf("%s", ask(pg, "SELECT pg_backend_pid()"));

	for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		enum result r = postgres_run(
			pg, 0,
			scratch_printf("DO $$BEGIN RAISE SQLSTATE '%s'; END$$",
				       expected[i].sqlstate),
			NULL, 0);

		ck_assert_msg(r == expected[i].result, "%s: %s",
			      expected[i].sqlstate, result_text(r));
	}
	ck_assert_int_eq(postgres_run(pg, 0, "SELEC 1", NULL, 0), R_INTERNAL);
	/* None of them costs the connection or says that the server is down. */
	ck_assert_str_eq(ask(pg, "SELECT pg_backend_pid()"), backend);
	ck_assert_int_eq(postgres_state(pg), BREAKER_CLOSED);
}
END_TEST

START_TEST(an_open_transaction_is_not_handed_on)
{
	char *backend =
		scratch_printf("%s", ask(pg, "SELECT pg_backend_pid()"));

	ck_assert_int_eq(postgres_run(pg, 0, "BEGIN", NULL, 0), R_OK);
	ck_assert_str_ne(ask(pg, "SELECT pg_backend_pid()"), backend);
}
END_TEST

START_TEST(copy_is_refused_and_harms_nothing)
{
	ck_assert_int_eq(postgres_run(pg, 0, "COPY pg_class TO STDOUT", NULL,
				      0),
			 R_INTERNAL);
	ck_assert_int_eq(postgres_run(pg, 0, "COPY pg_class FROM STDIN", NULL,
				      0),
			 R_INTERNAL);
	ck_assert_str_eq(ask(pg, "SELECT 'next'"), "next");
}
END_TEST

START_TEST(a_statement_past_its_deadline_is_given_up)
{
	double began = harness_now_ms();

	ck_assert_int_eq(postgres_run(pg, clock_monotonic_ms() + 200,
				      "SELECT pg_sleep(30)", NULL, 0),
			 R_TIMEOUT);
	/* The server's time is a little less. */
	ck_assert(harness_now_ms() - began >= 170);
	ck_assert(harness_now_ms() - began < 1500);
	ck_assert_str_eq(ask(pg, "SELECT 'next'"), "next");
}
END_TEST

START_TEST(the_statement_timeout_counts_for_who_has_no_deadline)
{
	struct postgres *hasty = postgres_new(&(struct postgres_options){
		server->url, "hasty", 1, 5000, 200 });
	int64_t now_ms = clock_monotonic_ms();
	double began = harness_now_ms();

	ck_assert_int_eq(postgres_run(hasty, 0, "SELECT pg_sleep(30)", NULL, 0),
			 R_TIMEOUT);
	ck_assert_int_eq(postgres_run(hasty,
				      postgres_deadline(hasty, now_ms + 60000),
				      "SELECT pg_sleep(30)", NULL, 0),
			 R_TIMEOUT);
	ck_assert(harness_now_ms() - began < 3000);
	ck_assert_int_eq(postgres_deadline(hasty, now_ms), now_ms);
	ck_assert_int_eq(postgres_run(hasty, clock_monotonic_ms() + 30000,
				      "SELECT pg_sleep(0.5)", NULL, 0),
			 R_OK);
	postgres_free(hasty);
}
END_TEST

struct call {
	struct postgres *pg;
	const char *sql;
	int64_t deadline_ms;
	enum result result;
	pthread_t thread;
};

static void *
call_main(void *arg)
{
	struct call *c = arg;

	c->result = postgres_run(c->pg, c->deadline_ms, c->sql, NULL, 0);
	return (NULL);
}

static void
call_start(struct call *c, struct postgres *on, const char *sql)
{
	*c = (struct call){ .pg = on, .sql = sql };
	ck_assert_int_eq(pthread_create(&c->thread, NULL, call_main, c), 0);
}

START_TEST(many_threads_share_a_bounded_number_of_connections)
{
	struct call calls[THREADS];
	int most = 0;

	for (unsigned i = 0; i < THREADS; i++)
		call_start(&calls[i], pg, "SELECT pg_sleep(0.1)");
	for (double end = harness_now_ms() + 300; harness_now_ms() < end;) {
		int now = backends("tested");

		most = now > most ? now : most;
		harness_nap();
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(calls[i].thread, NULL);
		ck_assert_int_eq(calls[i].result, R_OK);
	}
	ck_assert_int_eq(most, 4);
}
END_TEST

START_TEST(calls_in_turn_use_one_connection)
{
	char *backend =
		scratch_printf("%s", ask(pg, "SELECT pg_backend_pid()"));

	for (int i = 0; i < 10; i++)
		ck_assert_str_eq(ask(pg, "SELECT pg_backend_pid()"), backend);
	ck_assert_int_eq(backends("tested"), 1);
}
END_TEST

START_TEST(an_exhausted_pool_waits_until_the_deadline)
{
	struct postgres *small = connect_as(server->url, "small", 1);
	struct call holder;
	double began;

	call_start(&holder, small, "SELECT pg_sleep(1)");
	wait_until(backends("small") == 1, 5000);
	began = harness_now_ms();
	ck_assert_int_eq(postgres_run(small, clock_monotonic_ms() + 100,
				      "SELECT 1", NULL, 0),
			 R_TIMEOUT);
	ck_assert(harness_now_ms() - began < 700);
	/* That says nothing about the server. */
	ck_assert_int_eq(postgres_state(small), BREAKER_CLOSED);
	/* Who can wait long enough is served. */
	ck_assert_str_eq(ask(small, "SELECT 'next'"), "next");
	pthread_join(holder.thread, NULL);
	ck_assert_int_eq(holder.result, R_OK);
	postgres_free(small);
}
END_TEST

START_TEST(a_server_without_free_connections_is_shared_with_those_there_are)
{
	struct postgres *limited;
	struct call calls[THREADS];

	harness_sql(server->url,
		    "CREATE ROLE limited LOGIN CONNECTION LIMIT 2");
	limited =
		connect_as(harness_postgres_url(server, "limited", "postgres"),
			   "limited", 8);
	for (unsigned i = 0; i < THREADS; i++)
		call_start(&calls[i], limited, "SELECT pg_sleep(0.05)");
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(calls[i].thread, NULL);
		ck_assert_msg(calls[i].result == R_OK, "%s",
			      result_text(calls[i].result));
	}
	ck_assert_int_eq(postgres_state(limited), BREAKER_CLOSED);
	postgres_free(limited);
}
END_TEST

START_TEST(a_script_applies_wholly_or_not_at_all)
{
	struct buf problem = { 0 };

	ck_assert_int_eq(
		postgres_script(
			pg, 0,
			"CREATE TABLE kept (i int);"
			"INSERT INTO kept VALUES (1); SELECT * FROM kept",
			&problem),
		R_OK);
	ck_assert_uint_eq(problem.len, 0);
	ck_assert_int_eq(
		postgres_script(pg, 0,
				"INSERT INTO kept VALUES (2);"
				"SELECT 1/0; INSERT INTO kept VALUES (3)",
				&problem),
		R_INVALID);
	ck_assert_ptr_nonnull(strstr(problem.at, "division by zero"));
	ck_assert_str_eq(
		harness_sql(server->url,
			    "SELECT string_agg(i::text, ',') FROM kept"),
		"1");
	buf_fini(&problem);
}
END_TEST

START_TEST(a_script_may_outlast_the_statement_timeout_but_not_its_deadline)
{
	struct postgres *hasty = postgres_new(&(struct postgres_options){
		server->url, "hasty", 1, 5000, 100 });
	struct buf problem = { 0 };

	ck_assert_int_eq(postgres_script(hasty, clock_monotonic_ms() + 5000,
					 "SELECT pg_sleep(0.3)", &problem),
			 R_OK);
	ck_assert_int_eq(postgres_script(hasty, clock_monotonic_ms() + 200,
					 "SELECT pg_sleep(30)", &problem),
			 R_TIMEOUT);
	ck_assert_uint_gt(problem.len, 0);
	buf_fini(&problem);
	postgres_free(hasty);
}
END_TEST

START_TEST(a_pgbouncer_in_transaction_mode_serves_it)
{
	struct harness_pgbouncer *b = harness_pgbouncer_new(server, 2);
	const char *url = harness_pgbouncer_url(b, "postgres", "postgres");
	struct postgres *pooled = connect_as(url, "pooled", 8);
	struct postgres_value value = text("41");
	struct buf problem = { 0 };
	struct call calls[THREADS];
	struct postgres_rows *rows;

	for (unsigned i = 0; i < THREADS; i++)
		call_start(&calls[i], pooled, "SELECT pg_sleep(0.02)");
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(calls[i].thread, NULL);
		ck_assert_int_eq(calls[i].result, R_OK);
	}
	ck_assert_int_eq(postgres_query(pooled, 0, "SELECT $1::int + 1", &value,
					1, &rows),
			 R_OK);
	ck_assert_int_eq(postgres_get_int(rows, 0, 0), 42);
	postgres_rows_free(rows);
	ck_assert_int_eq(postgres_script(pooled, 0,
					 "CREATE TABLE b (i int); DROP TABLE b",
					 &problem),
			 R_OK);
	buf_fini(&problem);
	postgres_free(pooled);
	harness_pgbouncer_stop(b);
}
END_TEST

static struct postgres_listener *
listen_on(const char *channel)
{
	struct postgres_listener *l = NULL;

	ck_assert_int_eq(postgres_listen(
				 &(struct postgres_options){
					 .url = server->url,
					 .name = "listener",
					 .connect_timeout_ms = 5000 },
				 channel, &l),
			 R_OK);
	return (l);
}

START_TEST(a_notification_wakes_the_listener_once)
{
	struct postgres_listener *l = listen_on("warmfront_log");

	ck_assert_int_eq(postgres_wait(l, clock_monotonic_ms() + 50, -1),
			 R_TIMEOUT);
	harness_sql(server->url, "NOTIFY other");
	harness_sql(server->url, "NOTIFY warmfront_log");
	ck_assert_int_eq(postgres_wait(l, clock_monotonic_ms() + 5000, -1),
			 R_OK);
	ck_assert_int_eq(postgres_wait(l, clock_monotonic_ms() + 50, -1),
			 R_TIMEOUT);
	postgres_listener_free(l);
}
END_TEST

START_TEST(the_stop_descriptor_ends_each_wait)
{
	struct postgres_listener *l = listen_on("warmfront_log");
	double began = harness_now_ms();
	int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);

	ck_assert_int_eq(postgres_wait(l, clock_monotonic_ms() + 20000, fd),
			 R_TIMEOUT);
	ck_assert(harness_now_ms() - began < 10000);
	/* The next one too, though there is news. */
	harness_sql(server->url, "NOTIFY warmfront_log");
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(postgres_wait(l, clock_monotonic_ms() + 20000,
					       fd),
				 R_TIMEOUT);
	ck_assert(harness_now_ms() - began < 10000);
	ck_assert_int_eq(postgres_wait(l, clock_monotonic_ms() + 5000, -1),
			 R_OK);
	close(fd);
	postgres_listener_free(l);
}
END_TEST

START_TEST(a_channel_is_a_plain_name)
{
	struct postgres_listener *l;

	ck_assert_int_eq(postgres_listen(
				 &(struct postgres_options){
					 .url = server->url },
				 "a; DROP TABLE users", &l),
			 R_INVALID);
	postgres_listener_free(NULL);
}
END_TEST

Suite *suite_postgres(void);

Suite *
suite_postgres(void)
{
	Suite *s = suite_create("postgres");
	TCase *t = tcase_create("postgres");

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, start_server, stop_server);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, values_of_each_kind_come_back);
	tcase_add_test(t, list_of_strings_comes_back_from_an_array);
	tcase_add_test(
		t, twenty_megabytes_come_back_and_cost_no_memory_afterwards);
	tcase_add_test(t, a_nul_inside_a_text_is_refused);
	tcase_add_test(t, sql_errors_become_their_results);
	tcase_add_test(t, an_open_transaction_is_not_handed_on);
	tcase_add_test(t, copy_is_refused_and_harms_nothing);
	tcase_add_test(t, a_statement_past_its_deadline_is_given_up);
	tcase_add_test(t, the_statement_timeout_counts_for_who_has_no_deadline);
	tcase_add_test(t, many_threads_share_a_bounded_number_of_connections);
	tcase_add_test(t, calls_in_turn_use_one_connection);
	tcase_add_test(t, an_exhausted_pool_waits_until_the_deadline);
	tcase_add_test(
		t,
		a_server_without_free_connections_is_shared_with_those_there_are);
	tcase_add_test(t, a_script_applies_wholly_or_not_at_all);
	tcase_add_test(
		t,
		a_script_may_outlast_the_statement_timeout_but_not_its_deadline);
	tcase_add_test(t, a_pgbouncer_in_transaction_mode_serves_it);
	tcase_add_test(t, a_notification_wakes_the_listener_once);
	tcase_add_test(t, the_stop_descriptor_ends_each_wait);
	tcase_add_test(t, a_channel_is_a_plain_name);
	suite_add_tcase(s, t);
	return (s);
}
