/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "cache/scope.h"
#include "web/params.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define ID "0000000a-0000-4000-8000-00000000000b"

static bool
accepts_known(const struct services *s, struct bytes value,
	      struct buf *accepted)
{
	(void)s;
	buf_str(accepted, "what is known");
	return (bytes_equal(value, BYTES("known")));
}

/* Every kind, in a key. */
enum { TEXT = 1, SHORT, WORD, KNOWN, INT, NUMBER, UUID, OBJECT, ID_, NAME };
static const struct param query_params[] = {
	{ "text", PARAM_TEXT, .optional = true },
	{ "short", PARAM_TEXT, .min = 0, .max = 3, .optional = true },
	{ "word", PARAM_WORD, .of = "one two", .otherwise = "one" },
	{ "known", PARAM_WORD, .accepts = accepts_known, .optional = true },
	{ "int", PARAM_INT, .min = -5, .max = 200, .otherwise = "50" },
	{ "number", PARAM_NUMBER, .min = -1, .max = 1e6, .optional = true },
	{ "uuid", PARAM_UUID, .optional = true },
	{ "object", PARAM_OBJECT, .optional = true },
	{ "id", PARAM_UUID, .in = IN_PATH },
	{ "name", PARAM_TEXT, .in = IN_PATH, .min = 1, .max = 5 },
	PARAMS_END,
};
static const struct endpoint get = {
	.route = "GET /things/{id}/{name}",
	.when = "owner=me",
	.params = query_params,
	.key = "things:{params}",
	.policy = { "x", 1, 1, 1 },
	.sql = "",
	.load = load_json,
};

/* The same in a body, and some that must be there. */
enum { B_TEXT = 1, B_INT, B_NUMBER, B_UUID, B_OBJECT, B_DEFAULT, B_MUST };
static const struct param body_params[] = {
	{ "text", PARAM_TEXT, .in = IN_BODY, .max = 10, .optional = true },
	{ "int", PARAM_INT, .in = IN_BODY, .min = 1, .max = 1e9,
	  .optional = true },
	{ "number", PARAM_NUMBER, .in = IN_BODY, .min = -1, .max = 1e300,
	  .optional = true },
	{ "uuid", PARAM_UUID, .in = IN_BODY, .optional = true },
	{ "object", PARAM_OBJECT, .in = IN_BODY, .optional = true },
	{ "otherwise", PARAM_OBJECT, .in = IN_BODY, .otherwise = "{}" },
	{ "must", PARAM_WORD, .in = IN_BODY, .of = "a b" },
	PARAMS_END,
};
static const struct endpoint post = {
	.route = "POST /things",
	.params = body_params,
	.sql = "",
	.run = run_json,
};

static struct config *config;
static struct services services;
static struct served got, posted;
static struct arena arena;
static struct values values;
static struct buf problem;

static void
setup(void)
{
	static const struct config_policy none[] = { { NULL, 0, 0, 0 } };

	ck_assert_int_eq(clearenv(), 0);
	ck_assert_int_eq(config_read(none, &config, &problem), R_OK);
	services.config = config;
	ck_assert_msg(endpoint_serve(&get, &services, &got, &problem) == R_OK,
		      "%s", problem.at);
	ck_assert_msg(endpoint_serve(&post, &services, &posted, &problem) ==
			      R_OK,
		      "%s", problem.at);
}

static void
teardown(void)
{
	arena_fini(&arena);
	buf_fini(&problem);
	config_free(config);
}

static enum result
from_path(const char *path, struct bytes query)
{
	const struct request rq = { .path = bytes_of(path), .query = query };

	buf_clear(&problem);
	return (params_from_url(&got, &rq, &arena, &values, &problem));
}

static enum result
from_query(const char *query)
{
	return (from_path("/things/" ID "/x", bytes_of(query)));
}

static enum result
from_body(const char *body)
{
	const struct request none = { .path = BYTES("/things") };

	buf_clear(&problem);
	ck_assert_int_eq(params_from_url(&posted, &none, &arena, &values,
					 &problem),
			 R_OK);
	return (params_from_body(&posted, bytes_of(body), &arena, &values,
				 &problem));
}

