/* SPDX-License-Identifier: MIT */
/*
 * /api/models from gateway to client: what is in the answers, over nginx.
 */
#include "../harness/harness.h"

#include <stdlib.h>
#include <string.h>

Suite *suite_models(void);

#define ALPHA "/api/models?gateway=alpha"

static json_t *
data_of(const struct http_response *r)
{
	assert_status(r, 200);
	return (tree_at(tree_parse(r->body, r->body_len), "data"));
}

static void
assert_problem(const struct http_response *r, int status)
{
	json_t *problem;

	assert_status(r, status);
	ck_assert_str_eq(http_header(r, "Content-Type"),
			 "application/problem+json");
	problem = tree_parse(r->body, r->body_len);
	ck_assert_int_eq(tree_int(problem, "status"), status);
	ck_assert_str_ne(tree_string(problem, "title"), "");
	ck_assert_msg(strstr(r->body, "127.0.0.1") == NULL &&
			      strstr(r->body, "SELECT") == NULL,
		      "%s", r->body);
}

/* Catalogues. */

START_TEST(miss_then_hit_with_one_upstream_request)
{
	const struct http_response *miss, *hit;

	stack_workers(1);
	miss = stack_get(ALPHA, NULL);
	assert_status(miss, 200);
	assert_cache(miss, "MISS", NULL);
	ck_assert_ptr_nonnull(
		strstr(http_header(miss, "Cache-Status"), "fwd=uri-miss"));
	hit = stack_get(ALPHA, NULL);
	assert_cache(hit, "HIT", "memory");
	ck_assert_ptr_nonnull(strstr(http_header(hit, "Cache-Status"),
				     "warmfront; hit; ttl="));
	ck_assert(hit->body_hash == miss->body_hash);
	ck_assert_str_eq(http_header(hit, "ETag"), http_header(miss, "ETag"));
	ck_assert_uint_eq(stack_upstream_count("/"), 1);
}
END_TEST

START_TEST(all_gateways_are_merged_and_named)
{
	json_t *data, *model;
	size_t i, alpha = 0, beta = 0;

	stack_workers(1);
	data = data_of(stack_get("/api/models", NULL));
	ck_assert_uint_eq(json_array_size(data), 2 * STACK_MODELS);
	json_array_foreach(data, i, model)
	{
		const char *gateway = tree_string(model, "gateway");

		alpha += strcmp(gateway, "alpha") == 0;
		beta += strcmp(gateway, "beta") == 0;
		ck_assert_int_eq(strncmp(tree_string(model, "id"), gateway,
					 strlen(gateway)),
				 0);
	}
	ck_assert_uint_eq(alpha, STACK_MODELS);
	ck_assert_uint_eq(beta, STACK_MODELS);
	ck_assert_uint_eq(stack_upstream_count("/alpha/models"), 1);
	ck_assert_uint_eq(stack_upstream_count("/beta/models"), 1);
}
END_TEST

START_TEST(all_and_its_parts_share_the_gateways_entries)
{
	stack_workers(1);
	data_of(stack_get("/api/models?gateway=all", NULL));
	assert_cache(stack_get(ALPHA, NULL), "HIT", "memory");
	assert_cache(stack_get("/api/models", NULL), "HIT", "memory");
	ck_assert_uint_eq(stack_upstream_count("/"), 2);
}
END_TEST

START_TEST(gateways_are_asked_in_parallel)
{
	const struct http_response *r;

	harness_upstream_control(stack.upstream, "path=/&delay_ms=700");
	stack_workers(1);
	r = stack_get("/api/models", NULL);
	ck_assert_uint_eq(json_array_size(data_of(r)), 2 * STACK_MODELS);
	ck_assert_msg(r->ms < harness_limit_ms(1350), "%.0f ms for two of 700",
		      r->ms);
}
END_TEST

/* A real catalogue's oddities: a newline before the first brace and two after the
 * last, ids with colons, a price of "-1", all kinds of JSON values. */
