/* SPDX-License-Identifier: MIT */
/* What operators see and do, over real servers. */
#include "../harness/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_operations(void);

#define ALPHA "/api/models?gateway=alpha"
#define CRON "Authorization: Bearer " HARNESS_CRON_SECRET

static json_t *
tree_of(const struct http_response *r)
{
	assert_status(r, 200);
	return (tree_parse(r->body, r->body_len));
}

static json_t *
stats(const char *admin)
{
	return (tree_at(tree_of(stack_get("/api/admin/cache/stats", admin,
					  NULL)),
			"data"));
}

static const char *
scrape(void)
{
	const struct http_response *r = stack_get("/metrics", CRON, NULL);

	assert_status(r, 200);
	ck_assert_ptr_nonnull(
		strstr(http_header(r, "Content-Type"), "text/plain"));
	return (r->body);
}

/* The sum of a family's samples whose line contains `with`. */
static double
sum_of(const char *text, const char *family, const char *with)
{
	size_t len = strlen(family);
	double sum = 0;
	char *copy = scratch_printf("%s", text), *line, *save = NULL;

	for (line = strtok_r(copy, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save))
		if (strncmp(line, family, len) == 0 &&
		    (line[len] == '{' || line[len] == ' ') &&
		    strstr(line, with) != NULL)
			sum += strtod(strrchr(line, ' '), NULL);
	return (sum);
}

static long
requests_in(const char *text)
{
	static const char *const families[] = {
		"warmfront_cache_hits_total", "warmfront_cache_stale_total",
		"warmfront_cache_misses_total", "warmfront_cache_errors_total",
		"warmfront_cache_bypasses_total"
	};
	double sum = 0;

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		sum += sum_of(text, families[i], "category=\"models\"");
	return ((long)sum);
}

static void
ask_often(const char *path, unsigned n)
{
	const struct http_request request = { .url = stack_url(path),
					      .drop_body = true };
	struct http_response *all;

	for (; n > 0; n -= n < 100 ? n : 100) {
		unsigned some = n < 100 ? n : 100;

		all = http_many(&request, some);
		for (unsigned i = 0; i < some; i++)
			ck_assert_int_eq(all[i].status, 200);
		http_free(all, some);
	}
}

/* All of PostgreSQL: its connections are processes of their own. */
static void
signal_postgres(int number)
{
	pid_t children[64], pid = process_pid(stack.postgres->process);
	unsigned i, n = process_children(pid, children, 64);

	process_signal(stack.postgres->process, number);
	for (i = 0; i < n; i++)
		kill(children[i], number);
}

/* Metrics. */

START_TEST(ten_thousand_requests_of_four_workers_are_ten_thousand_on_any)
{
	stack_workers(4);
	ask_often(ALPHA, 10000);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(requests_in(scrape()), 10000);
	ck_assert(sum_of(scrape(), "warmfront_workers", "") == 4);
	ck_assert(sum_of(scrape(), "warmfront_metrics_whole", "") == 1);
	ck_assert(sum_of(scrape(), "warmfront_metrics_current", "") == 1);
}
END_TEST

START_TEST(metrics_survive_a_restart)
{
	stack_workers(2);
	ask_often(ALPHA, 500);
	harness_worker_stop(stack.worker);
	harness_worker_start(stack.worker);
	ck_assert_int_eq(requests_in(scrape()), 500);
	ask_often(ALPHA, 20);
	ck_assert_int_eq(requests_in(scrape()), 520);
	ck_assert(sum_of(scrape(), "warmfront_workers", "") == 2);
}
END_TEST

START_TEST(killed_worker_takes_a_second_of_counting_at_most)
{
	stack_workers(2);
	ask_often(ALPHA, 300);
	wait_until(requests_in(scrape()) == 300, 5000);
	harness_worker_kill_all(stack.worker);
	harness_worker_start(stack.worker);
	ck_assert_int_eq(requests_in(scrape()), 300);
}
END_TEST

START_TEST(metrics_of_one_worker_are_there_while_postgres_is_not)
{
	const char *text;

	stack_workers(1);
	ask_often(ALPHA, 50);
	signal_postgres(SIGSTOP);
	text = scrape();
	signal_postgres(SIGCONT);
	ck_assert(sum_of(text, "warmfront_metrics_whole", "") == 0);
	ck_assert_int_eq(requests_in(text), 50);
	wait_until(sum_of(scrape(), "warmfront_metrics_whole", "") == 1, 10000);
	ck_assert_int_eq(requests_in(scrape()), 50);
}
END_TEST

