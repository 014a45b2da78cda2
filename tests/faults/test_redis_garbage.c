/* SPDX-License-Identifier: MIT */
/*
 * Keys of ours in Redis that hold what we never wrote: none of it is served, none
 * breaks a script, and each is written anew.
 */
#include "faults.h"

#include <string.h>

Suite *suite_redis_garbage(void);

#define ENTRY "wf:v1:models:alpha:all"
#define LOG "wf:v1:@log"

static const struct {
	const char *verb, *value;
} kinds[] = {
	{ "SET", "x" },	    { "SET", "\xff\xfe\xfd" },
	{ "SET", "12" },    { "SET", "99999999999999999999999999 1" },
	{ "SET", "-1 -1" }, { "SET", "99999999999999999999999999 1 1 x" },
	{ "SET", "1 1 x" }, { "RPUSH", "12 13" },
};
#define N_KINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))
#define N_VALUES (N_KINDS - 1) /* for the field of a hash */

/* A key, or a field of the log. */
static void
spoil(const char *key, const char *field, int kind)
{
	if (field != NULL) {
		harness_redis_command(stack.redis, "HSET %s %s %s", key, field,
				      kinds[kind].value);
		return;
	}
	harness_redis_command(stack.redis, "DEL %s", key);
	harness_redis_command(stack.redis, "%s %s %s", kinds[kind].verb, key,
			      kinds[kind].value);
}

/* The catalogue comes from Redis again. */
static bool
is_used(void)
{
	return (strstr(http_header(faults_ok(ALPHA, NULL, 3000),
				   "Cache-Status"),
		       "detail=redis") != NULL);
}

static void
check(const char *key, const char *field, int kind)
{
	const char *anna = stack_login("anna@example.org", "user");
	struct http_response *known, *r;

	harness_env_set(stack.env, "NEAR_CACHE", "off");
	stack_workers(1);
	known = faults_ok(ALPHA, NULL, SLOWEST_MS);
	ck_assert_uint_eq(faults_count_models(anna), 0);
	spoil(key, field, kind);
	for (int i = 0; i < 5; i++) {
		r = faults_ok(ALPHA, NULL, SLOWEST_MS);
		ck_assert(r->body_hash == known->body_hash);
	}
	ck_assert_int_eq(faults_add_model(anna, "one"), 201);
	ck_assert_uint_eq(faults_count_models(anna), 1);
	spoil(key, field, kind);
	harness_worker_respawn(stack.worker);
	r = faults_ok(ALPHA, NULL, SLOWEST_MS);
	ck_assert(r->body_hash == known->body_hash);
	ck_assert_uint_eq(faults_count_models(anna), 1);
	wait_until(is_used(), 20000);
	ck_assert_uint_eq(faults_count_models(anna), 1);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 1);
}

START_TEST(entry_that_is_none_is_a_miss_and_replaced)
{
	check(ENTRY, NULL, _i);
}
END_TEST

START_TEST(log_that_is_none_is_written_anew)
{
	check(LOG, NULL, _i);
}
END_TEST

START_TEST(log_position_that_is_none_is_written_anew)
{
	check(LOG, "@@", _i);
}
END_TEST

START_TEST(scope_that_is_none_makes_what_it_matches_a_miss)
{
	check(LOG, "models:*", _i);
}
END_TEST

/* Nobody who lives has written it, so nobody gives it back. */
START_TEST(lease_that_is_none_holds_up_nobody)
{
	stack_workers(1);
	faults_ok(BETA, NULL, SLOWEST_MS);
	spoil("wf:v1:@lease:models:alpha:all", NULL, _i);
	faults_ok(ALPHA, NULL, 2 * SLOWEST_MS);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 1);
}
END_TEST

/* A scope that cannot be read may have said anything: it must not let old data
 * through. */
START_TEST(spoilt_scope_brings_nothing_old_back)
{
	const char *anna = stack_login("anna@example.org", "user");
	char *keys, *entry, *scope, *old;

	harness_env_set(stack.env, "NEAR_CACHE", "off");
	stack_workers(1);
	wait_until(strstr(harness_redis_command(stack.redis, "KEYS *"), "@log"),
		   5000);
	ck_assert_uint_eq(faults_count_models(anna), 0);
	wait_until(strstr(keys = harness_redis_command(
				  stack.redis, "KEYS wf:v1:models:user:*"),
			  "models:user:"),
		   5000);
	entry = scratch_copy(keys, strcspn(keys, "\n"));
	harness_redis_command(stack.redis, "COPY %s old", entry);
	ck_assert_int_eq(faults_add_model(anna, "one"), 201);
	scope = scratch_printf("%s", entry + strlen("wf:v1:"));
	ck_assert_str_eq(harness_redis_command(stack.redis, "HEXISTS %s %s",
					       LOG, scope),
			 "1");
	old = harness_redis_command(stack.redis, "COPY old %s REPLACE", entry);
	ck_assert_str_eq(old, "1");
	spoil(LOG, scope, _i % N_VALUES);
	if (_i >= N_VALUES) /* one that has not seen the update itself */
		harness_worker_respawn(stack.worker);
	for (int i = 0; i < 5; i++)
		ck_assert_uint_eq(faults_count_models(anna), 1);
}
END_TEST

Suite *
suite_redis_garbage(void)
{
	Suite *s = suite_create("redis_garbage");
	TCase *t = faults_case(s, "redis_garbage");

	tcase_add_loop_test(t, entry_that_is_none_is_a_miss_and_replaced, 0,
			    N_KINDS);
	tcase_add_loop_test(t, log_that_is_none_is_written_anew, 0, N_KINDS);
	tcase_add_loop_test(t, log_position_that_is_none_is_written_anew, 0,
			    N_VALUES);
	tcase_add_loop_test(t, scope_that_is_none_makes_what_it_matches_a_miss,
			    0, N_VALUES);
	tcase_add_loop_test(t, lease_that_is_none_holds_up_nobody, 0, N_KINDS);
	tcase_add_loop_test(t, spoilt_scope_brings_nothing_old_back, 0,
			    2 * N_VALUES);
	return (s);
}
