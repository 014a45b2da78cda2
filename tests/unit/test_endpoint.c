/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "cache/scope.h"
#include "web/endpoint.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define USER "00000000-0000-4000-8000-000000000001"
#define OTHER "00000000-0000-4000-8000-000000000002"
#define SECRET BYTES("0123456789abcdef")

static const struct param params[] = {
	{ "a", PARAM_TEXT, .min = 0, .max = 2000, .optional = true },
	{ "b", PARAM_TEXT, .min = 0, .max = 2000, .optional = true },
	PARAMS_END,
};

/* What the last load saw. */
static struct values seen;
static unsigned loads;

static enum result
load_it(struct load *l)
{
	seen = *l->values;
	loads++;
	buf_str(&l->cache->body, "{}");
	return (R_OK);
}

static unsigned
list_two(const struct load *l, struct cache_part *parts)
{
	struct values values = *l->values;
	unsigned i;

	for (i = 0; i < 2; i++) {
		values.of[1] = i == 0 ? BYTES("x") : BYTES("y");
		parts[i].name = values.of[1];
		if (endpoint_part(l->served, &values, &parts[i]) != R_OK)
			break;
	}
	return (i);
}

#define COMMON .policy = { "x", 1, 1, 1 }, .params = params, .load = load_it

static const struct endpoint endpoints[] = {
	{ .route = "GET /plain", .key = "things:{a}:x{b}y", COMMON },
	{ .route = "GET /all", .key = "things:{params}:all", COMMON },
	{ .route = "GET /user",
	  .key = "things:{user}:{a}:{b}",
	  .access = ACCESS_USER,
	  COMMON },
	{ .route = "GET /admin",
	  .key = "admin:{b}:{a}",
	  .access = ACCESS_ADMIN,
	  COMMON },
	{ .route = "GET /made",
	  .key = "made:{a}:{b}",
	  .parts = list_two,
	  COMMON },
};
enum { PLAIN, ALL, OF_USER, OF_ADMIN, MADE, ENDPOINTS };

static struct config *config;
static struct postgres *pg;
static struct cache *cache;
static struct services services;
static struct served served[ENDPOINTS];
static struct buf key, log_key, arguments;

static void
setup(void)
{
	static const struct config_policy none[] = { { NULL, 0, 0, 0 } };
	struct buf problem = { 0 };

	loads = 0;
	ck_assert_int_eq(clearenv(), 0);
	ck_assert_int_eq(config_read(none, &config, &problem), R_OK);
	services.config = config;
	for (unsigned i = 0; i < ENDPOINTS; i++)
		ck_assert_msg(endpoint_serve(&endpoints[i], &services,
					     &served[i], &problem) == R_OK,
			      "%s", problem.at);
	buf_fini(&problem);
}

static void
teardown(void)
{
	config_free(config);
	buf_fini(&key);
	buf_fini(&log_key);
	buf_fini(&arguments);
}

/* A cache for its secret alone: its database is nowhere. */
static void
setup_cache(void)
{
	const struct postgres_options nowhere = {
		.url = "postgresql:///x?host=/nowhere/at/all",
		.name = "unit",
		.pool_size = 1,
		.connect_timeout_ms = 100,
		.statement_timeout_ms = 100,
	};
	struct cache_options options = {
		.listen = nowhere,
		.prefix = "wf",
		.version = "v1",
		.user_secret = SECRET,
		.memory_bytes = 1 << 20,
		.lag_limit_ms = 1000,
		.load_timeout_ms = 1000,
		.loader_threads = 1,
	};

	setup();
	pg = postgres_new(&nowhere);
	ck_assert_ptr_nonnull(pg);
	options.pg = pg;
	ck_assert_int_eq(cache_new(&options, &cache), R_OK);
	services.cache = cache;
}

static void
teardown_cache(void)
{
	cache_free(cache);
	postgres_free(pg);
	teardown();
}

static enum result
query(unsigned which, const char *user, const char *a, const char *b)
{
	struct values v = { .count = 3 };

	if (user != NULL)
		v.of[0] = bytes_of(user);
	if (a != NULL)
		v.of[1] = bytes_of(a);
	if (b != NULL)
		v.of[2] = bytes_of(b);
	buf_clear(&key);
	buf_clear(&log_key);
	buf_clear(&arguments);
	return (endpoint_query(&served[which], &v, &key, &log_key, &arguments));
}

static void
key_is(const char *wanted)
{
	ck_assert_str_eq(key.at, wanted);
	ck_assert_str_eq(log_key.at, wanted);
}

