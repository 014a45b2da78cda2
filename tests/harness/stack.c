/* SPDX-License-Identifier: MIT */
#include "stack.h"
#include "discreet.h"
#include "process.h"
#include "scratch.h"
#include "sql.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define HEADERS_MAX 31
#define TEMPLATE "template_warmfront"

struct stack stack;

/* The migrated database that tests get copies of. */
static void
make_template(void)
{
	const char *url =
		harness_postgres_database(stack.postgres, TEMPLATE, NULL);
	struct harness_env *env = harness_env_new();

	harness_env_set(env, "DATABASE_URL", "%s", url);
	harness_migrate(env);
	harness_sql(stack.postgres->url,
		    "CREATE ROLE warmfront LOGIN IN ROLE warmfront_worker");
}

void
stack_start(void)
{
	memset(&stack, 0, sizeof(stack));
	stack.postgres = harness_postgres_new(NULL);
	stack.redis = harness_redis_new(NULL);
	stack.upstream = harness_upstream_new((const char *const[]){
		"--models", scratch_printf("%d", STACK_MODELS), NULL });
	stack.socket = scratch_printf("%s/w", scratch_directory("stack"));
	stack.nginx = harness_nginx_new(&(struct harness_nginx_options){
		.worker = scratch_printf("unix:%s", stack.socket),
		.keep = 512,
	});
	make_template();
}

void
stack_stop(void)
{
	harness_nginx_stop(stack.nginx);
	harness_upstream_stop(stack.upstream);
	harness_redis_stop(stack.redis);
	harness_postgres_stop(stack.postgres);
}

static void
fresh_database(void)
{
	const char *database = scratch_printf("test_%d", (int)getpid());

	stack.owner_url =
		harness_postgres_database(stack.postgres, database, TEMPLATE);
	stack.worker_url =
		harness_postgres_url(stack.postgres, "warmfront", database);
}

void
stack_begin(void)
{
	const char *base = stack.upstream->url;

	fresh_database();
	harness_redis_command(stack.redis, "FLUSHALL");
	http_request("POST", scratch_printf("%s/control/reset", base), NULL,
		     NULL);
	if (truncate(stack.upstream->log, 0) != 0)
		ck_abort_msg("%s", stack.upstream->log);
	stack.worker = NULL;
	stack.env = harness_env_new();
	harness_env_set(stack.env, "DATABASE_URL", "%s", stack.worker_url);
	harness_env_unset(stack.env, "DISABLE_REDIS_CACHE");
	harness_env_set(stack.env, "REDIS_URL", "%s", stack.redis->url);
	harness_env_set(stack.env, "MODELS_GATEWAYS",
			"alpha=%s/alpha/models,beta=%s/beta/models", base,
			base);
}

void
stack_end(void)
{
	harness_worker_stop(stack.worker);
}

void
stack_workers(unsigned n)
{
	stack.worker = harness_worker_new(&(struct harness_worker_options){
		.env = stack.env, .processes = n, .socket = stack.socket });
}

const char *
stack_url(const char *path)
{
	return (scratch_printf("%s%s", stack.nginx->url, path));
}

static void
collect(const char **headers, va_list more)
{
	unsigned n = 0;

	while (n < HEADERS_MAX && (headers[n] = va_arg(more, const char *)))
		n++;
	headers[n] = NULL;
}

struct http_response *
stack_get(const char *path, ...)
{
	const char *headers[HEADERS_MAX + 1];
	va_list more;

	va_start(more, path);
	collect(headers, more);
	va_end(more);
	return (http_send(&(struct http_request){ .url = stack_url(path),
						  .headers = headers }));
}

struct http_response *
stack_request(const char *method, const char *path, const char *body, ...)
{
	const char *headers[HEADERS_MAX + 1];
	va_list more;

	va_start(more, body);
	collect(headers, more);
	va_end(more);
	return (http_send(&(struct http_request){ .method = method,
						  .url = stack_url(path),
						  .body = body,
						  .headers = headers }));
}

const char *
stack_login(const char *email, const char *role)
{
	struct harness_env *env = harness_env_copy(stack.env);

	harness_env_set(env, "DATABASE_URL", "%s", stack.owner_url);
	return (scratch_printf("Authorization: Bearer %s",
			       harness_key(env, email, role)));
}

void
stack_age_fast(void)
{
	harness_env_set(stack.env, "MODELS_CACHE_TTL_MS", "1000");
	harness_env_set(stack.env, "MODELS_CACHE_REFRESH_MS", "0");
	harness_env_set(stack.env, "MODELS_CACHE_GRACE_MS", "60000");
}

