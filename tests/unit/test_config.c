/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define SECRET "0123456789abcdef-secret"

static const struct config_policy policies[] = {
	{ "models", 600000, 120000, 86400000 },
	{ "user_data", 300000, 60000, 600000 },
	{ NULL, 0, 0, 0 },
};

static const char *const setting_names[] = {
#define SETTING(id, ...) #id,
#include "base/settings.def"
#undef SETTING
};

static struct config *c;
static struct buf problem;

static void
setup(void)
{
	ck_assert_int_eq(clearenv(), 0);
}

static void
teardown(void)
{
	config_free(c);
	c = NULL;
	buf_fini(&problem);
}

static void
set(const char *name, const char *value)
{
	ck_assert_int_eq(setenv(name, value, 1), 0);
}

static void
read_all(void)
{
	config_free(c);
	c = NULL;
	buf_clear(&problem);
	ck_assert_msg(config_read(policies, &c, &problem) == R_OK, "%s",
		      problem.at);
	ck_assert_uint_eq(problem.len, 0);
}

static bool
problem_has(const char *text)
{
	return (strstr(problem.at, text) != NULL);
}

/* Reading must fail, with one line that begins with the variable's name. */
static void
read_bad(const char *name, const char *value)
{
	struct config *untouched = NULL;

	set(name, value);
	buf_clear(&problem);
	ck_assert_msg(config_read(policies, &untouched, &problem) == R_INVALID,
		      "%s=%s was accepted", name, value);
	ck_assert_ptr_null(untouched);
	ck_assert_msg(bytes_starts(buf_bytes(&problem), bytes_of(name)),
		      "\"%s\" does not begin with %s", problem.at, name);
	ck_assert_ptr_null(strchr(problem.at, '\n'));
	ck_assert_int_eq(unsetenv(name), 0);
}

START_TEST(defaults_hold_in_an_empty_environment)
{
	struct config_policy p;

	read_all();
	ck_assert_int_eq(config_int(c, SET_DATABASE_POOL_SIZE), 8);
	ck_assert_int_eq(config_int(c, SET_REDIS_TIMEOUT_MS), 50);
	ck_assert_int_eq(config_int(c, SET_REDIS_CONNECT_TIMEOUT_MS), 250);
	ck_assert_int_eq(config_int(c, SET_MEMORY_CACHE_BYTES), 64 << 20);
	ck_assert_int_eq(config_int(c, SET_CACHE_MAX_BYTES), 1 << 30);
	ck_assert(config_bool(c, SET_NEAR_CACHE));
	ck_assert(!config_bool(c, SET_DISABLE_REDIS_CACHE));
	ck_assert_str_eq(config_string(c, SET_LOG_LEVEL), "info");
	ck_assert_str_eq(config_string(c, SET_CACHE_PREFIX), "wf");
	ck_assert_str_eq(config_string(c, SET_DATABASE_URL), "");
	ck_assert(!config_is_set(c, SET_CACHE_PREFIX));
	ck_assert_str_eq(config_redis_url(c), "redis://127.0.0.1:6379/0");
	ck_assert_int_eq(config_policy(c, "models", &p), R_OK);
	ck_assert_int_eq(p.ttl_ms, 600000);
	ck_assert_int_eq(p.refresh_ms, 120000);
	ck_assert_int_eq(p.grace_ms, 86400000);
	ck_assert_int_eq(config_policy(c, "other", &p), R_NOT_FOUND);
}
END_TEST

START_TEST(empty_variables_count_as_unset)
{
	for (int s = 0; s < SETTINGS_COUNT_; s++)
		set(setting_names[s], "");
	set("MODELS_CACHE_TTL_MS", "");
	set("GATEWAY_A_API_KEY", "");
	read_all();
	for (int s = 0; s < SETTINGS_COUNT_; s++)
		ck_assert(!config_is_set(c, (enum setting)s));
	ck_assert_int_eq(config_int(c, SET_LOADER_THREADS), 32);
	ck_assert_str_eq(config_string(c, SET_HANDLERS), "all");
}
END_TEST