/* They do not wait long, and that is no sign of an outage. */
START_TEST(metrics_that_get_no_answer_in_time_harm_nobody)
{
	const char *anna = stack_login("anna@example.org", "user");
	const char *locker =
		scratch_printf("%s&application_name=locker", stack.owner_url);
	const struct http_request metrics = {
		.url = stack_url("/metrics"),
		.headers = (const char *const[]){ CRON, NULL },
	};
	const struct http_response *all;

	stack_workers(1);
	assert_status(stack_get("/api/user/data", anna, NULL), 200);
	harness_sql(locker, "BEGIN; LOCK TABLE cache_workers "
			    "IN ACCESS EXCLUSIVE MODE");
	all = http_many(&metrics, 8);
	assert_status(stack_request("POST", "/api/usage", "{\"model\":\"m\"}",
				    anna, "Content-Type: application/json",
				    NULL),
		      201);
	for (unsigned i = 0; i < 8; i++)
		assert_status(&all[i], 200);
	harness_sql(locker, "ROLLBACK");
}
END_TEST

START_TEST(metrics_tell_of_all_there_is_to_know)
{
	static const char *const wanted[] = {
		"warmfront_cache_cached_answer_seconds_bucket{category="
		"\"models\",tier=\"memory\",le=\"0.000050\"}",
		"warmfront_cache_uncached_answer_seconds_count{category="
		"\"models\"} 1",
		"warmfront_upstream_calls_total{gateway=\"alpha\"} 1",
		"warmfront_breaker_workers{dependency=\"postgres\",state="
		"\"closed\"} 1",
		"warmfront_breaker_workers{dependency=\"gateway alpha\",state="
		"\"closed\"} 1",
		"warmfront_cache_entries{category=\"models\",tier=\"postgres\"}"
		" 1",
		"warmfront_cache_entries{category=\"models\",tier=\"memory\"} 1",
		"warmfront_cache_entries{category=\"user_data\",tier=\"memory\"} 1",
		"warmfront_cache_entries{category=\"models\",tier=\"redis\"} 1",
		"warmfront_cache_bytes{category=\"models\",tier=\"memory\"} ",
		"warmfront_cache_bytes{category=\"user_data\",tier=\"redis\"} ",
		"warmfront_http_responses_total{code=\"2xx\"}",
		"# TYPE warmfront_cache_hits_total counter",
	};
	const char *user = stack_login("someone@example.org", "user");
	const char *text;

	stack_workers(1);
	for (int i = 0; i < 3; i++) {
		assert_status(stack_get(ALPHA, NULL), 200);
		assert_status(stack_get("/api/user/data", user, NULL), 200);
	}
	text = scrape();
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		ck_assert_msg(strstr(text, wanted[i]) != NULL,
			      "no %s in\n%.3000s", wanted[i],
			      strstr(text, "# HELP warmfront_cache_entries"));
	ck_assert_ptr_null(strstr(text, "someone"));
	ck_assert_ptr_null(strstr(text, "user:"));
}
END_TEST

/* With Prometheus's own tool, where there is one. */
START_TEST(metrics_are_to_the_taste_of_promtool)
{
	const char *file =
		scratch_printf("%s/metrics", scratch_directory("promtool"));
	const char *const argv[] = {
		"sh", "-c",
		scratch_printf("command -v promtool >/dev/null || exit 0; "
			       "promtool check metrics <%s 2>&1",
			       file),
		NULL
	};
	struct process_result result;

	stack_workers(1);
	ask_often(ALPHA, 3);
	tree_of(stack_get("/cron/cache-warming", CRON, NULL));
	scratch_write(file, scrape());
	result = process_run(&(struct process_options){ .argv = argv });
	ck_assert_msg(result.status == 0, "%d: %s", result.status, result.out);
}
END_TEST

START_TEST(metrics_are_for_cron_and_admins)
{
	const char *admin = stack_login("root@example.org", "admin");
	const char *user = stack_login("someone@example.org", "user");

	stack_workers(1);
	assert_status(stack_get("/metrics", NULL), 401);
	assert_status(stack_get("/metrics", user, NULL), 403);
	assert_status(stack_get("/metrics", admin, NULL), 200);
	assert_status(stack_get("/metrics", CRON, NULL), 200);
	assert_status(stack_get("/metrics", CRON "x", NULL), 401);
	assert_status(stack_get("/api/admin/cache/stats", user, NULL), 403);
}
END_TEST

