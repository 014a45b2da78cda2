/* SPDX-License-Identifier: MIT */
/*
 * Gateways that fail: what was known is still served, and nothing is hammered.
 */
#include "../harness/harness.h"

#include "cache/postgres_tier.h"

#include <stdlib.h>
#include <string.h>

Suite *suite_outage(void);

#define ALPHA "/api/models?gateway=alpha"
#define BETA "/api/models?gateway=beta"

/* In milliseconds; one or the other may meet a busy machine. */
static void
assert_refused_fast(void)
{
	const struct http_response *r;
	unsigned slow = 0;

	for (int i = 0; i < 20; i++) {
		r = stack_get(ALPHA, NULL);
		stack_assert_refusal(r);
		slow += r->ms > harness_limit_ms(10);
	}
	ck_assert_msg(slow <= 5, "%u of 20 took over 10 ms", slow);
}

static bool
is_stale(const struct http_response *r)
{
	const char *status = http_header(r, "Cache-Status");

	assert_status(r, 200);
	if (strcmp(http_header(r, "X-Cache"), "STALE") != 0)
		return (false);
	ck_assert_msg(strstr(status, "fwd=stale") != NULL, "%s",
		      stack_describe(r));
	return (strstr(status, "ttl=-") != NULL); /* not 0 any more */
}

static const struct http_response *
stale_answer(const char *path)
{
	const struct http_response *r;

	wait_until(is_stale(r = stack_get(path, NULL)), 5000);
	return (r);
}

static const char *const faults[] = {
	"status=500",
	"status=503",
	"mode=retry-after:5",
	"mode=not-json",
	"mode=broken-json",
	"mode=truncate",
	"mode=chunk-cut",
	"mode=refuse-reset",
	"mode=redirect:file:///etc/passwd",
	"mode=hang",
	"mode=endless",
	"mode=trickle",
};

START_TEST(fault_is_a_problem_when_nothing_is_known)
{
	harness_env_set(stack.env, "UPSTREAM_TIMEOUT_MS", "1000");
	harness_env_set(stack.env, "UPSTREAM_MAX_BYTES", "1MiB");
	harness_upstream_control(stack.upstream, "path=/alpha&%s", faults[_i]);
	stack_workers(1);
	stack_assert_refusal(stack_get(ALPHA, NULL));
	assert_status(stack_get(BETA, NULL), 200);
}
END_TEST

START_TEST(fault_leaves_what_is_known_as_stale)
{
	const struct http_response *known, *r;

	stack_age_fast();
	harness_env_set(stack.env, "UPSTREAM_TIMEOUT_MS", "1000");
	harness_env_set(stack.env, "UPSTREAM_MAX_BYTES", "1MiB");
	stack_workers(1);
	known = stack_get(ALPHA, NULL);
	assert_status(known, 200);
	harness_upstream_control(stack.upstream, "path=/alpha&%s", faults[_i]);
	r = stale_answer(ALPHA);
	ck_assert(r->body_hash == known->body_hash);
	ck_assert_msg(r->ms < harness_limit_ms(500), "%.0f ms", r->ms);
}
END_TEST

START_TEST(dead_upstream_is_refused_in_milliseconds_and_not_hammered)
{
	struct http_response *all;
	unsigned asked;

	harness_upstream_control(stack.upstream, "path=/alpha&status=500");
	stack_workers(1);
	stack_assert_refusal(stack_get(ALPHA, NULL));
	all = http_many(&(struct http_request){ .url = stack_url(ALPHA) }, 200);
	for (unsigned i = 0; i < 200; i++)
		stack_assert_refusal(&all[i]);
	asked = stack_upstream_count("/alpha");
	ck_assert_msg(asked <= 3, "%u requests for 201", asked);
	assert_refused_fast();
}
END_TEST

