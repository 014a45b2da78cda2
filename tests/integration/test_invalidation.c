/* SPDX-License-Identifier: MIT */
/*
 * What an update leaves behind in each tier, whatever is slow or forgotten meanwhile.
 * tests/coherence does the same at random.
 */
#include "pair.h"

#include "cache/postgres_tier.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *suite_invalidation(void);

/* Loads of models take as long as the table `pace` says, after they have seen their rows. */
static const char slow_loads[] =
	"CREATE TABLE pace AS SELECT 0.0::float AS seconds;"
	"GRANT SELECT ON pace TO warmfront_worker;"
	"CREATE FUNCTION at_pace() RETURNS boolean LANGUAGE plpgsql AS $$"
	"BEGIN PERFORM pg_sleep(seconds) FROM pace WHERE seconds > 0; "
	"RETURN true; END $$;"
	"CREATE POLICY pace ON models AS RESTRICTIVE FOR SELECT "
	"TO warmfront_worker USING (at_pace());";

static void
begin(void)
{
	pair_begin();
	harness_sql(stack.owner_url, "%s", slow_loads);
}

static void
set_pace(double seconds)
{
	harness_sql(stack.owner_url, "UPDATE pace SET seconds = %f", seconds);
}

static bool
is_loading(void)
{
	return (strcmp(harness_sql(stack.owner_url,
				   "SELECT count(*) FROM pg_stat_activity "
				   "WHERE wait_event = 'PgSleep'"),
		       "0") != 0);
}

/* A load that takes 3 s and has seen the old row is under way in worker 0. */
static int
begin_slow_load(void)
{
	int fd = fcgi_connect(pair.workers[0]->address);

	set_pace(3);
	fcgi_send(fd, &(struct fcgi_request){ .uri = PAIR_LIST,
					      .headers = (const char *const[]){
						      pair.anna, NULL } });
	wait_until(is_loading(), 5000);
	set_pace(0);
	return (fd);
}

/* Whether or not it shows the old value, it leaves nothing behind. */
static void
end_slow_load(int fd)
{
	assert_status(fcgi_receive(fd, 30000), 200);
	close(fd);
	pair_assert_shows("new");
	pair_respawn();
	pair_assert_shows("new");
	harness_redis_command(stack.redis, "FLUSHALL");
	pair_respawn();
	pair_assert_shows("new");
}

START_TEST(slow_load_never_shows_after_an_update_by_request)
{
	int fd;

	pair_start(_i);
	fd = begin_slow_load();
	pair_put(0, "new");
	/* It joins the load under way, and must not get what that brings. */
	ck_assert(pair_shows(0, pair.anna, "new"));
	wait_until(pair_shows(1, pair.anna, "new"), 2000);
	end_slow_load(fd);
}
END_TEST

START_TEST(slow_load_never_shows_after_an_update_by_sql)
{
	int fd;

	pair_start(_i);
	fd = begin_slow_load();
	pair_update("anna", "new");
	wait_until(pair_both_show(pair.anna, "new"), 8000);
	end_slow_load(fd);
}
END_TEST

START_TEST(update_by_request_shows_at_once)
{
	bool near = !(_i & PAIR_WITHOUT_NEAR);

	pair_start(_i);
	for (unsigned i = 0; i < 20; i++) {
		const char *name = scratch_printf("name %u", i);

		ck_assert(pair_get(0, pair.anna)->status ==
			  pair_get(1, pair.anna)->status);
		pair_put(i % PAIR_WORKERS, name);
		ck_assert(pair_shows(i % PAIR_WORKERS, pair.anna, name));
		if (near)
			wait_until(pair_shows((i + 1) % PAIR_WORKERS, pair.anna,
					      name),
				   2000);
		else
			ck_assert(pair_shows((i + 1) % PAIR_WORKERS, pair.anna,
					     name));
	}
}
END_TEST

START_TEST(rollback_invalidates_nothing)
{
	pair_start(0);
	wait_until(pair_is_cached(0, pair.anna), 5000);
	harness_sql(stack.owner_url,
		    "BEGIN; UPDATE models SET name = 'never'; ROLLBACK");
	ck_assert_str_eq(harness_sql(stack.owner_url,
				     "SELECT count(*) FROM cache_invalidations "
				     "WHERE scope LIKE 'models%%'"),
			 "2"); /* of adding the users */
	for (unsigned i = 0; i < 10; i++)
		ck_assert(pair_is_cached(0, pair.anna) &&
			  pair_shows(0, pair.anna, "old"));
}
END_TEST

START_TEST(flushed_redis_brings_nothing_back)
{
	pair_start(_i);
	wait_until(pair_is_cached(0, pair.anna), 5000);
	for (unsigned i = 0; i < 10; i++) {
		const char *name = scratch_printf("name %u", i);

		pair_put(0, name);
		harness_redis_command(stack.redis, "FLUSHALL");
		ck_assert(pair_shows(0, pair.anna, name));
		wait_until(pair_shows(1, pair.anna, name), 2000);
	}
}
END_TEST

