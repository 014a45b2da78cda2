/* SPDX-License-Identifier: MIT */
#include "../harness/harness.h"

#include "migrate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define HOSTS 8

static struct harness_postgres *server;
static const char *url; /* of the test's own, empty database */

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

static void
setup(void)
{
	url = harness_postgres_database(server,
					scratch_printf("d%d", (int)getpid()),
					NULL);
}

static struct postgres *
connect_to(const char *where)
{
	struct postgres *pg = postgres_new(&(struct postgres_options){
		where, "migrate", 1, 10000, 10000 });

	ck_assert_ptr_nonnull(pg);
	return (pg);
}

/* One host's migrate_run(), with all it said. */
struct host {
	const char *url;
	const struct migration *all;
	unsigned count;
	enum result result;
	char *progress;
	size_t progress_len;
	struct buf problem;
	pthread_t thread;
};

static void *
host_main(void *arg)
{
	struct host *h = arg;
	struct postgres *pg = connect_to(h->url);
	FILE *progress = open_memstream(&h->progress, &h->progress_len);

	ck_assert_ptr_nonnull(progress);
	h->result = migrate_run(pg, h->all, h->count, progress, &h->problem);
	fclose(progress);
	postgres_free(pg);
	return (NULL);
}

static void
host_fini(struct host *h)
{
	free(h->progress);
	buf_fini(&h->problem);
}

static struct host
migrate(const char *where, const struct migration *all, unsigned count)
{
	struct host h = { .url = where, .all = all, .count = count };

	host_main(&h);
	return (h);
}

static struct host
migrate_all(const char *where)
{
	return (migrate(where, migrate_embedded, migrate_embedded_count));
}

static unsigned
occurrences(const char *text, const char *of)
{
	unsigned n = 0;

	for (; (text = strstr(text, of)) != NULL; text++)
		n++;
	return (n);
}

static struct migration
made(int version, const char *name, const char *text)
{
	return ((struct migration){ version, name, (const unsigned char *)text,
				    strlen(text) });
}

START_TEST(the_embedded_migrations_are_in_order)
{
	ck_assert_uint_ge(migrate_embedded_count, 6);
	for (unsigned i = 0; i < migrate_embedded_count; i++) {
		const struct migration *m = &migrate_embedded[i];

		ck_assert_int_eq(atoi(m->name), m->version);
		ck_assert(i == 0 || m[-1].version < m->version);
		ck_assert_uint_gt(m->len, 0);
	}
}
END_TEST

START_TEST(each_is_applied_once)
{
	struct host first = migrate_all(url), second = migrate_all(url);

	ck_assert_msg(first.result == R_OK, "%s", first.problem.at);
	ck_assert_uint_eq(occurrences(first.progress, "applied "),
			  migrate_embedded_count);
	ck_assert_uint_eq(occurrences(first.progress, "applied 0001_users ("),
			  1);
	ck_assert_int_eq(second.result, R_OK);
	ck_assert_str_eq(second.progress,
			 scratch_printf("up to date (%u migrations)\n",
					migrate_embedded_count));
	ck_assert_str_eq(harness_sql(url,
				     "SELECT count(*) FROM schema_migrations"),
			 scratch_printf("%u", migrate_embedded_count));
	host_fini(&first);
	host_fini(&second);
}
END_TEST

START_TEST(many_hosts_at_once_apply_each_once)
{
	struct host hosts[HOSTS];
	unsigned applied = 0;

	for (unsigned i = 0; i < HOSTS; i++) {
		hosts[i] = (struct host){ .url = url,
					  .all = migrate_embedded,
					  .count = migrate_embedded_count };
		ck_assert_int_eq(pthread_create(&hosts[i].thread, NULL,
						host_main, &hosts[i]),
				 0);
	}
	for (unsigned i = 0; i < HOSTS; i++) {
		pthread_join(hosts[i].thread, NULL);
		ck_assert_msg(hosts[i].result == R_OK, "%s",
			      hosts[i].problem.at);
		applied += occurrences(hosts[i].progress, "applied ");
		ck_assert_uint_eq(occurrences(hosts[i].progress, "up to date"),
				  1);
		host_fini(&hosts[i]);
	}
	ck_assert_uint_eq(applied, migrate_embedded_count);
}
END_TEST

