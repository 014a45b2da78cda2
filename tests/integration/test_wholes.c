/* SPDX-License-Identifier: MIT */
/* What is made of parts, when a part is taken out or loaded anew by hand. */
#include "product.h"

#include <string.h>

Suite *suite_wholes(void);

#define ALPHA "/api/models?gateway=alpha"

/* Two workers that have the same whole in memory, of which one part is then outdated. */
static struct harness_worker *one, *other;

/* In memory first, or without it, or without Redis. */
#define MODES 3

static void
begin_two(int mode)
{
	const struct harness_worker_options own = { .env = stack.env };

	if (mode == 1)
		harness_env_set(stack.env, "NEAR_CACHE", "off");
	if (mode == 2)
		harness_env_set(stack.env, "DISABLE_REDIS_CACHE", "true");
	one = harness_worker_new(&own);
	other = harness_worker_new(&own);
	assert_status(fcgi_get(one->address, "/api/models", NULL), 200);
	assert_status(fcgi_get(other->address, "/api/models", NULL), 200);
	assert_status(fcgi_get(other->address, ALPHA, NULL), 200);
	assert_cache(fcgi_get(other->address, "/api/models", NULL), "HIT",
		     NULL);
	harness_upstream_control(stack.upstream, "path=/alpha&mode=version:2");
}

static void
end_two(void)
{
	harness_worker_stop(one);
	harness_worker_stop(other);
}

static const struct http_response *
ask_one(const char *path, const char *body)
{
	const struct fcgi_request request = {
		.method = "POST",
		.uri = path,
		.headers =
			(const char *const[]){
				stack_login("root@example.org", "admin"),
				"Content-Type: application/json", NULL },
		.body = body,
	};

	return (fcgi_ask(one->address, &request));
}

static json_t *
post_to_one(const char *path, const char *body)
{
	return (product_data(ask_one(path, body), "data"));
}

/* The whole as this worker serves it. */
static const struct http_response *
whole_of(const struct harness_worker *w)
{
	const struct http_response *r =
		fcgi_get(w->address, "/api/models", NULL);

	assert_status(r, 200);
	return (r);
}

static bool
is_new(const struct harness_worker *w)
{
	return (strstr(whole_of(w)->body, "Edition 2.") != NULL);
}

/* The parts are older than the record that takes out what is made of them. */
START_TEST(whole_that_is_taken_out_is_kept_again)
{
	bool soft = _i % 2 != 0;

	begin_two(_i / 2);
	post_to_one("/api/cache/invalidate",
		    soft ? "{\"pattern\":\"models:all:all\",\"soft\":true}"
			 : "{\"pattern\":\"models:all:all\"}");
	assert_cache(whole_of(one), soft ? "STALE" : "MISS", NULL);
	wait_until(strcmp(http_header(whole_of(one), "X-Cache"), "HIT") == 0,
		   soft ? 5000 : 0);
	ck_assert_uint_eq(stack_upstream_count("/"), 2);
	end_two();
}
END_TEST

static const struct {
	const char *pattern, *scope;
} parts_taken[] = {
	{ "models:alpha:*", "models:alpha:*" },
	{ "models:alpha:all", "models:alpha:all" },
	{ "*:al?ha:*", "models:alpha:all" },
	{ "models:al*", "models:alpha:all" }, /* and the whole by itself */
};

static bool
lists(json_t *scopes, const char *wanted)
{
	json_t *scope;
	size_t i;

	json_array_foreach(scopes, i,
			   scope) if (strcmp(json_string_value(scope),
					     wanted) == 0) return (true);
	return (false);
}

/* Both workers have the new whole, and the other gateway was not asked for it. */
static void
assert_kept_with_one_load(void)
{
	assert_cache(whole_of(one), "HIT", NULL);
	assert_cache(whole_of(other), "HIT", NULL);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 2);
	ck_assert_uint_eq(stack_upstream_count("/beta"), 1);
}

/* Other workers hear of it within milliseconds. */
START_TEST(part_that_is_taken_out_takes_the_whole_with_it)
{
	bool soft = _i % 2 != 0;
	json_t *answer, *scopes;

	begin_two(0);
	answer = post_to_one("/api/cache/invalidate",
			     scratch_printf("{\"pattern\":\"%s\",\"soft\":%s}",
					    parts_taken[_i / 2].pattern,
					    soft ? "true" : "false"));
	ck_assert_int_eq(tree_int(answer, "invalidated"), 2);
	scopes = tree_at(answer, "scopes");
	ck_assert_uint_eq(json_array_size(scopes), 2);
	ck_assert(lists(scopes, parts_taken[_i / 2].scope));
	ck_assert(lists(scopes, "models:all:all"));
	if (soft)
		assert_cache(whole_of(one), "STALE", NULL);
	else
		ck_assert(is_new(one));
	wait_until(is_new(one) && is_new(other), 5000);
	assert_kept_with_one_load();
	end_two();
}
END_TEST

static const char *const leaving[] = {
	"{\"pattern\":\"models:gamma:*\"}",  "{\"pattern\":\"models:user:*\"}",
	"{\"pattern\":\"models:alph:all\"}", "{\"event\":\"model.created\"}",
	"{\"category\":\"usage\"}",
};

START_TEST(what_is_no_part_leaves_the_whole_alone)
{
	begin_two(0);
	ck_assert_uint_eq(tree_count(post_to_one("/api/cache/invalidate",
						 leaving[_i]),
				     "scopes"),
			  1);
	assert_cache(whole_of(one), "HIT", "memory");
	end_two();
}
END_TEST

START_TEST(part_that_is_refreshed_is_in_the_whole_at_once)
{
	begin_two(_i);
	ck_assert_str_eq(
		tree_string(post_to_one("/api/admin/cache/refresh",
					"{\"key\":\"models:alpha:all\"}"),
			    "key"),
		"models:alpha:all");
	ck_assert(is_new(one));
	wait_until(is_new(other), _i == 1 ? 0 : 5000);
	assert_kept_with_one_load();
	end_two();
}
END_TEST

/* The old part is still what there is. */
START_TEST(part_that_cannot_be_refreshed_leaves_the_whole_alone)
{
	begin_two(0);
	harness_upstream_control(stack.upstream, "path=/alpha&status=500");
	assert_status(ask_one("/api/admin/cache/refresh",
			      "{\"key\":\"models:alpha:all\"}"),
		      502);
	assert_cache(whole_of(one), "HIT", "memory");
	end_two();
}
END_TEST

Suite *
suite_wholes(void)
{
	Suite *s = suite_create("wholes");
	TCase *t = tcase_create("wholes");
	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, stack_begin, stack_end);
	tcase_add_loop_test(t, whole_that_is_taken_out_is_kept_again, 0,
			    2 * MODES);
	tcase_add_loop_test(t, part_that_is_taken_out_takes_the_whole_with_it,
			    0,
			    (int)(2 * sizeof(parts_taken) /
				  sizeof(parts_taken[0])));
	tcase_add_loop_test(t, what_is_no_part_leaves_the_whole_alone, 0,
			    (int)(sizeof(leaving) / sizeof(leaving[0])));
	tcase_add_loop_test(t, part_that_is_refreshed_is_in_the_whole_at_once,
			    0, MODES);
	tcase_add_test(t, part_that_cannot_be_refreshed_leaves_the_whole_alone);
	suite_add_tcase(s, t);
	return (s);
}