START_TEST(template_is_filled_in_with_encoded_values)
{
	ck_assert_int_eq(query(PLAIN, NULL, "1", "2"), R_OK);
	key_is("things:1:x2y");
	ck_assert_int_eq(query(PLAIN, NULL, "{b}:*", "@% /"), R_OK);
	key_is("things:%7Bb%7D%3A%2A:x%40%25%20%2Fy");
	ck_assert_int_eq(query(PLAIN, NULL, NULL, NULL), R_OK);
	key_is("things::xy");
	ck_assert_int_eq(query(ALL, NULL, "1:2", "3"), R_OK);
	key_is("things:1%3A2:3:all");
	ck_assert_int_eq(query(OF_ADMIN, USER, "1", "2"), R_OK);
	key_is("admin:2:1");
}
END_TEST

START_TEST(questions_that_differ_have_keys_that_differ)
{
	struct buf first = { 0 };

	ck_assert_int_eq(query(ALL, NULL, "1", "2:3"), R_OK);
	buf_add(&first, buf_bytes(&key));
	ck_assert_int_eq(query(ALL, NULL, "1:2", "3"), R_OK);
	ck_assert_str_ne(key.at, first.at);
	buf_fini(&first);
}
END_TEST

START_TEST(key_has_a_limit)
{
	char text[KEY_MAX_BYTES];

	memset(text, 'x', sizeof(text));
	text[KEY_MAX_BYTES - strlen("admin::")] = '\0';
	ck_assert_int_eq(query(OF_ADMIN, NULL, text, ""), R_OK);
	ck_assert_uint_eq(key.len, KEY_MAX_BYTES);
	ck_assert_int_eq(query(OF_ADMIN, NULL, text, "y"), R_TOO_LARGE);
}
END_TEST

START_TEST(user_is_hashed_in_the_key_and_named_in_the_log)
{
	char hash[USER_HASH_DIGITS + 1];
	struct buf hashed = { 0 };

	scope_user_hash(SECRET, BYTES(USER), hash);
	ck_assert_int_eq(query(OF_USER, USER, "1", "2"), R_OK);
	ck_assert_str_eq(log_key.at, "things:@" USER ":1:2");
	buf_printf(&hashed, "things:%s:1:2", hash);
	ck_assert_str_eq(key.at, hashed.at);
	/* One leads to the other, as the follower of the log needs. */
	buf_clear(&hashed);
	scope_hash_user(SECRET, buf_bytes(&log_key), &hashed);
	ck_assert_str_eq(key.at, hashed.at);
	/* No parameter can pose as a user. */
	ck_assert_int_eq(query(OF_USER, OTHER, "@" USER, NULL), R_OK);
	ck_assert_str_eq(log_key.at, "things:@" OTHER ":%40" USER ":");
	buf_clear(&hashed);
	scope_hash_user(SECRET, buf_bytes(&log_key), &hashed);
	ck_assert_str_eq(key.at, hashed.at);
	buf_fini(&hashed);
}
END_TEST

/* Run the load of the last query, as the cache would from the stored arguments. */
static enum result
load_from(const struct served *s, struct bytes stored)
{
	struct cache_load l = { .key = buf_bytes(&key), .arguments = stored };
	enum result r = s->source.load(s->source.context, &l);

	buf_fini(&l.body);
	return (r);
}

static void
saw(unsigned at, const char *wanted)
{
	if (wanted == NULL)
		ck_assert_ptr_null(seen.of[at].at);
	else
		ck_assert(seen.of[at].at != NULL &&
			  bytes_equal(seen.of[at], bytes_of(wanted)));
}

START_TEST(loader_gets_the_values_that_were_asked_for)
{
	ck_assert_int_eq(query(PLAIN, NULL, "a:b\n\xc3\xa9", NULL), R_OK);
	ck_assert_int_eq(load_from(&served[PLAIN], buf_bytes(&arguments)),
			 R_OK);
	ck_assert_uint_eq(seen.count, 3);
	saw(0, NULL);
	saw(1, "a:b\n\xc3\xa9");
	saw(2, NULL);
	ck_assert_int_eq(query(PLAIN, NULL, "", "x"), R_OK);
	ck_assert_int_eq(load_from(&served[PLAIN], buf_bytes(&arguments)),
			 R_OK);
	saw(1, "");
	saw(2, "x");
	ck_assert_uint_eq(loads, 2);
}
END_TEST

