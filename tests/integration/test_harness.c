/* SPDX-License-Identifier: MIT */
#include "../harness/harness.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Suite *suite_harness(void);

/* Processes. */

START_TEST(process_status_and_output_are_reported)
{
	struct process_result r = process_run(&(struct process_options){
		.argv =
			(const char *const[]){
				"sh", "-c", "echo out $A; echo err >&2; exit 3",
				NULL },
		.env = (const char *const[]){ "A=1", NULL },
	});

	ck_assert_int_eq(r.status, 3);
	ck_assert_str_eq(r.out, "out 1\n");
	ck_assert_str_eq(r.err, "err\n");
}
END_TEST

START_TEST(process_ended_by_a_signal_says_which)
{
	struct process *p = process_start(&(struct process_options){
		.argv = (const char *const[]){ "sleep", "60", NULL } });

	ck_assert(process_is_running(p));
	process_kill(p);
	ck_assert(!process_is_running(p));
	ck_assert_int_eq(process_wait(p, 0), 128 + SIGKILL);
}
END_TEST

/* Left running on purpose, with a child of its own that no one waits for; the
 * next test looks for them. */
START_TEST(process_left_running)
{
	char *note = scratch_printf("%s/left", scratch_root());

	process_start(&(struct process_options){
		.argv = (const char *const[]){
			"sh", "-c",
			"echo $$ >\"$0.new\"; mv \"$0.new\" \"$0\"; exec sleep 60",
			note, NULL } });
	wait_until(access(note, F_OK) == 0, 5000);
}
END_TEST

START_TEST(process_left_running_by_a_test_ends_with_it)
{
	pid_t pid =
		atoi(scratch_read(scratch_printf("%s/left", scratch_root())));

	ck_assert_int_gt(pid, 1);
	wait_until(!process_is_alive(pid), 5000);
}
END_TEST

/* Servers. */

START_TEST(postgres_answers_and_comes_back_after_a_kill)
{
	struct harness_postgres *pg = harness_postgres_new(NULL);
	const char *url = harness_postgres_database(pg, "one", NULL);

	harness_sql(url, "CREATE TABLE t AS SELECT generate_series(1, 3) AS n");
	ck_assert_str_eq(harness_sql(url, "SELECT n, n * %d FROM t", 2),
			 "1\t2\n2\t4\n3\t6");
	ck_assert_int_eq(strncmp(harness_sql_try(url, "SELECT nothing"),
				 "ERROR 42703", 11),
			 0);
	harness_postgres_kill(pg);
	ck_assert_int_eq(strncmp(harness_sql_try(url, "SELECT 1"), "ERROR", 5),
			 0);
	harness_postgres_start(pg);
	ck_assert_str_eq(harness_sql(url, "SELECT count(*) FROM t"), "3");
	harness_postgres_stop(pg);
}
END_TEST

START_TEST(postgres_database_can_be_a_copy)
{
	struct harness_postgres *pg = harness_postgres_new(
		(const char *const[]){ "max_connections=30", NULL });
	const char *one = harness_postgres_database(pg, "one", NULL);
	const char *two;

	harness_sql(one, "CREATE TABLE t (n int); INSERT INTO t VALUES (7)");
	harness_sql_close(one);
	two = harness_postgres_database(pg, "two", "one");
	ck_assert_str_eq(harness_sql(two, "SELECT n FROM t"), "7");
	ck_assert_str_eq(harness_sql(two, "SHOW max_connections"), "30");
	harness_postgres_stop(pg);
}
END_TEST

START_TEST(pgbouncer_passes_transactions_on)
{
	struct harness_postgres *pg = harness_postgres_new(NULL);
	struct harness_pgbouncer *b = harness_pgbouncer_new(pg, 2);
	const char *url = harness_pgbouncer_url(b, "postgres", "postgres");

	ck_assert_str_eq(harness_sql(url, "SELECT 1 + 1"), "2");
	harness_pgbouncer_stop(b);
	harness_postgres_stop(pg);
}
END_TEST

START_TEST(redis_answers_and_comes_back_empty)
{
	struct harness_redis *r =
		harness_redis_new(&(struct harness_redis_options){
			.transport = REDIS_TCP, .password = "secret" });

	ck_assert_str_eq(harness_redis_command(r, "SET a %s", "b c"), "OK");
	ck_assert_str_eq(harness_redis_command(r, "GET a"), "b c");
	ck_assert_int_eq(strncmp(harness_redis_command(r, "GETT a"), "ERR", 3),
			 0);
	harness_redis_kill(r);
	harness_redis_start(r);
	ck_assert_str_eq(harness_redis_command(r, "GET a"), "(nil)");
	ck_assert_ptr_nonnull(strstr(r->tcp_url, "redis://:secret@127"));
	harness_redis_stop(r);
}
END_TEST

START_TEST(nginx_without_its_worker_says_502)
{
	struct harness_nginx *n =
		harness_nginx_new(&(struct harness_nginx_options){
			.worker = "unix:/nowhere", .keep = 4 });
	const struct http_response *r = http_get(n->url, NULL);

	ck_assert_int_eq(r->status, 502);
	ck_assert_str_eq(http_header(r, "content-type"), "text/html");
	ck_assert_ptr_null(http_header(r, "X-Cache"));
	harness_nginx_stop(n);
}
END_TEST

START_TEST(lighttpd_without_its_worker_says_503)
{
	struct harness_lighttpd *l = harness_lighttpd_new(
		&(struct harness_lighttpd_options){ .worker = "/nowhere" });

	ck_assert_int_eq(http_get(l->url, NULL)->status, 503);
	harness_lighttpd_stop(l);
}
END_TEST

/* The upstream, and with it the HTTP client. */