/* What a failed load has left in its lease's place, while that counts. */
static bool
is_noted(void)
{
	const char *note = harness_sql(stack.owner_url,
				       "SELECT failure FROM cache_leases WHERE "
				       "cache_key = 'models:alpha:all' "
				       "AND expires_at > clock_timestamp()");

	return (note[0] != '\0');
}

static const char count_updates[] =
	"CREATE TABLE updates (at timestamptz DEFAULT now());"
	"GRANT INSERT ON updates TO warmfront_worker;"
	"CREATE FUNCTION count_update() RETURNS trigger LANGUAGE plpgsql AS $$"
	"BEGIN IF current_query() LIKE 'UPDATE cache_leases%%' THEN "
	"INSERT INTO updates DEFAULT VALUES; END IF; RETURN NULL; END $$;"
	"CREATE TRIGGER count_update AFTER UPDATE ON cache_leases "
	"FOR EACH STATEMENT EXECUTE FUNCTION count_update();";

/* Nor is a lease renewed whose load is over at once. */
START_TEST(note_of_a_failure_stays_as_long_as_it_counts)
{
	const int rounds = 3;

	harness_sql(stack.owner_url, "%s", count_updates);
	harness_env_set(stack.env, "DISABLE_REDIS_CACHE", "true");
	harness_upstream_control(stack.upstream,
				 "path=/alpha&mode=retry-after:2");
	stack_workers(1);
	for (int i = 0; i < rounds; i++) {
		double began = harness_now_ms();

		wait_until((stack_assert_refusal(stack_get(ALPHA, NULL)),
			    is_noted()),
			   5000);
		while (is_noted())
			harness_nap();
		ck_assert_double_ge(harness_now_ms() - began, 1900);
	}
	ck_assert_int_le(atoi(harness_sql(stack.owner_url,
					  "SELECT count(*) FROM updates")),
			 rounds + 1); /* of a slow one */
}
END_TEST

START_TEST(renewal_that_comes_late_leaves_the_note_as_it_is)
{
	const struct bytes key = BYTES("models:alpha:all");
	struct postgres *pg = postgres_new(&(struct postgres_options){
		stack.worker_url, "tested", 1, 5000, 5000 });
	struct lease_state state;

	ck_assert_int_eq(postgres_tier_lease_take(pg, key, "we", 2000, &state),
			 R_OK);
	ck_assert_int_eq(state.outcome, LEASE_WON);
	ck_assert_int_eq(postgres_tier_lease_keep(pg, key, "we", 60000,
						  R_TIMEOUT),
			 R_OK);
	ck_assert_int_eq(postgres_tier_lease_keep(pg, key, "we", 2000, R_OK),
			 R_OK);
	ck_assert_int_eq(postgres_tier_lease_take(pg, key, "they", 2000,
						  &state),
			 R_OK);
	ck_assert_int_eq(state.outcome, LEASE_FAILED);
	ck_assert_int_eq(state.failure, R_TIMEOUT);
	ck_assert_int_gt(state.left_ms, 2000);
	postgres_free(pg);
}
END_TEST

/* The upstream of these tests dies for good: it is theirs alone. */
static struct harness_upstream *
mortal_upstream(void)
{
	struct harness_upstream *u = harness_upstream_new(NULL);

	harness_env_set(stack.env, "MODELS_GATEWAYS", "alpha=%s/alpha/models",
			u->url);
	return (u);
}

START_TEST(refused_connection_is_a_problem_in_milliseconds)
{
	struct harness_upstream *u = mortal_upstream();
	const struct http_response *r;

	harness_upstream_kill(u);
	stack_workers(1);
	r = stack_get(ALPHA, NULL);
	stack_assert_refusal(r);
	ck_assert_msg(r->ms < harness_limit_ms(500), "%.0f ms", r->ms);
	assert_refused_fast();
}
END_TEST

