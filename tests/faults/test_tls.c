/* SPDX-License-Identifier: MIT */
/*
 * Redis and PostgreSQL over TLS: verified, or not talked to.
 */
#include "../harness/certificates.h"
#include "faults.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

Suite *suite_tls(void);

#define REDIS_PASSWORD "redis-password-53d1"
#define DATABASE_PASSWORD "database-password-90ab"

static const char *authority, *stranger; /* directories of certificates */

static void
make_certificates(void)
{
	authority = certificates_new();
	certificates_add(authority, "good", "DNS:localhost,IP:127.0.0.1", "10");
	certificates_add(authority, "other", "DNS:elsewhere.example", "10");
	certificates_add(authority, "expired", "DNS:localhost", "-1");
	stranger = certificates_new();
}

/* What a server shows and whom the worker trusts; in the log, why not. */
static const struct identity {
	const char *certificate;
	const char *const *trusted;
	const char *redis_says, *postgres_says;
} identities[] = {
	{ "good", &authority, NULL, NULL },
	{ "other", &authority, "TLS: hostname mismatch",
	  "does not match host name" },
	{ "expired", &authority, "TLS: certificate has expired",
	  "certificate verify failed" },
	{ "good", &stranger,
	  "TLS: self-signed certificate in certificate chain",
	  "certificate verify failed" },
};
#define N_IDENTITIES ((int)(sizeof(identities) / sizeof(identities[0])))

static const char *
trusted(const struct identity *i)
{
	return (scratch_printf("%s/ca.crt", *i->trusted));
}

static unsigned
count(const char *text, const char *word)
{
	unsigned n = 0;

	while ((text = strstr(text, word)) != NULL) {
		text += strlen(word);
		n++;
	}
	return (n);
}

/* One warning that says so, and no secret. */
static void
assert_told_once(const char *log, const char *reason)
{
	ck_assert_msg(count(log, reason) == 1, "%u times \"%s\": %s",
		      count(log, reason), reason, log);
	ck_assert_ptr_null(strstr(log, REDIS_PASSWORD));
	ck_assert_ptr_null(strstr(log, DATABASE_PASSWORD));
}

/* `warmfront check` names the dependency, and nothing more than that. */
static void
assert_check_fails(const char *dependency)
{
	struct process_result r = harness_warmfront(stack.env, "check", NULL);
	const char *line = strstr(r.out, dependency);

	ck_assert_int_eq(r.status, 1);
	ck_assert_msg(line != NULL, "%s", r.out);
	line = scratch_copy(line, strcspn(line, "\n"));
	ck_assert_msg(strstr(line, "FAILED") != NULL, "%s", r.out);
	ck_assert_msg(count(r.out, "FAILED") == 1, "%s", r.out);
	ck_assert_ptr_null(strstr(r.out, REDIS_PASSWORD));
	ck_assert_ptr_null(strstr(r.err, REDIS_PASSWORD));
	ck_assert_ptr_null(strstr(r.out, DATABASE_PASSWORD));
	ck_assert_ptr_null(strstr(r.err, DATABASE_PASSWORD));
}

/* ---- Redis */

static struct harness_redis *redis;
static struct harness_proxy *line; /* in front of it: it counts */

static void
begin_redis(const struct identity *i, const char *variable)
{
	redis = harness_redis_new(&(struct harness_redis_options){
		.transport = REDIS_TLS,
		.password = REDIS_PASSWORD,
		.certificate =
			scratch_printf("%s/%s.crt", authority, i->certificate),
		.key = scratch_printf("%s/%s.key", authority, i->certificate),
		.extra = (const char *const[]){ "--tls-ca-cert-file",
						scratch_printf("%s/ca.crt",
							       authority),
						NULL },
	});
	line = harness_proxy_new(scratch_printf("%u", redis->port));
	harness_env_unset(stack.env, "REDIS_URL");
	harness_env_set(stack.env, variable, "rediss://:%s@localhost:%u",
			REDIS_PASSWORD, harness_proxy_port(line));
	harness_env_set(stack.env, "SSL_CERT_FILE", "%s", trusted(i));
	harness_env_set(stack.env, "LOG_LEVEL", "debug");
}

static const char *const variables[] = { "REDIS_URL", "UPSTASH_REDIS_URL" };

START_TEST(redis_that_is_verified_serves_hits)
{
	harness_env_set(stack.env, "NEAR_CACHE", "off");
	begin_redis(&identities[0], variables[_i]);
	stack_workers(1);
	wait_until(strstr(http_header(faults_ok(ALPHA, NULL, 3000),
				      "Cache-Status"),
			  "detail=redis") != NULL,
		   5000);
	ck_assert_uint_eq(stack_upstream_count("/alpha/models"), 1);
	ck_assert_int_eq(harness_warmfront(stack.env, "check", NULL).status, 0);
}
END_TEST

