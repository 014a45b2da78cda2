/* SPDX-License-Identifier: MIT */
#include "../harness/harness.h"

#include "base/config.h"
#include "command_key.h"
#include "command_migrate.h"
#include "web/api_key.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static struct harness_postgres *server;
static struct config *config;
static struct postgres *pg;
static const char *url;

static void
start_server(void)
{
	server = harness_postgres_new(NULL);
}

static void
stop_server(void)
{
	harness_postgres_stop(server);
}

struct said {
	int status;
	char *out, *err;
};

/* Run a command of this process with its two outputs caught. */
static struct said
run(int command(const struct config *, struct postgres *, int, char **),
    const char *line)
{
	char *argv[16], *words = scratch_copy(line, strlen(line));
	const char *files[] = { scratch_printf("%s/out", scratch_root()),
				scratch_printf("%s/err", scratch_root()) };
	int saved[2], argc = 0;
	struct said s;

	for (char *w = strtok(words, " "); w != NULL; w = strtok(NULL, " "))
		argv[argc++] = w;
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		int fd = open(files[i],
			      O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

		saved[i] = dup(i + 1);
		ck_assert_int_ge(saved[i], 0);
		ck_assert_int_eq(dup2(fd, i + 1), i + 1);
		close(fd);
	}
	s.status = command(config, pg, argc, argv);
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		dup2(saved[i], i + 1);
		close(saved[i]);
	}
	s.out = scratch_read(files[0]);
	s.err = scratch_read(files[1]);
	return (s);
}

static struct postgres *
connect_to(const char *where)
{
	return (postgres_new(
		&(struct postgres_options){ where, "key", 2, 5000, 5000 }));
}

static void
setup(void)
{
	static const struct config_policy none[] = { { 0 } };
	struct buf problem = { 0 };
	enum result r;

	url = harness_postgres_database(server,
					scratch_printf("d%d", (int)getpid()),
					NULL);
	setenv("DATABASE_URL", url, 1);
	setenv("CACHE_KEY_SECRET", HARNESS_KEY_SECRET, 1);
	r = config_read(none, &config, &problem);
	ck_assert_msg(r == R_OK, "%s", problem.at);
	pg = connect_to(url);
	ck_assert_int_eq(run(command_migrate, "").status, 0);
}

static void
teardown(void)
{
	postgres_free(pg);
	config_free(config);
}

static char *
create(const char *options)
{
	struct said s = run(command_key, scratch_printf("create %s", options));

	ck_assert_msg(s.status == 0, "%s", s.err);
	ck_assert_str_eq(s.err, "");
	ck_assert_uint_eq(strlen(s.out), API_KEY_LEN + 1);
	ck_assert_int_eq(s.out[API_KEY_LEN], '\n');
	s.out[API_KEY_LEN] = '\0';
	return (s.out);
}

static const char *
id_of(const char *key)
{
	return (scratch_copy(key + 3, API_KEY_ID_LEN));
}

START_TEST(a_created_key_is_kept_as_its_hash_only)
{
	const char *key = create("--user Ada@Example.org");
	struct bytes id, secret;

	ck_assert(api_key_parse(bytes_of(key), &id, &secret));
	ck_assert_str_eq(harness_sql(url, "SELECT email, role FROM users"),
			 "Ada@Example.org\tuser");
	ck_assert_str_eq(
		harness_sql(
			url,
			"SELECT count(*) FROM api_keys WHERE id = '%s' "
			"AND secret_hash = sha256('%s') AND revoked_at IS NULL",
			id_of(key), key + 3 + API_KEY_ID_LEN + 1),
		"1");
}
END_TEST

START_TEST(a_user_has_many_keys_and_the_role_given_last)
{
	create("--user ada@example.org --role admin");
	create("--user ADA@example.org");
	ck_assert_str_eq(harness_sql(url, "SELECT email, role FROM users"),
			 "ada@example.org\tadmin");
	create("--role=user --user=ada@example.org");
	ck_assert_str_eq(
		harness_sql(url, "SELECT role, (SELECT count(*) FROM api_keys) "
				 "FROM users"),
		"user\t3");
}
END_TEST

START_TEST(the_list_shows_no_secret)
{
	const char *key = create("--user ada@example.org --role admin");
	const char *other = create("--user bob@example.org");
	struct said s;

	ck_assert_int_eq(run(command_key,
			     scratch_printf("revoke %s", id_of(other)))
				 .status,
			 0);
	s = run(command_key, "list");
	ck_assert_int_eq(s.status, 0);
	ck_assert_ptr_nonnull(strstr(s.out, id_of(key)));
	ck_assert_ptr_nonnull(strstr(s.out, "ada@example.org"));
	ck_assert_ptr_nonnull(strstr(s.out, id_of(other)));
	ck_assert_ptr_null(strstr(s.out, key + 3 + API_KEY_ID_LEN));
	ck_assert_ptr_null(strstr(s.out, "\\x"));
}
END_TEST