START_TEST(redis_restored_from_an_old_snapshot_brings_nothing_back)
{
	struct harness_redis *own = harness_redis_new(NULL);

	harness_env_set(stack.env, "REDIS_URL", "%s", own->url);
	pair_start(_i);
	wait_until(pair_is_cached(0, pair.anna) && pair_is_cached(1, pair.anna),
		   5000);
	harness_redis_command(own, "SAVE");
	pair_put(0, "new");
	wait_until(pair_shows(1, pair.anna, "new"), 2000);
	harness_redis_kill(own);
	harness_redis_start(own);
	pair_assert_shows("new");
	wait_until(strstr(harness_redis_command(own, "KEYS *"), "models:user"),
		   5000);
	pair_assert_shows("new");
	pair_respawn();
	pair_assert_shows("new");
}
END_TEST

START_TEST(redis_that_could_not_be_told_misleads_nobody)
{
	pair_start(PAIR_WITHOUT_NEAR);
	for (unsigned i = 0; i < 5; i++) {
		const char *name = scratch_printf("name %u", i);

		wait_until(pair_is_cached(1, pair.anna), 5000);
		process_signal(stack.redis->process, SIGSTOP);
		pair_put(0, name);
		process_signal(stack.redis->process, SIGCONT);
		ck_assert(pair_shows(1, pair.anna, name));
	}
}
END_TEST

/* One second is enough; the best of some, on a busy machine. */
START_TEST(redis_that_cannot_be_told_is_waited_out_once)
{
	const char *admin = stack_login("root@example.org", "admin");
	const struct http_response *r;
	double least = 1e9;

	pair_start(PAIR_WITHOUT_NEAR);
	wait_until(pair_is_cached(0, pair.anna), 5000);
	process_signal(stack.redis->process, SIGSTOP);
	for (unsigned i = 0; i < 3; i++) {
		r = pair_invalidate(0, admin, "servers");
		assert_status(r, 200);
		ck_assert_double_ge(r->ms, 900);
		least = r->ms < least ? r->ms : least;
	}
	process_signal(stack.redis->process, SIGCONT);
	ck_assert_double_lt(least, harness_limit_ms(1700));
}
END_TEST

START_TEST(garbage_in_place_of_an_invalidation_is_a_miss)
{
	pair_start(PAIR_WITHOUT_NEAR);
	wait_until(pair_is_cached(0, pair.anna), 5000);
	harness_redis_command(stack.redis, "HSET wf:v1:@log models:* rubbish");
	harness_redis_command(stack.redis, "HSET wf:v1:@log auth:* {}");
	/* What is stored after that replaces the garbage by a position. */
	ck_assert_ptr_null(
		strstr(http_header(pair_get(0, pair.anna), "Cache-Status"),
		       "detail=redis"));
	pair_update("anna", "new");
	wait_until(pair_shows(0, pair.anna, "new"), 2000);
}
END_TEST

START_TEST(invalidations_of_others_leave_a_warm_redis_warm)
{
	pair_start(0);
	wait_until(pair_is_cached(0, pair.anna), 5000);
	wait_until(strstr(harness_redis_command(stack.redis, "KEYS *"),
			  ":models:user:"),
		   5000);
	for (unsigned i = 0; i < 3; i++)
		pair_update("ben", scratch_printf("name %u", i));
	wait_until(pair_shows(0, pair.ben, "name 2"), 2000);
	pair_respawn();
	assert_cache(pair_get(1, pair.anna), "HIT", "redis");
	wait_until(stack_has_cache(pair_get(1, pair.anna), "HIT", "memory"),
		   5000);
}
END_TEST

START_TEST(emptied_redis_is_filled_from_postgres_though_the_log_went_on)
{
	pair_start(0);
	wait_until(pair_is_cached(0, pair.anna), 5000);
	for (unsigned i = 0; i < 3; i++)
		pair_update("ben", scratch_printf("name %u", i));
	wait_until(pair_shows(0, pair.ben, "name 2"), 2000);
	harness_redis_command(stack.redis, "FLUSHALL");
	pair_respawn();
	assert_cache(pair_get(1, pair.anna), "HIT", "postgresql");
	wait_until(strstr(harness_redis_command(stack.redis,
						"KEYS wf:v1:models:user:*"),
			  "models:user"),
		   5000);
}
END_TEST

/* A connection of a worker's, whose statements are counted at once. */
static struct postgres *
connect_one(void)
{
	struct postgres *pg = postgres_new(&(struct postgres_options){
		stack.worker_url, "one", 1, 10000, 10000 });

	ck_assert_ptr_nonnull(pg);
	return (pg);
}

static bool
is_true(struct postgres *pg, const char *sql)
{
	struct postgres_rows *rows;
	bool yes;

	ck_assert_int_eq(postgres_query(pg, 0, sql, NULL, 0, &rows), R_OK);
	yes = bytes_equal(postgres_get(rows, 0, 0), BYTES("t"));
	postgres_rows_free(rows);
	return (yes);
}

