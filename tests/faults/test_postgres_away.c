/* SPDX-License-Identifier: MIT */
/*
 * PostgreSQL in trouble: what is cached is served as if nothing were, catalogues can
 * still be loaded, what needs the database is refused in time; and no mutation that
 * was answered well is lost.
 */
#include "faults.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_postgres_away(void);

#define HIT_MS 500
#define DATABASE_MS 1000 /* DATABASE_TIMEOUT_MS */
#define STATEMENT_MS (DATABASE_MS + 500)
#define SOON_MS 2000 /* a breaker's first pauses, and the requests */
#define LOAD_MS (2 * DATABASE_MS + 500) /* the tier asked, and told */

static struct harness_postgres *pg;
static struct harness_proxy *line;

static void
kill_it(void)
{
	harness_postgres_kill(pg);
}

static void
start_it(void)
{
	harness_sql_close(stack.owner_url);
	harness_sql_close(pg->url);
	harness_postgres_start(pg);
}

static void
stop_it(void)
{
	harness_postgres_signal(pg, SIGSTOP);
}

static void
continue_it(void)
{
	harness_postgres_signal(pg, SIGCONT);
}

static void
pass(void)
{
	harness_proxy_set(line, PROXY_PASS, 0);
}

static void
refuse(void)
{
	harness_proxy_set(line, PROXY_REFUSE, 0);
}

static void
stall(void)
{
	harness_proxy_set(line, PROXY_STALL, 0);
}

static void
cut(void)
{
	harness_proxy_set(line, PROXY_CUT, 700);
}

static void
delay(void)
{
	harness_proxy_set(line, PROXY_DELAY, 30);
}

static void
end_sessions(void)
{
	harness_sql(pg->url,
		    "SELECT count(pg_terminate_backend(pid)) "
		    "FROM pg_stat_activity WHERE usename = 'warmfront'");
}

static void
make_read_only(void)
{
	harness_sql(pg->url, "ALTER DATABASE faults "
			     "SET default_transaction_read_only = on");
	end_sessions();
}

static void
make_writable(void)
{
	harness_sql(
		pg->url,
		"ALTER DATABASE faults RESET default_transaction_read_only");
	end_sessions();
}

static void
use_connections_up(void)
{
	harness_sql(pg->url, "ALTER ROLE warmfront CONNECTION LIMIT 0");
	end_sessions();
}

static void
give_connections_back(void)
{
	harness_sql(pg->url, "ALTER ROLE warmfront CONNECTION LIMIT -1");
}

static void
restart(void)
{
	harness_sql_close(stack.owner_url);
	harness_sql_close(pg->url);
	harness_postgres_stop(pg);
	harness_postgres_start(pg);
}

static void
lock_entries(void)
{
	faults_lock("cache_entries");
}

static void
lock_log(void)
{
	faults_lock("cache_invalidations");
}

static void
nothing(void)
{
}

static const struct fault {
	const char *name;
	void (*begin)(void), (*end)(void);
	bool with_proxy;
	enum { TAKEN, TAKEN_SOON, REFUSED, REFUSED_LATE } mutations;
} faults[] = {
	{ "killed", kill_it, start_it, false, REFUSED },
	{ "stopped", stop_it, continue_it, false, REFUSED },
	{ "refused", refuse, pass, true, REFUSED },
	{ "stalled", stall, pass, true, REFUSED },
	{ "cut in mid-answer", cut, pass, true, REFUSED },
	{ "slow", delay, pass, true, TAKEN },
	{ "read-only", make_read_only, make_writable, false, REFUSED },
	{ "out of connections", use_connections_up, give_connections_back,
	  false, REFUSED },
	{ "restarted", restart, nothing, false, TAKEN_SOON },
	{ "entries locked", lock_entries, faults_unlock, false, TAKEN },
	{ "log locked", lock_log, faults_unlock, false, REFUSED_LATE },
};
#define N_FAULTS ((int)(sizeof(faults) / sizeof(faults[0])))

static const char *anna;
static struct http_response *known;

/* Own servers, a catalogue and a user's models in all tiers. */
static void
begin(const struct fault *f)
{
	pg = faults_own_postgres(NULL, f->with_proxy ? &line : NULL);
	harness_env_set(stack.env, "DATABASE_TIMEOUT_MS", "%d", DATABASE_MS);
	anna = stack_login("anna@example.org", "user");
	stack_workers(2);
	wait_until(strstr(harness_redis_command(stack.redis, "KEYS *"), "@log"),
		   5000);
	ck_assert_int_eq(faults_add_model(anna, "before"), 201);
	ck_assert_uint_eq(faults_count_models(anna), 1);
	known = faults_ok(ALPHA, NULL, STATEMENT_MS);
	wait_until(faults_is_stored("models:alpha"), 5000);
	wait_until(strstr(harness_redis_command(stack.redis, "KEYS *"),
			  "models:user:"),
		   5000);
}

