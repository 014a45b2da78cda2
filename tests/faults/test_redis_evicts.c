/* SPDX-License-Identifier: MIT */
/*
 * What Redis forgets: keys that it evicts to make room, the log among them, and records
 * of the log that we drop ourselves.  With NEAR_CACHE=off all answers come from Redis
 * as long as it may be believed.
 */
#include "faults.h"

#include <stdlib.h>
#include <string.h>

Suite *suite_redis_evicts(void);

#define LOG "wf:v1:@log"

static struct harness_redis *redis;
static const char *anna, *ben;
static unsigned changes;

static void
add_model(const char *login)
{
	ck_assert_int_eq(faults_add_model(login,
					  scratch_printf("m%u", ++changes)),
			 201);
}

static void
rename_user(const char *login)
{
	const struct http_response *r =
		stack_request("PATCH", PROFILE,
			      scratch_printf("{\"name\":\"name %u\"}",
					     ++changes),
			      login, "Content-Type: application/json", NULL);

	assert_status(r, 200);
}

/* An exact scope, and a prefix. */
static const struct subject {
	const char *path, *keys;
	void (*change)(const char *login);
} subjects[] = {
	{ MINE, "wf:v1:models:user:*", add_model },
	{ PROFILE, "wf:v1:user:*", rename_user },
};
#define N_SUBJECTS ((int)(sizeof(subjects) / sizeof(subjects[0])))

static void
begin(const char *near, unsigned workers)
{
	redis = faults_own_redis(NULL);
	anna = stack_login("anna@example.org", "user");
	ben = stack_login("ben@example.org", "user");
	harness_env_set(stack.env, "NEAR_CACHE", "%s", near);
	stack_workers(workers);
	wait_until(strcmp(harness_redis_command(redis, "EXISTS " LOG), "1") ==
			   0,
		   5000);
}

static uint64_t
look(const struct subject *s, const char *login)
{
	return (faults_ok(s->path, login, SLOWEST_MS)->body_hash);
}

/* The entry of the one user whose data have been read so far. */
static const char *
stored_entry(const struct subject *s)
{
	char *keys;

	wait_until(strstr(keys = harness_redis_command(redis, "KEYS %s",
						       s->keys),
			  "wf:"),
		   5000);
	ck_assert_ptr_null(strchr(keys, '\n'));
	return (keys);
}

/* What Redis held of it comes back, and is not what answers. */
static void
bring_back(const struct subject *s, const char *entry, const char *copy,
	   uint64_t wanted)
{
	ck_assert_str_eq(harness_redis_command(redis, "COPY %s %s REPLACE",
					       copy, entry),
			 "1");
	for (int i = 0; i < 4; i++)
		ck_assert(look(s, anna) == wanted);
}

static bool
is_from_redis(const struct subject *s)
{
	return (strstr(http_header(faults_ok(s->path, anna, SLOWEST_MS),
				   "Cache-Status"),
		       "detail=redis") != NULL);
}

START_TEST(evicted_log_brings_nothing_old_back)
{
	const struct subject *s = &subjects[_i];
	uint64_t old, new;
	const char *entry;

	begin("off", 2);
	old = look(s, anna);
	entry = stored_entry(s);
	harness_redis_command(redis, "COPY %s old", entry);
	s->change(anna);
	new = look(s, anna);
	ck_assert(new != old);
	for (int i = 0; i < 3; i++) {
		harness_redis_command(redis, "DEL " LOG);
		harness_worker_respawn(stack.worker);
		bring_back(s, entry, "old", new);
		/* And when there is a log again. */
		wait_until(is_from_redis(s), 5000);
		bring_back(s, entry, "old", new);
	}
}
END_TEST

static long
number_in(const char *section, const char *name)
{
	const char *info = harness_redis_command(redis, "INFO %s", section);
	const char *at = strstr(info, name);

	ck_assert_ptr_nonnull(at);
	return (atol(at + strlen(name)));
}

/* Room for a little more than there is. */
static void
limit_memory(const char *policy)
{
	long used = number_in("memory", "used_memory:");

	harness_redis_command(redis, "CONFIG SET maxmemory-policy %s", policy);
	harness_redis_command(redis, "CONFIG SET maxmemory %ld",
			      used + (1L << 20));
}

/* Others' values, for whom keys go.  How often the log was one of them. */
static unsigned
press(unsigned round)
{
	unsigned lost = 0;

	for (unsigned i = 0; i < 2; i++) {
		harness_redis_command(redis, "SETRANGE other:%u-%u 300000 x",
				      round, i);
		lost += strcmp(harness_redis_command(redis, "EXISTS " LOG),
			       "0") == 0;
	}
	return (lost);
}

static const char *const policies[] = { "allkeys-random", "allkeys-lru" };
#define N_POLICIES ((int)(sizeof(policies) / sizeof(policies[0])))
#define ROUNDS 60