/* Statistics. */

START_TEST(stats_have_the_numbers_that_the_contract_names)
{
	const char *admin = stack_login("root@example.org", "admin");
	json_t *s, *m;

	stack_workers(2);
	ask_often(ALPHA, 1);
	ask_often(ALPHA, 9);
	s = stats(admin);
	ck_assert_int_eq(tree_int(s, "requests"), 10);
	ck_assert_int_ge(tree_int(s, "hits"), 1);
	ck_assert(json_real_value(tree_at(s, "hit_rate")) +
			  json_real_value(tree_at(s, "miss_rate")) ==
		  1.0);
	ck_assert(json_is_number(tree_at(s, "avg_response_time_cached")));
	ck_assert(json_real_value(tree_at(s, "avg_response_time_uncached")) >
		  0);
	ck_assert(json_real_value(tree_at(s, "cache_size_mb")) > 0);
	ck_assert(json_is_integer(tree_at(s, "expired_entries_cleaned")));
	ck_assert(json_is_array(tree_at(s, "recommendations")));
	m = tree_at(tree_of(stack_get("/api/cache/invalidate?metrics=true",
				      admin, NULL)),
		    "metrics.models");
	ck_assert_int_eq(tree_int(m, "hits") + tree_int(m, "misses"), 10);
	ck_assert(json_is_number(tree_at(m, "hitRate")));
	ck_assert_int_eq(tree_int(m, "errors"), 0);
	s = tree_of(stack_get("/api/cache/invalidate?metrics=true"
			      "&pattern=models:*",
			      admin, NULL));
	ck_assert_int_eq(tree_int(s, "total"), 1);
	ck_assert_ptr_nonnull(tree_at(s, "metrics.models"));
}
END_TEST

START_TEST(cleaned_entries_are_counted)
{
	const char *admin = stack_login("root@example.org", "admin");

	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	harness_sql(stack.owner_url, "UPDATE cache_entries SET expires_at = "
				     "now() WHERE cache_key LIKE 'models:%%'");
	tree_of(stack_get("/cron/cache-warming", CRON, NULL));
	ck_assert_int_ge(tree_int(stats(admin), "expired_entries_cleaned"), 1);
}
END_TEST

/* Health. */

static json_t *
health(int status)
{
	const struct http_response *r = stack_get("/api/health/cache", NULL);

	assert_status(r, status);
	ck_assert_msg(r->ms < 200, "%.1f ms", r->ms);
	ck_assert_ptr_null(http_header(r, "X-Cache"));
	return (tree_at(tree_parse(r->body, r->body_len), "data"));
}

START_TEST(health_is_ok_while_all_is_there)
{
	json_t *h;

	stack_workers(1);
	wait_until(tree_int(health(200), "log.position") > 0, 5000);
	h = health(200);
	ck_assert_str_eq(tree_string(h, "status"), "ok");
	ck_assert_str_eq(tree_string(h, "tiers.memory.state"), "up");
	ck_assert_str_eq(tree_string(h, "tiers.redis.state"), "up");
	ck_assert_str_eq(tree_string(h, "tiers.postgres.state"), "up");
	ck_assert_str_eq(tree_string(h, "tiers.postgres.breaker"), "closed");
	ck_assert(json_is_number(tree_at(h, "tiers.redis.latency_ms")));
	ck_assert_str_eq(tree_string(h, "gateways.alpha.breaker"), "closed");
	ck_assert_int_eq(tree_int(h, "log.behind"), 0);
}
END_TEST

START_TEST(health_answers_in_time_whatever_stands_still)
{
	int which = _i + 1; /* 1: PostgreSQL, 2: Redis, 3: both */
	json_t *h;

	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	health(200);
	if (which & 1)
		signal_postgres(SIGSTOP);
	if (which & 2)
		process_signal(stack.redis->process, SIGSTOP);
	wait_until(strcmp(tree_string(h = health(200), "status"), "degraded") ==
			   0,
		   5000);
	for (int i = 0; i < 100; i++)
		h = health(200);
	signal_postgres(SIGCONT);
	process_signal(stack.redis->process, SIGCONT);
	ck_assert_str_eq(tree_string(h, "tiers.postgres.state"),
			 which & 1 ? "down" : "up");
	ck_assert_str_eq(tree_string(h, "tiers.redis.state"),
			 which & 2 ? "down" : "up");
	wait_until(strcmp(tree_string(health(200), "status"), "ok") == 0,
		   15000);
}
END_TEST

