/* SPDX-License-Identifier: MIT */
/*
 * Users and what they must not see of each other; the worker's role and what it
 * must not do.
 */
#include "faults.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *suite_neighbours(void);

#define BEARER "Authorization: Bearer "

static const char *anna, *ben;

/* Two users with a model each, and a worker without memory of them. */
static void
begin(void)
{
	anna = stack_login("anna@example.org", "user");
	ben = stack_login("ben@example.org", "user");
	stack_workers(1);
	wait_until(strstr(harness_redis_command(stack.redis, "KEYS *"), "@log"),
		   5000);
	ck_assert_int_eq(faults_add_model(anna, "annas"), 201);
	ck_assert_int_eq(faults_add_model(ben, "bens"), 201);
}

static void
assert_own(const char *login, const char *own)
{
	const struct http_response *r = faults_get(MINE, login);

	assert_status(r, 200);
	ck_assert_uint_eq(tree_count(tree_parse(r->body, r->body_len), "data"),
			  1);
	ck_assert_msg(strstr(r->body, own) != NULL, "%s", stack_describe(r));
}

/* The names of the two users' entries, Anna's first. */
static void
entry_names(const char **annas, const char **bens)
{
	char *keys;

	assert_own(anna, "annas");
	wait_until(strstr(harness_redis_command(stack.redis,
						"KEYS wf:v1:models:user:*"),
			  "models:user:"),
		   5000);
	keys = harness_redis_command(stack.redis, "KEYS wf:v1:models:user:*");
	*annas = scratch_copy(keys, strcspn(keys, "\n"));
	assert_own(ben, "bens");
	wait_until(strchr(keys = harness_redis_command(
				  stack.redis, "KEYS wf:v1:models:user:*"),
			  '\n'),
		   5000);
	*bens = strchr(keys, '\n') + 1;
	if (strcmp(*bens, *annas) == 0)
		*bens = scratch_copy(keys, strcspn(keys, "\n"));
}

START_TEST(entry_of_another_copied_in_redis_is_not_served)
{
	const char *annas, *bens;

	harness_env_set(stack.env, "NEAR_CACHE", "off");
	begin();
	entry_names(&annas, &bens);
	for (int i = 0; i < 3; i++) {
		ck_assert_str_eq(harness_redis_command(stack.redis,
						       "COPY %s %s REPLACE",
						       annas, bens),
				 "1");
		assert_own(ben, "bens");
		assert_own(anna, "annas");
	}
	harness_redis_command(stack.redis, "COPY %s %s REPLACE", annas, bens);
	harness_worker_respawn(stack.worker);
	assert_own(ben, "bens");
}
END_TEST

START_TEST(entry_of_another_copied_in_postgres_is_not_served)
{
	const char *annas, *bens;

	begin();
	entry_names(&annas, &bens);
	ck_assert_str_eq(
		harness_sql(stack.owner_url,
			    "WITH a AS (UPDATE cache_entries b SET wire = "
			    "a.wire, cache_data = a.cache_data "
			    "FROM cache_entries a WHERE a.cache_key = '%s' "
			    "AND b.cache_key = '%s' RETURNING 1) "
			    "SELECT count(*) FROM a",
			    annas + strlen("wf:v1:"), bens + strlen("wf:v1:")),
		"1");
	harness_redis_command(stack.redis, "FLUSHALL");
	harness_worker_respawn(stack.worker);
	assert_own(ben, "bens");
	assert_own(anna, "annas");
}
END_TEST

/* A key's entry says whose it is and what its secret's hash is. */
START_TEST(another_keys_identity_copied_is_not_believed)
{
	const char *annas, *bens;

	harness_env_set(stack.env, "NEAR_CACHE", "off");
	begin();
	assert_own(anna, "annas");
	assert_own(ben, "bens");
	annas = scratch_printf("wf:v1:auth:%.16s", anna + strlen(BEARER "wf_"));
	bens = scratch_printf("wf:v1:auth:%.16s", ben + strlen(BEARER "wf_"));
	wait_until(strcmp(harness_redis_command(stack.redis,
						"COPY %s %s REPLACE", annas,
						bens),
			  "1") == 0,
		   5000);
	assert_own(ben, "bens");
	assert_own(anna, "annas");
}
END_TEST