void
stack_slow_log(int ms)
{
	harness_sql(stack.owner_url,
		    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql "
		    "AS $$BEGIN PERFORM pg_sleep(%d / 1000.0); RETURN NEW; "
		    "END $$; "
		    "CREATE TRIGGER slow BEFORE UPDATE ON cache_log "
		    "FOR EACH ROW EXECUTE FUNCTION slow()",
		    ms);
}

const char *
stack_describe(const struct http_response *r)
{
	return (scratch_printf(
		"%d (%s, %.1f ms)\n%s\n%.600s\n--- worker:\n%s", r->status,
		r->error != NULL ? r->error : "whole", r->ms, r->headers,
		r->body,
		stack.worker != NULL
			? scratch_tail(scratch_printf("%s.log", stack.socket))
			: ""));
}

#define DIGITS "0123456789"

/* Words of a setting with a digit in them were made for this test: ports, databases,
 * passwords.  A report has numbers of its own. */
static const char *
own_word(const char *setting, const char *text, enum discretion d)
{
	const char *word = setting, *found = NULL;
	size_t len;

	for (; found == NULL && *word != '\0'; word += len + (word[len] != 0)) {
		len = strcspn(word, "/:@?&=,");
		if (len >= 4 && strcspn(word, DIGITS) < len &&
		    (d == REFUSAL || strspn(word, DIGITS) < len) &&
		    memmem(text, strlen(text), word, len) != NULL)
			found = scratch_copy(word, len);
	}
	return (found);
}

static const char *
leak(const char *text, enum discretion d)
{
	static const char *const urls[] = { "DATABASE_URL", "REDIS_URL",
					    "MODELS_GATEWAYS" };
	static const char *const secrets[] = { "CACHE_KEY_SECRET",
					       "CRON_SECRET",
					       "GATEWAY_ALPHA_API_KEY" };
	const char *found = discreet_leak(text, d), *value;

	for (unsigned i = 0; i < 3 && found == NULL; i++) {
		value = harness_env_get(stack.env, urls[i]);
		if (value != NULL)
			found = own_word(value, text, d);
		value = harness_env_get(stack.env, secrets[i]);
		if (found == NULL && value != NULL &&
		    strstr(text, value) != NULL)
			found = value;
	}
	return (found);
}

/* Cache-Status names the tier; nginx names itself. */
static const char *
leak_in_headers(const struct http_response *r, enum discretion d)
{
	const char *line = r->headers, *found = NULL;
	size_t len;

	for (; found == NULL && *line != '\0'; line += len + (line[len] != 0)) {
		len = strcspn(line, "\n");
		if (strncasecmp(line, "Cache-Status:", 13) != 0 &&
		    strncasecmp(line, "Server:", 7) != 0)
			found = leak(scratch_copy(line, len), d);
	}
	return (found);
}

void
stack_assert_discreet(const struct http_response *r)
{
	const char *type = http_header(r, "Content-Type"), *found;
	enum discretion d = r->status < 400 || (type != NULL &&
						strstr(type, "/json") != NULL)
				    ? REPORT
				    : REFUSAL;

	if (r->status == 0)
		return;
	found = leak_in_headers(r, d);
	if (found == NULL)
		found = leak(r->body, d);
	ck_assert_msg(found == NULL, "shows \"%s\": %s", found,
		      stack_describe(r));
}

void
stack_assert_refusal(const struct http_response *r)
{
	ck_assert_msg(r->status == 502 || r->status == 503 || r->status == 504,
		      "%s", stack_describe(r));
	ck_assert_str_eq(http_header(r, "Content-Type"),
			 "application/problem+json");
	ck_assert_msg(http_header(r, "Retry-After") != NULL, "%s",
		      stack_describe(r));
	ck_assert_int_ge(atoi(http_header(r, "Retry-After")), 1);
	stack_assert_discreet(r);
}

static const char *complaint = "";

bool
stack_has_status(const struct http_response *r, int wanted)
{
	if (r->status == wanted)
		return (true);
	complaint = scratch_printf("not %d, but %s", wanted, stack_describe(r));
	return (false);
}

bool
stack_has_cache(const struct http_response *r, const char *wanted,
		const char *tier)
{
	const char *cache = http_header(r, "X-Cache");
	const char *status = http_header(r, "Cache-Status");
	const char *detail =
		scratch_printf("detail=%s", tier != NULL ? tier : "");

	if (cache != NULL && strcmp(cache, wanted) == 0 && status != NULL &&
	    (tier == NULL || strstr(status, detail) != NULL))
		return (true);
	complaint = scratch_printf("not %s %s, but %s", wanted,
				   tier != NULL ? detail : "",
				   stack_describe(r));
	return (false);
}

const char *
stack_complaint(void)
{
	return (complaint);
}

unsigned
stack_upstream_count(const char *prefix)
{
	return (harness_upstream_count(stack.upstream, prefix));
}
