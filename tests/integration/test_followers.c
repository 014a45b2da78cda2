/* SPDX-License-Identifier: MIT */
/*
 * How workers follow the log of invalidations, late, cut off, behind it and ahead of it.
 */
#include "../harness/proxy.h"
#include "pair.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

Suite *suite_followers(void);

/* For the work of another session than that of stack.owner_url. */
static const char *
another_session(void)
{
	return (scratch_printf("%s&application_name=other", stack.owner_url));
}

static struct harness_proxy *
line_to_postgres(void)
{
	return (harness_proxy_new(scratch_printf("%s/.s.PGSQL.%u",
						 stack.postgres->directory,
						 stack.postgres->port)));
}

START_TEST(transactions_that_commit_out_of_order_are_followed)
{
	const char *first = another_session();

	pair_start(_i);
	wait_until(pair_is_cached(0, pair.anna) && pair_is_cached(0, pair.ben),
		   5000);
	harness_sql(first, "BEGIN; UPDATE models SET name = 'new' "
			   "WHERE model_id = 'anna'");
	pair_update("ben", "new");
	wait_until(pair_shows(0, pair.ben, "new"), 2000);
	ck_assert(pair_shows(0, pair.anna, "old"));
	harness_sql(first, "COMMIT");
	wait_until(pair_both_show(pair.anna, "new"), 2000);
	pair_assert_shows("new");
}
END_TEST

START_TEST(follower_that_was_cut_off_catches_up)
{
	pair_start(_i);
	wait_until(pair_is_cached(0, pair.anna) && pair_is_cached(1, pair.anna),
		   5000);
	harness_sql(stack.owner_url,
		    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
		    "WHERE query LIKE 'LISTEN%%' AND pid <> pg_backend_pid()");
	pair_update("anna", "new");
	wait_until(pair_both_show(pair.anna, "new"), 2000);
	pair_assert_shows("new");
}
END_TEST

/* Lines of the worker's log that have both. */
static unsigned
lines_with(const char *one, const char *other)
{
	char *log = harness_worker_log(stack.worker), *rest = NULL;
	unsigned n = 0;

	for (char *line = strtok_r(log, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest))
		n += strstr(line, one) != NULL && strstr(line, other) != NULL;
	return (n);
}

START_TEST(worker_without_a_schema_waits_for_it_in_peace)
{
	static const char asked[] = "in: SELECT cache_log_position()";
	const char *name = scratch_printf("bare_%d", (int)getpid());
	struct harness_env *owner = harness_env_copy(stack.env);
	double began;

	harness_env_set(owner, "DATABASE_URL", "%s",
			harness_postgres_database(stack.postgres, name, NULL));
	harness_env_set(stack.env, "DATABASE_URL", "%s",
			harness_postgres_url(stack.postgres, "warmfront",
					     name));
	began = harness_now_ms();
	stack_workers(1);
	wait_until(lines_with(asked, " debug ") >= 3, 20000);
	ck_assert_double_gt(harness_now_ms() - began, 1500);
	ck_assert_uint_eq(lines_with(asked, " error "), 1);
	ck_assert_uint_ge(lines_with("(run: warmfront migrate), ", asked), 4);
	harness_migrate(owner);
	wait_until(strstr(stack_get("/api/health/cache", NULL)->body,
			  "{\"status\":\"ok\""),
		   10000);
}
END_TEST

static bool
are_listening(const char *n)
{
	return (strcmp(harness_sql(stack.owner_url,
				   "SELECT count(*) FROM pg_stat_activity "
				   "WHERE query LIKE 'LISTEN%%' "
				   "AND datname = current_database()"),
		       n) == 0);
}

/* DATABASE_LISTEN_URL leads to where all is taken and nothing answered, and then does. */
START_TEST(listener_that_cannot_connect_holds_up_nobody)
{
	struct harness_proxy *line = line_to_postgres();
	unsigned slow = 0;
	double began;

	harness_proxy_set(line, PROXY_STALL, 0);
	harness_env_set(stack.env, "DATABASE_LISTEN_URL",
			"postgresql://warmfront@127.0.0.1:%u/test_%d",
			harness_proxy_port(line), (int)getpid());
	pair_start(_i);
	wait_until(harness_proxy_connections(line) >= PAIR_WORKERS, 5000);
	for (unsigned i = 0; i < 10; i++) {
		began = harness_now_ms();
		pair_put(0, scratch_printf("name %u", i));
		pair_update("anna", scratch_printf("other %u", i));
		wait_until(pair_both_show(pair.anna,
					  scratch_printf("other %u", i)),
			   5000);
		slow += harness_now_ms() - began > harness_limit_ms(500);
	}
	ck_assert_msg(slow <= 3, "%u of 10 took over 500 ms", slow);
	harness_proxy_set(line, PROXY_PASS, 0);
	wait_until(are_listening("2"), 10000);
}
END_TEST