START_TEST(health_is_503_when_there_is_nothing_to_answer_from)
{
	struct harness_postgres *pg = harness_postgres_new(NULL);

	harness_env_set(stack.env, "DISABLE_REDIS_CACHE", "true");
	harness_env_unset(stack.env, "MODELS_GATEWAYS");
	harness_env_set(stack.env, "DATABASE_URL", "%s", pg->url);
	harness_postgres_stop(pg);
	stack_workers(1);
	ck_assert_str_eq(tree_string(health(503), "status"), "down");
	ck_assert_str_eq(tree_string(health(503), "tiers.redis.state"), "off");
}
END_TEST

START_TEST(health_answers_while_all_loaders_are_busy)
{
	struct http_response *all;
	const struct http_request requests[] = {
		{ .url = stack_url(ALPHA) },
		{ .url = stack_url("/api/models?gateway=beta") },
		{ .url = stack_url("/api/models") },
		{ .url = stack_url("/api/health/cache") },
	};

	harness_env_set(stack.env, "LOADER_THREADS", "1");
	harness_upstream_control(stack.upstream, "path=/&delay_ms=1500");
	stack_workers(1);
	all = http_all(requests, 4);
	ck_assert_int_eq(all[3].status, 200);
	ck_assert_msg(all[3].ms < 1000, "%.1f ms", all[3].ms);
}
END_TEST

/* Invalidation by hand. */

static json_t *
invalidate(const char *admin, const char *body)
{
	return (tree_at(tree_of(stack_request("POST", "/api/cache/invalidate",
					      body, admin,
					      "Content-Type: application/json",
					      NULL)),
			"data"));
}

static const struct {
	const char *body;
	long long entries;
	const char *scope;
	bool alpha, beta; /* gone? */
} forms[] = {
	{ "{\"category\":\"models\"}", 2, "models:*", true, true },
	{ "{\"category\":\"all\"}", 3, "*", true, true },
	{ "{\"category\":\"usage\"}", 0, "usage:*", false, false },
	{ "{\"pattern\":\"models:*\"}", 2, "models:*", true, true },
	{ "{\"pattern\":\"models:alpha:all\"}", 1, "models:alpha:all", true,
	  false },
	{ "{\"pattern\":\"*:alpha:*\"}", 3, "*", true, true },
	{ "{\"pattern\":\"mod*beta*\"}", 3, "*", true, true },
	{ "{\"pattern\":\"models:alph?:all\"}", 2, "models:*", true, true },
	{ "{\"pattern\":\"models:alpha:*l\"}", 1, "models:alpha:*", true,
	  false },
	{ "{\"pattern\":\"models:a_pha:all\"}", 0, "models:a_pha:all", false,
	  false },
	{ "{\"event\":\"models.synced\"}", 2, "models:*", true, true },
};

START_TEST(each_form_of_invalidation_takes_out_what_it_names)
{
	const char *admin = stack_login("root@example.org", "admin");
	json_t *answer;

	stack_workers(2);
	assert_status(stack_get(ALPHA, NULL), 200);
	assert_status(stack_get("/api/models?gateway=beta", NULL), 200);
	assert_status(stack_get("/metrics", admin, NULL), 200);
	answer = invalidate(admin, forms[_i].body);
	ck_assert_int_eq(tree_int(answer, "invalidated"), forms[_i].entries);
	ck_assert_str_eq(tree_string(answer, "scopes.0"), forms[_i].scope);
	assert_cache(stack_get(ALPHA, NULL), forms[_i].alpha ? "MISS" : "HIT",
		     NULL);
	assert_cache(stack_get("/api/models?gateway=beta", NULL),
		     forms[_i].beta ? "MISS" : "HIT", NULL);
}
END_TEST

/* What PostgreSQL knows nothing of: an entry that it had no room for, and one that is
 * loaded for the first time. */

START_TEST(pattern_takes_out_what_only_memory_has)
{
	const char *admin = stack_login("root@example.org", "admin");

	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	harness_sql(stack.owner_url, "SELECT cache_shrink(0)");
	assert_cache(stack_get(ALPHA, NULL), "HIT", "memory");
	invalidate(admin, "{\"pattern\":\"models:*:all\"}");
	assert_cache(stack_get(ALPHA, NULL), "MISS", NULL);
}
END_TEST