START_TEST(good_values_are_taken)
{
	set("DATABASE_URL", "host=/run/postgresql dbname=x");
	set("DATABASE_LISTEN_URL", "postgres://h/d");
	set("DATABASE_POOL_SIZE", "200");
	set("MEMORY_CACHE_BYTES", "3MiB");
	set("CACHE_MAX_BYTES", "2tib");
	set("REQUEST_MAX_BYTES", "1024");
	set("NEAR_CACHE", "No");
	set("CACHE_VERBOSE", "TRUE");
	set("LOG_LEVEL", "debug");
	set("LOG_TARGET", "file:/var/log/x");
	set("CRON_SECRET", "exactly-16-bytes");
	read_all();
	ck_assert_str_eq(config_string(c, SET_DATABASE_LISTEN_URL),
			 "postgres://h/d");
	ck_assert_int_eq(config_int(c, SET_DATABASE_POOL_SIZE), 200);
	ck_assert_int_eq(config_int(c, SET_MEMORY_CACHE_BYTES), 3 << 20);
	ck_assert_int_eq(config_int(c, SET_CACHE_MAX_BYTES), (int64_t)2 << 40);
	ck_assert_int_eq(config_int(c, SET_REQUEST_MAX_BYTES), 1024);
	ck_assert(!config_bool(c, SET_NEAR_CACHE));
	ck_assert(config_bool(c, SET_CACHE_VERBOSE));
	ck_assert_str_eq(config_string(c, SET_LOG_LEVEL), "debug");
	ck_assert(config_is_set(c, SET_CRON_SECRET));
}
END_TEST

static const struct {
	const char *name, *value, *shown, *accepted;
} bad[] = {
	{ "DATABASE_POOL_SIZE", "0", "\"0\"", "1 to 200" },
	{ "DATABASE_POOL_SIZE", "201", "\"201\"", "1 to 200" },
	{ "DATABASE_POOL_SIZE", " 8", "\" 8\"", "whole number" },
	{ "DATABASE_POOL_SIZE", "8.5", "\"8.5\"", "whole number" },
	{ "DATABASE_POOL_SIZE", "99999999999999999999", "9999", "1 to 200" },
	{ "DATABASE_TIMEOUT_MS", "5s", "\"5s\"", "milliseconds" },
	{ "MEMORY_CACHE_BYTES", "64MB", "\"64MB\"", "KiB" },
	{ "MEMORY_CACHE_BYTES", "MiB", "\"MiB\"", "1MiB to 1TiB" },
	{ "MEMORY_CACHE_BYTES", "-1MiB", "\"-1MiB\"", "1MiB to 1TiB" },
	{ "MEMORY_CACHE_BYTES", "1048575", "\"1048575\"", "1MiB to 1TiB" },
	{ "MEMORY_CACHE_BYTES", "9223372036854775807TiB", "TiB", "1TiB" },
	{ "NEAR_CACHE", "maybe", "\"maybe\"", "true, false, on, off" },
	{ "LOG_LEVEL", "trace", "\"trace\"", "info, error, warn or debug" },
	{ "LOG_LEVEL", "info|error", "\"info|error\"", "warn or debug" },
	{ "LOG_TARGET", "/var/log/x", "\"/var/log/x\"", "file:/path" },
	{ "LOG_TARGET", "file:x", "\"file:x\"", "stderr" },
	{ "DATABASE_URL", "mysql://h/d", "\"mysql://h/d\"", "postgresql://" },
	{ "DATABASE_URL", "postgresql://", "\"postgresql://\"", "key=value" },
	{ "DATABASE_URL", "nonsense", "\"nonsense\"", "key=value" },
	{ "REDIS_URL", "http://h", "\"http://h\"", "rediss://" },
	{ "UPSTASH_REDIS_URL", "h:6379", "\"h:6379\"", "rediss://" },
	{ "REDIS_HOST", "h:6379", "\"h:6379\"", "without a port" },
	{ "REDIS_HOST", "a/b", "\"a/b\"", "without a port" },
	{ "CACHE_PREFIX", "a\nb", "\"a\\nb\"", "control" },
	{ "CACHE_PREFIX", "123456789012345678901234567890123", "\"1234",
	  "1 to 32" },
	{ "CRON_SECRET", "too-short", "(hidden)", "16 to 1024" },
	{ "MODELS_CACHE_TTL_MS", "2678400001", "\"2678400001\"",
	  "0 to 2678400000" },
	{ "USER_DATA_CACHE_GRACE_MS", "-1", "\"-1\"", "0 to 2678400000" },
};

