/* SPDX-License-Identifier: MIT */
/*
 * What GET /api/admin/cache/stats recommends, and on which evidence.
 */
#include "../harness/harness.h"
#include "../harness/proxy.h"

#include <string.h>

Suite *suite_advice(void);

#define ALPHA "/api/models?gateway=alpha"

static const char *admin;

static void
begin(void)
{
	stack_begin();
	admin = stack_login("root@example.org", "admin");
}

/* The recommendation of this kind; NULL when there is none. */
static json_t *
advice(const char *kind)
{
	const struct http_response *r =
		stack_get("/api/admin/cache/stats", admin, NULL);

	assert_status(r, 200);
	return (tree_find(tree_at(tree_parse(r->body, r->body_len),
				  "data.recommendations"),
			  "kind", kind));
}

static double
evidence(json_t *of, const char *name)
{
	return (json_number_value(
		tree_at(of, scratch_printf("evidence.%s", name))));
}

static void
ask(const char *path, unsigned n)
{
	for (; n > 0; n--)
		assert_status(stack_get(path, admin, NULL), 200);
}

static void
load_again(void)
{
	assert_status(stack_request("POST", "/api/admin/cache/refresh",
				    "{\"key\":\"models:alpha:all\"}", admin,
				    "Content-Type: application/json", NULL),
		      200);
}

START_TEST(what_is_in_order_needs_no_advice)
{
	const struct http_response *r;

	stack_workers(1);
	ask(ALPHA, 60);
	r = stack_get("/api/admin/cache/stats", admin, NULL);
	assert_status(r, 200);
	ck_assert_uint_eq(json_array_size(
				  tree_at(tree_parse(r->body, r->body_len),
					  "data.recommendations")),
			  0);
}
END_TEST

START_TEST(low_hit_rate_comes_with_the_share_that_expiry_has)
{
	json_t *a;

	harness_env_set(stack.env, "MODELS_CACHE_TTL_MS", "1");
	harness_env_set(stack.env, "MODELS_CACHE_REFRESH_MS", "0");
	harness_env_set(stack.env, "MODELS_CACHE_GRACE_MS", "0");
	stack_workers(1);
	ask(ALPHA, 60);
	a = advice("low_hit_rate");
	ck_assert_ptr_nonnull(a);
	ck_assert_str_eq(tree_string(a, "category"), "models");
	ck_assert(evidence(a, "requests") == 60);
	ck_assert(evidence(a, "hit_rate") < 0.8);
	ck_assert(evidence(a, "share_of_loads_due_to_expiry") > 0.5);
}
END_TEST

START_TEST(slow_cached_answers_come_with_their_tier)
{
	struct harness_proxy *line = harness_proxy_new(stack.redis->socket);
	json_t *a;

	harness_env_set(stack.env, "REDIS_URL", "redis://127.0.0.1:%u",
			harness_proxy_port(line));
	harness_env_set(stack.env, "REDIS_TIMEOUT_MS", "5000");
	harness_env_set(stack.env, "NEAR_CACHE", "off");
	stack_workers(1);
	ask(ALPHA, 1);
	wait_until((ask(ALPHA, 1),
		    stack_has_cache(stack_get(ALPHA, NULL), "HIT", "redis")),
		   5000);
	ck_assert_ptr_null(advice("slow_cached_answers"));
	harness_proxy_set(line, PROXY_DELAY, 120);
	ask(ALPHA, 40);
	a = advice("slow_cached_answers");
	ck_assert_ptr_nonnull(a);
	ck_assert_str_eq(tree_string(a, "category"), "models");
	ck_assert_str_eq(tree_string(a, "evidence.tier"), "redis");
	ck_assert(evidence(a, "answers") >= 40);
	ck_assert(evidence(a, "average_ms") >= evidence(a, "limit_ms"));
}
END_TEST

START_TEST(entries_that_nobody_reads_again_are_told_of)
{
	json_t *a;

	stack_workers(1);
	for (int i = 0; i < 25; i++)
		ask(scratch_printf("/api/admin/users?offset=%d", i), 1);
	a = advice("never_read_again");
	ck_assert_ptr_nonnull(a);
	ck_assert_str_eq(tree_string(a, "category"), "admin_users");
	ck_assert(evidence(a, "loads") == 25);
	ck_assert(evidence(a, "answers_from_cache") == 0);
	ck_assert(evidence(a, "entries") == 25);
	for (int i = 0; i < 25; i++)
		ask(scratch_printf("/api/admin/users?offset=%d", i), 1);
	ck_assert_ptr_null(advice("never_read_again"));
}
END_TEST

START_TEST(ttl_is_short_for_what_does_not_change)
{
	json_t *a;

	stack_workers(1);
	ask(ALPHA, 1);
	for (int i = 0; i < 25; i++)
		load_again();
	a = advice("ttl_far_from_change");
	ck_assert_ptr_nonnull(a);
	ck_assert_str_eq(tree_string(a, "category"), "models");
	ck_assert_ptr_nonnull(strstr(tree_string(a, "message"), "longer"));
	ck_assert(evidence(a, "ttl_seconds") == 600);
	ck_assert(evidence(a, "refreshes") == 25);
	ck_assert(evidence(a, "unchanged") == 25);
}
END_TEST

START_TEST(ttl_is_long_for_what_changes_all_the_time)
{
	json_t *a;

	stack_workers(1);
	ask(ALPHA, 1);
	for (int i = 0; i < 21; i++) {
		harness_upstream_control(stack.upstream,
					 "path=/alpha&mode=version:%d", i + 2);
		load_again();
		ask(ALPHA, 11);
	}
	a = advice("ttl_far_from_change");
	ck_assert_ptr_nonnull(a);
	ck_assert_str_eq(tree_string(a, "category"), "models");
	ck_assert_ptr_nonnull(strstr(tree_string(a, "message"), "TTL is long"));
	ck_assert(evidence(a, "refreshes") == 21);
	ck_assert(evidence(a, "share_unchanged") < 0.1);
}
END_TEST

Suite *
suite_advice(void)
{
	Suite *s = suite_create("advice");
	TCase *t = tcase_create("advice");

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, begin, stack_end);
	tcase_add_test(t, what_is_in_order_needs_no_advice);
	tcase_add_test(t, low_hit_rate_comes_with_the_share_that_expiry_has);
	tcase_add_test(t, slow_cached_answers_come_with_their_tier);
	tcase_add_test(t, entries_that_nobody_reads_again_are_told_of);
	tcase_add_test(t, ttl_is_short_for_what_does_not_change);
	tcase_add_test(t, ttl_is_long_for_what_changes_all_the_time);
	suite_add_tcase(s, t);
	return (s);
}