START_TEST(nothing_stale_is_served_while_redis_evicts)
{
	uint64_t seen[2][2], now;
	unsigned lost = 0;

	begin("off", 2);
	for (unsigned i = 0; i < 2; i++)
		seen[i][0] = seen[i][1] = look(&subjects[i], anna);
	limit_memory(policies[_i]);
	for (unsigned round = 0; round < ROUNDS; round++) {
		const struct subject *s = &subjects[round % 2];
		uint64_t *known = seen[round % 2];

		/* The entry may stay, and what outdates it go; and workers
		 * that know it by themselves. */
		s->change(anna);
		lost += press(round);
		harness_worker_respawn(stack.worker);
		now = look(s, anna);
		ck_assert(now != known[0] && now != known[1]);
		known[1] = known[0];
		known[0] = now;
		for (unsigned i = 0; i < 6; i++)
			ck_assert(look(&subjects[i % 2], anna) ==
				  seen[i % 2][0]);
	}
	ck_assert_int_gt(number_in("stats", "evicted_keys:"), ROUNDS);
	if (strcmp(policies[_i], "allkeys-random") == 0)
		ck_assert_uint_gt(lost, 0);
	harness_redis_command(redis, "CONFIG SET maxmemory 0");
	wait_until(is_from_redis(&subjects[0]), 5000);
}
END_TEST

static bool
has_record(const char *entry)
{
	return (strcmp(harness_redis_command(redis, "HEXISTS " LOG " %s",
					     entry + strlen("wf:v1:")),
		       "1") == 0);
}

/* A number of the log's state, counted from 0, as text. */
static const char *
state(unsigned which)
{
	const char *at = harness_redis_command(redis, "HGET " LOG " @@");

	while (which-- > 0)
		at = strchr(at, ' ') + 1;
	return (scratch_copy(at, strcspn(at, " ")));
}

#define MORE "2000"

/* The position of a long time ago is the floor from now on; what was said before goes, and
 * stays said. */
START_TEST(records_that_outdate_nothing_any_more_are_dropped)
{
	const struct subject *s = &subjects[0];
	const char *annas, *bens, *position;
	uint64_t old, new;

	begin("off", 1);
	look(s, ben);
	bens = stored_entry(s);
	harness_redis_command(redis, "RENAME %s other", bens);
	old = look(s, anna);
	annas = stored_entry(s);
	harness_redis_command(redis, "COPY %s old", annas);
	add_model(anna);
	new = look(s, anna);
	ck_assert(new != old);
	position = state(0);
	ck_assert(has_record(annas) && strcmp(state(1), position) != 0);
	harness_redis_command(redis, "EVAL %s 0",
			      "for i = 1, " MORE " do redis.call('HSET', '" LOG
			      "', 'models:' .. i, '1 ' .. i) end");
	harness_redis_command(redis, "HSET " LOG " @mark %s@1", position);
	add_model(ben);
	wait_until(has_record(bens), 2000);
	harness_worker_respawn(stack.worker);
	wait_until(strcmp(harness_redis_command(redis, "HLEN " LOG), "3") == 0,
		   10000);
	ck_assert(has_record(bens) && !has_record(annas));
	ck_assert_str_eq(state(1), position);
	ck_assert_ptr_null(
		strstr(harness_redis_command(redis, "HGET " LOG " @mark"),
		       position));
	ck_assert_int_gt(atol(harness_redis_command(redis, "PTTL " LOG)),
			 24 * 3600 * 1000);
	bring_back(s, annas, "old", new);
	wait_until(is_from_redis(s), 5000);
	harness_redis_command(redis, "RENAME other %s", bens);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(faults_count_models(ben), 1);
}
END_TEST

/* A value may rest on parts that are older than all that Redis still knows: memory,
 * which has heard all since they were loaded, says that they are good. */
START_TEST(what_rests_on_older_parts_than_redis_knows_is_kept)
{
	static const char all[] = "/api/models?gateway=all";

	begin("on", 1);
	faults_ok(ALPHA, NULL, SLOWEST_MS);
	faults_ok(BETA, NULL, SLOWEST_MS);
	add_model(ben);
	harness_redis_command(redis, "EVAL %s 1 %s",
			      "local log = redis.call('HGET', KEYS[1], '@@') "
			      "return redis.call('HSET', KEYS[1], '@@', "
			      "(string.gsub(log, '^(%d+) %d+', '%1 %1')))",
			      LOG);
	ck_assert_str_eq(state(0), state(1));
	assert_cache(faults_ok(all, NULL, SLOWEST_MS), "MISS", NULL);
	assert_cache(faults_ok(all, NULL, SLOWEST_MS), "HIT", "memory");
	harness_worker_respawn(stack.worker);
	assert_cache(faults_ok(all, NULL, SLOWEST_MS), "HIT", "redis");
}
END_TEST

Suite *
suite_redis_evicts(void)
{
	Suite *s = suite_create("redis_evicts");
	TCase *t = faults_case(s, "redis_evicts");

	tcase_add_loop_test(t, evicted_log_brings_nothing_old_back, 0,
			    N_SUBJECTS);
	tcase_add_loop_test(t, nothing_stale_is_served_while_redis_evicts, 0,
			    N_POLICIES);
	tcase_add_test(t, records_that_outdate_nothing_any_more_are_dropped);
	tcase_add_test(t, what_rests_on_older_parts_than_redis_knows_is_kept);
	return (s);
}