START_TEST(pattern_counts_against_a_first_load)
{
	const char *admin = stack_login("root@example.org", "admin");
	int fd;

	harness_upstream_control(stack.upstream, "path=/alpha&delay_ms=1500");
	stack_workers(1);
	fd = fcgi_connect(stack.socket);
	fcgi_send(fd, &(struct fcgi_request){ .uri = ALPHA });
	wait_until(stack_upstream_count("/alpha") == 1, 5000);
	invalidate(admin, "{\"pattern\":\"models:*:all\"}");
	assert_status(fcgi_receive(fd, 5000), 200);
	close(fd);
	assert_cache(stack_get(ALPHA, NULL), "MISS", NULL);
}
END_TEST

START_TEST(soft_invalidation_serves_the_old_while_it_loads_the_new)
{
	const char *admin = stack_login("root@example.org", "admin");

	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	ck_assert_int_eq(tree_int(invalidate(admin, "{\"category\":\"models\","
						    "\"soft\":true}"),
				  "invalidated"),
			 1);
	assert_cache(stack_get(ALPHA, NULL), "STALE", NULL);
	wait_until(strcmp(http_header(stack_get(ALPHA, NULL), "X-Cache"),
			  "HIT") == 0,
		   10000);
}
END_TEST

/* What is made of a stale part is stale, and is left alone for a while; but when it may
 * be served no more, it is made anew. */
START_TEST(whole_of_stale_parts_that_is_taken_out_is_made_anew)
{
	const char *admin = stack_login("root@example.org", "admin");

	stack_workers(1);
	assert_status(stack_get("/api/models", NULL), 200);
	harness_upstream_control(stack.upstream, "path=/alpha&mode=hang");
	invalidate(admin, "{\"pattern\":\"models:alpha:all\",\"soft\":true}");
	for (int i = 0; i < 3; i++) {
		invalidate(admin, "{\"pattern\":\"models:all:all\"}");
		assert_status(stack_get("/api/models", NULL), 200);
	}
}
END_TEST

/* The first look at the log is a short one. */
START_TEST(invalidation_waits_for_a_slow_log)
{
	const char *admin = stack_login("root@example.org", "admin");

	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	stack_slow_log(800);
	ck_assert_int_eq(
		tree_int(invalidate(admin, "{\"pattern\":\"models:alpha:*\"}"),
			 "invalidated"),
		1);
	assert_cache(stack_get(ALPHA, NULL), "MISS", NULL);
}
END_TEST

START_TEST(invalidation_has_more_time_than_other_statements)
{
	const char *admin = stack_login("root@example.org", "admin");

	harness_env_set(stack.env, "DATABASE_TIMEOUT_MS", "500");
	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	harness_sql(stack.owner_url,
		    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql "
		    "AS $$BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$; "
		    "CREATE TRIGGER slow BEFORE DELETE ON cache_entries "
		    "FOR EACH STATEMENT EXECUTE FUNCTION slow()");
	ck_assert_int_eq(
		tree_int(invalidate(admin, "{\"pattern\":\"models:alpha:*\"}"),
			 "invalidated"),
		1);
}
END_TEST

START_TEST(event_takes_out_one_users_entries)
{
	const char *admin = stack_login("root@example.org", "admin");
	const char *user = stack_login("someone@example.org", "user");
	const char *id;

	stack_workers(1);
	id = harness_sql(stack.owner_url, "SELECT id FROM users WHERE email = "
					  "'someone@example.org'");
	assert_status(stack_get("/api/user/data", user, NULL), 200);
	assert_status(stack_get("/api/user/data", admin, NULL), 200);
	ck_assert_int_ge(
		tree_int(invalidate(
				 admin,
				 scratch_printf("{\"event\":\"user.profile."
						"updated\",\"userId\":\"%s\"}",
						id)),
			 "invalidated"),
		1);
	assert_cache(stack_get("/api/user/data", user, NULL), "MISS", NULL);
	assert_cache(stack_get("/api/user/data", admin, NULL), "HIT", NULL);
}
END_TEST

static const char *const malformed[] = {
	"{}",
	"[]",
	"{\"category\":\"nothing\"}",
	"{\"category\":\"models\",\"pattern\":\"*\"}",
	"{\"event\":\"no.such.event\"}",
	"{\"pattern\":\"\"}",
	"{\"category\":\"models\",\"soft\":\"yes\"}",
	("{\"category\":\"models\",\"userId\":"
	 "\"0a0a0a0a-0000-4000-8000-000000000000\"}"),
	"{\"all\":true}",
};