START_TEST(a_pgbouncer_in_transaction_mode_is_no_hindrance)
{
	struct harness_pgbouncer *b = harness_pgbouncer_new(server, 2);
	const char *pooled =
		harness_pgbouncer_url(b, "postgres",
				      scratch_printf("d%d", (int)getpid()));
	struct host h = migrate_all(pooled);

	ck_assert_msg(h.result == R_OK, "%s", h.problem.at);
	ck_assert_uint_eq(occurrences(h.progress, "applied "),
			  migrate_embedded_count);
	host_fini(&h);
	harness_pgbouncer_stop(b);
}
END_TEST

START_TEST(a_changed_migration_is_refused_by_name)
{
	struct migration all[] = { made(1, "0001_a", "CREATE TABLE a (i int)"),
				   made(2, "0002_b",
					"CREATE TABLE b (i int)") };
	struct host h = migrate(url, all, 1);

	ck_assert_int_eq(h.result, R_OK);
	host_fini(&h);
	all[0] = made(1, "0001_a", "CREATE TABLE a (i bigint)");
	h = migrate(url, all, 2);
	ck_assert_int_eq(h.result, R_CONFLICT);
	ck_assert_str_eq(h.problem.at,
			 "0001_a was changed after it had been applied");
	/* What comes after it is not tried. */
	ck_assert_str_eq(harness_sql(url, "SELECT to_regclass('b') IS NULL"),
			 "t");
	host_fini(&h);
}
END_TEST

START_TEST(a_failing_migration_leaves_nothing_and_is_named)
{
	const struct migration all[] = {
		made(1, "0001_a", "CREATE TABLE a (i int)"),
		made(2, "0002_b", "CREATE TABLE b (i int); SELECT nonsense"),
		made(3, "0003_c", "CREATE TABLE c (i int)"),
	};
	struct host h = migrate(url, all, 3);

	ck_assert_int_ne(h.result, R_OK);
	ck_assert_ptr_eq(strstr(h.problem.at, "0002_b: "), h.problem.at);
	ck_assert_ptr_nonnull(strstr(h.problem.at, "nonsense"));
	ck_assert_str_eq(harness_sql(url, "SELECT string_agg(name, ',') "
					  "FROM schema_migrations"),
			 "0001_a");
	ck_assert_str_eq(harness_sql(url, "SELECT to_regclass('b') IS NULL"),
			 "t");
	host_fini(&h);
}
END_TEST

START_TEST(a_migration_that_breaks_a_constraint_counts_as_failed)
{
	/* The error is the one that says that another host was first. */
	const struct migration all[] = {
		made(1, "0001_a",
		     "CREATE TABLE a (i int PRIMARY KEY); INSERT INTO a VALUES (1), (1)")
	};
	struct host h = migrate(url, all, 1);

	ck_assert_int_eq(h.result, R_CONFLICT);
	ck_assert_ptr_nonnull(strstr(h.problem.at, "duplicate key"));
	ck_assert_uint_eq(occurrences(h.progress, "up to date"), 0);
	host_fini(&h);
}
END_TEST

START_TEST(a_role_that_may_not_create_learns_that_nothing_is_to_do)
{
	const struct migration all[] = { made(1, "0001_a",
					      "CREATE TABLE a (i int)") };
	const char *reader;
	struct host h = migrate(url, all, 1);

	ck_assert_int_eq(h.result, R_OK);
	host_fini(&h);
	harness_sql(
		url,
		"CREATE ROLE reader LOGIN; GRANT SELECT ON schema_migrations TO reader");
	reader = harness_postgres_url(server, "reader",
				      scratch_printf("d%d", (int)getpid()));
	h = migrate(reader, all, 1);
	ck_assert_msg(h.result == R_OK, "%s", h.problem.at);
	host_fini(&h);
}
END_TEST

/* Those that look for tables among the temporary ones first. */
static const char misled[] =
	"SELECT coalesce(string_agg(proname, ' '), '') FROM pg_proc "
	"WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS "
	"(SELECT FROM unnest(proconfig) AS c "
	"WHERE c = 'search_path=public, pg_temp')";