START_TEST(redis_that_is_not_verified_is_as_none)
{
	const struct identity *i = &identities[_i];
	const char *anna = stack_login("anna@example.org", "user");
	unsigned tries;

	begin_redis(i, "REDIS_URL");
	stack_workers(1);
	faults_ok(ALPHA, NULL, 3000);
	faults_ok(ALPHA, NULL, 500);
	ck_assert_uint_eq(stack_upstream_count("/alpha/models"), 1);
	ck_assert_int_eq(faults_add_model(anna, "one"), 201);
	ck_assert_uint_eq(faults_count_models(anna), 1);
	tries = harness_proxy_connections(line);
	wait_until(harness_proxy_connections(line) > tries + 2, 20000);
	faults_ok(ALPHA, NULL, 500);
	assert_told_once(harness_worker_log(stack.worker), i->redis_says);
	ck_assert_str_eq(harness_redis_command(redis, "DBSIZE"), "0");
	assert_check_fails("redis");
}
END_TEST

/* ---- PostgreSQL */

static struct harness_postgres *postgres;

/* The first address refuses: what the second says must be seen all the same. */
static const char *
tls_url(const struct identity *i, const char *role, const char *database)
{
	return (scratch_printf("postgresql://%s:%s@127.0.0.1:1,localhost:%u/%s"
			       "?sslmode=verify-full&sslrootcert=%s",
			       role, DATABASE_PASSWORD, postgres->port,
			       database, trusted(i)));
}

static void
begin_postgres(const struct identity *i)
{
	const char *certificate =
		scratch_printf("%s/%s.crt", authority, i->certificate);
	const char *key =
		scratch_printf("%s/%s.key", authority, i->certificate);
	const char **settings = scratch_alloc(4 * sizeof(*settings));

	harness_postgres_own(key);
	settings[0] = "ssl=on";
	settings[1] = scratch_printf("ssl_cert_file=%s", certificate);
	settings[2] = scratch_printf("ssl_key_file=%s", key);
	postgres = faults_own_postgres(settings, NULL);
	harness_env_set(stack.env, "DATABASE_URL", "%s",
			tls_url(i, "warmfront", "faults"));
	harness_env_set(stack.env, "LOG_LEVEL", "debug");
}

/* Of the worker's connections: how many there are, and that none is plain. */
static bool
all_are_encrypted(void)
{
	return (strcmp(harness_sql(postgres->url,
				   "SELECT count(*) > 0 AND bool_and(s.ssl) "
				   "FROM pg_stat_activity a "
				   "JOIN pg_stat_ssl s USING (pid) "
				   "WHERE usename = 'warmfront'"),
		       "t") == 0);
}

START_TEST(postgres_that_is_verified_is_used)
{
	const struct identity *i = &identities[0];
	struct harness_env *owner;
	const char *anna;

	begin_postgres(i);
	owner = harness_env_copy(stack.env);
	harness_postgres_database(postgres, "empty", NULL);
	harness_env_set(owner, "DATABASE_URL", "%s",
			tls_url(i, "postgres", "empty"));
	harness_migrate(owner);
	anna = stack_login("anna@example.org", "user");
	stack_workers(1);
	faults_ok(ALPHA, NULL, 3000);
	wait_until(faults_is_stored("models:alpha:"), 5000);
	ck_assert_int_eq(faults_add_model(anna, "one"), 201);
	ck_assert_uint_eq(faults_count_models(anna), 1);
	ck_assert(all_are_encrypted());
	ck_assert_int_eq(harness_warmfront(stack.env, "check", NULL).status, 0);
}
END_TEST

START_TEST(postgres_that_is_not_verified_is_not_talked_to)
{
	const struct identity *i = &identities[_i];
	struct process_result r;
	const char *anna;

	begin_postgres(i);
	anna = stack_login("anna@example.org", "user");
	stack_workers(1);
	faults_ok(ALPHA, NULL, 3000);
	faults_ok(ALPHA, NULL, 500);
	for (int k = 0; k < 5; k++)
		stack_assert_refusal(faults_get(MINE, anna));
	assert_told_once(harness_worker_log(stack.worker), i->postgres_says);
	ck_assert_str_eq(harness_sql(postgres->url,
				     "SELECT count(*) FROM pg_stat_activity "
				     "WHERE usename = 'warmfront'"),
			 "0");
	assert_check_fails("postgresql");
	r = harness_warmfront(stack.env, "migrate", NULL);
	ck_assert_int_eq(r.status, EX_UNAVAILABLE);
	ck_assert_ptr_null(strstr(r.err, DATABASE_PASSWORD));
}
END_TEST

Suite *
suite_tls(void)
{
	Suite *s = suite_create("tls");
	TCase *t = faults_case(s, "tls");

	tcase_add_unchecked_fixture(t, make_certificates, NULL);
	tcase_add_loop_test(t, redis_that_is_verified_serves_hits, 0, 2);
	tcase_add_loop_test(t, redis_that_is_not_verified_is_as_none, 1,
			    N_IDENTITIES);
	tcase_add_test(t, postgres_that_is_verified_is_used);
	tcase_add_loop_test(t, postgres_that_is_not_verified_is_not_talked_to,
			    1, N_IDENTITIES);
	return (s);
}