static char *
odd_catalogue(unsigned models)
{
	char *text = scratch_copy("\n{\"data\":[", 10), *all;
	size_t room = 0, len;

	all = scratch_alloc(models * 1400 + 100);
	len = (size_t)sprintf(all, "%s", text);
	for (unsigned i = 0; i < models; i++) {
		room = (size_t)sprintf(
			all + len,
			"%s{\"id\":\"maker-%u/model-%u%s\",\"name\":\"M \\\"%u\\\"\","
			"\"created\":%u,\"description\":\"Zeile\\nzwei \\u00e9 é 日本 "
			"\\ud83d\\ude00 \\\\ \\/ <tag> & 'x'\",\"context_length\":%s,"
			"\"architecture\":{\"modality\":\"text->text\","
			"\"input_modalities\":[\"text\",\"image\"],\"empty\":[],"
			"\"tokenizer\":\"Other\",\"instruct_type\":null},"
			"\"pricing\":{\"prompt\":\"%s\",\"completion\":\"0.0000015\","
			"\"request\":\"0\"},\"top_provider\":{\"is_moderated\":%s,"
			"\"max_completion_tokens\":%s},\"per_request_limits\":null,"
			"\"extra\":{\"real\":-1.5e-7,\"big\":9007199254740993,"
			"\"zero\":0,\"deep\":[[[{\"a\":[1,2,{}]}]]]},"
			"\"supported_parameters\":[\"max_tokens\",\"tools\"]}",
			i > 0 ? "," : "", i % 7, i, i % 3 == 0 ? ":free" : "",
			i, 1700000000 + i, i % 5 == 0 ? "null" : "131072",
			i == 11 ? "-1" : "0.00000025", i % 2 ? "true" : "false",
			i % 4 ? "null" : "32768");
		len += room;
	}
	sprintf(all + len, "]}\n\n");
	return (all);
}

START_TEST(every_model_comes_out_whole)
{
	char *file =
		scratch_printf("%s/catalogue.json", scratch_directory("odd"));
	char *text = odd_catalogue(324);
	struct harness_upstream *u;
	json_t *wanted, *got, *model;
	size_t i;

	scratch_write(file, text);
	u = harness_upstream_new((const char *const[]){ "--file", file, NULL });
	harness_env_set(stack.env, "MODELS_GATEWAYS", "odd=%s/v1/models",
			u->url);
	stack_workers(1);
	wanted = tree_at(tree_parse(text, strlen(text)), "data");
	got = data_of(stack_get("/api/models", NULL));
	ck_assert_uint_eq(json_array_size(got), 324);
	json_array_foreach(wanted, i, model)
	{
		json_t *same = tree_find(got, "id", tree_string(model, "id"));

		ck_assert_ptr_nonnull(same);
		ck_assert_str_eq(tree_string(same, "gateway"), "odd");
		json_object_del(same, "gateway");
		ck_assert_msg(json_equal(model, same), "%s",
			      tree_string(model, "id"));
	}
	ck_assert_str_eq(tree_string(got, "11.pricing.prompt"), "-1");
	harness_upstream_stop(u);
}
END_TEST

START_TEST(gateway_that_is_huge_comes_through_whole)
{
	const struct http_response *r;

	harness_upstream_control(stack.upstream,
				 "path=/alpha&mode=huge:20000000");
	stack_workers(1);
	r = stack_get(ALPHA, NULL);
	assert_status(r, 200);
	ck_assert_uint_gt(r->body_len, 20000000);
	ck_assert_uint_gt(json_array_size(data_of(r)), 9000);
	ck_assert(stack_get(ALPHA, NULL)->body_hash == r->body_hash);
}
END_TEST