START_TEST(bad_values_are_named_with_what_is_accepted)
{
	read_bad(bad[_i].name, bad[_i].value);
	ck_assert_msg(problem_has(bad[_i].shown), "%s", problem.at);
	ck_assert_msg(problem_has(bad[_i].accepted), "%s", problem.at);
}
END_TEST

static const struct {
	const char *name, *value;
} leaky[] = {
	{ "CRON_SECRET", "hunter2" },
	{ "CACHE_KEY_SECRET", "hunter2" },
	{ "CACHE_KEY_SECRET", "hunter2\nhunter2-hunter2" },
	{ "REDIS_PASSWORD", "hunter2\t" },
	{ "DATABASE_URL", "mysql://user:hunter2@host/d" },
	{ "DATABASE_URL", "mysql://user:a@b/hunter2@host/d" },
	{ "DATABASE_URL", "mysql://user:a?hunter2@host/d" },
	{ "DATABASE_URL", "mysql://host/d?password=hunter2" },
	{ "DATABASE_URL", "user:hunter2@host/d" },
	{ "DATABASE_URL", "PASSWORD=hunter2" },
	{ "DATABASE_URL", "password=hunter2 host=\x01" },
	{ "REDIS_URL", "tcp://:hunter2@host" },
	{ "REDIS_URL", "hunter2@host" },
	{ "REDIS_URL", "user:hunter2@host://" },
	{ "MODELS_GATEWAYS", "a=ftp://u:hunter2@host/" },
	{ "MODELS_GATEWAYS", "A=https://host/?api_key=hunter2" },
	{ "MODELS_GATEWAYS", "a=u:hunter2@host" },
};

START_TEST(problems_show_no_secret)
{
	read_bad(leaky[_i].name, leaky[_i].value);
	ck_assert_msg(!problem_has("hunter2"), "%s", problem.at);
}
END_TEST

START_TEST(a_gateways_key_is_no_part_of_a_problem)
{
	set("MODELS_GATEWAYS", "open-router=https://h/");
	read_bad("GATEWAY_OPEN_ROUTER_API_KEY", "hunter2\r\nX-Forged: 1");
	ck_assert(!problem_has("hunter2"));
}
END_TEST

START_TEST(a_long_bad_value_is_shown_in_part)
{
	static char value[3000];

	memset(value, 'x', sizeof(value) - 1);
	read_bad("LOG_LEVEL", value);
	ck_assert_uint_lt(problem.len, 300);
}
END_TEST

START_TEST(missing_settings_are_named)
{
	set("DATABASE_URL", "postgresql://h/d");
	read_all();
	ck_assert_int_eq(config_require(c, SET_DATABASE_URL, &problem), R_OK);
	ck_assert_uint_eq(problem.len, 0);
	ck_assert_int_eq(config_require(c, SET_CACHE_KEY_SECRET, &problem),
			 R_INVALID);
	ck_assert(problem_has("CACHE_KEY_SECRET is not set: makes users'"));
}
END_TEST

START_TEST(lists_have_words)
{
	set("HANDLERS", "models, servers");
	read_all();
	ck_assert(config_has_word(c, SET_HANDLERS, BYTES("models")));
	ck_assert(config_has_word(c, SET_HANDLERS, BYTES("servers")));
	ck_assert(!config_has_word(c, SET_HANDLERS, BYTES("model")));
	ck_assert(!config_has_word(c, SET_HANDLERS, BYTES("")));
	set("HANDLERS", "all");
	read_all();
	ck_assert(config_has_word(c, SET_HANDLERS, BYTES("anything")));
}
END_TEST

