/* SPDX-License-Identifier: MIT */
#include "faults.h"

#include <dirent.h>
#include <string.h>

const struct faults_endpoint faults_endpoints[FAULTS_ENDPOINTS] = {
	{ "POST", "/api/models", "name", "pricing",
	  "{\"model_id\":\"acme/new\",\"name\":\"new\"}" },
	{ "PUT", "/api/models/" FAULTS_ID, "name", "parameters",
	  "{\"model_id\":\"acme/old\",\"name\":\"new\"}" },
	{ "PATCH", "/api/user/data", "name", "preferences",
	  "{\"name\":\"new\"}" },
	{ "POST", "/api/usage", "model", "x", "{\"model\":\"acme/old\"}" },
	{ "PATCH", "/api/servers/" FAULTS_ID, "name", "x",
	  "{\"name\":\"new\"}" },
	{ "POST", "/api/admin/users", "email", "profile",
	  "{\"email\":\"new@example.org\"}" },
	{ "PATCH", "/api/admin/users/" FAULTS_ID, "name", "profile",
	  "{\"name\":\"new\"}" },
	{ "POST", "/api/cache/invalidate", "pattern", "x",
	  "{\"pattern\":\"models:*\"}" },
	{ "POST", "/api/admin/cache/refresh", "key", "x",
	  "{\"key\":\"models:alpha:all\"}" },
};

struct http_response *
faults_get(const char *path, const char *login)
{
	struct http_response *r = stack_get(path, login, NULL);

	ck_assert_msg(r->status != 0, "%s", stack_describe(r));
	stack_assert_discreet(r);
	return (r);
}

static void
assert_in_time(const struct http_response *r, double limit_ms)
{
	ck_assert_msg(r->ms < harness_limit_ms(limit_ms), "%.0f ms: %s", r->ms,
		      stack_describe(r));
}

struct http_response *
faults_ok(const char *path, const char *login, double limit_ms)
{
	struct http_response *r = faults_get(path, login);

	assert_status(r, 200);
	assert_in_time(r, limit_ms);
	return (r);
}

int
faults_add_model(const char *login, const char *name)
{
	const struct http_response *r = stack_request(
		"POST", "/api/models",
		scratch_printf("{\"model_id\":\"acme/%s\",\"name\":\"%s\"}",
			       name, name),
		login, "Content-Type: application/json", NULL);

	stack_assert_discreet(r);
	if (r->status == 503)
		stack_assert_refusal(r);
	assert_in_time(r, SLOWEST_MS);
	return (r->status);
}

size_t
faults_count_models(const char *login)
{
	const struct http_response *r = faults_ok(MINE, login, SLOWEST_MS);

	return (tree_count(tree_parse(r->body, r->body_len), "data"));
}

bool
faults_is_stored(const char *key)
{
	return (strcmp(harness_sql(stack.owner_url,
				   "SELECT count(*) > 0 FROM cache_entries "
				   "WHERE cache_key LIKE '%s%%'",
				   key),
		       "t") == 0);
}

struct harness_redis *
faults_own_redis(struct harness_proxy **through)
{
	struct harness_redis *r = harness_redis_new(NULL);

	harness_env_set(stack.env, "REDIS_URL", "%s", r->url);
	if (through != NULL) {
		*through = harness_proxy_new(r->socket);
		harness_env_set(stack.env, "REDIS_URL", "redis://127.0.0.1:%u",
				harness_proxy_port(*through));
	}
	return (r);
}

struct harness_postgres *
faults_own_postgres(const char *const *settings, struct harness_proxy **through)
{
	struct harness_postgres *pg = harness_postgres_new(settings);
	struct harness_env *env = harness_env_copy(stack.env);

	stack.owner_url = harness_postgres_database(pg, "faults", NULL);
	stack.worker_url = harness_postgres_url(pg, "warmfront", "faults");
	harness_env_set(env, "DATABASE_URL", "%s", stack.owner_url);
	harness_migrate(env);
	harness_sql(pg->url,
		    "CREATE ROLE warmfront LOGIN IN ROLE warmfront_worker");
	harness_env_set(stack.env, "DATABASE_URL", "%s", stack.worker_url);
	if (through != NULL) {
		*through = harness_proxy_new(scratch_printf("%s/.s.PGSQL.%u",
							    pg->directory,
							    pg->port));
		harness_env_set(stack.env, "DATABASE_URL",
				"postgresql://warmfront@127.0.0.1:%u/faults",
				harness_proxy_port(*through));
	}
	return (pg);
}

unsigned
faults_descriptors(pid_t pid)
{
	DIR *d = opendir(scratch_printf("/proc/%d/fd", (int)pid));
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return (n);
}

static const char *
another_session(void)
{
	return (scratch_printf("%s&application_name=locker", stack.owner_url));
}

void
faults_lock(const char *table)
{
	harness_sql(another_session(),
		    "BEGIN; LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", table);
}

void
faults_unlock(void)
{
	harness_sql(another_session(), "ROLLBACK");
}

void
faults_use_upstream(const char *url)
{
	harness_env_set(stack.env, "MODELS_GATEWAYS", "alpha=%s/alpha/models",
			url);
}

TCase *
faults_case(Suite *s, const char *name)
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, stack_begin, stack_end);
	suite_add_tcase(s, t);
	return (t);
}