START_TEST(malformed_invalidation_is_refused)
{
	const char *admin = stack_login("root@example.org", "admin");

	stack_workers(1);
	assert_status(stack_request("POST", "/api/cache/invalidate",
				    malformed[_i], admin,
				    "Content-Type: application/json", NULL),
		      400);
}
END_TEST

START_TEST(keys_are_listed_by_pattern_in_pages)
{
	const char *admin = stack_login("root@example.org", "admin");
	json_t *page;

	stack_workers(1);
	assert_status(stack_get("/api/models", NULL), 200);
	wait_until(tree_int(page = tree_of(stack_get(
				    "/api/cache/invalidate?pattern=models:*",
				    admin, NULL)),
			    "total") == 3,
		   5000);
	ck_assert_str_eq(tree_string(page, "data.0.key"), "models:all:all");
	ck_assert_str_eq(tree_string(page, "data.0.tier"), "memory");
	ck_assert_int_gt(tree_int(page, "data.0.ttl_seconds"), 400);
	ck_assert_int_gt(tree_int(page, "data.0.size_bytes"), 1000);
	ck_assert_uint_eq(tree_count(page, "data.0.tiers"), 3);
	page = tree_of(stack_get("/api/cache/invalidate?pattern=models:*"
				 "&limit=1&offset=2",
				 admin, NULL));
	ck_assert_uint_eq(tree_count(page, "data"), 1);
	ck_assert_str_eq(tree_string(page, "data.0.key"), "models:beta:all");
	page = tree_of(stack_get("/api/cache/invalidate?pattern=models:*"
				 "&offset=9",
				 admin, NULL));
	ck_assert_int_eq(tree_int(page, "total"), 3);
	ck_assert_uint_eq(tree_count(page, "data"), 0);
	assert_status(stack_get("/api/cache/invalidate?limit=1000", admin,
				NULL),
		      400);
}
END_TEST

START_TEST(refresh_loads_a_stored_key_now)
{
	const char *admin = stack_login("root@example.org", "admin");
	const char *user = stack_login("someone@example.org", "user");
	const char *json = "Content-Type: application/json", *key;

	stack_workers(2);
	assert_status(stack_get(ALPHA, NULL), 200);
	harness_upstream_control(stack.upstream, "path=/alpha&mode=version:2");
	assert_status(stack_request("POST", "/api/admin/cache/refresh",
				    "{\"key\":\"models:alpha:all\"}", admin,
				    json, NULL),
		      200);
	wait_until(strstr(stack_get(ALPHA, NULL)->body, "Edition 2."), 5000);
	assert_status(stack_get("/api/user/data", user, NULL), 200);
	key = harness_sql(stack.owner_url,
			  "SELECT cache_key FROM cache_entries "
			  "WHERE cache_key LIKE 'user:%%'");
	assert_status(stack_request("POST", "/api/admin/cache/refresh",
				    scratch_printf("{\"key\":\"%s\"}", key),
				    admin, json, NULL),
		      200);
	assert_status(stack_request("POST", "/api/admin/cache/refresh",
				    "{\"key\":\"models:beta:all\"}", admin,
				    json, NULL),
		      404);
	assert_status(stack_request("POST", "/api/admin/cache/refresh",
				    "{\"key\":\"no:such:key\"}", admin, json,
				    NULL),
		      404);
}
END_TEST

/* Not for one that began before it was asked for. */
START_TEST(refresh_waits_for_a_load_of_its_own)
{
	const char *admin = stack_login("root@example.org", "admin");
	const struct http_response *r;

	stack_age_fast();
	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	harness_upstream_control(stack.upstream, "path=/alpha&delay_ms=1500");
	wait_until((stack_get(ALPHA, NULL),
		    stack_upstream_count("/alpha") == 2),
		   5000);
	r = stack_request("POST", "/api/admin/cache/refresh",
			  "{\"key\":\"models:alpha:all\"}", admin,
			  "Content-Type: application/json", NULL);
	assert_status(r, 200);
	ck_assert_int_ge(tree_int(tree_parse(r->body, r->body_len),
				  "data.ttl_seconds"),
			 0);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 3);
}
END_TEST

START_TEST(refresh_of_too_large_a_catalogue_is_not_the_fault_of_the_request)
{
	const char *admin = stack_login("root@example.org", "admin");

	harness_env_set(stack.env, "UPSTREAM_MAX_BYTES", "100000");
	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	harness_upstream_control(stack.upstream,
				 "path=/alpha&mode=huge:200000");
	assert_status(stack_request("POST", "/api/admin/cache/refresh",
				    "{\"key\":\"models:alpha:all\"}", admin,
				    "Content-Type: application/json", NULL),
		      502);
}
END_TEST

