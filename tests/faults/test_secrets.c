/* SPDX-License-Identifier: MIT */
/*
 * Secrets, and where they must not be; the inside, and who must not be told of it.
 */
#include "cache/entry.h"
#include "faults.h"

#include <stdlib.h>
#include <string.h>

Suite *suite_secrets(void);

#define BEARER "Authorization: Bearer "
#define CRON BEARER HARNESS_CRON_SECRET
#define JSON "Content-Type: application/json"
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define GATEWAY_KEY "sk-gateway-7c1e0d9b5a"
#define REDIS_PASSWORD "redis-password-53d1"
#define DATABASE_PASSWORD "database-password-90ab"
#define TYPED "a-password-typed-here"
#define GUESSED "not-the-cron-secret-at-all"

static struct harness_redis *redis;
static struct harness_proxy *redis_line, *postgres_line;
static struct harness_upstream *upstream;
static const char *anna, *admin;

/* A worker with a secret in each setting that may hold one, which has used them all. */
static void
begin(void)
{
	redis = harness_redis_new(&(struct harness_redis_options){
		.transport = REDIS_TCP, .password = REDIS_PASSWORD });
	redis_line = harness_proxy_new(redis->socket);
	postgres_line = harness_proxy_new(
		scratch_printf("%s/.s.PGSQL.%u", stack.postgres->directory,
			       stack.postgres->port));
	upstream = harness_upstream_new(NULL);
	faults_use_upstream(upstream->url);
	harness_env_set(stack.env, "REDIS_URL", "redis://:%s@127.0.0.1:%u",
			REDIS_PASSWORD, harness_proxy_port(redis_line));
	harness_env_set(stack.env, "DATABASE_URL",
			"postgresql://warmfront:%s@127.0.0.1:%u/%s",
			DATABASE_PASSWORD, harness_proxy_port(postgres_line),
			harness_sql(stack.owner_url,
				    "SELECT current_database()"));
	harness_env_set(stack.env, "GATEWAY_ALPHA_API_KEY", GATEWAY_KEY);
	harness_env_set(stack.env, "WARMING_BUDGET_MS", "2000");
	anna = stack_login("anna@example.org", "user");
	admin = stack_login("admin@example.org", "admin");
	stack_workers(1);
	faults_ok(ALPHA, NULL, 3000);
	ck_assert_int_eq(faults_add_model(anna, "one"), 201);
	ck_assert_uint_eq(faults_count_models(anna), 1);
}

/* Where secrets must not be. */

static void
assert_no_secret(const char *where, struct bytes in)
{
	const char *const secrets[] = {
		anna + strlen(BEARER "wf_0123456789abcdef_"),
		admin + strlen(BEARER "wf_0123456789abcdef_"),
		GATEWAY_KEY,
		REDIS_PASSWORD,
		DATABASE_PASSWORD,
		HARNESS_KEY_SECRET,
		HARNESS_CRON_SECRET,
		TYPED,
		GUESSED,
	};

	for (size_t i = 0; i < LENGTH(secrets); i++)
		ck_assert_msg(memmem(in.at, in.len, secrets[i],
				     strlen(secrets[i])) == NULL,
			      "\"%s\" is in %s", secrets[i], where);
}

/* No part of an entry is compressed alone, so a search sees all of it. */
static void
assert_entry(struct bytes key, struct bytes wire)
{
	struct entry *e;

	ck_assert_msg(entry_decode(wire, key, &e) == R_OK, "%.*s",
		      BYTES_ARG(key));
	ck_assert_ptr_nonnull(
		memmem(wire.at, wire.len, e->body.at, e->body.len));
	entry_unref(e);
	assert_no_secret("an entry", wire);
}

static void
look_at_redis_key(const char *name)
{
	const char *type = harness_redis_command(redis, "TYPE %s", name);
	struct bytes key = bytes_of(name), value;

	if (strcmp(type, "hash") == 0) {
		assert_no_secret("a hash of Redis",
				 bytes_of(harness_redis_command(redis,
								"HGETALL %s",
								name)));
		return;
	}
	ck_assert_msg(strcmp(type, "string") == 0, "%s: %s", name, type);
	value.at = harness_redis_command(redis, "GET %s", name);
	value.len =
		(size_t)atol(harness_redis_command(redis, "STRLEN %s", name));
	assert_no_secret("a string of Redis", value);
	ck_assert(bytes_starts(key, BYTES("wf:v1:")));
	key = bytes_from(key, strlen("wf:v1:"));
	if (key.at[0] != '@') /* a lease */
		assert_entry(key, value);
}