static void
value_is(unsigned at, const char *wanted)
{
	struct bytes v = values.of[at];

	if (wanted == NULL)
		ck_assert_ptr_null(v.at);
	else
		ck_assert_msg(v.at != NULL && bytes_equal(v, bytes_of(wanted)),
			      "\"%.*s\", not \"%s\"", BYTES_ARG(v), wanted);
}

/* It must say something, in a line of a bearable length. */
static void
problem_says(const char *text)
{
	ck_assert_int_eq(buf_error(&problem), R_OK);
	ck_assert_msg(problem.len > 0 && problem.len < 300 &&
			      strstr(problem.at, text) != NULL,
		      "\"%s\" without \"%s\"", problem.at, text);
}

START_TEST(absent_parameters_have_their_defaults)
{
	ck_assert_int_eq(from_query(""), R_OK);
	ck_assert_uint_eq(values.count, 11);
	value_is(TEXT, NULL);
	value_is(WORD, "one");
	value_is(INT, "50");
	value_is(NUMBER, NULL);
	value_is(ID_, ID);
	value_is(NAME, "x");
	ck_assert_int_eq(from_query("&&owner=me&"), R_OK);
	value_is(INT, "50");
}
END_TEST

static const struct {
	const char *query;
	unsigned at;
	const char *value; /* NULL: absent */
} accepted[] = {
	{ "text=abc", TEXT, "abc" },
	{ "text=a+b%20c%2B", TEXT, "a b c+" },
	{ "text=%3A%2a%26%3d", TEXT, ":*&=" },
	{ "text=a=b", TEXT, "a=b" },
	{ "te%78t=x", TEXT, "x" },
	{ "text=%C3%A9", TEXT, "\xc3\xa9" },
	{ "short=%C3%A9%C3%A9%C3%A9", SHORT, "\xc3\xa9\xc3\xa9\xc3\xa9" },
	{ "short=", SHORT, NULL }, /* in a key the same as none */
	{ "short", SHORT, NULL },
	{ "word=two", WORD, "two" },
	{ "known=known", KNOWN, "known" },
	{ "int=200", INT, "200" },
	{ "int=-5", INT, "-5" },
	{ "int=007", INT, "7" },
	{ "int=-0", INT, "0" },
	{ "number=0.5", NUMBER, "0.5" },
	{ "number=0.50", NUMBER, "0.5" },
	{ "number=5e-1", NUMBER, "0.5" },
	{ "number=-0.0", NUMBER, "0" },
	{ "number=0.1", NUMBER, "0.1" },
	{ "number=0.30000000000000004", NUMBER, "0.30000000000000004" },
	{ "uuid=0000000A-0000-4000-8000-00000000000b", UUID, ID },
	{ "object={\"a\":1}", OBJECT, "{\"a\":1}" },
	{ "object=%7B%7D", OBJECT, "{}" },
};

START_TEST(accepted_value_has_one_spelling)
{
	ck_assert_msg(from_query(accepted[_i].query) == R_OK, "%s: %s",
		      accepted[_i].query, problem.at);
	value_is(accepted[_i].at, accepted[_i].value);
}
END_TEST