/* `form` with the hash in place of its "#". */
static const char *
with_hash(const char *form, const char *hash)
{
	size_t before = strcspn(form, "#");

	return (form[before] == '\0'
			? form
			: scratch_printf("%.*s%s%s", (int)before, form, hash,
					 form + before + 1));
}

/* Values that would lead to another's key if they stood in one as they are; "#" is the
 * hash that stands for Anna in hers. */
static const char *const reaches[] = {
	"?owner=me:%3A*",
	"?owner=me&gateway=all",
	"?owner=me%00",
	"?owner=*",
	"?gateway=user:#",
	"?gateway=user%3A#",
	"?gateway=*",
	"?gateway=alpha%0d%0aSET%20x%201",
	"?gateway=alpha'%20OR%201=1--",
	"?gateway=%ff%fe",
	"?gateway=../../user",
};

START_TEST(parameters_reach_no_key_of_others)
{
	const char *annas, *bens, *path;
	struct http_response *r;

	begin();
	entry_names(&annas, &bens);
	path = scratch_printf("/api/models%s",
			      with_hash(reaches[_i],
					annas + strlen("wf:v1:models:user:")));
	r = faults_get(path, ben);
	assert_status(r, 400);
	ck_assert_ptr_null(strstr(r->body, "annas"));
	ck_assert_msg(strstr(r->body, "encoding") == NULL,
		      "%s is not even looked at: %s", path, stack_describe(r));
}
END_TEST

/* Texts that nobody's name holds, for a parameter that stands in its key as any text. */
static const char *const texts[] = {
	"%3A",
	"*",
	"%3A*",
	"%0d%0aSET%20x%201",
	"%0d%0a",
	"'--",
	"'%20OR%20'1'='1",
	"{q}",
	"x:50:0:x",
	"models:user:#",
	"wf:v1:models:user:#",
	"%3A%3A..%3Auser%3A#%3Adata",
	"%00",
	"%ff",
};

/* All entries in Redis, each a line: its name and a hash of its bytes. */
static const char *
entries(void)
{
	static const char script[] =
		"local names = redis.call('KEYS', 'wf:v1:[a-z]*') "
		"table.sort(names) "
		"for i, name in ipairs(names) do names[i] = name .. ' ' .. "
		"redis.sha1hex(redis.call('GET', name)) end "
		"return names";

	return (harness_redis_command(stack.redis, "EVAL %s 0", script));
}

/* Lines of `after` that are not in `before`, all of which are in `after`. */
static unsigned
count_new(const char *before, const char *after, const char **last)
{
	unsigned n = 0;
	size_t len;

	while (*after != '\0') {
		len = strcspn(after, "\n");
		if (strncmp(before, after, len) == 0 &&
		    (before[len] == '\n' || before[len] == '\0')) {
			before += len + (before[len] == '\n');
		} else {
			*last = after;
			n++;
		}
		after += len + (after[len] == '\n');
	}
	ck_assert_msg(*before == '\0', "changed or gone: %s", before);
	return (n);
}

START_TEST(free_text_reaches_no_key_of_others)
{
	static const char users[] = "wf:v1:admin:users:50:0:";
	const char *admin, *annas, *bens, *path, *before, *after, *added;
	struct http_response *r, *mine;

	harness_env_set(stack.env, "NEAR_CACHE", "off");
	begin();
	admin = stack_login("admin@example.org", "admin");
	entry_names(&annas, &bens);
	mine = faults_get(MINE, anna);
	faults_ok("/api/admin/users?q=anna", admin, 1000);
	before = entries();
	ck_assert_ptr_nonnull(strstr(before, users));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		path = scratch_printf(
			"/api/admin/users?q=%s",
			with_hash(texts[i],
				  annas + strlen("wf:v1:models:user:")));
		r = faults_get(path, admin);
		after = entries();
		if (r->status == 400) {
			ck_assert_str_eq(after, before);
			continue;
		}
		assert_status(r, 200);
		ck_assert_int_eq(tree_int(tree_parse(r->body, r->body_len),
					  "total"),
				 0);
		ck_assert_msg(count_new(before, after, &added) == 1 &&
				      strncmp(added, users, strlen(users)) == 0,
			      "%s: not one new entry:\n%s\n--- from:\n%s", path,
			      after, before);
		before = after;
		r = faults_get(MINE, anna);
		assert_cache(r, "HIT", NULL);
		ck_assert_str_eq(r->body, mine->body);
	}
}
END_TEST