START_TEST(upstream_that_comes_back_is_used_again)
{
	struct harness_upstream *u = mortal_upstream();
	const struct http_response *known, *r;

	stack_age_fast();
	stack_workers(1);
	known = stack_get(ALPHA, NULL);
	assert_status(known, 200);
	harness_upstream_kill(u);
	for (int i = 0; i < 10; i++) {
		r = stale_answer(ALPHA);
		ck_assert(r->body_hash == known->body_hash);
	}
	harness_upstream_start(u);
	harness_upstream_control(u, "path=/&mode=version:7");
	wait_until((r = stack_get(ALPHA, NULL), assert_status(r, 200),
		    strstr(r->body, "Edition 7.") != NULL),
		   30000);
	harness_upstream_stop(u);
}
END_TEST

START_TEST(past_its_grace_an_entry_is_served_no_more)
{
	struct harness_upstream *u = mortal_upstream();

	harness_env_set(stack.env, "MODELS_CACHE_TTL_MS", "500");
	harness_env_set(stack.env, "MODELS_CACHE_REFRESH_MS", "0");
	harness_env_set(stack.env, "MODELS_CACHE_GRACE_MS", "1000");
	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	harness_upstream_kill(u);
	wait_until(stack_get(ALPHA, NULL)->status != 200, 10000);
	stack_assert_refusal(stack_get(ALPHA, NULL));
}
END_TEST

START_TEST(stale_entry_survives_a_respawn)
{
	struct harness_upstream *u = mortal_upstream();
	const struct http_response *known, *r;

	stack_age_fast();
	stack_workers(1);
	known = stack_get(ALPHA, NULL);
	assert_status(known, 200);
	harness_upstream_kill(u);
	stale_answer(ALPHA);
	harness_redis_command(stack.redis, "FLUSHALL");
	harness_worker_respawn(stack.worker);
	r = stale_answer(ALPHA);
	ck_assert(r->body_hash == known->body_hash);
}
END_TEST

/* Two gateways, one in trouble. */

static void
assert_gateways(const struct http_response *r, size_t alpha, size_t beta)
{
	json_t *data, *model;
	size_t i, a = 0, b = 0;

	assert_status(r, 200);
	data = tree_at(tree_parse(r->body, r->body_len), "data");
	json_array_foreach(data, i, model)
	{
		a += strcmp(tree_string(model, "gateway"), "alpha") == 0;
		b += strcmp(tree_string(model, "gateway"), "beta") == 0;
	}
	ck_assert_uint_eq(a, alpha);
	ck_assert_uint_eq(b, beta);
}

/* Those that do not answer cost their patience once, and it is bounded. */
START_TEST(dead_gateway_neither_empties_nor_delays_the_rest)
{
	const struct http_response *r;
	bool is_silent = strstr("mode=hang mode=trickle mode=endless",
				faults[_i]) != NULL;

	harness_upstream_control(stack.upstream, "path=/beta&%s", faults[_i]);
	stack_workers(1);
	r = stack_get("/api/models", NULL);
	assert_gateways(r, STACK_MODELS, 0);
	ck_assert_msg(r->ms < harness_limit_ms((is_silent ? 5000 : 1000)),
		      "%.0f ms", r->ms);
	for (int i = 0; i < 5; i++) {
		r = stack_get("/api/models", NULL);
		assert_gateways(r, STACK_MODELS, 0);
		ck_assert_msg(r->ms < harness_limit_ms(500), "%.0f ms", r->ms);
		r = stack_get(ALPHA, NULL);
		assert_status(r, 200);
		ck_assert_msg(r->ms < harness_limit_ms(500), "%.0f ms", r->ms);
	}
}
END_TEST

START_TEST(gateway_that_comes_back_is_in_the_list_soon)
{
	harness_upstream_control(stack.upstream, "path=/beta&status=500");
	stack_workers(1);
	assert_gateways(stack_get("/api/models", NULL), STACK_MODELS, 0);
	harness_upstream_control(stack.upstream, "path=/beta&mode=normal");
	wait_until(strstr(stack_get("/api/models", NULL)->body,
			  "\"gateway\":\"beta\""),
		   30000);
	assert_gateways(stack_get("/api/models", NULL), STACK_MODELS,
			STACK_MODELS);
}
END_TEST