static const struct {
	const char *query, *says;
} refused[] = {
	{ "typo=1", "unknown parameter \"typo\"" },
	{ "Text=1", "known: text" },
	{ "=x", "unknown parameter" },
	{ "id=" ID, "unknown parameter" }, /* is in the path */
	{ "owner=me&owner=you", "unknown parameter" },
	{ "text=a&text=a", "text: given twice" },
	{ "text=a&te%78t=b", "text: given twice" },
	{ "text=%", "percent" },
	{ "text=%4", "percent" },
	{ "text=a%4g", "percent" },
	{ "text=%%41", "percent" },
	{ "%zz=1", "percent" },
	{ "text=", "1 to 200 characters" },
	{ "text", "1 to 200 characters" },
	{ "text=%00", "UTF-8" },
	{ "text=a%00b", "UTF-8" },
	{ "text=%ff", "UTF-8" },
	{ "text=%ed%a0%80", "UTF-8" },
	{ "text=%c0%80", "UTF-8" },
	{ "short=abcd", "0 to 3 characters" },
	{ "short=%C3%A9123", "0 to 3 characters" },
	{ "word=three", "one of: one two" },
	{ "word=one+two", "one of" },
	{ "word=", "one of" },
	{ "known=unknown", "what is known" },
	{ "int=201", "a whole number from -5 to 200" },
	{ "int=-6", "int:" },
	{ "int=1.5", "int:" },
	{ "int=1e2", "int:" },
	{ "int=+1", "int:" },
	{ "int=%2B1", "int:" },
	{ "int=", "int:" },
	{ "int=99999999999999999999", "int:" },
	{ "int=1%00", "int:" },
	{ "number=abc", "a number from -1 to 1e+06" },
	{ "number=nan", "number:" },
	{ "number=-inf", "number:" },
	{ "number=0x1p3", "number:" },
	{ "number=1e999", "number:" },
	{ "number=1000001", "number:" },
	{ "number=.5", "number:" },
	{ "number=1.", "number:" },
	{ "number=01", "number:" },
	{ "number=%2B1", "number:" },
	{ "number=1+", "number:" },
	{ "number=%2001", "number:" },
	{ "number=0,5", "number:" },
	{ "number=0.00000000000000000000000000000000000000000000000000000000000000000000001",
	  "number:" },
	{ "uuid=0000000a000040008000000000000000000b", "a UUID" },
	{ "uuid=0000000g-0000-4000-8000-00000000000b", "a UUID" },
	{ "uuid={0000000-0000-4000-8000-00000000000}", "a UUID" },
	{ "object=[1]", "a JSON object" },
	{ "object={", "a JSON object" },
	{ "object={\"a\":%ff}", "a JSON object" },
	{ "object=", "a JSON object" },
};

START_TEST(wrong_query_is_refused_with_what_would_do)
{
	ck_assert_msg(from_query(refused[_i].query) == R_INVALID, "%s",
		      refused[_i].query);
	problem_says(refused[_i].says);
}
END_TEST

START_TEST(long_names_and_values_are_refused_in_short)
{
	struct buf query = { 0 };
	unsigned i;

	buf_str(&query, "text=");
	for (i = 0; i < 200; i++)
		buf_str(&query, "%C3%A9");
	ck_assert_int_eq(from_query(query.at), R_OK); /* characters */
	buf_str(&query, "x");
	ck_assert_int_eq(from_query(query.at), R_INVALID);
	problem_says("1 to 200 characters");
	for (i = 0; i < 10000; i++)
		buf_str(&query, "%C3%A9");
	ck_assert_int_eq(from_query(query.at + 5), R_INVALID);
	problem_says("unknown parameter");
	buf_fini(&query);
}
END_TEST

static const struct {
	const char *path;
	const char *name, *says; /* says: NULL when accepted */
} paths[] = {
	{ "/things/" ID "/abcde", "abcde", NULL },
	{ "/things/" ID "/a%2Fb", "a/b", NULL },
	{ "/things/" ID "/a+b", "a+b", NULL },
	{ "/things/" ID "/%3A%2A", ":*", NULL },
	{ "/things/" ID "/..", "..", NULL },
	{ "/things/" ID "/abcdef", NULL, "name: expected 1 to 5" },
	{ "/things/" ID "/%", NULL, "name: malformed" },
	{ "/things/" ID "/%ff", NULL, "UTF-8" },
	{ "/things/" ID "/%00", NULL, "UTF-8" },
	{ "/things/1/x", NULL, "id: expected a UUID" },
	{ "/things/%7B/x", NULL, "id: expected a UUID" },
};

START_TEST(path_parts_are_parameters)
{
	enum result r = from_path(paths[_i].path, BYTES_NONE);

	if (paths[_i].says == NULL) {
		ck_assert_int_eq(r, R_OK);
		value_is(NAME, paths[_i].name);
	} else {
		ck_assert_int_eq(r, R_INVALID);
		problem_says(paths[_i].says);
	}
}
END_TEST

/* The key of a query, in `problem`'s room. */
static struct bytes
key_of(const char *query)
{
	struct buf log_key = { 0 }, arguments = { 0 };

	ck_assert_msg(from_query(query) == R_OK, "%s: %s", query, problem.at);
	buf_clear(&problem);
	ck_assert_int_eq(endpoint_query(&got, &values, &problem, &log_key,
					&arguments),
			 R_OK);
	buf_fini(&log_key);
	buf_fini(&arguments);
	return (buf_bytes(&problem));
}

