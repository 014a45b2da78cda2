/* SPDX-License-Identifier: MIT */
/*
 * Users and what they must not see of each other; the worker's role and what it
 * must not do; secrets and where they must not be.
 */
#include "faults.h"

#include <stdlib.h>
#include <string.h>

Suite *suite_neighbours(void);

#define BEARER "Authorization: Bearer "
#define GATEWAY_KEY "sk-gateway-7c1e0d9b5a"
#define REDIS_PASSWORD "redis-password-53d1"
#define DATABASE_PASSWORD "database-password-90ab"

static const char *anna, *ben;

/* Two users with a model each, and a worker without memory of them. */
static void
begin(void)
{
	anna = stack_login("anna@example.org", "user");
	ben = stack_login("ben@example.org", "user");
	stack_workers(1);
	wait_until(strstr(harness_redis_command(stack.redis, "KEYS *"), "@log"),
		   5000);
	ck_assert_int_eq(faults_add_model(anna, "annas"), 201);
	ck_assert_int_eq(faults_add_model(ben, "bens"), 201);
}

static void
assert_own(const char *login, const char *own)
{
	const struct http_response *r = faults_get(MINE, login);

	assert_status(r, 200);
	ck_assert_uint_eq(tree_count(tree_parse(r->body, r->body_len), "data"),
			  1);
	ck_assert_msg(strstr(r->body, own) != NULL, "%s", stack_describe(r));
}

/* The names of the two users' entries, Anna's first. */
static void
entry_names(const char **annas, const char **bens)
{
	char *keys;

	assert_own(anna, "annas");
	wait_until(strstr(harness_redis_command(stack.redis,
						"KEYS wf:v1:models:user:*"),
			  "models:user:"),
		   5000);
	keys = harness_redis_command(stack.redis, "KEYS wf:v1:models:user:*");
	*annas = scratch_copy(keys, strcspn(keys, "\n"));
	assert_own(ben, "bens");
	wait_until(strchr(keys = harness_redis_command(
				  stack.redis, "KEYS wf:v1:models:user:*"),
			  '\n'),
		   5000);
	*bens = strchr(keys, '\n') + 1;
	if (strcmp(*bens, *annas) == 0)
		*bens = scratch_copy(keys, strcspn(keys, "\n"));
}

START_TEST(entry_of_another_copied_in_redis_is_not_served)
{
	const char *annas, *bens;

	harness_env_set(stack.env, "NEAR_CACHE", "off");
	begin();
	entry_names(&annas, &bens);
	for (int i = 0; i < 3; i++) {
		ck_assert_str_eq(harness_redis_command(stack.redis,
						       "COPY %s %s REPLACE",
						       annas, bens),
				 "1");
		assert_own(ben, "bens");
		assert_own(anna, "annas");
	}
	harness_redis_command(stack.redis, "COPY %s %s REPLACE", annas, bens);
	harness_worker_respawn(stack.worker);
	assert_own(ben, "bens");
}
END_TEST

START_TEST(entry_of_another_copied_in_postgres_is_not_served)
{
	const char *annas, *bens;

	begin();
	entry_names(&annas, &bens);
	ck_assert_str_eq(
		harness_sql(stack.owner_url,
			    "WITH a AS (UPDATE cache_entries b SET wire = "
			    "a.wire, cache_data = a.cache_data "
			    "FROM cache_entries a WHERE a.cache_key = '%s' "
			    "AND b.cache_key = '%s' RETURNING 1) "
			    "SELECT count(*) FROM a",
			    annas + strlen("wf:v1:"), bens + strlen("wf:v1:")),
		"1");
	harness_redis_command(stack.redis, "FLUSHALL");
	harness_worker_respawn(stack.worker);
	assert_own(ben, "bens");
	assert_own(anna, "annas");
}
END_TEST

/* A key's entry says whose it is and what its secret's hash is. */
START_TEST(another_keys_identity_copied_is_not_believed)
{
	const char *annas, *bens;

	harness_env_set(stack.env, "NEAR_CACHE", "off");
	begin();
	assert_own(anna, "annas");
	assert_own(ben, "bens");
	annas = scratch_printf("wf:v1:auth:%.16s", anna + strlen(BEARER "wf_"));
	bens = scratch_printf("wf:v1:auth:%.16s", ben + strlen(BEARER "wf_"));
	wait_until(strcmp(harness_redis_command(stack.redis,
						"COPY %s %s REPLACE", annas,
						bens),
			  "1") == 0,
		   5000);
	assert_own(ben, "bens");
	assert_own(anna, "annas");
}
END_TEST

/* Values that would lead to another's key if they stood in one as they are. */
static const char *const reaches[] = {
	"?owner=me:%3A*",
	"?owner=me&gateway=all",
	"?owner=me%00",
	"?owner=*",
	"?gateway=user:%s",
	"?gateway=user%%3A%s",
	"?gateway=*",
	"?gateway=alpha%0d%0aSET%20x%201",
	"?gateway=alpha'%20OR%201=1--",
	"?gateway=%ff%fe",
	"?gateway=../../user",
};