/* ---- policies ---- */

static struct config_policy
models(void)
{
	struct config_policy p;

	read_all();
	ck_assert_int_eq(config_policy(c, "models", &p), R_OK);
	return (p);
}

START_TEST(the_environment_overrides_a_policy)
{
	struct config_policy p;

	set("MODELS_CACHE_TTL_MS", "1000000");
	set("MODELS_CACHE_REFRESH_MS", "1000000");
	set("MODELS_CACHE_GRACE_MS", "0");
	set("USER_DATA_CACHE_GRACE_MS", "5");
	p = models();
	ck_assert_int_eq(p.ttl_ms, 1000000);
	ck_assert_int_eq(p.refresh_ms, 1000000);
	ck_assert_int_eq(p.grace_ms, 0);
	ck_assert_int_eq(config_policy(c, "user_data", &p), R_OK);
	ck_assert_int_eq(p.ttl_ms, 300000);
	ck_assert_int_eq(p.grace_ms, 5);
}
END_TEST

START_TEST(a_shorter_ttl_shortens_the_default_refresh)
{
	struct config_policy p;

	set("MODELS_CACHE_TTL_MS", "2000");
	p = models();
	ck_assert_int_eq(p.refresh_ms, 400);
	set("MODELS_CACHE_REFRESH_MS", "1999");
	p = models();
	ck_assert_int_eq(p.refresh_ms, 1999);
	ck_assert_int_eq(unsetenv("MODELS_CACHE_REFRESH_MS"), 0);
	set("MODELS_CACHE_TTL_MS", "2678400000");
	p = models();
	ck_assert_int_eq(p.refresh_ms, 120000);
}
END_TEST

START_TEST(a_ttl_of_zero_needs_no_other_change)
{
	struct config_policy p;

	set("MODELS_CACHE_TTL_MS", "0");
	set("MODELS_CACHE_REFRESH_MS", "1000");
	p = models();
	ck_assert_int_eq(p.ttl_ms, 0);
	ck_assert_int_eq(p.refresh_ms, 0);
	ck_assert_int_eq(p.grace_ms, 0);
}
END_TEST

START_TEST(a_refresh_longer_than_the_ttl_is_refused)
{
	read_bad("MODELS_CACHE_REFRESH_MS", "600001");
	ck_assert(problem_has("MODELS_CACHE_TTL_MS"));
	ck_assert(problem_has("600001"));
	ck_assert(problem_has("600000"));
}
END_TEST

/* ---- gateways ---- */

START_TEST(gateways_and_their_keys_are_found)
{
	struct bytes rest = { 0 }, name, url;

	set("MODELS_GATEWAYS",
	    "open-router=https://h/v1?a=b , g2 = http://[::1]:80/,");
	set("GATEWAY_OPEN_ROUTER_API_KEY", SECRET);
	set("GATEWAY_OTHER_API_KEY", SECRET);
	read_all();
	ck_assert(config_next_gateway(c, &rest, &name, &url));
	ck_assert(bytes_equal(name, BYTES("open-router")));
	ck_assert(bytes_equal(url, BYTES("https://h/v1?a=b")));
	ck_assert(config_next_gateway(c, &rest, &name, &url));
	ck_assert(bytes_equal(name, BYTES("g2")));
	ck_assert(bytes_equal(url, BYTES("http://[::1]:80/")));
	ck_assert(!config_next_gateway(c, &rest, &name, &url));
	ck_assert(!config_next_gateway(c, &rest, &name, &url));
	ck_assert_str_eq(config_gateway_key(c, BYTES("open-router")), SECRET);
	ck_assert_ptr_null(config_gateway_key(c, BYTES("g2")));
	ck_assert_ptr_null(config_gateway_key(c, BYTES("other")));
}
END_TEST