START_TEST(values_cannot_break_out_of_their_place_in_a_key)
{
	struct bytes key = key_of("text=a:*@%25%3a%0a%c3%a9&int=7");

	ck_assert_msg(
		bytes_equal(
			key,
			BYTES("things:a%3A%2A%40%25%3A%0A\xc3\xa9::one::7::::" ID
			      ":x")),
		"%s", problem.at);
}
END_TEST

static const char *const equal[][2] = {
	{ "", "int=50&word=one" },
	{ "int=7&word=two", "word=two&int=007" },
	{ "text=a+b", "te%78t=a%20b" },
	{ "short=", "" },
	{ "number=1.50", "number=15e-1" },
	{ "uuid=" ID, "uuid=0000000A-0000-4000-8000-00000000000B" },
	{ "owner=me", "&&" },
};

START_TEST(equal_questions_have_equal_keys)
{
	struct bytes key = key_of(equal[_i][0]);
	char copy[KEY_MAX_BYTES + 1] = "";

	memcpy(copy, key.at, key.len);
	key = key_of(equal[_i][1]);
	ck_assert_str_eq(key.at, copy);
}
END_TEST

START_TEST(body_gives_values_as_sent)
{
	ck_assert_msg(from_body(" { \"te\\u0078t\" : \"a\\n\\u00e9\\\"\" , "
				"\"int\": 12,\"number\":1.10, \"uuid\":\"" ID
				"\","
				"\"object\":{ \"b\" : [1.50,1.50, {}] ,\"b\":"
				"12345678901234567890},\"must\":\"b\"}\n") ==
			      R_OK,
		      "%s", problem.at);
	value_is(B_TEXT, "a\n\xc3\xa9\"");
	value_is(B_INT, "12");
	value_is(B_NUMBER, "1.10");
	value_is(B_UUID, ID);
	value_is(B_OBJECT, "{ \"b\" : [1.50,1.50, {}] ,\"b\":"
			   "12345678901234567890}");
	value_is(B_DEFAULT, "{}");
	value_is(B_MUST, "b");
}
END_TEST

START_TEST(null_is_absent_where_that_is_allowed)
{
	ck_assert_int_eq(from_body("{\"must\":\"a\",\"text\":null,"
				   "\"otherwise\":null,\"int\": null }"),
			 R_OK);
	value_is(B_TEXT, NULL);
	value_is(B_INT, NULL);
	value_is(B_DEFAULT, "{}");
	ck_assert_int_eq(from_body("{\"must\":null}"), R_INVALID);
	problem_says("must: expected a string");
}
END_TEST

static const struct {
	const char *body, *says;
} bodies[] = {
	{ "", "expected a JSON object" },
	{ "null", "expected a JSON object" },
	{ "[]", "expected a JSON object" },
	{ "\"must\"", "expected a JSON object" },
	{ "{\"must\":\"a\"", "expected a JSON object" },
	{ "{\"must\":\"a\"} x", "expected a JSON object" },
	{ "{\"must\":\"a\xff\"}", "expected a JSON object" },
	{ "{}", "must: missing" },
	{ "{\"must\":\"c\"}", "must: expected one of: a b" },
	{ "{\"must\":\"a b\"}", "must: expected one of" },
	{ "{\"must\":1}", "must: expected a string" },
	{ "{\"must\":[\"a\"]}", "must: expected a string" },
	{ "{\"must\":\"a\",\"more\":1}", "unknown field \"more\"" },
	{ "{\"must\":\"a\",\"Must\":\"a\"}", "known: text, int" },
	{ "{\"must\":\"a\",\"must\":\"a\"}", "must: given twice" },
	{ "{\"must\":\"a\",\"m\\u0075st\":\"b\"}", "must: given twice" },
	{ "{\"int\":\"1\",\"must\":\"a\"}", "int: expected a number" },
	{ "{\"int\":0}", "int: expected a whole number from 1" },
	{ "{\"int\":1.0}", "int: expected a whole number" },
	{ "{\"int\":1e3}", "int: expected a whole number" },
	{ "{\"int\":true}", "int: expected a whole number" },
	{ "{\"int\":{}}", "int: expected a whole number" },
	{ "{\"number\":1e400}", "number: expected a number" },
	{ "{\"number\":\"1\"}", "number: expected a number" },
	{ "{\"number\":[1]}", "number: expected a number" },
	{ "{\"text\":\"12345678901\"}", "text: expected 0 to 10 characters" },
	{ "{\"text\":\"a\\u0000\"}", "UTF-8 text without NUL" },
	{ "{\"text\":5}", "text: expected a string" },
	{ "{\"text\":{}}", "text: expected a string" },
	{ "{\"uuid\":\"x\"}", "uuid: expected a UUID" },
	{ "{\"object\":\"{}\"}", "object: expected a JSON object" },
	{ "{\"object\":[]}", "object: expected a JSON object" },
	{ "{\"otherwise\":1}", "otherwise: expected a JSON object" },
};