START_TEST(refreshed_key_is_new_on_every_worker)
{
	const char *admin = stack_login("root@example.org", "admin");
	const struct harness_worker_options own = { .env = stack.env };
	struct harness_worker *one = harness_worker_new(&own);
	struct harness_worker *other = harness_worker_new(&own);

	assert_status(fcgi_get(one->address, ALPHA, NULL), 200);
	harness_upstream_control(stack.upstream, "path=/alpha&mode=version:2");
	assert_status(
		fcgi_ask(
			other->address,
			&(struct fcgi_request){
				.method = "POST",
				.uri = "/api/admin/cache/refresh",
				.headers =
					(const char *const[]){
						admin,
						"Content-Type: application/json",
						NULL },
				.body = "{\"key\":\"models:alpha:all\"}",
			}),
		200);
	wait_until(strstr(fcgi_get(one->address, ALPHA, NULL)->body,
			  "Edition 2."),
		   5000);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 2);
	harness_worker_stop(one);
	harness_worker_stop(other);
}
END_TEST

/* Cron. */

START_TEST(cron_needs_its_secret)
{
	const char *admin = stack_login("root@example.org", "admin");

	stack_workers(1);
	assert_status(stack_get("/cron/cache-warming", NULL), 401);
	assert_status(stack_get("/cron/cache-warming", admin, NULL), 401);
	assert_status(stack_get("/cron/cache-warming", CRON "x", NULL), 401);
	assert_status(stack_get("/cron/cache-warming", CRON, NULL), 200);
	assert_status(stack_request("POST", "/cron/cache-warming", NULL, CRON,
				    NULL),
		      200);
	harness_worker_stop(stack.worker);
	harness_env_unset(stack.env, "CRON_SECRET");
	stack_workers(1);
	assert_status(stack_get("/cron/cache-warming", CRON, NULL), 403);
	assert_status(stack_get("/cron/cache-warming", "Authorization: Bearer ",
				NULL),
		      403);
}
END_TEST

START_TEST(warming_makes_the_first_request_a_hit)
{
	const char *user = stack_login("someone@example.org", "user");
	const char *admin = stack_login("root@example.org", "admin");
	json_t *tasks;

	stack_workers(2);
	harness_sql(stack.owner_url,
		    "INSERT INTO usage_events (user_id, model) "
		    "SELECT id, 'm' FROM users "
		    "WHERE email = 'someone@example.org'");
	tasks = tree_at(tree_of(stack_get("/cron/cache-warming", CRON, NULL)),
			"data.tasks");
	ck_assert_int_eq(tree_int(tree_find(tasks, "task", "models"), "loaded"),
			 1);
	ck_assert_int_eq(tree_int(tree_find(tasks, "task", "user_data"),
				  "loaded"),
			 1);
	ck_assert_ptr_nonnull(tree_find(tasks, "task", "cleanup"));
	assert_cache(stack_get("/api/models", NULL), "HIT", NULL);
	assert_cache(stack_get("/api/user/data", user, NULL), "HIT", NULL);
	assert_cache(stack_get("/api/admin/users", admin, NULL), "HIT", NULL);
	tasks = tree_at(tree_of(stack_get("/cron/cache-warming", CRON, NULL)),
			"data.tasks");
	ck_assert_int_eq(tree_int(tree_find(tasks, "task", "models"), "fresh"),
			 1);
}
END_TEST

START_TEST(failure_of_one_task_holds_up_no_other)
{
	const char *user = stack_login("someone@example.org", "user");
	json_t *tasks;

	harness_sql(stack.owner_url,
		    "INSERT INTO usage_events (user_id, model) "
		    "SELECT id, 'm' FROM users");
	harness_upstream_control(stack.upstream, "path=/&mode=not-json");
	stack_workers(1);
	tasks = tree_at(tree_of(stack_get("/cron/cache-warming", CRON, NULL)),
			"data.tasks");
	ck_assert(json_is_false(
		json_object_get(tree_find(tasks, "task", "models"), "ok")));
	ck_assert_int_eq(tree_int(tree_find(tasks, "task", "models"), "failed"),
			 1);
	ck_assert_int_eq(tree_int(tree_find(tasks, "task", "user_data"),
				  "loaded"),
			 1);
	assert_cache(stack_get("/api/user/data", user, NULL), "HIT", NULL);
}
END_TEST

