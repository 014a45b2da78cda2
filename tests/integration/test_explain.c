/* SPDX-License-Identifier: MIT */
/* What admins are told of a key: where the next answer comes from, and why. */
#include "pair.h"
#include "product.h"

#include <string.h>

Suite *suite_explain(void);

static json_t *
explain(const char *admin, const char *key)
{
	const struct http_response *r =
		fcgi_get(pair.workers[0]->address,
			 scratch_printf("/api/admin/cache/explain?key=%s", key),
			 admin, NULL);

	assert_status(r, 200);
	return (tree_at(tree_parse(r->body, r->body_len), "data"));
}

static bool
tells(json_t *tree, const char *path, const char *wanted)
{
	return (strcmp(tree_string(tree, path), wanted) == 0);
}

static const char *
annas_key(void)
{
	return (scratch_printf("models:user:@%s",
			       product_id("anna@example.org")));
}

START_TEST(explanation_comes_true_and_changes_nothing)
{
	const char *admin = stack_login("root@example.org", "admin");
	const char *key = annas_key(), *before;
	json_t *tree;

	pair_start(0);
	tree = explain(admin, key);
	ck_assert(tells(tree, "next.answer", "MISS"));
	ck_assert(tells(explain(admin, key), "next.answer", "MISS"));
	assert_cache(pair_get(0, pair.anna), "MISS", NULL);
	tree = explain(admin, key);
	ck_assert(tells(tree, "next.answer", "HIT"));
	ck_assert(tells(tree, "next.tier", "memory"));
	assert_cache(pair_get(0, pair.anna), "HIT", "memory");
	harness_worker_respawn(pair.workers[0]);
	before = harness_sql(
		stack.owner_url,
		"SELECT json_agg(e) FROM (SELECT cache_key, used_at, "
		"updated_at FROM cache_entries "
		"WHERE cache_key LIKE 'models%%') e");
	/* The second time by the key as it is. */
	for (unsigned i = 0; i < 2; i++) {
		tree = explain(admin, i == 0 ? key : tree_string(tree, "key"));
		ck_assert(tells(tree, "next.tier", "redis"));
		ck_assert_ptr_null(strstr(tree_string(tree, "key"), "@"));
		ck_assert_uint_ge(tree_count(tree, "log.records"), 1);
		ck_assert(tells(tree, "log.records.0.scope", key));
	}
	ck_assert_str_eq(
		before,
		harness_sql(stack.owner_url,
			    "SELECT json_agg(e) FROM (SELECT cache_key, "
			    "used_at, updated_at FROM cache_entries "
			    "WHERE cache_key LIKE 'models%%') e"));
	assert_cache(pair_get(0, pair.anna), "HIT", "redis");
}
END_TEST

START_TEST(explanation_names_what_stands_against_an_entry)
{
	const char *admin = stack_login("root@example.org", "admin");
	const char *key = annas_key();
	json_t *tree;

	pair_start(PAIR_WITHOUT_NEAR);
	assert_cache(pair_get(0, pair.anna), "MISS", NULL);
	wait_until(stack_has_cache(pair_get(0, pair.anna), "HIT", "redis"),
		   5000);
	pair_update("anna", "new");
	wait_until(tells(explain(admin, key), "next.answer", "MISS"), 2000);
	tree = explain(admin, key);
	ck_assert(strstr(tree_string(tree, "tiers.redis.why"), "record"));
	ck_assert(strstr(tree_string(tree, "tiers.postgresql.why"), "record"));
	assert_status(fcgi_get(pair.workers[0]->address,
			       "/api/admin/cache/explain?key=x", pair.anna,
			       NULL),
		      403);
}
END_TEST

Suite *
suite_explain(void)
{
	Suite *s = suite_create("explain");
	TCase *t = tcase_create("explain");

	tcase_set_timeout(t, 90);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, pair_begin, pair_end);
	tcase_add_test(t, explanation_comes_true_and_changes_nothing);
	tcase_add_test(t, explanation_names_what_stands_against_an_entry);
	suite_add_tcase(s, t);
	return (s);
}