/* Those that anyone may make triggers with. */
static const char open_to_all[] =
	"SELECT coalesce(string_agg(proname, ' '), '') FROM pg_proc "
	"WHERE pronamespace = 'public'::regnamespace "
	"AND prorettype = 'trigger'::regtype "
	"AND has_function_privilege('public', oid, 'EXECUTE')";

START_TEST(functions_are_misled_by_no_temporary_table)
{
	struct host h = migrate_all(url);

	ck_assert_int_eq(h.result, R_OK);
	host_fini(&h);
	ck_assert_str_eq(harness_sql(url, misled), "");
	ck_assert_str_eq(harness_sql(url, open_to_all), "");
}
END_TEST

START_TEST(functions_of_an_older_database_are_misled_no_longer)
{
	struct host h = migrate_all(url);

	ck_assert_int_eq(h.result, R_OK);
	host_fini(&h);
	harness_sql(url, "DO $$ DECLARE f regprocedure; BEGIN "
			 "FOR f IN SELECT oid FROM pg_proc "
			 "WHERE pronamespace = 'public'::regnamespace LOOP "
			 "EXECUTE 'ALTER FUNCTION ' || f || "
			 "' SET search_path = \"$user\", public'; "
			 "EXECUTE 'GRANT EXECUTE ON FUNCTION ' || f || "
			 "' TO PUBLIC'; END LOOP; END $$");
	harness_sql(url, "DELETE FROM schema_migrations WHERE version = 260");
	ck_assert_str_ne(harness_sql(url, misled), "");
	h = migrate_all(url);
	ck_assert_msg(h.result == R_OK, "%s", h.problem.at);
	host_fini(&h);
	ck_assert_str_eq(harness_sql(url, misled), "");
	ck_assert_str_eq(harness_sql(url, open_to_all), "");
}
END_TEST

START_TEST(an_absent_database_is_reported)
{
	struct host h = migrate_all("postgresql://nobody@127.0.0.1:1/none");

	ck_assert_int_eq(h.result, R_UNAVAILABLE);
	ck_assert_uint_gt(h.problem.len, 0);
	host_fini(&h);
}
END_TEST

START_TEST(demo_data_can_be_applied_again)
{
	static const char counts[] =
		"SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM models),"
		" (SELECT count(*) FROM servers), (SELECT count(*) FROM usage_events)";
	const char *source = getenv("WARMFRONT_SOURCE");
	const char *demo =
		scratch_read(scratch_printf("%s/sql/demo/demo.sql",
					    source != NULL ? source : "."));
	struct host h = migrate_all(url);

	ck_assert_int_eq(h.result, R_OK);
	host_fini(&h);
	ck_assert_uint_gt(strlen(demo), 0);
	for (int i = 0; i < 2; i++) {
		harness_sql(url, "SET demo.usage_events = 5000");
		harness_sql(url, "%s", demo);
		ck_assert_str_eq(harness_sql(url, counts),
				 "1000\t300\t100\t5000");
	}
	/* More events are added to those there are. */
	harness_sql(url, "SET demo.usage_events = 6000");
	harness_sql(url, "%s", demo);
	ck_assert_str_eq(harness_sql(url, counts), "1000\t300\t100\t6000");
}
END_TEST

Suite *suite_migrate(void);

Suite *
suite_migrate(void)
{
	Suite *s = suite_create("migrate");
	TCase *t = tcase_create("migrate");

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, start_server, stop_server);
	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, the_embedded_migrations_are_in_order);
	tcase_add_test(t, each_is_applied_once);
	tcase_add_test(t, many_hosts_at_once_apply_each_once);
	tcase_add_test(t, a_pgbouncer_in_transaction_mode_is_no_hindrance);
	tcase_add_test(t, a_changed_migration_is_refused_by_name);
	tcase_add_test(t, a_failing_migration_leaves_nothing_and_is_named);
	tcase_add_test(t,
		       a_migration_that_breaks_a_constraint_counts_as_failed);
	tcase_add_test(t,
		       a_role_that_may_not_create_learns_that_nothing_is_to_do);
	tcase_add_test(t, functions_are_misled_by_no_temporary_table);
	tcase_add_test(t, functions_of_an_older_database_are_misled_no_longer);
	tcase_add_test(t, an_absent_database_is_reported);
	tcase_add_test(t, demo_data_can_be_applied_again);
	suite_add_tcase(s, t);
	return (s);
}