/* How many of some mutations were answered well; the others were refused in time.
 * `late`: how many were not answered at once. */
static unsigned
mutate(const char *name, unsigned n, unsigned *late)
{
	unsigned taken = 0;

	*late = 0;
	for (unsigned i = 0; i < n; i++) {
		double took, began = harness_now_ms();
		int status =
			faults_add_model(anna, scratch_printf("%s%u", name, i));

		took = harness_now_ms() - began;
		ck_assert_msg(status == 201 || status == 503 || status == 504,
			      "status %d", status);
		ck_assert_double_lt(took, harness_limit_ms(STATEMENT_MS));
		*late += took > harness_limit_ms(AT_ONCE_MS);
		taken += status == 201;
	}
	return (taken);
}

/* What a client sees of its models is what the database holds. */
static bool
is_consistent(void)
{
	return (faults_count_models(anna) ==
		(size_t)atoi(harness_sql(stack.owner_url,
					 "SELECT count(*) FROM models")));
}

START_TEST(cached_answers_go_on_mutations_are_kept_or_refused)
{
	const struct fault *f = &faults[_i];
	struct http_response *r;
	unsigned taken, late;

	begin(f);
	f->begin();
	taken = mutate("first", 1, &late);
	for (int i = 0; i < 20; i++) {
		r = faults_ok(ALPHA, NULL, HIT_MS);
		ck_assert(r->body_hash == known->body_hash);
		assert_cache(r, "HIT", NULL);
	}
	faults_ok(BETA, NULL, LOAD_MS);
	for (int i = 0; i < 10; i++)
		faults_ok(BETA, NULL, HIT_MS);
	taken += mutate("during", 3, &late);
	if (f->mutations == TAKEN_SOON)
		wait_until(mutate(scratch_printf("%.0f-", harness_now_ms()), 4,
				  &late) == 4,
			   SOON_MS);
	else
		ck_assert_uint_eq(taken, f->mutations == TAKEN ? 4 : 0);
	if (f->mutations == REFUSED) {
		ck_assert_uint_eq(mutate("later", 20, &late), 0);
		ck_assert_uint_le(late, 3);
	}
	f->end();
	wait_until(faults_add_model(anna,
				    scratch_printf("%.0f", harness_now_ms())) ==
			   201,
		   15000);
	wait_until(is_consistent(), 5000);
	ck_assert_uint_ge(faults_count_models(anna), taken + 2);
	harness_worker_respawn(stack.worker);
	ck_assert(is_consistent());
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 1);
}
END_TEST

/* With no memory of what was, Redis serves all it has. */
START_TEST(new_workers_serve_from_redis)
{
	const struct fault *f = &faults[_i];
	struct http_response *r;

	if (f->mutations == TAKEN || f->mutations == TAKEN_SOON)
		return; /* the database answers all the same */
	begin(f);
	f->begin();
	harness_worker_respawn(stack.worker);
	for (int i = 0; i < 4; i++) {
		r = faults_ok(ALPHA, NULL, STATEMENT_MS);
		ck_assert(r->body_hash == known->body_hash);
		ck_assert_uint_eq(faults_count_models(anna), 1);
	}
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 1);
	f->end();
	wait_until(faults_add_model(anna,
				    scratch_printf("%.0f", harness_now_ms())) ==
			   201,
		   15000);
	wait_until(is_consistent(), 5000);
}
END_TEST

START_TEST(read_only_database_is_still_a_tier)
{
	struct http_response *r;

	harness_env_set(stack.env, "DISABLE_REDIS_CACHE", "true");
	pg = faults_own_postgres(NULL, NULL);
	stack_workers(1);
	known = faults_ok(ALPHA, NULL, STATEMENT_MS);
	wait_until(faults_is_stored("models:alpha"), 5000);
	harness_sql(stack.owner_url, "UPDATE cache_entries "
				     "SET used_at = now() - interval '1 hour'");
	make_read_only();
	harness_worker_respawn(stack.worker);
	r = faults_ok(ALPHA, NULL, STATEMENT_MS);
	assert_cache(r, "HIT", "postgres");
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 1);
}
END_TEST

/* It is we who may not, not who asks: nobody should throw a good key away. */
START_TEST(keys_that_may_not_be_read_are_not_called_invalid)
{
	const char *ben;

	anna = stack_login("anna@example.org", "user");
	ben = stack_login("ben@example.org", "user");
	stack_workers(1);
	ck_assert_uint_eq(faults_count_models(anna), 0);
	harness_sql(stack.owner_url,
		    "REVOKE SELECT ON api_keys FROM warmfront_worker");
	for (int i = 0; i < 3; i++) {
		stack_assert_refusal(faults_get(MINE, ben));
		ck_assert_uint_eq(faults_count_models(anna), 0);
	}
	harness_sql(stack.owner_url,
		    "GRANT SELECT ON api_keys TO warmfront_worker");
	wait_until(faults_get(MINE, ben)->status == 200, 15000);
}
END_TEST