START_TEST(wrong_body_is_refused_with_what_would_do)
{
	ck_assert_msg(from_body(bodies[_i].body) == R_INVALID, "%s",
		      bodies[_i].body);
	problem_says(bodies[_i].says);
}
END_TEST

/* Each failed allocation must show as R_NO_MEMORY, or not at all. */
#define WALK(call)                                                  \
	do {                                                        \
		enum result r_;                                     \
		unsigned n_, failed_ = 0;                           \
                                                                    \
		for (n_ = 1; n_ < 60; n_++) {                       \
			arena_fini(&arena);                         \
			buf_fini(&problem);                         \
			mem_fail_after(n_);                         \
			r_ = (call);                                \
			mem_fail_after(0);                          \
			ck_assert(r_ == R_OK || r_ == R_NO_MEMORY); \
			failed_ += r_ == R_NO_MEMORY;               \
		}                                                   \
		ck_assert_int_eq(r_, R_OK);                         \
		ck_assert_uint_gt(failed_, 2);                      \
	} while (0)

START_TEST(no_memory_is_not_the_clients_fault)
{
	WALK(from_query("text=%41&int=007&uuid=" ID
			"&number=0.30000000000000004&word=two"));
	value_is(TEXT, "A");
	value_is(INT, "7");
}
END_TEST

START_TEST(no_memory_for_a_body_is_not_the_clients_fault)
{
	WALK(from_body("{\"text\":\"a\\u0041\",\"int\":7,\"uuid\":\"" ID
		       "\",\"must\":\"a\",\"object\":{}}"));
	value_is(B_TEXT, "aA");
	value_is(B_INT, "7");
}
END_TEST

START_TEST(no_memory_for_the_message_is_no_acceptance)
{
	unsigned n;

	for (n = 1; n < 10; n++) {
		buf_fini(&problem);
		mem_fail_after(n);
		ck_assert_int_ne(from_query("int=201"), R_OK);
		mem_fail_after(0);
	}
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))

Suite *suite_params(void);

Suite *
suite_params(void)
{
	Suite *s = suite_create("params");
	TCase *t = tcase_create("params");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, absent_parameters_have_their_defaults);
	tcase_add_loop_test(t, accepted_value_has_one_spelling, 0,
			    COUNT(accepted));
	tcase_add_loop_test(t, wrong_query_is_refused_with_what_would_do, 0,
			    COUNT(refused));
	tcase_add_test(t, long_names_and_values_are_refused_in_short);
	tcase_add_loop_test(t, path_parts_are_parameters, 0, COUNT(paths));
	tcase_add_test(t, values_cannot_break_out_of_their_place_in_a_key);
	tcase_add_loop_test(t, equal_questions_have_equal_keys, 0,
			    COUNT(equal));
	tcase_add_test(t, body_gives_values_as_sent);
	tcase_add_test(t, null_is_absent_where_that_is_allowed);
	tcase_add_loop_test(t, wrong_body_is_refused_with_what_would_do, 0,
			    COUNT(bodies));
	tcase_add_test(t, no_memory_is_not_the_clients_fault);
	tcase_add_test(t, no_memory_for_a_body_is_not_the_clients_fault);
	tcase_add_test(t, no_memory_for_the_message_is_no_acceptance);
	suite_add_tcase(s, t);
	return (s);
}