START_TEST(gateway_over_the_size_limit_is_a_502)
{
	harness_env_set(stack.env, "UPSTREAM_MAX_BYTES", "1MiB");
	harness_upstream_control(stack.upstream,
				 "path=/alpha&mode=huge:1100000");
	harness_upstream_control(stack.upstream, "path=/beta&mode=endless");
	stack_workers(1);
	assert_problem(stack_get(ALPHA, NULL), 502);
	assert_problem(stack_get("/api/models?gateway=beta", NULL), 502);
}
END_TEST

/* What the gateways are sent. */

START_TEST(gateway_gets_its_own_key_and_no_other)
{
	const struct http_response *r;
	json_t *paths;

	harness_env_set(stack.env, "GATEWAY_ALPHA_API_KEY", "alpha-key");
	stack_workers(1);
	data_of(stack_get("/api/models", "Authorization: Bearer client", NULL));
	r = http_get(scratch_printf("%s/control/stats", stack.upstream->url),
		     NULL);
	paths = tree_at(tree_parse(r->body, r->body_len), "paths");
	ck_assert_str_eq(json_string_value(json_object_get(
				 json_object_get(paths, "/alpha/models"),
				 "authorization")),
			 "Bearer alpha-key");
	ck_assert(json_is_null(
		json_object_get(json_object_get(paths, "/beta/models"),
				"authorization")));
	ck_assert_ptr_nonnull(
		strstr(json_string_value(json_object_get(
			       json_object_get(paths, "/alpha/models"),
			       "accept_encoding")),
		       "gzip"));
}
END_TEST

START_TEST(sync_of_an_unchanged_catalogue_costs_a_304)
{
	const char *admin = stack_login("root@example.org", "admin");
	const struct http_response *before, *after;

	stack_workers(1);
	before = stack_get(ALPHA, NULL);
	assert_status(before, 200);
	assert_status(stack_request("POST", "/api/admin/sync-models", NULL,
				    admin, NULL),
		      200);
	ck_assert_int_ge(harness_upstream_stat(stack.upstream, "/alpha/models",
					       "not_modified"),
			 1);
	after = stack_get(ALPHA, NULL);
	ck_assert(after->body_hash == before->body_hash);
	ck_assert_str_eq(http_header(after, "ETag"),
			 http_header(before, "ETag"));
}
END_TEST

START_TEST(sync_brings_a_changed_catalogue_at_once)
{
	const char *admin = stack_login("root@example.org", "admin");
	const struct http_response *before, *after;

	stack_workers(2);
	before = stack_get("/api/models", NULL);
	assert_status(before, 200);
	harness_upstream_control(stack.upstream, "path=/alpha&mode=version:2");
	assert_status(stack_request("POST", "/api/admin/sync-models", NULL,
				    admin, NULL),
		      200);
	after = stack_get("/api/models", NULL);
	assert_status(after, 200);
	ck_assert(after->body_hash != before->body_hash);
	ck_assert_ptr_nonnull(strstr(after->body, "Edition 2."));
}
END_TEST

START_TEST(one_loader_is_enough_to_sync_and_to_refresh)
{
	const char *admin = stack_login("root@example.org", "admin");
	const struct http_response *r;

	harness_env_set(stack.env, "LOADER_THREADS", "1");
	stack_workers(1);
	r = stack_request("POST", "/api/admin/sync-models", NULL, admin, NULL);
	assert_status(r, 200);
	ck_assert_msg(r->ms < harness_limit_ms(3000), "%.0f ms", r->ms);
	ck_assert_ptr_null(strstr(r->body, "\"synced\":false"));
	r = stack_request("POST", "/api/admin/cache/refresh",
			  "{\"key\":\"models:alpha:all\"}", admin,
			  "Content-Type: application/json", NULL);
	assert_status(r, 200);
	ck_assert_msg(r->ms < harness_limit_ms(3000), "%.0f ms", r->ms);
}
END_TEST