/* How many keys there are. */
static unsigned
look_at_redis(void)
{
	const char *cursor = "0", *name;
	char *rest;
	unsigned n = 0;

	do {
		rest = harness_redis_command(redis, "SCAN %s COUNT 100",
					     cursor);
		cursor = strsep(&rest, "\n");
		for (; (name = strsep(&rest, "\n")) != NULL; n++) {
			assert_no_secret("a name in Redis", bytes_of(name));
			look_at_redis_key(name);
		}
	} while (strcmp(cursor, "0") != 0);
	return (n);
}

static struct bytes
from_hex(char *hex)
{
	char digits[3] = "";
	size_t n = 0;

	for (; hex[2 * n] != '\0'; n++) {
		memcpy(digits, hex + 2 * n, 2);
		hex[n] = (char)strtoul(digits, NULL, 16);
	}
	return ((struct bytes){ hex, n });
}

/* All tables as they are, and the entries once more; how many of these. */
static unsigned
look_at_postgres(void)
{
	char *rest, *key, *tables;
	unsigned n = 0;

	tables = harness_sql(stack.owner_url,
			     "SELECT string_agg(query_to_xml("
			     "format('SELECT * FROM %%I', tablename), "
			     "true, true, '')::text, '') "
			     "FROM pg_tables WHERE schemaname = 'public'");
	ck_assert_ptr_nonnull(strstr(tables, "anna@example.org"));
	assert_no_secret("PostgreSQL", bytes_of(tables));
	rest = harness_sql(stack.owner_url,
			   "SELECT cache_key, encode(wire, 'hex') "
			   "FROM cache_entries");
	for (; (key = strsep(&rest, "\t")) != NULL; n++)
		assert_entry(bytes_of(key), from_hex(strsep(&rest, "\n")));
	return (n);
}

/* Of a key only a hash is anywhere; of the others nothing is. */
START_TEST(secrets_are_in_no_log_and_in_no_tier)
{
	const char *wrong;

	begin();
	/* A good id with a wrong secret, and things that are no keys. */
	wrong = scratch_printf("%.*s%s",
			       (int)strlen(BEARER "wf_0123456789abcdef_"), anna,
			       admin + strlen(BEARER "wf_0123456789abcdef_"));
	assert_status(faults_get(MINE, wrong), 401);
	assert_status(faults_get(MINE, BEARER TYPED), 401);
	assert_status(faults_get("/cron/cache-warming", BEARER GUESSED), 401);
	assert_status(faults_get("/cron/cache-warming", CRON), 200);
	ck_assert_uint_ge(look_at_redis(), 5);
	ck_assert_uint_ge(look_at_postgres(), 4);

	/* Dependencies that fail have much to say. */
	harness_redis_kill(redis);
	harness_upstream_control(upstream, "path=/&status=500");
	harness_sql(stack.owner_url, "SELECT count(pg_terminate_backend(pid)) "
				     "FROM pg_stat_activity "
				     "WHERE usename = 'warmfront'");
	for (int i = 0; i < 10; i++)
		(void)faults_get("/api/models?gateway=all", NULL);
	(void)faults_add_model(anna, "two");
	assert_no_secret("the log", bytes_of(harness_worker_log(stack.worker)));
	look_at_postgres();
}
END_TEST

/* Whom the inside is not told. */

#define REDIS_DOWN "\"redis\":{\"state\":\"down\""
#define POSTGRES_DOWN "\"postgres\":{\"state\":\"down\""
#define UPSTREAM_DOWN "\"synced\":false,\"error\""

static void
kill_redis(void)
{
	harness_redis_kill(redis);
}

/* Connections that were let in before are cut. */
static void
change_redis_password(void)
{
	harness_redis_command(redis, "CONFIG SET requirepass another");
	harness_proxy_set(redis_line, PROXY_REFUSE, 0);
	wait_until(strstr(faults_get("/api/health/cache", NULL)->body,
			  REDIS_DOWN),
		   5000);
	harness_proxy_set(redis_line, PROXY_PASS, 0);
}

static void
spoil_redis(void)
{
	harness_proxy_set(redis_line, PROXY_CORRUPT, 7);
}

static void
cut_postgres_off(void)
{
	harness_proxy_set(postgres_line, PROXY_REFUSE, 0);
}