START_TEST(worker_ends_while_the_doorbell_rings)
{
	struct process *ringing = process_start(&(struct process_options){
		.argv = (const char *const[]){
			"psql", "-X", "-q", stack.owner_url, "-c",
			"DO $$ BEGIN FOR i IN 1..10000000 LOOP "
			"PERFORM pg_notify('warmfront_log', ''); COMMIT; "
			"END LOOP; END $$",
			NULL } });

	stack_workers(4);
	for (int i = 0; i < 10; i++) {
		wait_until(are_listening("4"), 10000);
		harness_worker_stop(stack.worker);
		harness_worker_start(stack.worker);
	}
	ck_assert(process_is_running(ringing));
	process_stop(ringing);
}
END_TEST

START_TEST(worker_that_cannot_follow_distrusts_its_memory)
{
	const char *lock = another_session();

	harness_env_set(stack.env, "LOG_LAG_LIMIT_MS", "500");
	pair_start(PAIR_WITHOUT_REDIS);
	wait_until(pair_is_cached(0, pair.anna), 5000);
	harness_sql(lock,
		    "BEGIN; LOCK TABLE cache_log IN ACCESS EXCLUSIVE MODE");
	pair_update("anna", "new");
	wait_until(strcmp(http_header(pair_get(0, pair.anna), "X-Cache"),
			  "STALE") == 0 ||
			   pair_shows(0, pair.anna, "new"),
		   10000);
	harness_sql(lock, "COMMIT");
	wait_until(pair_is_cached(0, pair.anna) &&
			   pair_shows(0, pair.anna, "new"),
		   10000);
}
END_TEST

START_TEST(follower_behind_a_pruned_log_drops_all)
{
	pair_start(_i);
	wait_until(pair_is_cached(0, pair.anna) && pair_is_cached(1, pair.anna),
		   5000);
	process_signal(pair.workers[0]->processes[0], SIGSTOP);
	pair_update("anna", "new");
	harness_sql(stack.owner_url,
		    "DELETE FROM cache_entries; SELECT cache_log_position()");
	ck_assert_str_ne(harness_sql(stack.owner_url,
				     "SELECT cache_log_prune('0 seconds')"),
			 "0");
	process_signal(pair.workers[0]->processes[0], SIGCONT);
	wait_until(pair_both_show(pair.anna, "new"), 2000);
	pair_assert_shows("new");
}
END_TEST

/* As a replica would that lagged by as many records and took over, and what comes next.
 * What was written besides them is lost silently. */
static void
lose_positions_and_update(unsigned lost, const char *name)
{
	harness_sql(stack.owner_url,
		    "BEGIN; UPDATE cache_log SET head = head - %u; "
		    "DELETE FROM cache_invalidations USING cache_log "
		    "WHERE position > head; "
		    "SET LOCAL session_replication_role = replica; "
		    "UPDATE models SET name = 'lost' WHERE model_id = 'ben'; "
		    "SET LOCAL session_replication_role = origin; "
		    "UPDATE models SET name = '%s' WHERE model_id = 'anna'; "
		    "COMMIT",
		    lost, name);
}

static void
fill_and_follow(int mode)
{
	pair_start(mode);
	wait_until(pair_is_cached(0, pair.anna) && pair_is_cached(1, pair.anna),
		   5000);
	for (unsigned i = 0; i < 5; i++)
		pair_update("ben", scratch_printf("name %u", i));
	wait_until(pair_both_show(pair.ben, "name 4"), 2000);
}

static bool
all_is_new(void)
{
	return (pair_both_show(pair.anna, "new") &&
		pair_both_show(pair.ben, "lost"));
}

START_TEST(database_that_has_lost_positions_misleads_nobody)
{
	fill_and_follow(_i);
	lose_positions_and_update(5, "new");
	wait_until(all_is_new(), 2000);
	pair_respawn();
	ck_assert(all_is_new());
	pair_update("anna", "newer");
	wait_until(pair_both_show(pair.anna, "newer"), 2000);
}
END_TEST

START_TEST(database_that_redis_is_ahead_of_misleads_no_new_worker)
{
	fill_and_follow(_i);
	for (unsigned i = 0; i < PAIR_WORKERS; i++)
		harness_worker_kill_all(pair.workers[i]);
	lose_positions_and_update(5, "new");
	for (unsigned i = 0; i < PAIR_WORKERS; i++)
		harness_worker_start(pair.workers[i]);
	wait_until(all_is_new(), 5000);
	pair_assert_shows("new");
}
END_TEST

/* How the log answers a reader, the numbers counted from `base`. */
static const char *
read_after(const char *base, const char *position)
{
	return (harness_sql(stack.worker_url,
			    "SELECT string_agg(at_position - %s || ' ' || "
			    "scope, ',') FROM cache_log_read(%s, 10)",
			    base, position));
}

static const char *
after(const char *base, int by)
{
	return (scratch_printf("%s + %d", base, by));
}