static const struct {
	const char *sql, *state; /* "ERROR 42501: ..." or how it begins */
} forbidden[] = {
	{ "DROP TABLE models", "ERROR 42501" },
	{ "DROP TABLE cache_entries", "ERROR 42501" },
	{ "TRUNCATE users", "ERROR 42501" },
	{ "TRUNCATE cache_invalidations", "ERROR 42501" },
	{ "ALTER TABLE users ADD x integer", "ERROR 42501" },
	{ "ALTER TABLE users DISABLE ROW LEVEL SECURITY", "ERROR 42501" },
	{ "CREATE TABLE x (y integer)", "ERROR 42501" },
	{ "CREATE FUNCTION x() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
	  "ERROR 42501" },
	{ "INSERT INTO cache_invalidations (scope) VALUES ('*')",
	  "ERROR 42501" },
	{ "UPDATE cache_invalidations SET position = 1", "ERROR 42501" },
	{ "DELETE FROM cache_invalidations", "ERROR 42501" },
	{ "UPDATE cache_log SET head = 0", "ERROR 42501" },
	{ "INSERT INTO api_keys (id, user_id, secret_hash) "
	  "SELECT repeat('0', 16), id, '' FROM users",
	  "ERROR 42501" },
	{ "UPDATE api_keys SET revoked_at = NULL", "ERROR 42501" },
	{ "DELETE FROM api_keys", "ERROR 42501" },
	{ "INSERT INTO servers (owner_id, name) SELECT id, 'x' FROM users",
	  "ERROR 42501" },
	{ "DELETE FROM servers", "ERROR 42501" },
	{ "INSERT INTO server_models DEFAULT VALUES", "ERROR 42501" },
	{ "UPDATE server_models SET model_id = NULL", "ERROR 42501" },
	{ "DELETE FROM server_models", "ERROR 42501" },
	{ "UPDATE usage_events SET cost = 0", "ERROR 42501" },
	{ "DELETE FROM usage_events", "ERROR 42501" },
	{ "INSERT INTO schema_migrations DEFAULT VALUES", "ERROR 42501" },
	{ "DELETE FROM schema_migrations", "ERROR 42501" },
	{ "DROP TRIGGER models_inserted ON models", "ERROR 42501" },
	{ "CREATE ROLE x SUPERUSER", "ERROR 42501" },
	{ "ALTER ROLE warmfront SUPERUSER", "ERROR 42501" },
	{ "SET ROLE postgres", "ERROR 42501" },
	{ "SELECT * FROM pg_authid", "ERROR 42501" },
	{ "SELECT pg_read_file('/etc/passwd')", "ERROR 42501" },
	{ "COPY users TO PROGRAM 'true'", "ERROR 42501" },
	{ "COPY users TO '/tmp/x'", "ERROR 42501" },
	{ "SELECT * FROM others", "ERROR 42501" },
};
#define N_FORBIDDEN ((int)(sizeof(forbidden) / sizeof(forbidden[0])))

START_TEST(workers_role_cannot_do_what_it_need_not)
{
	const char *said;

	harness_sql(stack.owner_url, "CREATE TABLE others (secret text)");
	said = harness_sql_try(stack.worker_url, "%s", forbidden[_i].sql);
	ck_assert_msg(strncmp(said, forbidden[_i].state,
			      strlen(forbidden[_i].state)) == 0,
		      "%s: %s", forbidden[_i].sql, said);
}
END_TEST

