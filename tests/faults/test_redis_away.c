/* SPDX-License-Identifier: MIT */
/*
 * Redis in trouble: clients see 200s that are never older than a mutation, no more
 * than a little slower; and Redis is used again when it is well.
 */
#include "faults.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_redis_away(void);

/* While nobody is killed: two workers, an operation of 50 ms, two connections of 250,
 * and then the breaker is open. */
#define ALIVE_MS 1500

static struct harness_redis *redis;
static struct harness_proxy *line;

/* What a fault does, and what undoes it. */

static void
kill_it(void)
{
	harness_redis_kill(redis);
}

static void
start_it(void)
{
	harness_redis_start(redis);
}

static void
stop_it(void)
{
	process_signal(redis->process, SIGSTOP);
}

static void
continue_it(void)
{
	process_signal(redis->process, SIGCONT);
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
cut(void)
{
	harness_proxy_set(line, PROXY_CUT, 37);
}

static void
stall(void)
{
	harness_proxy_set(line, PROXY_STALL, 0);
}

static void
delay_a_little(void)
{
	harness_proxy_set(line, PROXY_DELAY, 15);
}

static void
delay(void)
{
	harness_proxy_set(line, PROXY_DELAY, 200);
}

static void
corrupt(void)
{
	harness_proxy_set(line, PROXY_CORRUPT, 29);
}

static void
fill(void)
{
	harness_redis_command(redis, "CONFIG SET maxmemory-policy noeviction");
	harness_redis_command(redis, "CONFIG SET maxmemory 1");
}

static void
make_room(void)
{
	harness_redis_command(redis, "CONFIG SET maxmemory 0");
}

static void
make_replica(void)
{
	/* Of nobody: it stays with what it has, and takes no writes. */
	harness_redis_command(redis, "REPLICAOF 127.0.0.1 1");
}

static void
make_master(void)
{
	harness_redis_command(redis, "REPLICAOF NO ONE");
}

static void
demand_password(void)
{
	harness_redis_command(redis, "CONFIG SET requirepass another");
	harness_proxy_set(line, PROXY_REFUSE, 0);
	wait_until(strcmp(harness_redis_command(redis, "PING"), "PONG") != 0,
		   1000);
	for (int i = 0; i < 10; i++)
		harness_nap();
	harness_proxy_set(line, PROXY_PASS, 0);
}

static void
forgive_password(void)
{
	harness_redis_stop(redis); /* what was set at run time is gone */
	harness_redis_start(redis);
}

static void
lose_all(void)
{
	harness_redis_kill(redis);
	harness_redis_start(redis);
}

static void
nothing(void)
{
}

static const struct fault {
	const char *name;
	void (*begin)(void), (*end)(void);
	bool with_proxy;
} faults[] = {
	{ "killed", kill_it, start_it, false },
	{ "stopped", stop_it, continue_it, false },
	{ "refused", refuse, pass, true },
	{ "cut in mid-reply", cut, pass, true },
	{ "stalled", stall, pass, true },
	{ "a little slow", delay_a_little, pass, true },
	{ "too slow", delay, pass, true },
	{ "corrupting", corrupt, pass, true },
	{ "full", fill, make_room, false },
	{ "a read-only replica", make_replica, make_master, false },
	{ "behind another password", demand_password, forgive_password, true },
	{ "restarted empty", lose_all, nothing, false },
};
#define N_FAULTS ((int)(sizeof(faults) / sizeof(faults[0])))

static void
begin(const struct fault *f)
{
	redis = faults_own_redis(f->with_proxy ? &line : NULL);
	stack_workers(2);
}

/* New workers show so many models, once they have seen the log: until then, for
 * some milliseconds, they may believe a Redis that was told lately and ran on, though
 * it could not be told of the last. */
static void
settle(const char *login, unsigned models)
{
	wait_until(faults_count_models(login) == models, 1000);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(faults_count_models(login), models);
}

/* Redis has the catalogue, and a fresh worker takes it from there;
 * the one before may have died with a lease. */
static bool
is_used(void)
{
	harness_worker_respawn(stack.worker);
	return (strstr(http_header(faults_ok(ALPHA, NULL, 3000),
				   "Cache-Status"),
		       "detail=redis") != NULL);
}

/* A mutation shows in each worker's next answer. */
static void
add_one(const char *login, unsigned *models)
{
	ck_assert_int_eq(faults_add_model(login,
					  scratch_printf("m%u", ++*models)),
			 201);
	ck_assert_uint_eq(faults_count_models(login), *models);
}

/* And what was loaded for that answer is in Redis. */
static bool
fills_it(const char *login, unsigned *models)
{
	add_one(login, models);
	return (strstr(harness_redis_command(redis, "KEYS *"),
		       "models:user:") != NULL);
}

START_TEST(clients_do_not_notice_and_it_heals)
{
	const char *anna = stack_login("anna@example.org", "user");
	const struct fault *f = &faults[_i];
	struct http_response *known, *r;
	unsigned models = 0;

	begin(f);
	known = faults_ok(ALPHA, NULL, ALIVE_MS);
	ck_assert_uint_eq(faults_count_models(anna), 0);
	f->begin();
	/* What is known stays known, and what is not can be had. */
	for (int i = 0; i < 20; i++) {
		r = faults_ok(ALPHA, NULL, ALIVE_MS);
		ck_assert(r->body_hash == known->body_hash);
		faults_ok(BETA, NULL, ALIVE_MS);
	}
	for (unsigned i = 0; i < 4; i++)
		add_one(anna, &models);
	/* Nothing is lost. */
	harness_worker_respawn(stack.worker);
	r = faults_ok(ALPHA, NULL, SLOWEST_MS);
	ck_assert(r->body_hash == known->body_hash);
	assert_cache(r, "HIT", NULL);
	settle(anna, models);
	ck_assert_uint_le(stack_upstream_count("/alpha"), 1);
	ck_assert_uint_le(stack_upstream_count("/beta"), 1);
	f->end();
	/* These workers come back to it, without a restart. */
	wait_until(fills_it(anna, &models), 10000);
	wait_until(is_used(), 10000);
	settle(anna, models);
}
END_TEST

/* Redis saves what it knows after the first, and learns of the second. */
static void
add_two_models(const char *login)
{
	ck_assert_int_eq(faults_add_model(login, "first"), 201);
	ck_assert_uint_eq(faults_count_models(login), 1);
	wait_until(strstr(harness_redis_command(redis, "KEYS *"),
			  "models:user:"),
		   5000);
	harness_redis_command(redis, "SAVE");
	ck_assert_int_eq(faults_add_model(login, "second"), 201);
	ck_assert_uint_eq(faults_count_models(login), 2);
}

/* All of it as it was before, in place of what it is now. */
START_TEST(old_data_brought_back_is_not_believed)
{
	const char *anna = stack_login("anna@example.org", "user");

	redis = faults_own_redis(NULL);
	stack_workers(2);
	add_two_models(anna);
	harness_redis_kill(redis);
	harness_redis_start(redis); /* loads what SAVE has left */
	ck_assert_ptr_nonnull(
		strstr(harness_redis_command(redis, "KEYS *"), "models:user:"));
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(faults_count_models(anna), 2);
	harness_worker_respawn(stack.worker);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(faults_count_models(anna), 2);
}
END_TEST

/* In place of what it holds, Redis has again what it held at its last SAVE, and
 * the worker is new. */
static double
bring_back_old_data(void)
{
	double began;

	harness_worker_kill(stack.worker, 0);
	harness_redis_kill(redis);
	harness_redis_start(redis);
	began = harness_now_ms();
	harness_worker_start(stack.worker);
	return (began);
}

#define SIGHT_MS 450 /* a worker does not take the log for lost sooner */

/* Nor by a worker that has not looked at the log yet, however lately that Redis was
 * told.  While it cannot look, the database may be gone, and Redis is the best there
 * is; but that it finds out first. */
START_TEST(old_data_brought_back_is_not_believed_by_a_new_worker)
{
	struct harness_proxy *pg_line;
	struct http_response *r;
	const char *anna;
	double began;

	redis = faults_own_redis(NULL);
	faults_own_postgres(NULL, &pg_line);
	anna = stack_login("anna@example.org", "user");
	harness_env_set(stack.env, "LOG_LAG_LIMIT_MS", "600000");
	stack_workers(1);
	add_two_models(anna);
	for (int i = 0; i < 10; i++) {
		bring_back_old_data();
		ck_assert_uint_eq(faults_count_models(anna), 2);
	}
	for (int i = 0; i < 3; i++) {
		harness_proxy_set(pg_line, PROXY_STALL, 0);
		began = bring_back_old_data();
		r = faults_get(MINE, anna);
		if (harness_now_ms() - began < SIGHT_MS)
			ck_assert_msg(r->status != 200, "%s",
				      stack_describe(r));
		harness_proxy_set(pg_line, PROXY_PASS, 0);
		wait_until(faults_get(MINE, anna)->status == 200, 10000);
		wait_until(faults_count_models(anna) == 2, 5000);
	}
}
END_TEST

Suite *
suite_redis_away(void)
{
	Suite *s = suite_create("redis_away");
	TCase *t = faults_case(s, "redis_away");

	tcase_add_loop_test(t, clients_do_not_notice_and_it_heals, 0, N_FAULTS);
	tcase_add_test(t, old_data_brought_back_is_not_believed);
	tcase_add_test(t,
		       old_data_brought_back_is_not_believed_by_a_new_worker);
	return (s);
}