START_TEST(connections_to_a_gateway_are_reused)
{
	const char *admin = stack_login("root@example.org", "admin");

	stack_workers(1);
	for (int i = 0; i < 4; i++)
		assert_status(stack_request("POST", "/api/admin/sync-models",
					    NULL, admin, NULL),
			      200);
	ck_assert_int_ge(harness_upstream_stat(stack.upstream, "/alpha/models",
					       "requests"),
			 4);
	ck_assert_int_le(harness_upstream_stat(stack.upstream, "/alpha/models",
					       "connections"),
			 2);
}
END_TEST

/* HTTP. */

START_TEST(answer_has_the_headers_a_client_needs)
{
	const struct http_response *r;
	const char *control;

	stack_workers(1);
	stack_get(ALPHA, NULL);
	r = stack_get(ALPHA, NULL);
	ck_assert_str_eq(http_header(r, "Content-Type"),
			 "application/json; charset=utf-8");
	ck_assert_str_eq(http_header(r, "Vary"), "Accept-Encoding");
	ck_assert_uint_eq(strtoul(http_header(r, "Content-Length"), NULL, 10),
			  r->body_len);
	ck_assert_int_eq(http_header(r, "ETag")[0], '"');
	ck_assert_ptr_nonnull(http_header(r, "Age"));
	control = http_header(r, "Cache-Control");
	ck_assert_ptr_nonnull(strstr(control, "public"));
	ck_assert_ptr_nonnull(strstr(control, "max-age="));
	ck_assert_ptr_nonnull(strstr(control, "stale-while-revalidate="));
	ck_assert_ptr_nonnull(strstr(control, "stale-if-error="));
}
END_TEST

START_TEST(known_etag_gives_304_without_a_body)
{
	const struct http_response *r;
	const char *tag;

	stack_workers(1);
	tag = http_header(stack_get(ALPHA, NULL), "ETag");
	ck_assert_ptr_nonnull(tag);
	r = stack_get(ALPHA, scratch_printf("If-None-Match: \"x\", W/%s", tag),
		      NULL);
	assert_status(r, 304);
	ck_assert_uint_eq(r->body_len, 0);
	ck_assert_str_eq(http_header(r, "ETag"), tag);
	assert_status(stack_get(ALPHA, "If-None-Match: *", NULL), 304);
	assert_status(stack_get(ALPHA, "If-None-Match: \"other\"", NULL), 200);
}
END_TEST

START_TEST(head_is_a_get_without_the_body)
{
	const struct http_response *get, *head;

	stack_workers(1);
	get = stack_get(ALPHA, NULL);
	head = stack_request("HEAD", ALPHA, NULL, NULL);
	assert_status(head, 200);
	ck_assert_uint_eq(head->body_len, 0);
	ck_assert_str_eq(http_header(head, "Content-Length"),
			 http_header(get, "Content-Length"));
	ck_assert_str_eq(http_header(head, "ETag"), http_header(get, "ETag"));
}
END_TEST

START_TEST(gzip_is_sent_to_those_who_take_it)
{
	const struct http_response *plain, *packed, *decoded;

	stack_workers(1);
	plain = stack_get(ALPHA, NULL);
	ck_assert_ptr_null(http_header(plain, "Content-Encoding"));
	packed = stack_get(ALPHA, "Accept-Encoding: br, gzip;q=0.8", NULL);
	assert_status(packed, 200);
	ck_assert_str_eq(http_header(packed, "Content-Encoding"), "gzip");
	ck_assert_uint_lt(packed->body_len, plain->body_len / 2);
	decoded = http_send(&(struct http_request){ .url = stack_url(ALPHA),
						    .decode = true });
	ck_assert(decoded->body_hash == plain->body_hash);
	ck_assert_ptr_null(
		http_header(stack_get(ALPHA, "Accept-Encoding: gzip;q=0", NULL),
			    "Content-Encoding"));
}
END_TEST

