/* SPDX-License-Identifier: MIT */
/*
 * Redis behind a password or an ACL user: the one of deploy/README.md, who may do what a
 * worker needs and no more.
 */
#include "faults.h"

#include <stdlib.h>
#include <string.h>

Suite *suite_redis_login(void);

#define PASSWORD "redis-password-53d1"
#define WRONG "redis-password-0000"

static struct harness_redis *redis;

/* The arguments of the documentation's line that makes the user. */
static const char *
documented(void)
{
	const char *text = scratch_read(harness_source("deploy/README.md"));
	const char *start = strstr(text, "redis-cli ACL SETUSER");

	ck_assert_ptr_nonnull(start);
	start += strlen("redis-cli");
	return (scratch_copy(start, strcspn(start, "\n")));
}

/* As a shell would. */
static void
make_user(const char *more)
{
	const char *command;
	struct process_result r;

	command = scratch_printf("PASSWORD=%s; redis-cli -s '%s' %s %s",
				 PASSWORD, redis->socket, documented(), more);
	r = process_run(&(struct process_options){
		.argv = (const char *const[]){ "sh", "-c", command, NULL } });
	ck_assert_msg(r.status == 0 && strcmp(r.out, "OK\n") == 0, "%s: %s%s",
		      command, r.out, r.err);
}

static void
begin(const char *user, const char *password, const char *more)
{
	redis = harness_redis_new(
		&(struct harness_redis_options){ .transport = REDIS_TCP });
	make_user(more);
	harness_env_set(stack.env, "REDIS_URL", "redis://%s:%s@127.0.0.1:%u",
			user, password, redis->port);
	harness_env_set(stack.env, "NEAR_CACHE", "off");
	harness_env_set(stack.env, "LOG_LEVEL", "debug");
}

static bool
comes_from_redis(const char *path)
{
	const struct http_response *r = faults_ok(path, NULL, 3000);

	return (strstr(http_header(r, "Cache-Status"), "detail=redis") != NULL);
}

static const char *
log_of_worker(void)
{
	return (harness_worker_log(stack.worker));
}

static void
post(const char *path, const char *login, const char *body)
{
	assert_status(stack_request("POST", path, body, login,
				    "Content-Type: application/json", NULL),
		      200);
}

/* All that leads to Redis: lookups, leases, the log, mutations, what an administrator
 * may look at and do. */
static void
use_all(void)
{
	const char *admin = stack_login("admin@example.org", "admin");

	faults_ok(BETA, NULL, 3000);
	wait_until(comes_from_redis(ALPHA), 5000);
	ck_assert_int_eq(faults_add_model(admin, "one"), 201);
	ck_assert_uint_eq(faults_count_models(admin), 1);
	wait_until(comes_from_redis(BETA), 5000);
	faults_ok("/api/admin/cache/stats", admin, 3000);
	faults_ok("/api/cache/invalidate?metrics=true&pattern=models:*", admin,
		  3000);
	faults_ok("/api/admin/cache/explain?key=models:alpha:all", admin, 3000);
	faults_ok("/api/health/cache", NULL, 3000);
	faults_ok("/metrics", "Authorization: Bearer " HARNESS_CRON_SECRET,
		  5000);
	post("/api/admin/cache/refresh", admin,
	     "{\"key\":\"models:beta:all\"}");
	post("/api/cache/invalidate", admin, "{\"pattern\":\"models:al*\"}");
	post("/api/cache/invalidate", admin, "{\"pattern\":\"*:all\"}");
	wait_until(comes_from_redis(ALPHA), 5000);
	/* Records in Redis are dropped after many minutes. */
	harness_redis_command(redis, "HSET wf:v1:@log @mark %s@1",
			      harness_sql(stack.owner_url,
					  "SELECT head FROM cache_log"));
	harness_worker_respawn(stack.worker);
	wait_until(comes_from_redis(ALPHA), 5000);
	wait_until(strstr(harness_redis_command(redis, "INFO commandstats"),
			  "cmdstat_hdel:"),
		   5000);
}

/* Was each command that the user is allowed used?  PING this test sends as well,
 * SELECT is for another REDIS_DB; INFO says who a server is, and what a worker can do
 * without. */
static void
assert_all_are_needed(void)
{
	const char *used = harness_redis_command(redis, "INFO commandstats");
	char *line = scratch_printf("%s", documented());

	for (char *w = strtok(line, " "); w != NULL; w = strtok(NULL, " "))
		if (w[0] == '+' && strcmp(w, "+ping") != 0 &&
		    strcmp(w, "+select") != 0 && strcmp(w, "+info") != 0)
			ck_assert_msg(strstr(used, scratch_printf("cmdstat_%s:",
								  w + 1)) !=
					      NULL,
				      "%s is of no use: %s", w, used);
}