START_TEST(dead_gateways_known_models_stay_in_the_list)
{
	stack_age_fast();
	stack_workers(1);
	assert_gateways(stack_get("/api/models", NULL), STACK_MODELS,
			STACK_MODELS);
	harness_upstream_control(stack.upstream, "path=/beta&status=500");
	harness_upstream_control(stack.upstream, "path=/alpha&mode=version:4");
	wait_until(strstr(stack_get("/api/models", NULL)->body, "Edition 4."),
		   15000);
	assert_gateways(stack_get("/api/models", NULL), STACK_MODELS,
			STACK_MODELS);
}
END_TEST

static const char *const updates[][2] = {
	{ "/api/admin/sync-models", NULL },
	{ "/api/admin/cache/refresh", "{\"key\":\"models:all:all\"}" },
};

/* At once, and with what is known of a dead one. */
START_TEST(update_shows_what_living_gateways_have)
{
	const struct http_response *r;

	harness_env_set(stack.env, "NEAR_CACHE", "off");
	stack_workers(2);
	assert_gateways(stack_get("/api/models", NULL), STACK_MODELS,
			STACK_MODELS);
	harness_upstream_control(stack.upstream, "path=/beta&status=500");
	harness_upstream_control(stack.upstream, "path=/alpha&mode=version:4");
	assert_status(stack_request("POST", updates[_i][0], updates[_i][1],
				    stack_login("root@example.org", "admin"),
				    "Content-Type: application/json", NULL),
		      200);
	for (int i = 0; i < 6; i++) {
		r = stack_get("/api/models", NULL);
		assert_gateways(r, STACK_MODELS, STACK_MODELS);
		ck_assert_msg(strstr(r->body, "Edition 4.") != NULL, "%s",
			      stack_describe(r));
	}
}
END_TEST

START_TEST(all_gateways_dead_is_a_problem)
{
	const struct http_response *r;

	harness_upstream_control(stack.upstream, "path=/&status=500");
	stack_workers(1);
	r = stack_get("/api/models", NULL);
	stack_assert_refusal(r);
	ck_assert_msg(r->ms < harness_limit_ms(1000), "%.0f ms", r->ms);
}
END_TEST

#define N_FAULTS ((int)(sizeof(faults) / sizeof(faults[0])))

Suite *
suite_outage(void)
{
	Suite *s = suite_create("outage");
	TCase *t = tcase_create("outage");

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, stack_begin, stack_end);
	tcase_add_loop_test(t, fault_is_a_problem_when_nothing_is_known, 0,
			    N_FAULTS);
	tcase_add_loop_test(t, fault_leaves_what_is_known_as_stale, 0,
			    N_FAULTS);
	tcase_add_test(
		t, dead_upstream_is_refused_in_milliseconds_and_not_hammered);
	tcase_add_test(t, note_of_a_failure_stays_as_long_as_it_counts);
	tcase_add_test(t, renewal_that_comes_late_leaves_the_note_as_it_is);
	tcase_add_test(t, refused_connection_is_a_problem_in_milliseconds);
	tcase_add_test(t, upstream_that_comes_back_is_used_again);
	tcase_add_test(t, past_its_grace_an_entry_is_served_no_more);
	tcase_add_test(t, stale_entry_survives_a_respawn);
	tcase_add_loop_test(t, dead_gateway_neither_empties_nor_delays_the_rest,
			    0, N_FAULTS);
	tcase_add_test(t, gateway_that_comes_back_is_in_the_list_soon);
	tcase_add_test(t, dead_gateways_known_models_stay_in_the_list);
	tcase_add_loop_test(t, update_shows_what_living_gateways_have, 0, 2);
	tcase_add_test(t, all_gateways_dead_is_a_problem);
	suite_add_tcase(s, t);
	return (s);
}