START_TEST(parameters_reach_no_key_of_others)
{
	const char *annas, *bens;
	struct http_response *r;
	char *path;

	begin();
	entry_names(&annas, &bens);
	path = scratch_printf("/api/models%s", reaches[_i]);
	if (strstr(path, "%s") != NULL)
		path = scratch_printf("%.*s%s",
				      (int)(strstr(path, "%s") - path), path,
				      annas + strlen("wf:v1:models:user:"));
	r = faults_get(path, ben);
	assert_status(r, 400);
	ck_assert_ptr_null(strstr(r->body, "annas"));
}
END_TEST

static const struct {
	const char *sql, *state; /* "ERROR 42501: ..." or how it begins */
} forbidden[] = {
	{ "DROP TABLE models", "ERROR 42501" },
	{ "DROP TABLE cache_entries", "ERROR 42501" },
	{ "TRUNCATE users", "ERROR 42501" },
	{ "TRUNCATE cache_invalidations", "ERROR 42501" },
	{ "ALTER TABLE users ADD x integer", "ERROR 42501" },
	{ "ALTER TABLE users DISABLE ROW LEVEL SECURITY", "ERROR 42501" },
	{ "CREATE TABLE x (y integer)", "ERROR 42501" },
	{ "CREATE FUNCTION x() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
	  "ERROR 42501" },
	{ "INSERT INTO cache_invalidations (scope) VALUES ('*')",
	  "ERROR 42501" },
	{ "UPDATE cache_invalidations SET position = 1", "ERROR 42501" },
	{ "DELETE FROM cache_invalidations", "ERROR 42501" },
	{ "UPDATE cache_log SET head = 0", "ERROR 42501" },
	{ "INSERT INTO api_keys (id, user_id, secret_hash) "
	  "SELECT repeat('0', 16), id, '' FROM users",
	  "ERROR 42501" },
	{ "UPDATE api_keys SET revoked_at = NULL", "ERROR 42501" },
	{ "DELETE FROM api_keys", "ERROR 42501" },
	{ "INSERT INTO servers (owner_id, name) SELECT id, 'x' FROM users",
	  "ERROR 42501" },
	{ "DELETE FROM servers", "ERROR 42501" },
	{ "INSERT INTO server_models DEFAULT VALUES", "ERROR 42501" },
	{ "UPDATE server_models SET model_id = NULL", "ERROR 42501" },
	{ "DELETE FROM server_models", "ERROR 42501" },
	{ "UPDATE usage_events SET cost = 0", "ERROR 42501" },
	{ "DELETE FROM usage_events", "ERROR 42501" },
	{ "INSERT INTO schema_migrations DEFAULT VALUES", "ERROR 42501" },
	{ "DELETE FROM schema_migrations", "ERROR 42501" },
	{ "DROP TRIGGER models_inserted ON models", "ERROR 42501" },
	{ "CREATE ROLE x SUPERUSER", "ERROR 42501" },
	{ "ALTER ROLE warmfront SUPERUSER", "ERROR 42501" },
	{ "SET ROLE postgres", "ERROR 42501" },
	{ "SELECT * FROM pg_authid", "ERROR 42501" },
	{ "SELECT pg_read_file('/etc/passwd')", "ERROR 42501" },
	{ "COPY users TO PROGRAM 'true'", "ERROR 42501" },
	{ "COPY users TO '/tmp/x'", "ERROR 42501" },
	{ "SELECT * FROM others", "ERROR 42501" },
};
#define N_FORBIDDEN ((int)(sizeof(forbidden) / sizeof(forbidden[0])))

START_TEST(workers_role_cannot_do_what_it_need_not)
{
	const char *said;

	harness_sql(stack.owner_url, "CREATE TABLE others (secret text)");
	said = harness_sql_try(stack.worker_url, "%s", forbidden[_i].sql);
	ck_assert_msg(strncmp(said, forbidden[_i].state,
			      strlen(forbidden[_i].state)) == 0,
		      "%s: %s", forbidden[_i].sql, said);
}
END_TEST