START_TEST(loader_knows_the_caller_only_if_the_key_does)
{
	ck_assert_int_eq(query(OF_USER, USER, "1", "2"), R_OK);
	ck_assert_int_eq(load_from(&served[OF_USER], buf_bytes(&arguments)),
			 R_OK);
	saw(0, USER);
	ck_assert_int_eq(query(OF_ADMIN, USER, "1", "2"), R_OK);
	ck_assert_int_eq(load_from(&served[OF_ADMIN], buf_bytes(&arguments)),
			 R_OK);
	saw(0, NULL);
	saw(1, "1");
}
END_TEST

START_TEST(broken_arguments_are_refused_before_the_loader)
{
	struct bytes whole;
	char *copy;

	ck_assert_int_eq(query(PLAIN, NULL, "abc", "def"), R_OK);
	whole = buf_bytes(&arguments);
	for (size_t len = 0; len < whole.len; len++) {
		copy = malloc(len + 1); /* of its exact size */
		memcpy(copy, whole.at, len);
		ck_assert_int_eq(load_from(&served[PLAIN],
					   (struct bytes){ copy, len }),
				 R_INTERNAL);
		free(copy);
	}
	buf_add(&arguments, BYTES("\0\0\0\0"));
	ck_assert_int_eq(load_from(&served[PLAIN], buf_bytes(&arguments)),
			 R_INTERNAL);
	for (unsigned i = 0; i < 100; i++)
		buf_add(&arguments, BYTES("\xff\xff\xff\xff"));
	ck_assert_int_eq(load_from(&served[PLAIN], buf_bytes(&arguments)),
			 R_INTERNAL);
	ck_assert_uint_eq(loads, 0);
}
END_TEST

START_TEST(parts_are_queries_of_their_own)
{
	struct cache_part parts[PARTS_MAX] = { 0 };
	const struct cache_source *source = &served[MADE].source;
	struct cache_load l = { 0 };
	struct cache_query q;

	ck_assert(served[PLAIN].source.list_parts == NULL);
	ck_assert_int_eq(query(MADE, NULL, "all", "b"), R_OK);
	l.arguments = buf_bytes(&arguments);
	ck_assert_uint_eq(source->list_parts(source->context, &l, parts), 2);
	q = cache_part_query(&parts[1], CACHE_YOUNG, 7);
	ck_assert(bytes_equal(parts[1].name, BYTES("y")));
	ck_assert(bytes_equal(q.key, BYTES("made:y:b")));
	ck_assert(bytes_equal(q.log_key, BYTES("made:y:b")));
	ck_assert_ptr_eq(q.policy, &served[MADE].policy);
	ck_assert_ptr_eq(q.source, source);
	ck_assert_int_eq(q.demand, CACHE_YOUNG);
	ck_assert_int_eq(q.deadline_ms, 7);
	ck_assert_int_eq(load_from(&served[MADE], q.arguments), R_OK);
	saw(1, "y");
	saw(2, "b");
	l.arguments = BYTES("junk");
	ck_assert_uint_eq(source->list_parts(source->context, &l, parts), 0);
	cache_part_fini(&parts[0]);
	cache_part_fini(&parts[1]);
}
END_TEST

START_TEST(failed_allocations_are_reported)
{
	char text[100] = "";
	unsigned n, failed = 0;
	enum result r;

	memset(text, 'x', sizeof(text) - 1);
	for (n = 1; n < 30; n++) {
		teardown();
		setup();
		mem_fail_after(n);
		r = query(PLAIN, NULL, text, text);
		mem_fail_after(0);
		ck_assert(r == R_OK || r == R_NO_MEMORY);
		failed += r == R_NO_MEMORY;
	}
	ck_assert_int_eq(r, R_OK);
	ck_assert_uint_gt(failed, 4);
}
END_TEST

Suite *suite_endpoint(void);

Suite *
suite_endpoint(void)
{
	Suite *s = suite_create("endpoint");
	TCase *t = tcase_create("endpoint"), *user = tcase_create("user");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, template_is_filled_in_with_encoded_values);
	tcase_add_test(t, questions_that_differ_have_keys_that_differ);
	tcase_add_test(t, key_has_a_limit);
	tcase_add_test(t, loader_gets_the_values_that_were_asked_for);
	tcase_add_test(t, broken_arguments_are_refused_before_the_loader);
	tcase_add_test(t, parts_are_queries_of_their_own);
	tcase_add_test(t, failed_allocations_are_reported);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(user, setup_cache, teardown_cache);
	tcase_add_test(user, user_is_hashed_in_the_key_and_named_in_the_log);
	tcase_add_test(user, loader_knows_the_caller_only_if_the_key_does);
	suite_add_tcase(s, user);
	return (s);
}