START_TEST(no_gateways_are_none)
{
	struct bytes rest = { 0 }, name, url;

	read_all();
	ck_assert(!config_next_gateway(c, &rest, &name, &url));
	set("MODELS_GATEWAYS", " , ,");
	read_all();
	rest = (struct bytes){ 0 };
	ck_assert(!config_next_gateway(c, &rest, &name, &url));
}
END_TEST

static const char *const bad_gateways[] = {
	"openrouter",
	"=https://h/",
	"all=https://h/",
	"Open=https://h/",
	"-a=https://h/",
	"a.b=https://h/",
	"abcdefghijabcdefghijabcdefghijabc=https://h/",
	"a=",
	"a=h/path",
	"a=ftp://h/",
	"a=https://",
	"a=https://h/a b",
};

START_TEST(bad_gateways_are_refused)
{
	struct buf list = { 0 };

	read_bad("MODELS_GATEWAYS", bad_gateways[_i]);
	/* Only the wrong one is complained of. */
	buf_printf(&list, "good=https://good/,%s,fine=https://fine/",
		   bad_gateways[_i]);
	read_bad("MODELS_GATEWAYS", list.at);
	ck_assert_msg(problem_has(bad_gateways[_i]), "%s", problem.at);
	ck_assert(!problem_has("good") && !problem_has("fine"));
	buf_fini(&list);
}
END_TEST

START_TEST(a_gateway_named_twice_is_refused)
{
	read_bad("MODELS_GATEWAYS", "a=http://1,b=http://2,a=http://3");
	ck_assert(problem_has("a=http://3"));
	set("MODELS_GATEWAYS", "a=http://1,ab=http://2,b=http://1");
	read_all();
}
END_TEST

/* ---- Redis ---- */

START_TEST(the_redis_url_in_force_is_the_nearest_one)
{
	set("REDIS_HOST", "redis.internal");
	set("REDIS_PORT", "6380");
	set("REDIS_DB", "3");
	set("REDIS_PASSWORD", "p/a@s:s%");
	read_all();
	ck_assert_str_eq(config_redis_url(c),
			 "redis://:p%2Fa%40s%3As%25@redis.internal:6380/3");
	set("UPSTASH_REDIS_URL", "rediss://default:x@u.upstash.io:6379");
	read_all();
	ck_assert_str_eq(config_redis_url(c),
			 "rediss://default:x@u.upstash.io:6379");
	set("REDIS_URL", "unix:///run/redis.sock");
	read_all();
	ck_assert_str_eq(config_redis_url(c), "unix:///run/redis.sock");
	set("DISABLE_REDIS_CACHE", "true");
	read_all();
	ck_assert_ptr_null(config_redis_url(c));
}
END_TEST

START_TEST(an_ipv6_redis_host_gets_brackets)
{
	set("REDIS_HOST", "::1");
	read_all();
	ck_assert_str_eq(config_redis_url(c), "redis://[::1]:6379/0");
}
END_TEST

/* ---- memory and the table ---- */

START_TEST(every_failing_allocation_is_reported)
{
	struct config *got = NULL;
	enum result r = R_NO_MEMORY;
	unsigned n;

	set("MODELS_GATEWAYS", "a=http://h/,b=http://h/");
	set("GATEWAY_A_API_KEY", SECRET);
	set("REDIS_PASSWORD", "x");
	for (n = 1; r != R_OK; n++) {
		ck_assert_uint_lt(n, 1000);
		mem_fail_after(n);
		r = config_read(policies, &got, &problem);
		ck_assert(r == R_OK || r == R_NO_MEMORY);
	}
	mem_fail_after(0);
	ck_assert_uint_gt(n, SETTINGS_COUNT_);
	config_free(got);
}
END_TEST

static struct bytes
print_table(enum config_table form)
{
	static char text[65536];
	FILE *f = fmemopen(text, sizeof(text), "w");
	long len;

	ck_assert_ptr_nonnull(f);
	config_print_table(f, form, policies);
	len = ftell(f);
	ck_assert_int_eq(fclose(f), 0);
	return ((struct bytes){ text, (size_t)len });
}