/* The same for what a request asks: it is no 403, since who asks can do nothing about
 * it; and it counts as a failure. */
START_TEST(what_the_role_may_not_do_is_refused_for_now)
{
	const char *log;

	anna = stack_login("anna@example.org", "user");
	stack_workers(1);
	ck_assert_uint_eq(faults_get(PROFILE, anna)->status, 200);
	harness_sql(stack.owner_url,
		    "REVOKE SELECT, INSERT ON models FROM warmfront_worker");
	stack_assert_refusal(faults_get(MINE, anna));
	ck_assert_int_eq(faults_add_model(anna, "refused"), 503);
	log = harness_worker_log(stack.worker);
	ck_assert_ptr_nonnull(
		strstr(log, "42501 permission denied for table models"));
	ck_assert_ptr_nonnull(strstr(log, "failed: unavailable"));
	harness_sql(stack.owner_url,
		    "GRANT SELECT, INSERT ON models TO warmfront_worker");
	wait_until(faults_get(MINE, anna)->status == 200, 15000);
	ck_assert_int_eq(faults_add_model(anna, "granted"), 201);
	ck_assert_uint_eq(faults_count_models(anna), 1);
}
END_TEST

START_TEST(without_both_memory_and_origin_serve)
{
	struct harness_redis *redis = faults_own_redis(NULL);
	struct http_response *r;

	pg = faults_own_postgres(NULL, NULL);
	anna = stack_login("anna@example.org", "user");
	stack_workers(1);
	known = faults_ok(ALPHA, NULL, STATEMENT_MS);
	ck_assert_uint_eq(faults_count_models(anna), 0);
	harness_redis_kill(redis);
	harness_postgres_kill(pg);
	for (int i = 0; i < 20; i++) {
		r = faults_ok(ALPHA, NULL, HIT_MS);
		ck_assert(r->body_hash == known->body_hash);
		ck_assert_uint_eq(faults_count_models(anna), 0);
	}
	faults_ok(BETA, NULL, STATEMENT_MS);
	harness_worker_respawn(stack.worker);
	r = faults_ok(ALPHA, NULL, STATEMENT_MS);
	ck_assert(r->body_hash == known->body_hash);
	r = faults_get(MINE, anna);
	assert_status(r, 503);
	stack_assert_refusal(r);
	harness_redis_start(redis);
	start_it();
	wait_until(faults_get(MINE, anna)->status == 200, 15000);
	ck_assert_int_eq(faults_add_model(anna, "after"), 201);
	ck_assert_uint_eq(faults_count_models(anna), 1);
}
END_TEST

/* Transaction mode: each statement may meet another session. */
START_TEST(behind_pgbouncer_all_is_as_without)
{
	struct harness_pgbouncer *bouncer;
	const char *ben;

	pg = faults_own_postgres(NULL, NULL);
	bouncer = harness_pgbouncer_new(pg, 2);
	harness_env_set(stack.env, "DATABASE_LISTEN_URL", "%s",
			stack.worker_url);
	harness_env_set(stack.env, "DATABASE_URL", "%s",
			harness_pgbouncer_url(bouncer, "warmfront", "faults"));
	anna = stack_login("anna@example.org", "user");
	ben = stack_login("ben@example.org", "user");
	stack_workers(2);
	for (unsigned i = 1; i <= 10; i++) {
		ck_assert_int_eq(faults_add_model(anna,
						  scratch_printf("m%u", i)),
				 201);
		ck_assert_uint_eq(faults_count_models(anna), i);
		ck_assert_uint_eq(faults_count_models(ben), 0);
	}
	harness_redis_command(stack.redis, "FLUSHALL");
	harness_worker_respawn(stack.worker);
	ck_assert_uint_eq(faults_count_models(anna), 10);
	/* And when it goes away. */
	harness_pgbouncer_stop(bouncer);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(faults_count_models(anna), 10);
	ck_assert_int_eq(faults_add_model(anna, "late"), 503);
}
END_TEST

Suite *
suite_postgres_away(void)
{
	Suite *s = suite_create("postgres_away");
	TCase *t = faults_case(s, "postgres_away");

	tcase_add_loop_test(t,
			    cached_answers_go_on_mutations_are_kept_or_refused,
			    0, N_FAULTS);
	tcase_add_loop_test(t, new_workers_serve_from_redis, 0, N_FAULTS);
	tcase_add_test(t, read_only_database_is_still_a_tier);
	tcase_add_test(t, keys_that_may_not_be_read_are_not_called_invalid);
	tcase_add_test(t, what_the_role_may_not_do_is_refused_for_now);
	tcase_add_test(t, without_both_memory_and_origin_serve);
	tcase_add_test(t, behind_pgbouncer_all_is_as_without);
	return (s);
}