START_TEST(of_two_crons_at_once_one_does_the_work)
{
	const char *const headers[] = { CRON, NULL };
	const struct http_request request = {
		.url = stack_url("/cron/cache-warming"), .headers = headers
	};
	struct http_response *both;
	unsigned done = 0;

	harness_upstream_control(stack.upstream, "path=/&delay_ms=800");
	stack_workers(2);
	both = http_many(&request, 4);
	for (int i = 0; i < 4; i++)
		done += strcmp(tree_string(tree_of(&both[i]), "data.status"),
			       "done") == 0;
	ck_assert_uint_eq(done, 1);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 1);
	ck_assert_str_eq(tree_string(tree_of(stack_get("/cron/cache-warming",
						       CRON, NULL)),
				     "data.status"),
			 "done");
}
END_TEST

START_TEST(warming_keeps_to_its_time)
{
	const struct http_response *r;

	harness_env_set(stack.env, "WARMING_BUDGET_MS", "300");
	harness_upstream_control(stack.upstream, "path=/&mode=hang");
	harness_env_set(stack.env, "UPSTREAM_TIMEOUT_MS", "20000");
	stack_workers(1);
	r = stack_get("/cron/cache-warming", CRON, NULL);
	assert_status(r, 200);
	ck_assert_msg(r->ms < 3000, "%.1f ms", r->ms);
}
END_TEST

Suite *
suite_operations(void)
{
	Suite *s = suite_create("operations");
	TCase *t = tcase_create("operations");

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, stack_begin, stack_end);
	tcase_add_test(
		t,
		ten_thousand_requests_of_four_workers_are_ten_thousand_on_any);
	tcase_add_test(t, metrics_survive_a_restart);
	tcase_add_test(t, killed_worker_takes_a_second_of_counting_at_most);
	tcase_add_test(t,
		       metrics_of_one_worker_are_there_while_postgres_is_not);
	tcase_add_test(t, metrics_that_get_no_answer_in_time_harm_nobody);
	tcase_add_test(t, metrics_tell_of_all_there_is_to_know);
	tcase_add_test(t, metrics_are_to_the_taste_of_promtool);
	tcase_add_test(t, metrics_are_for_cron_and_admins);
	tcase_add_test(t, stats_have_the_numbers_that_the_contract_names);
	tcase_add_test(t, cleaned_entries_are_counted);
	tcase_add_test(t, health_is_ok_while_all_is_there);
	tcase_add_loop_test(t, health_answers_in_time_whatever_stands_still, 0,
			    3);
	tcase_add_test(t, health_is_503_when_there_is_nothing_to_answer_from);
	tcase_add_test(t, health_answers_while_all_loaders_are_busy);
	tcase_add_loop_test(t,
			    each_form_of_invalidation_takes_out_what_it_names,
			    0, (int)(sizeof(forms) / sizeof(forms[0])));
	tcase_add_test(t, pattern_takes_out_what_only_memory_has);
	tcase_add_test(t, pattern_counts_against_a_first_load);
	tcase_add_test(t,
		       soft_invalidation_serves_the_old_while_it_loads_the_new);
	tcase_add_test(t, whole_of_stale_parts_that_is_taken_out_is_made_anew);
	tcase_add_test(t, invalidation_waits_for_a_slow_log);
	tcase_add_test(t, invalidation_has_more_time_than_other_statements);
	tcase_add_test(t, event_takes_out_one_users_entries);
	tcase_add_loop_test(t, malformed_invalidation_is_refused, 0,
			    (int)(sizeof(malformed) / sizeof(malformed[0])));
	tcase_add_test(t, keys_are_listed_by_pattern_in_pages);
	tcase_add_test(t, refresh_loads_a_stored_key_now);
	tcase_add_test(t, refresh_waits_for_a_load_of_its_own);
	tcase_add_test(
		t,
		refresh_of_too_large_a_catalogue_is_not_the_fault_of_the_request);
	tcase_add_test(t, refreshed_key_is_new_on_every_worker);
	tcase_add_test(t, cron_needs_its_secret);
	tcase_add_test(t, warming_makes_the_first_request_a_hit);
	tcase_add_test(t, failure_of_one_task_holds_up_no_other);
	tcase_add_test(t, of_two_crons_at_once_one_does_the_work);
	tcase_add_test(t, warming_keeps_to_its_time);
	suite_add_tcase(s, t);
	return (s);
}