static struct harness_upstream *upstream;

static void
start_upstream(void)
{
	upstream = harness_upstream_new(
		(const char *const[]){ "--models", "20", NULL });
}

static void
stop_upstream(void)
{
	harness_upstream_stop(upstream);
}

static struct http_response *
get_models(void)
{
	return (http_get(scratch_printf("%s/a/models", upstream->url), NULL));
}

START_TEST(upstream_logs_each_request_as_it_arrives)
{
	struct http_response *all;

	harness_upstream_control(upstream, "path=/a&delay_ms=50-100");
	all = http_many(
		&(struct http_request){
			.url = scratch_printf("%s/a/models", upstream->url) },
		30);
	for (int i = 0; i < 30; i++) {
		ck_assert_int_eq(all[i].status, 200);
		ck_assert(all[i].body_hash == all[0].body_hash);
		ck_assert(all[i].ms >= 50);
	}
	ck_assert_uint_eq(harness_upstream_count(upstream, "/a"), 30);
	ck_assert_int_eq(harness_upstream_stat(upstream, "/a/models",
					       "connections"),
			 30);
	ck_assert_uint_eq(scratch_lines(upstream->log), 30);
	ck_assert(http_percentile(all, 30, 0.99) >= 50);
	http_free(all, 30);
}
END_TEST

START_TEST(upstream_catalogue_changes_with_its_version)
{
	const struct http_response *first = get_models(), *r;
	const char *tag = http_header(first, "ETag");
	json_t *tree = tree_parse(first->body, first->body_len);

	ck_assert_uint_eq(tree_count(tree, "data"), 20);
	ck_assert_ptr_nonnull(tree_find(tree_at(tree, "data"), "id",
					tree_string(tree, "data.19.id")));
	ck_assert_str_eq(tree_string(tree, "data.7.pricing.prompt"), "-1");
	r = http_get(scratch_printf("%s/a/models", upstream->url),
		     scratch_printf("If-None-Match: %s", tag), NULL);
	ck_assert_int_eq(r->status, 304);
	ck_assert_uint_eq(r->body_len, 0);
	harness_upstream_control(upstream, "path=/a&mode=version:2");
	r = get_models();
	ck_assert(r->body_hash != first->body_hash);
	ck_assert_str_ne(http_header(r, "ETag"), tag);
}
END_TEST

static const struct {
	const char *query;
	int status; /* 0: no whole answer */
} faults[] = {
	{ "mode=refuse-reset", 0 },
	{ "mode=truncate", 0 },
	{ "mode=chunk-cut", 0 },
	{ "mode=endless", 0 },
	{ "mode=trickle", 0 },
	{ "mode=hang", 0 },
	{ "mode=not-json", 200 },
	{ "mode=broken-json", 200 },
	{ "mode=huge:100000", 200 },
	{ "mode=redirect:http://127.0.0.1:1/", 302 },
	{ "mode=retry-after:7", 429 },
	{ "status=500", 500 },
};

START_TEST(upstream_breaks_as_often_as_told)
{
	const struct http_request q = {
		.url = scratch_printf("%s/a/models", upstream->url),
		.timeout_ms = 300,
		.drop_body = true,
		.fresh = true,
	};

	harness_upstream_control(upstream, "path=/a&%s&times=1",
				 faults[_i].query);
	ck_assert_int_eq(http_send(&q)->status, faults[_i].status);
	ck_assert_int_eq(http_send(&q)->status, 200);
}
END_TEST

START_TEST(upstream_killed_refuses_and_comes_back_on_its_port)
{
	struct harness_upstream *u = harness_upstream_new(NULL);
	char *url = scratch_printf("%s/models", u->url);

	harness_upstream_kill(u);
	ck_assert_int_eq(http_get(url, NULL)->status, 0);
	harness_upstream_start(u);
	ck_assert_int_eq(http_get(url, NULL)->status, 200);
	harness_upstream_stop(u);
}
END_TEST

static void
reset_upstream(void)
{
	http_request("POST", scratch_printf("%s/control/reset", upstream->url),
		     NULL, NULL);
	ck_assert_int_eq(truncate(upstream->log, 0), 0);
}

Suite *
suite_harness(void)
{
	Suite *s = suite_create("harness");
	TCase *t = tcase_create("harness");

	tcase_add_test(t, process_status_and_output_are_reported);
	tcase_add_test(t, process_ended_by_a_signal_says_which);
	tcase_add_test(t, process_left_running);
	tcase_add_test(t, process_left_running_by_a_test_ends_with_it);
	suite_add_tcase(s, t);

	t = tcase_create("harness");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, postgres_answers_and_comes_back_after_a_kill);
	tcase_add_test(t, postgres_database_can_be_a_copy);
	tcase_add_test(t, pgbouncer_passes_transactions_on);
	tcase_add_test(t, redis_answers_and_comes_back_empty);
	tcase_add_test(t, nginx_without_its_worker_says_502);
	tcase_add_test(t, lighttpd_without_its_worker_says_503);
	suite_add_tcase(s, t);

	t = tcase_create("harness");
	tcase_set_timeout(t, 30);
	tcase_add_unchecked_fixture(t, start_upstream, stop_upstream);
	tcase_add_checked_fixture(t, reset_upstream, NULL);
	tcase_add_test(t, upstream_logs_each_request_as_it_arrives);
	tcase_add_test(t, upstream_catalogue_changes_with_its_version);
	tcase_add_loop_test(t, upstream_breaks_as_often_as_told, 0,
			    (int)(sizeof(faults) / sizeof(faults[0])));
	tcase_add_test(t, upstream_killed_refuses_and_comes_back_on_its_port);
	suite_add_tcase(s, t);
	return (s);
}