/* Of the key only a hash is anywhere; of the others nothing is. */
START_TEST(secrets_are_in_no_log_and_in_no_tier)
{
	struct harness_redis *redis;
	const char *secrets[8], *text;
	struct http_response *r;
	unsigned n = 0;

	redis = harness_redis_new(&(struct harness_redis_options){
		.transport = REDIS_TCP, .password = REDIS_PASSWORD });
	harness_env_set(stack.env, "REDIS_URL", "%s", redis->tcp_url);
	harness_env_set(stack.env, "LOG_LEVEL", "debug");
	harness_env_set(stack.env, "CACHE_VERBOSE", "true");
	harness_env_set(stack.env, "GATEWAY_ALPHA_API_KEY", GATEWAY_KEY);
	harness_env_set(stack.env, "DATABASE_URL", "%s&password=%s",
			stack.worker_url, DATABASE_PASSWORD);
	anna = stack_login("anna@example.org", "user");
	stack_workers(1);
	faults_ok(ALPHA, NULL, 3000);
	ck_assert_int_eq(faults_add_model(anna, "one"), 201);
	ck_assert_uint_eq(faults_count_models(anna), 1);
	/* A good id with a wrong secret, and things that are no keys. */
	text = scratch_printf("%.*s%064d",
			      (int)strlen(BEARER "wf_0123456789abcdef_"), anna,
			      7);
	r = faults_get(MINE, text);
	assert_status(r, 401);
	assert_status(faults_get(MINE, BEARER "a-password-typed-here"), 401);
	r = stack_request("POST", "/cron/cache-warming", NULL,
			  BEARER "not-the-cron-secret-at-all", NULL);
	stack_assert_discreet(r);
	ck_assert_int_ne(r->status, 200);
	r = stack_request("POST", "/cron/cache-warming", NULL,
			  BEARER HARNESS_CRON_SECRET, NULL);
	stack_assert_discreet(r);
	/* Dependencies that fail have much to say. */
	harness_redis_kill(redis);
	harness_upstream_control(stack.upstream, "path=/&status=500");
	harness_sql(stack.owner_url, "SELECT count(pg_terminate_backend(pid)) "
				     "FROM pg_stat_activity "
				     "WHERE usename = 'warmfront'");
	for (int i = 0; i < 10; i++)
		(void)faults_get(BETA, NULL);
	(void)faults_add_model(anna, "two");

	secrets[n++] = anna + strlen(BEARER "wf_0123456789abcdef_");
	secrets[n++] = GATEWAY_KEY;
	secrets[n++] = REDIS_PASSWORD;
	secrets[n++] = DATABASE_PASSWORD;
	secrets[n++] = HARNESS_KEY_SECRET;
	secrets[n++] = HARNESS_CRON_SECRET;
	secrets[n++] = "a-password-typed-here";
	secrets[n++] = "not-the-cron-secret-at-all";
	text = scratch_printf(
		"%s\n%s", harness_worker_log(stack.worker),
		harness_sql(stack.owner_url,
			    "SELECT (SELECT string_agg(t::text, ' ') "
			    "FROM cache_entries t) || "
			    "(SELECT string_agg(t::text, ' ') FROM api_keys t) "
			    "|| (SELECT string_agg(encode(wire, 'escape'), "
			    "' ') FROM cache_entries)"));
	ck_assert_uint_gt(strlen(text), 5000);
	for (unsigned i = 0; i < n; i++)
		ck_assert_msg(strstr(text, secrets[i]) == NULL,
			      "\"%s\" is shown", secrets[i]);
}
END_TEST

START_TEST(gateway_set_up_wrongly_is_named_without_its_url)
{
	struct process_result r;

	harness_env_set(stack.env, "MODELS_GATEWAYS",
			"alpha=https://user:%s@host:99999/", GATEWAY_KEY);
	r = harness_warmfront(stack.env, "check", NULL);
	ck_assert_int_eq(r.status, 1);
	ck_assert_msg(strstr(r.out, "MODELS_GATEWAYS: the URL of alpha") !=
			      NULL,
		      "%s%s", r.out, r.err);
	ck_assert_ptr_null(strstr(r.out, GATEWAY_KEY));
	ck_assert_ptr_null(strstr(r.err, GATEWAY_KEY));
}
END_TEST

/* Without CRON_SECRET nobody is let in, with whatever. */
START_TEST(without_a_cron_secret_its_endpoints_are_closed)
{
	static const char *const tries[] = { NULL, BEARER, BEARER "x",
					     BEARER "null",
					     BEARER HARNESS_CRON_SECRET };

	harness_env_unset(stack.env, "CRON_SECRET");
	stack_workers(1);
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		const struct http_response *r =
			stack_request("POST", "/cron/cache-warming", NULL,
				      tries[i], NULL);

		ck_assert_msg(r->status == 401 || r->status == 403 ||
				      r->status == 404,
			      "%s", stack_describe(r));
		r = faults_get("/metrics", tries[i]);
		ck_assert_msg(r->status == 401 || r->status == 403 ||
				      r->status == 404,
			      "%s", stack_describe(r));
	}
}
END_TEST

#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

Suite *
suite_neighbours(void)
{
	Suite *s = suite_create("neighbours");
	TCase *t = faults_case(s, "neighbours");

	tcase_add_test(t, entry_of_another_copied_in_redis_is_not_served);
	tcase_add_test(t, entry_of_another_copied_in_postgres_is_not_served);
	tcase_add_test(t, another_keys_identity_copied_is_not_believed);
	tcase_add_loop_test(t, parameters_reach_no_key_of_others, 0,
			    LENGTH(reaches));
	tcase_add_loop_test(t, workers_role_cannot_do_what_it_need_not, 0,
			    N_FORBIDDEN);
	tcase_add_test(t, secrets_are_in_no_log_and_in_no_tier);
	tcase_add_test(t, gateway_set_up_wrongly_is_named_without_its_url);
	tcase_add_test(t, without_a_cron_secret_its_endpoints_are_closed);
	return (s);
}