/* How many records of the log have been read. */
static long
count_reads(struct postgres *pg)
{
	ck_assert(is_true(pg, "SELECT pg_stat_force_next_flush() IS NOT NULL"));
	return (atol(harness_sql(
		stack.owner_url,
		"SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) "
		"FROM pg_stat_user_tables "
		"WHERE relname = 'cache_invalidations'")));
}

/* Of one scope, as good as all of the log; those of one kind are all older. */
static void
write_many_records(bool soft_last)
{
	harness_sql(stack.owner_url,
		    "INSERT INTO cache_invalidations (position, scope, soft) "
		    "SELECT head + i, 'usage:x:y', (i > 10000) = %s "
		    "FROM cache_log, generate_series(1, 20000) AS i; "
		    "UPDATE cache_log SET head = head + 20000; "
		    "ANALYZE cache_invalidations",
		    soft_last ? "true" : "false");
}

START_TEST(long_log_makes_no_lookup_longer)
{
	struct postgres *pg = connect_one();
	const struct bytes keys[] = { BYTES("usage:x:y"), BYTES("usage:x:z") };
	struct postgres_tier_view view;
	struct entry *e;
	long before;

	write_many_records(_i);
	before = count_reads(pg);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(postgres_tier_get(pg, keys[i], keys[i], &e),
				 R_NOT_FOUND);
		ck_assert_int_eq(postgres_tier_inspect(pg, keys[i], keys[i],
						       &view),
				 R_OK);
		ck_assert_int_eq(view.head - view.hard, i == 1 ? view.head
							: _i   ? 10000
							       : 0);
		ck_assert_int_eq(view.head - view.soft, i == 1 ? view.head
							: _i   ? 0
							       : 10000);
		buf_fini(&view.records);
	}
	ck_assert(is_true(pg, "SELECT cache_store('k', '{usage:x:y,usage:x:z}',"
			      " '', 1, 0, head, 0, 0, 0) FROM cache_log"));
	ck_assert(!is_true(pg,
			   "SELECT cache_store('k', '{usage:x:z,usage:x:y}',"
			   " '', 1, 0, head - 1, 0, 0, 0) FROM cache_log"));
	/* An explanation shows 50 of each kind. */
	ck_assert_int_le(count_reads(pg) - before, 200);
	postgres_free(pg);
}
END_TEST

static bool
stores(struct postgres *pg, const char *fence)
{
	return (is_true(pg, scratch_printf("SELECT cache_store('k', '{k}', '', "
					   "1, 0, %s, 0, 0, 0) FROM cache_log",
					   fence)));
}

/* It began before a transaction was committed that had written its record long ago. */
START_TEST(load_whose_record_was_pruned_is_not_stored)
{
	struct postgres *pg = connect_one();
	const char *fence =
		harness_sql(stack.owner_url, "SELECT cache_log_position()");

	ck_assert(stores(pg, fence));
	harness_sql(stack.owner_url,
		    "DELETE FROM cache_entries; "
		    "INSERT INTO cache_invalidations (scope, created_at) "
		    "VALUES ('k', now() - interval '2 days'); "
		    "SELECT cache_log_prune('1 day')");
	ck_assert(!stores(pg, fence));
	ck_assert(stores(pg, "head"));
	postgres_free(pg);
}
END_TEST

Suite *
suite_invalidation(void)
{
	Suite *s = suite_create("invalidation");
	TCase *t = tcase_create("invalidation");

	tcase_set_timeout(t, 90);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, begin, pair_end);
	tcase_add_loop_test(t, slow_load_never_shows_after_an_update_by_request,
			    0, PAIR_MODES);
	tcase_add_loop_test(t, slow_load_never_shows_after_an_update_by_sql, 0,
			    PAIR_MODES);
	tcase_add_loop_test(t, update_by_request_shows_at_once, 0, PAIR_MODES);
	tcase_add_test(t, rollback_invalidates_nothing);
	tcase_add_loop_test(t, flushed_redis_brings_nothing_back, 0, 2);
	tcase_add_loop_test(
		t, redis_restored_from_an_old_snapshot_brings_nothing_back, 0,
		2);
	tcase_add_test(t, redis_that_could_not_be_told_misleads_nobody);
	tcase_add_test(t, redis_that_cannot_be_told_is_waited_out_once);
	tcase_add_test(t, garbage_in_place_of_an_invalidation_is_a_miss);
	tcase_add_test(t, invalidations_of_others_leave_a_warm_redis_warm);
	tcase_add_test(
		t,
		emptied_redis_is_filled_from_postgres_though_the_log_went_on);
	tcase_add_loop_test(t, long_log_makes_no_lookup_longer, 0, 2);
	tcase_add_test(t, load_whose_record_was_pruned_is_not_stored);
	suite_add_tcase(s, t);
	return (s);
}