static const struct {
	const char *method, *path;
	int status;
} refused[] = {
	{ "GET", "/api/models?gateway=nobody", 400 },
	{ "GET", "/api/models?gateway=", 400 },
	{ "GET", "/api/models?gateway=alpha&gateway=beta", 400 },
	{ "GET", "/api/models?gateway=al%00pha", 400 },
	{ "GET", "/api/models?gateway=alpha%0d%0aX-Bad:%20yes", 400 },
	{ "GET", "/api/models?gateway=..%2f..%2fetc", 400 },
	{ "GET", "/api/models?gateway=*", 400 },
	{ "GET", "/api/models?unknown=1", 400 },
	{ "GET", "/api/models?owner=somebody", 400 },
	{ "GET", "/api/models?owner=me", 401 },
	{ "POST", "/api/models", 401 },
	{ "DELETE", "/api/models/0a0a0a0a-0000-4000-8000-000000000000", 401 },
	{ "POST", "/api/admin/sync-models", 401 },
	{ "GET", "/api/nothing", 404 },
	{ "GET", "/", 404 },
	{ "DELETE", "/api/models", 405 },
	{ "PATCH", "/api/models", 405 },
	{ "GET", "/api/admin/sync-models", 405 },
};

START_TEST(bad_request_is_refused_with_its_reason)
{
	const struct http_response *r;

	stack_workers(1);
	r = stack_request(refused[_i].method, refused[_i].path, NULL, NULL);
	assert_problem(r, refused[_i].status);
	ck_assert_ptr_null(http_header(r, "X-Bad"));
	if (r->status == 401)
		ck_assert_ptr_nonnull(http_header(r, "WWW-Authenticate"));
	if (r->status == 405)
		ck_assert_ptr_nonnull(http_header(r, "Allow"));
	if (r->status == 400)
		ck_assert_msg(strstr(r->body, "gateway") != NULL ||
				      strstr(r->body, "unknown") != NULL ||
				      strstr(r->body, "owner") != NULL,
			      "names no parameter: %s", r->body);
	ck_assert_uint_eq(stack_upstream_count("/"), 0);
}
END_TEST

START_TEST(equal_questions_share_one_entry)
{
	stack_workers(1);
	data_of(stack_get("/api/models", NULL));
	assert_cache(stack_get("/api/models?gateway=all", NULL), "HIT",
		     "memory");
	assert_cache(stack_get("/api/models?gateway=%61ll", NULL), "HIT",
		     "memory");
}
END_TEST

/* Policy. */

START_TEST(ttl_of_zero_is_a_bypass)
{
	harness_env_set(stack.env, "MODELS_CACHE_TTL_MS", "0");
	stack_workers(1);
	for (unsigned i = 1; i <= 3; i++) {
		const struct http_response *r = stack_get(ALPHA, NULL);

		assert_status(r, 200);
		assert_cache(r, "BYPASS", NULL);
		ck_assert_uint_eq(stack_upstream_count("/"), i);
	}
	ck_assert_str_eq(harness_sql(stack.owner_url,
				     "SELECT count(*) FROM cache_entries"),
			 "0");
	ck_assert_str_eq(harness_redis_command(stack.redis,
					       "KEYS wf:v1:models*"),
			 "");
}
END_TEST

START_TEST(entry_about_to_expire_is_refreshed_behind_the_hit)
{
	const struct http_response *r;

	harness_env_set(stack.env, "MODELS_CACHE_TTL_MS", "10000");
	harness_env_set(stack.env, "MODELS_CACHE_REFRESH_MS", "8000");
	stack_workers(1);
	assert_status(stack_get(ALPHA, NULL), 200);
	harness_upstream_control(stack.upstream,
				 "path=/alpha&delay_ms=1000&mode=version:3");
	/* Due when it is 1 to 3 s old, by jitter; fresh for 9 s at least. */
	wait_until((r = stack_get(ALPHA, NULL), assert_cache(r, "HIT", NULL),
		    ck_assert(r->ms < harness_limit_ms(500)),
		    stack_upstream_count("/alpha") > 1),
		   8000);
	wait_until(strstr(stack_get(ALPHA, NULL)->body, "Edition 3."), 5000);
}
END_TEST