static void
lock_postgres(void)
{
	harness_sql(stack.owner_url,
		    "DO $$BEGIN EXECUTE format('REVOKE CONNECT ON DATABASE "
		    "%%I FROM PUBLIC', current_database()); END$$; "
		    "SELECT count(pg_terminate_backend(pid)) "
		    "FROM pg_stat_activity WHERE usename = 'warmfront'");
}

static void
take_tables_away(void)
{
	harness_sql(stack.owner_url,
		    "ALTER TABLE models RENAME TO models_gone; "
		    "ALTER TABLE users RENAME TO users_gone; "
		    "ALTER TABLE cache_entries RENAME TO entries_gone; "
		    "ALTER TABLE cache_log RENAME TO log_gone; "
		    "ALTER TABLE cache_metrics RENAME TO metrics_gone");
}

static void
kill_upstream(void)
{
	harness_upstream_kill(upstream);
}

static void
spoil_upstream(void)
{
	harness_upstream_control(upstream, "path=/&status=500");
}

static const struct {
	void (*breaks)(void);
	const char *shown; /* in what is reported, then */
} away[] = {
	{ kill_redis, REDIS_DOWN },	  { change_redis_password, REDIS_DOWN },
	{ spoil_redis, REDIS_DOWN },	  { cut_postgres_off, POSTGRES_DOWN },
	{ lock_postgres, POSTGRES_DOWN }, { take_tables_away, POSTGRES_DOWN },
	{ kill_upstream, UPSTREAM_DOWN }, { spoil_upstream, UPSTREAM_DOWN },
};

/* All that reports on failures, and some that fail. */
static const char *
ask_everything(void)
{
	const struct {
		const char *method, *path, *login, *body;
	} questions[] = {
		{ "GET", "/api/health/cache", NULL, NULL },
		{ "GET", "/api/admin/cache/stats", admin, NULL },
		{ "GET", "/api/cache/invalidate?metrics=true", admin, NULL },
		{ "GET", "/api/cache/invalidate?pattern=*", admin, NULL },
		{ "GET", "/api/admin/cache/explain?key=models:alpha:all", admin,
		  NULL },
		{ "GET", "/metrics", CRON, NULL },
		{ "POST", "/cron/cache-warming", CRON, NULL },
		{ "POST", "/api/admin/sync-models", admin, NULL },
		{ "POST", "/api/cache/invalidate", admin,
		  "{\"category\":\"models\"}" },
		{ "POST", "/api/models", anna,
		  "{\"model_id\":\"acme/two\",\"name\":\"two\"}" },
		{ "GET", ALPHA, NULL, NULL },
		{ "GET", MINE, anna, NULL },
		{ "GET", "/api/user/data", anna, NULL },
		{ "GET", "/api/admin/users", admin, NULL },
	};
	const char *all = "";

	for (size_t i = 0; i < LENGTH(questions); i++) {
		const struct http_response *r =
			stack_request(questions[i].method, questions[i].path,
				      questions[i].body, JSON,
				      questions[i].login, NULL);

		ck_assert_msg(r->status != 0, "%s", stack_describe(r));
		stack_assert_discreet(r);
		assert_no_secret(questions[i].path, bytes_of(r->body));
		all = scratch_printf("%s%d %s: %.400s\n", all, r->status,
				     questions[i].path, r->body);
	}
	return (all);
}

START_TEST(what_fails_is_reported_without_the_inside)
{
	const char *all = "";

	begin();
	away[_i].breaks();
	/* Once as it fails, and once when the breakers know. */
	for (int i = 0; i < 2; i++)
		all = scratch_printf("%s%s", all, ask_everything());
	ck_assert_msg(strstr(all, away[_i].shown) != NULL, "no %s:\n%.3000s",
		      away[_i].shown, all);
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
					     BEARER "null", CRON };

	harness_env_unset(stack.env, "CRON_SECRET");
	stack_workers(1);
	for (size_t i = 0; i < LENGTH(tries); i++) {
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

Suite *
suite_secrets(void)
{
	Suite *s = suite_create("secrets");
	TCase *t = faults_case(s, "secrets");

	tcase_add_test(t, secrets_are_in_no_log_and_in_no_tier);
	tcase_add_loop_test(t, what_fails_is_reported_without_the_inside, 0,
			    LENGTH(away));
	tcase_add_test(t, gateway_set_up_wrongly_is_named_without_its_url);
	tcase_add_test(t, without_a_cron_secret_its_endpoints_are_closed);
	return (s);
}