START_TEST(a_key_is_revoked_once_and_for_all)
{
	static const char when[] = "SELECT revoked_at FROM api_keys";
	const char *revoke =
		scratch_printf("revoke %s",
			       id_of(create("--user ada@example.org")));
	const char *first;

	ck_assert_int_eq(run(command_key, revoke).status, 0);
	first = harness_sql(url, when);
	ck_assert_str_ne(first, "");
	/* Again: no error, and the time stays. */
	ck_assert_int_eq(run(command_key, revoke).status, 0);
	ck_assert_str_eq(harness_sql(url, when), first);
	ck_assert_int_eq(run(command_key, "revoke 0123456789abcdef").status,
			 EXIT_FAILURE);
}
END_TEST

START_TEST(a_wrong_command_line_is_a_usage_error)
{
	static const char *const lines[] = {
		"",
		"make",
		"create",
		"create --user",
		"create ada@example.org",
		"create --user ada@example.org --role root",
		"create --user not-an-address",
		"create --user a@b@c",
		"create --user ada@example.org extra",
		"list all",
		"revoke",
		"revoke 12",
		"revoke 0123456789abcdef 0123456789abcdef",
	};
	const char *key = create("--user ada@example.org");
	struct said s;

	for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		s = run(command_key, lines[i]);
		ck_assert_msg(s.status == EX_USAGE, "\"%s\": %d", lines[i],
			      s.status);
		ck_assert_str_eq(s.out, "");
		ck_assert_str_ne(s.err, "");
	}
	ck_assert_int_eq(run(command_migrate, "now").status, EX_USAGE);
	/* A whole key is not repeated. */
	s = run(command_key, scratch_printf("revoke %s", key));
	ck_assert_int_eq(s.status, EX_USAGE);
	ck_assert_ptr_null(strstr(s.err, key));
	ck_assert_str_eq(harness_sql(url, "SELECT count(*) FROM users"), "1");
}
END_TEST

START_TEST(an_absent_database_is_told_from_an_empty_one)
{
	struct postgres *there = pg;

	pg = connect_to("postgresql://nobody@127.0.0.1:1/none");
	ck_assert_int_eq(run(command_key, "list").status, EX_UNAVAILABLE);
	ck_assert_int_eq(
		run(command_key, "create --user ada@example.org").status,
		EX_UNAVAILABLE);
	ck_assert_int_eq(run(command_migrate, "").status, EX_UNAVAILABLE);
	postgres_free(pg);
	pg = connect_to(server->url); /* never migrated */
	ck_assert_int_eq(run(command_key, "list").status, EXIT_FAILURE);
	postgres_free(pg);
	pg = NULL;
	ck_assert_int_eq(run(command_key, "list").status, EX_CONFIG);
	ck_assert_int_eq(run(command_migrate, "").status, EX_CONFIG);
	pg = there;
}
END_TEST

START_TEST(keys_are_the_owners_to_make_and_revoke)
{
	struct postgres *owner = pg;
	const char *id = id_of(create("--user ada@example.org"));
	struct said s;

	harness_sql(url, "CREATE ROLE worker LOGIN IN ROLE warmfront_worker");
	pg = connect_to(
		harness_postgres_url(server, "worker",
				     scratch_printf("d%d", (int)getpid())));
	s = run(command_key, "create --user ada@example.org --role admin");
	ck_assert_int_eq(s.status, EXIT_FAILURE);
	ck_assert_ptr_nonnull(strstr(s.err, "the owner of the database may"));
	ck_assert_str_eq(s.out, "");
	s = run(command_key, scratch_printf("revoke %s", id));
	ck_assert_int_eq(s.status, EXIT_FAILURE);
	ck_assert_ptr_nonnull(strstr(s.err, "the owner of the database may"));
	s = run(command_key, "list");
	ck_assert_int_eq(s.status, 0);
	ck_assert_ptr_nonnull(strstr(s.out, id));
	postgres_free(pg);
	pg = owner;
}
END_TEST

Suite *suite_keys(void);

Suite *
suite_keys(void)
{
	Suite *s = suite_create("keys");
	TCase *t = tcase_create("keys");

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, start_server, stop_server);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_created_key_is_kept_as_its_hash_only);
	tcase_add_test(t, a_user_has_many_keys_and_the_role_given_last);
	tcase_add_test(t, the_list_shows_no_secret);
	tcase_add_test(t, a_key_is_revoked_once_and_for_all);
	tcase_add_test(t, a_wrong_command_line_is_a_usage_error);
	tcase_add_test(t, an_absent_database_is_told_from_an_empty_one);
	tcase_add_test(t, keys_are_the_owners_to_make_and_revoke);
	suite_add_tcase(s, t);
	return (s);
}
