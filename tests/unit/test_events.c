/* SPDX-License-Identifier: MIT */
#include "policies.h"
#include "web/events.h"

#include <check.h>
#include <string.h>

#define USER BYTES("00000000-0000-4000-8000-000000000001")

Suite *suite_events(void);

static void
assert_scope(const char *scope, struct bytes user, const char *wanted)
{
	struct buf text = { 0 };

	event_add_scope(scope, user, &text);
	ck_assert_int_eq(buf_error(&text), R_OK);
	ck_assert_str_eq(text.at, wanted);
	buf_fini(&text);
}

START_TEST(scope_names_the_user_as_the_log_does)
{
	assert_scope("user:{user}:*", USER,
		     "user:@00000000-0000-4000-8000-000000000001:*");
	assert_scope("models:user:{user}", USER,
		     "models:user:@00000000-0000-4000-8000-000000000001");
	assert_scope("admin:users:*", USER, "admin:users:*");
}
END_TEST

START_TEST(scope_of_nobody_is_that_of_all)
{
	assert_scope("user:{user}:*", BYTES_NONE, "user:*");
	assert_scope("models:user:{user}", BYTES_NONE, "models:user:*");
	assert_scope("admin:users:*", BYTES_NONE, "admin:users:*");
}
END_TEST

START_TEST(event_is_found_by_its_whole_name)
{
	const struct event *e = event_find(BYTES("user.profile.updated"));

	ck_assert_ptr_nonnull(e);
	ck_assert_str_eq(e->scopes[0], "user:{user}:*");
	ck_assert_str_eq(e->scopes[1], "admin:users:*");
	ck_assert_ptr_null(e->scopes[2]);
	ck_assert_ptr_null(event_find(BYTES("user.profile")));
	ck_assert_ptr_null(event_find(BYTES("")));
}
END_TEST

/* A scope that is no exact key ends in ":*"; each event has a scope, and one row. */
START_TEST(table_is_well_formed)
{
	for (unsigned i = 0; i < events_count; i++) {
		const struct event *e = &events[i];

		ck_assert_ptr_eq(event_find(bytes_of(e->name)), e);
		ck_assert_ptr_nonnull(e->scopes[0]);
		for (unsigned j = 0; e->scopes[j] != NULL; j++) {
			const char *star = strchr(e->scopes[j], '*');

			ck_assert_uint_lt(j, EVENT_SCOPES_MAX);
			ck_assert_msg(star == NULL || (star[1] == '\0' &&
						       star[-1] == ':'),
				      "%s: %s", e->name, e->scopes[j]);
		}
	}
}
END_TEST

START_TEST(what_endpoints_emit_is_in_the_table)
{
	const struct endpoint *e;

	for (unsigned i = 0; i < handlers_count; i++)
		for (e = handlers[i].endpoints; e->route != NULL; e++) {
			struct bytes rest = bytes_of(e->emits), name;

			ck_assert_msg(rest.len == 0 || e->run != NULL,
				      "%s emits, but changes nothing",
				      e->route);
			while (rest.len > 0) {
				name = bytes_cut(&rest, ' ');
				ck_assert_msg(event_find(name) != NULL,
					      "%s emits %.*s", e->route,
					      BYTES_ARG(name));
			}
		}
}
END_TEST

/* Is there an endpoint whose values this scope can match? */
static bool
matches_any_key(const char *scope)
{
	size_t len = strcspn(scope, "{*");
	const struct endpoint *e;

	for (unsigned i = 0; i < handlers_count; i++)
		for (e = handlers[i].endpoints; e->route != NULL; e++)
			if (e->key != NULL && strncmp(e->key, scope, len) == 0)
				return (true);
	return (false);
}

START_TEST(every_scope_has_an_endpoint_it_concerns)
{
	for (unsigned i = 0; i < events_count; i++)
		for (unsigned j = 0; events[i].scopes[j] != NULL; j++)
			ck_assert_msg(matches_any_key(events[i].scopes[j]),
				      "%s: %s matches no key", events[i].name,
				      events[i].scopes[j]);
}
END_TEST

Suite *
suite_events(void)
{
	Suite *s = suite_create("events");
	TCase *t = tcase_create("events");

	tcase_add_test(t, scope_names_the_user_as_the_log_does);
	tcase_add_test(t, scope_of_nobody_is_that_of_all);
	tcase_add_test(t, event_is_found_by_its_whole_name);
	tcase_add_test(t, table_is_well_formed);
	tcase_add_test(t, what_endpoints_emit_is_in_the_table);
	tcase_add_test(t, every_scope_has_an_endpoint_it_concerns);
	suite_add_tcase(s, t);
	return (s);
}