START_TEST(unchanged_catalogue_is_renewed_by_a_304)
{
	const struct http_response *first, *r;

	harness_env_set(stack.env, "MODELS_CACHE_TTL_MS", "1000");
	harness_env_set(stack.env, "MODELS_CACHE_REFRESH_MS", "0");
	harness_env_set(stack.env, "MODELS_CACHE_GRACE_MS", "60000");
	stack_workers(1);
	first = stack_get(ALPHA, NULL);
	assert_status(first, 200);
	wait_until((r = stack_get(ALPHA, NULL), assert_status(r, 200),
		    harness_upstream_stat(stack.upstream, "/alpha/models",
					  "not_modified") >= 2),
		   20000);
	ck_assert_int_eq(harness_upstream_stat(stack.upstream, "/alpha/models",
					       "requests"),
			 1 + harness_upstream_stat(stack.upstream,
						   "/alpha/models",
						   "not_modified"));
	ck_assert(r->body_hash == first->body_hash);
}
END_TEST

START_TEST(entries_are_rows_that_sql_can_read)
{
	stack_workers(1);
	data_of(stack_get(ALPHA, NULL));
	wait_until(
		strcmp(harness_sql(
			       stack.owner_url,
			       "SELECT jsonb_array_length(cache_data->'data') FROM cache_entries "
			       "WHERE cache_key LIKE 'models:alpha%%' AND expires_at > now()"),
		       scratch_printf("%d", STACK_MODELS)) == 0,
		5000);
	harness_sql(stack.owner_url, "UPDATE cache_entries SET "
				     "expires_at = now() - interval '1 s'");
	ck_assert_str_ne(harness_sql(stack.owner_url,
				     "SELECT cleanup_expired_cache()"),
			 "0");
	ck_assert_str_eq(harness_sql(stack.owner_url,
				     "SELECT count(*) FROM cache_entries"),
			 "0");
}
END_TEST

Suite *
suite_models(void)
{
	Suite *s = suite_create("models");
	TCase *t = tcase_create("models");

	tcase_set_timeout(t, 90);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, stack_begin, stack_end);
	tcase_add_test(t, miss_then_hit_with_one_upstream_request);
	tcase_add_test(t, all_gateways_are_merged_and_named);
	tcase_add_test(t, all_and_its_parts_share_the_gateways_entries);
	tcase_add_test(t, gateways_are_asked_in_parallel);
	tcase_add_test(t, every_model_comes_out_whole);
	tcase_add_test(t, gateway_that_is_huge_comes_through_whole);
	tcase_add_test(t, gateway_over_the_size_limit_is_a_502);
	tcase_add_test(t, gateway_gets_its_own_key_and_no_other);
	tcase_add_test(t, sync_of_an_unchanged_catalogue_costs_a_304);
	tcase_add_test(t, sync_brings_a_changed_catalogue_at_once);
	tcase_add_test(t, one_loader_is_enough_to_sync_and_to_refresh);
	tcase_add_test(t, connections_to_a_gateway_are_reused);
	tcase_add_test(t, answer_has_the_headers_a_client_needs);
	tcase_add_test(t, known_etag_gives_304_without_a_body);
	tcase_add_test(t, head_is_a_get_without_the_body);
	tcase_add_test(t, gzip_is_sent_to_those_who_take_it);
	tcase_add_loop_test(t, bad_request_is_refused_with_its_reason, 0,
			    (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(t, equal_questions_share_one_entry);
	tcase_add_test(t, ttl_of_zero_is_a_bypass);
	tcase_add_test(t, entry_about_to_expire_is_refreshed_behind_the_hit);
	tcase_add_test(t, unchanged_catalogue_is_renewed_by_a_304);
	tcase_add_test(t, entries_are_rows_that_sql_can_read);
	suite_add_tcase(s, t);
	return (s);
}