START_TEST(readers_ahead_of_the_log_get_one_record_for_all_they_miss)
{
	const char *head =
		harness_sql(stack.worker_url, "SELECT cache_log_position()");
	const char *raised;

	/* From the future, or from nowhere. */
	ck_assert_str_eq(read_after(head, "9223372036854775807"), "");
	ck_assert_str_eq(read_after(head, after(head, 1000000000)), "");
	ck_assert_str_eq(read_after(head, head), "");
	ck_assert_str_eq(harness_sql(stack.owner_url,
				     "SELECT head FROM cache_log"),
			 head);
	/* One after the other; the last was not ahead. */
	read_after(head, after(head, 2));
	raised = harness_sql(stack.owner_url, "SELECT head FROM cache_log");
	ck_assert_int_gt(strcmp(raised, head), 0);
	for (int ahead = 3; ahead >= 0; ahead--)
		ck_assert_str_eq(read_after(raised, after(head, ahead)), "0 *");
	pair_update("anna", "new");
	ck_assert_int_eq(strncmp(read_after(raised, raised), "1 models:", 9),
			 0);
}
END_TEST

/* Worker 0 hears of the log late. */
static struct harness_proxy *
start_a_late_follower(void)
{
	const char *name = strstr(stack.worker_url, "@/") + 2;
	struct harness_env *env = harness_env_copy(stack.env);
	struct harness_proxy *line = line_to_postgres();

	harness_env_set(env, "DATABASE_URL",
			"postgresql://warmfront@127.0.0.1:%u/%.*s",
			harness_proxy_port(line), (int)strcspn(name, "?"),
			name);
	pair.workers[0] = harness_worker_new(
		&(struct harness_worker_options){ .env = env });
	pair.workers[1] = harness_worker_new(
		&(struct harness_worker_options){ .env = stack.env });
	return (line);
}

static const struct http_response *
catalogue(void)
{
	const struct http_response *r =
		fcgi_get(pair.workers[0]->address, "/api/models", NULL);

	assert_status(r, 200);
	return (r);
}

/* A catalogue with a dead gateway is not made anew for each who asks, but for who asks
 * after it was invalidated. */
START_TEST(catalogue_that_rests_ends_with_an_invalidation)
{
	const char *admin = stack_login("root@example.org", "admin");
	struct harness_proxy *line;

	harness_env_set(stack.env, "NEAR_CACHE", "off");
	stack_age_fast();
	line = start_a_late_follower();
	catalogue();
	harness_upstream_control(stack.upstream, "path=/beta&status=500");
	wait_until((catalogue(), stack_upstream_count("/alpha") >= 2 &&
					 stack_upstream_count("/beta") >= 2),
		   10000);
	harness_upstream_control(stack.upstream, "path=/alpha&mode=version:9");
	harness_proxy_set(line, PROXY_DELAY, 400);
	assert_status(pair_invalidate(1, admin, "models"), 200);
	ck_assert_msg(strstr(catalogue()->body, "Edition 9.") != NULL, "%s",
		      stack_describe(catalogue()));
	harness_proxy_set(line, PROXY_PASS, 0);
}
END_TEST

/* A new database, while Redis remembers an older one. */
START_TEST(positions_of_a_new_database_are_above_an_old_ones)
{
	const char *head =
		harness_sql(stack.owner_url, "SELECT head FROM cache_log");
	const char *now = harness_sql(
		stack.owner_url,
		"SELECT (extract(epoch FROM now()) * 1000000)::bigint");

	ck_assert_uint_eq(strlen(head), strlen(now));
	ck_assert_int_lt(strcmp(head, now), 0);
}
END_TEST

Suite *
suite_followers(void)
{
	Suite *s = suite_create("followers");
	TCase *t = tcase_create("followers");

	tcase_set_timeout(t, 90);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, pair_begin, pair_end);
	tcase_add_loop_test(t,
			    transactions_that_commit_out_of_order_are_followed,
			    0, PAIR_MODES);
	tcase_add_loop_test(t, follower_that_was_cut_off_catches_up, 0,
			    PAIR_MODES);
	tcase_add_loop_test(t, listener_that_cannot_connect_holds_up_nobody, 0,
			    2);
	tcase_add_test(t, worker_ends_while_the_doorbell_rings);
	tcase_add_test(t, worker_without_a_schema_waits_for_it_in_peace);
	tcase_add_test(t, worker_that_cannot_follow_distrusts_its_memory);
	tcase_add_loop_test(t, follower_behind_a_pruned_log_drops_all, 0, 3);
	tcase_add_loop_test(t, database_that_has_lost_positions_misleads_nobody,
			    0, PAIR_MODES);
	tcase_add_loop_test(
		t, database_that_redis_is_ahead_of_misleads_no_new_worker, 0,
		2);
	tcase_add_test(
		t, readers_ahead_of_the_log_get_one_record_for_all_they_miss);
	tcase_add_test(t, catalogue_that_rests_ends_with_an_invalidation);
	tcase_add_test(t, positions_of_a_new_database_are_above_an_old_ones);
	suite_add_tcase(s, t);
	return (s);
}