static void
assert_has_all_names(struct bytes table)
{
	static const char *const more[] = {
		"GATEWAY_<NAME>_API_KEY",  "MODELS_CACHE_TTL_MS",
		"MODELS_CACHE_REFRESH_MS", "MODELS_CACHE_GRACE_MS",
		"USER_DATA_CACHE_TTL_MS",  "600000",
	};

	for (int s = 0; s < SETTINGS_COUNT_; s++)
		ck_assert_msg(memmem(table.at, table.len, setting_names[s],
				     strlen(setting_names[s])) != NULL,
			      "no %s", setting_names[s]);
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		ck_assert_msg(memmem(table.at, table.len, more[i],
				     strlen(more[i])) != NULL,
			      "no %s", more[i]);
}

START_TEST(the_plain_table_is_whole_and_fits_a_terminal)
{
	struct bytes table = print_table(CONFIG_TABLE_PLAIN), line;

	assert_has_all_names(table);
	while (table.len > 0) {
		line = bytes_cut(&table, '\n');
		ck_assert_msg(line.len <= 100, "%.*s", BYTES_ARG(line));
		ck_assert_msg(line.len > 0 && line.at[line.len - 1] != ' ',
			      "\"%.*s\"", BYTES_ARG(line));
	}
}
END_TEST

START_TEST(the_markdown_table_is_whole_and_regular)
{
	struct bytes table = print_table(CONFIG_TABLE_MARKDOWN), line;

	assert_has_all_names(table);
	while (table.len > 0) {
		unsigned bars = 0;

		line = bytes_cut(&table, '\n');
		for (size_t i = 0; i < line.len; i++)
			bars += line.at[i] == '|' &&
				(i == 0 || line.at[i - 1] != '\\');
		ck_assert_msg(bars == 6, "%.*s", BYTES_ARG(line));
	}
}
END_TEST

static void
add_value_tests(TCase *t)
{
	tcase_add_test(t, defaults_hold_in_an_empty_environment);
	tcase_add_test(t, empty_variables_count_as_unset);
	tcase_add_test(t, good_values_are_taken);
	tcase_add_loop_test(t, bad_values_are_named_with_what_is_accepted, 0,
			    sizeof(bad) / sizeof(bad[0]));
	tcase_add_loop_test(t, problems_show_no_secret, 0,
			    sizeof(leaky) / sizeof(leaky[0]));
	tcase_add_test(t, a_gateways_key_is_no_part_of_a_problem);
	tcase_add_test(t, a_long_bad_value_is_shown_in_part);
	tcase_add_test(t, missing_settings_are_named);
	tcase_add_test(t, lists_have_words);
}

Suite *suite_config(void);

Suite *
suite_config(void)
{
	Suite *s = suite_create("config");
	TCase *t = tcase_create("config");

	tcase_add_checked_fixture(t, setup, teardown);
	add_value_tests(t);
	tcase_add_test(t, the_environment_overrides_a_policy);
	tcase_add_test(t, a_shorter_ttl_shortens_the_default_refresh);
	tcase_add_test(t, a_ttl_of_zero_needs_no_other_change);
	tcase_add_test(t, a_refresh_longer_than_the_ttl_is_refused);
	tcase_add_test(t, gateways_and_their_keys_are_found);
	tcase_add_test(t, no_gateways_are_none);
	tcase_add_loop_test(t, bad_gateways_are_refused, 0,
			    sizeof(bad_gateways) / sizeof(bad_gateways[0]));
	tcase_add_test(t, a_gateway_named_twice_is_refused);
	tcase_add_test(t, the_redis_url_in_force_is_the_nearest_one);
	tcase_add_test(t, an_ipv6_redis_host_gets_brackets);
	tcase_add_test(t, every_failing_allocation_is_reported);
	tcase_add_test(t, the_plain_table_is_whole_and_fits_a_terminal);
	tcase_add_test(t, the_markdown_table_is_whole_and_regular);
	suite_add_tcase(s, t);
	return (s);
}
