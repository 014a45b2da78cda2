/* SPDX-License-Identifier: MIT */
/*
 * `warmfront check` finds what would keep workers from serving.
 */
#include "../harness/harness.h"

#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

Suite *suite_check(void);

static struct process_result
check(void)
{
	return (harness_warmfront(stack.env, "check", NULL));
}

static void
assert_says(const char *text, const char *what)
{
	ck_assert_msg(strstr(text, what) != NULL, "no \"%s\": %s", what, text);
}

/* The only thing that failed, by its line. */
static void
assert_finds(const char *what)
{
	struct process_result r = check();
	const char *failed = strstr(r.out, "FAILED");

	ck_assert_int_eq(r.status, 1);
	ck_assert_msg(failed != NULL, "%s%s", r.out, r.err);
	assert_says(scratch_copy(failed, strcspn(failed, "\n")), what);
	ck_assert_msg(strstr(failed + 1, "FAILED") == NULL, "%s", r.out);
}

START_TEST(what_is_well_is_called_so)
{
	struct process_result r = check();

	ck_assert_msg(r.status == 0, "%s%s", r.out, r.err);
	ck_assert_ptr_null(strstr(r.out, "FAILED"));
	ck_assert_str_eq(r.err, "");
	for (const char *const *name =
		     (const char *const[]){ "postgresql ", "redis ",
					    "gateway alpha ", "gateway beta ",
					    NULL };
	     *name != NULL; name++)
		assert_says(r.out, *name);
}
END_TEST

static const struct {
	const char *name, *value;
} refused[] = {
	{ "CACHE_KEY_SECRET", "" },
	{ "HANDLERS", "foo" },
	{ "HANDLERS", "models, users" },
	{ "LOG_TARGET", "file:/nowhere/at/all" },
};

START_TEST(what_serve_refuses_check_finds)
{
	struct process_result r;

	harness_env_set(stack.env, refused[_i].name, "%s", refused[_i].value);
	assert_finds(refused[_i].name);
	r = harness_warmfront(stack.env, "serve", "-l",
			      scratch_printf("unix:%s", stack.socket), NULL);
	ck_assert_int_eq(r.status, EX_CONFIG);
	assert_says(r.err, refused[_i].name);
}
END_TEST

START_TEST(log_is_left_as_it_was_found)
{
	const char *path = scratch_printf("%s/log", scratch_directory("check"));
	struct stat found;

	harness_env_set(stack.env, "LOG_TARGET", "file:%s", path);
	ck_assert_int_eq(check().status, 0);
	ck_assert_int_ne(access(path, F_OK), 0);
	scratch_write(path, "a line\n");
	ck_assert_int_eq(check().status, 0);
	ck_assert_int_eq(stat(path, &found), 0);
	ck_assert_str_eq(scratch_read(path), "a line\n");
}
END_TEST

START_TEST(role_without_rights_is_named)
{
	const char *database = scratch_printf("test_%d", (int)getpid());

	harness_sql(stack.postgres->url, "CREATE ROLE outsider LOGIN");
	harness_env_set(stack.env, "DATABASE_URL", "%s",
			harness_postgres_url(stack.postgres, "outsider",
					     database));
	assert_finds("the role outsider is not in warmfront_worker");
}
END_TEST

START_TEST(schema_that_is_behind_is_to_be_migrated)
{
	harness_sql(stack.owner_url,
		    "DELETE FROM schema_migrations WHERE version = "
		    "(SELECT max(version) FROM schema_migrations)");
	assert_finds("run: warmfront migrate");
	harness_env_set(stack.env, "DATABASE_URL", "%s",
			harness_postgres_url(stack.postgres, "warmfront",
					     "postgres"));
	assert_finds("run: warmfront migrate");
}
END_TEST

Suite *
suite_check(void)
{
	Suite *s = suite_create("check");
	TCase *t = tcase_create("check");

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
	tcase_add_checked_fixture(t, stack_begin, stack_end);
	tcase_add_test(t, what_is_well_is_called_so);
	tcase_add_loop_test(t, what_serve_refuses_check_finds, 0,
			    (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(t, log_is_left_as_it_was_found);
	tcase_add_test(t, role_without_rights_is_named);
	tcase_add_test(t, schema_that_is_behind_is_to_be_migrated);
	suite_add_tcase(s, t);
	return (s);
}