/* Redis keeps what it has denied, whoever tried it. */
START_TEST(documented_user_may_do_all_that_a_worker_does)
{
	begin("warmfront", PASSWORD, "");
	stack_workers(2);
	use_all();
	ck_assert_str_eq(harness_redis_command(redis, "ACL LOG"), "");
	assert_all_are_needed();
	ck_assert_ptr_null(strstr(log_of_worker(), "NOPERM"));
	ck_assert_ptr_null(strstr(log_of_worker(), PASSWORD));
	ck_assert_int_eq(harness_warmfront(stack.env, "check", NULL).status, 0);
}
END_TEST

static const char *const forbidden[] = {
	"get others:secret", "set others:x 1",	 "flushall",	 "keys '*'",
	"config get dir",    "acl list",	 "monitor",	 "slowlog get",
	"shutdown",	     "subscribe x",	 "script flush", "module list",
	"replicaof h 1",     "rename wf:a wf:b", "eval_ro x 0",
};

/* By redis-cli: its answer to the command. */
static const char *
answer_to(const char *command)
{
	const char *login = scratch_printf("redis://warmfront:%s@127.0.0.1:%u",
					   PASSWORD, redis->port);
	struct process_result r = process_run(&(struct process_options){
		.argv = (const char *const[]){
			"sh", "-c",
			scratch_printf("redis-cli --no-auth-warning -u %s %s",
				       login, command),
			NULL } });

	return (r.out);
}

START_TEST(documented_user_may_do_nothing_else)
{
	begin("warmfront", PASSWORD, "");
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		ck_assert_msg(strncmp(answer_to(forbidden[i]), "NOPERM", 6) ==
				      0,
			      "%s: %s", forbidden[i], answer_to(forbidden[i]));
	ck_assert_str_eq(answer_to("set wf:v1:x 1"), "OK\n");
}
END_TEST

/* A provider that keeps INFO to itself. */
START_TEST(all_works_without_info)
{
	begin("warmfront", PASSWORD, "-info");
	stack_workers(1);
	use_all();
	ck_assert_int_eq(harness_warmfront(stack.env, "check", NULL).status, 0);
}
END_TEST

static void
assert_as_without_redis(void)
{
	const char *anna = stack_login("anna@example.org", "user");

	faults_ok(ALPHA, NULL, 3000);
	wait_until(faults_is_stored("models:alpha:"), 5000);
	assert_cache(faults_ok(ALPHA, NULL, 500), "HIT", "postgres");
	ck_assert_int_eq(faults_add_model(anna, "one"), 201);
	ck_assert_uint_eq(faults_count_models(anna), 1);
	ck_assert_uint_eq(stack_upstream_count("/alpha/models"), 1);
}

static const struct {
	const char *user, *password;
} strangers[] = {
	{ "warmfront", WRONG },
	{ "nobody", PASSWORD },
};

START_TEST(wrong_login_is_as_no_redis_until_it_is_right)
{
	const char *log;

	begin(strangers[_i].user, strangers[_i].password, "");
	stack_workers(1);
	assert_as_without_redis();
	log = log_of_worker();
	ck_assert_msg(strstr(log, "login refused: WRONGPASS") != NULL, "%s",
		      log);
	ck_assert_ptr_null(strstr(log, PASSWORD));
	ck_assert_ptr_null(strstr(log, WRONG));
	ck_assert_int_eq(harness_warmfront(stack.env, "check", NULL).status, 1);
	harness_redis_command(redis, "ACL SETUSER %s on >%s ~* +@all",
			      strangers[_i].user, strangers[_i].password);
	wait_until(comes_from_redis(ALPHA), 10000);
}
END_TEST

/* Logged in, and not allowed to do a thing. */
START_TEST(user_who_may_do_nothing_is_as_no_redis)
{
	const char *refusal;

	begin("warmfront", PASSWORD, "-@all +ping");
	stack_workers(1);
	assert_as_without_redis();
	refusal = strstr(log_of_worker(), "lookup refused: NOPERM");
	ck_assert_ptr_nonnull(refusal);
	ck_assert_ptr_null(strstr(refusal + 1, "lookup refused"));
	ck_assert_ptr_null(strstr(log_of_worker(), PASSWORD));
}
END_TEST

Suite *
suite_redis_login(void)
{
	Suite *s = suite_create("redis_login");
	TCase *t = faults_case(s, "redis_login");

	tcase_add_test(t, documented_user_may_do_all_that_a_worker_does);
	tcase_add_test(t, documented_user_may_do_nothing_else);
	tcase_add_test(t, all_works_without_info);
	tcase_add_loop_test(t, wrong_login_is_as_no_redis_until_it_is_right, 0,
			    2);
	tcase_add_test(t, user_who_may_do_nothing_is_as_no_redis);
	return (s);
}
