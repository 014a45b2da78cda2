/* SPDX-License-Identifier: MIT */
#include "policies.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct config_policy rows[POLICIES_MAX];
static unsigned count;

static void
setup(void)
{
	memset(rows, 0xff, sizeof(rows));
	policies_collect(rows);
	for (count = 0; rows[count].category != NULL; count++)
		ck_assert_uint_lt(count, POLICIES_MAX - 1);
}

START_TEST(each_category_stands_there_once)
{
	ck_assert_uint_gt(count, 0);
	for (unsigned i = 0; i < count; i++)
		for (unsigned k = i + 1; k < count; k++)
			ck_assert_str_ne(rows[i].category, rows[k].category);
}
END_TEST

START_TEST(every_cached_endpoint_has_its_category_there)
{
	const struct endpoint *e;
	unsigned cached = 0, k;

	for (unsigned i = 0; i < handlers_count; i++)
		for (e = handlers[i].endpoints; e->route != NULL; e++) {
			if (e->load == NULL)
				continue;
			cached++;
			for (k = 0; k < count; k++)
				if (strcmp(rows[k].category,
					   e->policy.category) == 0)
					break;
			ck_assert_msg(k < count, "%s", e->route);
			/* Endpoints that share a setting share its default. */
			ck_assert_int_eq(rows[k].ttl_ms, e->policy.ttl_ms);
			ck_assert_int_eq(rows[k].refresh_ms,
					 e->policy.refresh_ms);
			ck_assert_int_eq(rows[k].grace_ms, e->policy.grace_ms);
		}
	ck_assert_uint_gt(cached, 0);
}
END_TEST

START_TEST(defaults_make_sense)
{
	for (unsigned i = 0; i < count; i++) {
		ck_assert_int_gt(rows[i].ttl_ms, 0);
		ck_assert_int_gt(rows[i].refresh_ms, 0);
		ck_assert_int_lt(rows[i].refresh_ms, rows[i].ttl_ms);
		ck_assert_int_ge(rows[i].grace_ms, rows[i].ttl_ms);
		ck_assert_int_le(rows[i].grace_ms, CONFIG_POLICY_MAX_MS);
	}
}
END_TEST

START_TEST(models_are_kept_as_promised)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(rows[i].category, "models") == 0) {
			ck_assert_int_eq(rows[i].ttl_ms, 600000);
			ck_assert_int_eq(rows[i].refresh_ms, 120000);
			return;
		}
	ck_abort_msg("no models");
}
END_TEST

START_TEST(handlers_have_names_of_their_own)
{
	for (unsigned i = 0; i < handlers_count; i++)
		for (unsigned k = i + 1; k < handlers_count; k++)
			ck_assert_str_ne(handlers[i].name, handlers[k].name);
}
END_TEST

START_TEST(all_handlers_can_be_served_together)
{
	const struct endpoint *families[POLICIES_MAX];
	struct services services = { 0 };
	struct buf problem = { 0 };
	struct router *router = NULL;
	struct config *config = NULL;

	ck_assert_int_eq(clearenv(), 0);
	ck_assert_int_eq(config_read(rows, &config, &problem), R_OK);
	services.config = config;
	for (unsigned i = 0; i < handlers_count; i++)
		families[i] = handlers[i].endpoints;
	ck_assert_msg(router_new(families, handlers_count, &services, &router,
				 &problem) == R_OK,
		      "%s", problem.at);
	ck_assert_ptr_nonnull(router_find(router, "GET /api/models"));
	router_free(router);
	config_free(config);
	buf_fini(&problem);
}
END_TEST

Suite *suite_policies(void);

Suite *
suite_policies(void)
{
	Suite *s = suite_create("policies");
	TCase *t = tcase_create("policies");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, each_category_stands_there_once);
	tcase_add_test(t, every_cached_endpoint_has_its_category_there);
	tcase_add_test(t, defaults_make_sense);
	tcase_add_test(t, models_are_kept_as_promised);
	tcase_add_test(t, handlers_have_names_of_their_own);
	tcase_add_test(t, all_handlers_can_be_served_together);
	suite_add_tcase(s, t);
	return (s);
}