/* A table that stands before the log, for who finds it there, and gives away the rights of
 * who writes to it. */
static const char trap[] =
	"CREATE TEMP TABLE cache_invalidations (scope text, soft boolean); "
	"CREATE FUNCTION pg_temp.take() RETURNS trigger LANGUAGE plpgsql AS "
	"$$ BEGIN CREATE TABLE public.taken (); RETURN NULL; END $$; "
	"CREATE TRIGGER take AFTER INSERT ON cache_invalidations "
	"FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.take(); ";

static const char *
count_records(const char *scope)
{
	return (harness_sql(stack.owner_url,
			    "SELECT count(*) FROM public.cache_invalidations "
			    "WHERE scope LIKE '%s'",
			    scope));
}

static void
assert_not_taken(void)
{
	ck_assert_str_eq(
		harness_sql(stack.owner_url,
			    "SELECT to_regclass('public.taken') IS NULL"),
		"t");
}

START_TEST(workers_role_gets_no_rights_by_temporary_tables)
{
	stack_login("anna@example.org", "user");
	harness_sql(stack.worker_url, "%s", trap);
	ck_assert_str_eq(harness_sql_try(stack.worker_url,
					 "SELECT cache_invalidate('{x}')"),
			 "");
	ck_assert_str_eq(count_records("x"), "1");
	/* Triggers that it may not make fire all the same. */
	harness_sql(stack.worker_url,
		    "INSERT INTO models (owner_id, model_id, name) "
		    "SELECT id, 'a/b', 'b' FROM users");
	ck_assert_str_eq(count_records("models:user:@%%"), "1");
	assert_not_taken();
}
END_TEST

START_TEST(stranger_gets_no_rights_by_temporary_tables)
{
	const char *stranger =
		harness_postgres_url(stack.postgres, "stranger",
				     scratch_printf("test_%d", (int)getpid()));
	const char *said;

	harness_sql(stack.owner_url,
		    "DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN");
	harness_sql(stranger, "%s CREATE TEMP TABLE bait (owner_id uuid)",
		    trap);
	said = harness_sql_try(stranger,
			       "CREATE TRIGGER bite AFTER INSERT ON bait "
			       "REFERENCING NEW TABLE AS changed "
			       "FOR EACH STATEMENT "
			       "EXECUTE FUNCTION public.models_changed()");
	ck_assert_msg(strncmp(said, "ERROR 42501", 11) == 0, "%s", said);
	assert_not_taken();
}
END_TEST

/* Who repairs data makes copies first, and calls them as what they are. */
START_TEST(owners_temporary_tables_lose_no_invalidation)
{
	stack_login("anna@example.org", "user");
	harness_sql(stack.owner_url,
		    "CREATE TEMP TABLE users (LIKE public.users); "
		    "CREATE TEMP TABLE api_keys (LIKE public.api_keys); "
		    "UPDATE public.users SET role = 'admin'");
	ck_assert_str_eq(count_records("auth:%%"), "1");
}
END_TEST

#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

Suite *
suite_neighbours(void)
{
	Suite *s = suite_create("neighbours");
	TCase *t = faults_case(s, "neighbours");

	tcase_add_test(t, entry_of_another_copied_in_redis_is_not_served);
	tcase_add_test(t, entry_of_another_copied_in_postgres_is_not_served);
	tcase_add_test(t, another_keys_identity_copied_is_not_believed);
	tcase_add_loop_test(t, parameters_reach_no_key_of_others, 0,
			    LENGTH(reaches));
	tcase_add_test(t, free_text_reaches_no_key_of_others);
	tcase_add_loop_test(t, workers_role_cannot_do_what_it_need_not, 0,
			    N_FORBIDDEN);
	tcase_add_test(t, workers_role_gets_no_rights_by_temporary_tables);
	tcase_add_test(t, stranger_gets_no_rights_by_temporary_tables);
	tcase_add_test(t, owners_temporary_tables_lose_no_invalidation);
	return (s);
}
