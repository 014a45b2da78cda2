/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* A copy that ends where its heap block does, so that a sanitizer sees a step past
 * the end. */
static struct bytes
tight(struct bytes text)
{
	char *at = malloc(text.len > 0 ? text.len : 1);

	ck_assert_ptr_nonnull(at);
	if (text.len > 0)
		memcpy(at, text.at, text.len);
	return ((struct bytes){ at, text.len });
}

static void
release(struct bytes b)
{
	free((void *)(uintptr_t)b.at);
}

static bool
is_valid(struct bytes text)
{
	struct bytes copy = tight(text);
	enum result r = json_check(copy);

	release(copy);
	return (r == R_OK);
}

static void
assert_bytes(struct bytes got, const char *wanted)
{
	ck_assert_msg(bytes_equal(got, bytes_of(wanted)), "%.*s, not %s",
		      BYTES_ARG(got), wanted);
}

START_TEST(texts_of_the_grammar_are_valid)
{
	const char *const texts[] = {
		"{}",
		"[]",
		"null",
		"true",
		"false",
		"0",
		"-0",
		"1.10",
		"12345678901234567890",
		"1e400",
		"-1.5E-7",
		"1e+0",
		"\"\"",
		"\n\t {\r\n \"a\" : [ 1 , 2 ] , \"b\":{ } } \n",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u0000\\uD83D\\uDE00\"",
		"\"caf\xc3\xa9 \xf0\x9f\x98\x80\"",
		"{\"a\":1,\"a\":2}",
		"{\"\":{\"\":[[],{}]}}",
		"\"\x7f\"",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(is_valid(bytes_of(texts[i])), "%s", texts[i]);
}
END_TEST

START_TEST(texts_off_the_grammar_are_refused)
{
	const char *const texts[] = {
		"",
		" ",
		"{",
		"}",
		"[",
		"]",
		"[1",
		"[1,",
		"[1,]",
		"[,1]",
		"[1 2]",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{a:1}",
		"{'a':1}",
		"{1:1}",
		"{\"a\":1 \"b\":2}",
		"{\"a\"=1}",
		"01",
		"-",
		"+1",
		"1.",
		".5",
		"1e",
		"1e+",
		"0x10",
		"1_000",
		"NaN",
		"Infinity",
		"nul",
		"nulll",
		"True",
		"\"",
		"\"a",
		"\"\\\"",
		"\"\\x41\"",
		"\"\\u12\"",
		"\"\\u12g4\"",
		"\"\\\"",
		"'a'",
		"\"a\nb\"",
		"\"a\tb\"",
		"\"\x01\"",
		"{} {}",
		"[]]",
		"1 2",
		"\xef\xbb\xbf{}",
		"// no\n1",
		"[1]x",
		"\"\\ud83d\"",
		"\"\\ude00\"",
		"\"\\ud83d\\ud83d\"",
		"\"\\ud83dx\"",
		"\v1",
		"\"\xff\"",
		"\"\xc3\"",
		"\"\xc0\xaf\"",
		"\"\xed\xa0\x80\"",
		"\"\xf4\x90\x80\x80\"",
		"[\"\xc3\"]",
		"\xc3\xa9",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(!is_valid(bytes_of(texts[i])), "%s", texts[i]);
	ck_assert(!is_valid(BYTES("[1]\0")));
	ck_assert(!is_valid(BYTES("[\0]")));
	ck_assert(!is_valid(BYTES("\"a\0b\"")));
	ck_assert(!is_valid((struct bytes){ NULL, 0 }));
}
END_TEST

START_TEST(every_truncation_of_a_text_is_refused)
{
	struct bytes text = BYTES("{\"a\\u00e9\":[1.5e3,true,null,\"\xc3\xa9"
				  "\\ud83d\\ude00\"],\"b\":{\"c\":false}}");

	ck_assert(is_valid(text));
	while (text.len-- > 0)
		ck_assert_msg(!is_valid(text), "%.*s", BYTES_ARG(text));
}
END_TEST

/* `depth` arrays or objects in each other. */
static struct bytes
nested(size_t depth, const char *open, const char *close)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < depth; i++)
		buf_str(&b, open);
	buf_str(&b, "1");
	for (size_t i = 0; i < depth; i++)
		buf_str(&b, close);
	ck_assert_int_eq(buf_error(&b), R_OK);
	return (buf_bytes(&b));
}

START_TEST(depth_is_bounded)
{
	struct {
		size_t depth;
		const char *open, *close;
		bool valid;
	} cases[] = {
		{ JSON_DEPTH_MAX, "[", "]", true },
		{ JSON_DEPTH_MAX, "{\"a\":", "}", true },
		{ JSON_DEPTH_MAX / 2, "[{\"a\":", "}]", true },
		{ JSON_DEPTH_MAX + 1, "[", "]", false },
		{ JSON_DEPTH_MAX + 1, "{\"a\":", "}", false },
		{ 3000000, "[", "]", false },
		{ 3000000, "[", "", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bytes text =
			nested(cases[i].depth, cases[i].open, cases[i].close);

		ck_assert_int_eq(is_valid(text), cases[i].valid);
		release(text);
	}
}
END_TEST

START_TEST(kinds_are_told_apart)
{
	ck_assert_int_eq(json_kind_of(BYTES(" {}")), JSON_OBJECT);
	ck_assert_int_eq(json_kind_of(BYTES("\n[]")), JSON_ARRAY);
	ck_assert_int_eq(json_kind_of(BYTES("\"\"")), JSON_STRING);
	ck_assert_int_eq(json_kind_of(BYTES("-1")), JSON_NUMBER);
	ck_assert_int_eq(json_kind_of(BYTES("false")), JSON_BOOLEAN);
	ck_assert_int_eq(json_kind_of(BYTES("null")), JSON_NULL);
	ck_assert_int_eq(json_kind_of((struct bytes){ NULL, 0 }), JSON_NONE);
}
END_TEST

START_TEST(member_is_found_with_its_bytes_untouched)
{
	struct bytes object = BYTES(
		"\n { \"price\" : 1.10 ,\"big\":12345678901234567890,"
		"\"s\":\"a,}\\\"]\\\\\", \"o\" : { \"price\":[ {}, \"}\" ] }\t,"
		"\"t\":true,\"n\":null,\"e\":{},\"last\":-0.0e1\n}\n");

	ck_assert_int_eq(json_check(object), R_OK);
	assert_bytes(json_member(object, BYTES("price")), "1.10");
	assert_bytes(json_member(object, BYTES("big")), "12345678901234567890");
	assert_bytes(json_member(object, BYTES("s")), "\"a,}\\\"]\\\\\"");
	assert_bytes(json_member(object, BYTES("o")),
		     "{ \"price\":[ {}, \"}\" ] }");
	assert_bytes(json_member(object, BYTES("t")), "true");
	assert_bytes(json_member(object, BYTES("n")), "null");
	assert_bytes(json_member(object, BYTES("e")), "{}");
	assert_bytes(json_member(object, BYTES("last")), "-0.0e1");
	ck_assert_ptr_null(json_member(object, BYTES("")).at);
	ck_assert_ptr_null(json_member(object, BYTES("pric")).at);
	ck_assert_ptr_null(json_member(object, BYTES("prices")).at);
	ck_assert_ptr_null(json_member(object, BYTES("Price")).at);
}
END_TEST

START_TEST(names_are_compared_by_what_they_mean)
{
	struct bytes object = BYTES(
		"{\"g\\u0061teway\":1,\"\\ud83d\\ude00\":2,\"caf\\u00e9\":"
		"3,\"\\\"\\\\\\/\\n\":4,\"a\\u0000b\":5,\"\\u20ac\":6,"
		"\"plain\\\\\":7,\"\":8}");

	ck_assert_int_eq(json_check(object), R_OK);
	assert_bytes(json_member(object, BYTES("gateway")), "1");
	assert_bytes(json_member(object, BYTES("\xf0\x9f\x98\x80")), "2");
	assert_bytes(json_member(object, BYTES("caf\xc3\xa9")), "3");
	assert_bytes(json_member(object, BYTES("\"\\/\n")), "4");
	assert_bytes(json_member(object, BYTES("a\0b")), "5");
	assert_bytes(json_member(object, BYTES("\xe2\x82\xac")), "6");
	assert_bytes(json_member(object, BYTES("plain\\")), "7");
	assert_bytes(json_member(object, BYTES("")), "8");
	ck_assert_ptr_null(json_member(object, BYTES("a")).at);
	ck_assert_ptr_null(json_member(object, BYTES("gatewa")).at);
	ck_assert_ptr_null(json_member(object, BYTES("gatewayy")).at);
}
END_TEST

START_TEST(of_repeated_names_the_last_counts)
{
	assert_bytes(json_member(BYTES("{\"a\":1,\"b\":2,\"\\u0061\":3}"),
				 BYTES("a")),
		     "3");
}
END_TEST

START_TEST(what_is_no_object_has_no_members)
{
	ck_assert_ptr_null(json_member(BYTES("{}"), BYTES("a")).at);
	ck_assert_ptr_null(json_member(BYTES(" { } "), BYTES("a")).at);
	ck_assert_ptr_null(json_member(BYTES("[\"a\",1]"), BYTES("a")).at);
	ck_assert_ptr_null(json_member(BYTES("\"a\""), BYTES("a")).at);
	ck_assert_ptr_null(json_member(BYTES("1"), BYTES("a")).at);
	ck_assert_ptr_null(json_member(BYTES_NONE, BYTES("a")).at);
	ck_assert_ptr_null(
		json_member((struct bytes){ NULL, 0 }, BYTES("a")).at);
}
END_TEST

START_TEST(elements_come_in_order_and_untouched)
{
	struct bytes rest = BYTES(" [ 1.10,{ \"a\" : [1,2] } ,\"],\\\"[\"\n,\t"
				  "[ [ ] , 3 ],null , -1e5 ] "),
		     element;
	const char *const wanted[] = { "1.10",	      "{ \"a\" : [1,2] }",
				       "\"],\\\"[\"", "[ [ ] , 3 ]",
				       "null",	      "-1e5" };

	for (size_t i = 0; i < 6; i++) {
		ck_assert(json_next_element(&rest, &element));
		assert_bytes(element, wanted[i]);
	}
	ck_assert(!json_next_element(&rest, &element));
	ck_assert(!json_next_element(&rest, &element));
}
END_TEST

START_TEST(what_is_no_array_has_no_elements)
{
	const char *const texts[] = { "[]",	 " [ \n ] ", "{\"a\":1}", "1",
				      "\"[1]\"", "null",     "" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct bytes rest = bytes_of(texts[i]), element;

		ck_assert_msg(!json_next_element(&rest, &element), "%s",
			      texts[i]);
	}
}
END_TEST

START_TEST(member_is_left_out_and_others_stay_as_they_are)
{
	const struct {
		const char *object, *wanted;
	} cases[] = {
		{ "{\"x\":1}", "{}" },
		{ "{}", "{}" },
		{ " { } ", "{}" },
		{ "\n{ \"a\" : 1.10 }\n", "{\"a\" : 1.10}" },
		{ "{\"x\":1,\"a\":2}", "{\"a\":2}" },
		{ "{\"a\":2 , \"x\":1}", "{\"a\":2}" },
		{ "{\"a\":2 ,\n \"x\":1 , \"b\" : 3}", "{\"a\":2,\"b\" : 3}" },
		{ "{\"a\":2 ,\n \"b\" : 3}", "{\"a\":2 ,\n \"b\" : 3}" },
		{ "{\"x\":1,\"a\":{\"x\":2},\"\\u0078\":[3]}",
		  "{\"a\":{\"x\":2}}" },
		{ "{\"a\":12345678901234567890,\"x\":{\"y\":[]},\"b\":1e400}",
		  "{\"a\":12345678901234567890,\"b\":1e400}" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b = { 0 };

		json_add_object_without(&b, bytes_of(cases[i].object),
					BYTES("x"));
		ck_assert_int_eq(buf_error(&b), R_OK);
		assert_bytes(buf_bytes(&b), cases[i].wanted);
		buf_fini(&b);
	}
}
END_TEST

START_TEST(member_is_put_last_in_place_of_any_other)
{
	const struct {
		const char *object, *wanted;
	} cases[] = {
		{ "{}", "{\"gateway\":\"groq\"}" },
		{ " { \"id\" : 1.10 } ",
		  "{\"id\" : 1.10,\"gateway\":\"groq\"}" },
		{ "{\"gateway\":\"other\",\"id\":1}",
		  "{\"id\":1,\"gateway\":\"groq\"}" },
		{ "{\"gatew\\u0061y\":null}", "{\"gateway\":\"groq\"}" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b = { 0 };

		json_add_object_with(&b, bytes_of(cases[i].object),
				     BYTES("gateway"), BYTES("\"groq\""));
		ck_assert_int_eq(buf_error(&b), R_OK);
		assert_bytes(buf_bytes(&b), cases[i].wanted);
		ck_assert_int_eq(json_check(buf_bytes(&b)), R_OK);
		buf_fini(&b);
	}
}
END_TEST

START_TEST(members_come_in_order_and_untouched)
{
	struct bytes rest = BYTES(" { \"a\" : 1.10,\"\\u0062\":{\"c\":[]} ,"
				  "\n\"a\":\"}\" } "),
		     name, value;
	const char *const wanted[][2] = { { "\"a\"", "1.10" },
					  { "\"\\u0062\"", "{\"c\":[]}" },
					  { "\"a\"", "\"}\"" } };

	for (size_t i = 0; i < 3; i++) {
		ck_assert(json_next_member(&rest, &name, &value));
		assert_bytes(name, wanted[i][0]);
		assert_bytes(value, wanted[i][1]);
	}
	ck_assert(!json_next_member(&rest, &name, &value));
	ck_assert(!json_next_member(&rest, &name, &value));
	rest = BYTES("[\"a\",1]");
	ck_assert(!json_next_member(&rest, &name, &value));
}
END_TEST

START_TEST(string_is_unescaped)
{
	struct buf b = { 0 };

	json_add_string(&b, BYTES("\"\\u0061b\\n\\\"\\\\\\/\\u0000c\\u20ac"
				  "\\ud83d\\ude00\xc3\xa9\""));
	ck_assert(
		bytes_equal(buf_bytes(&b), BYTES("ab\n\"\\/\0c\xe2\x82\xac"
						 "\xf0\x9f\x98\x80\xc3\xa9")));
	buf_clear(&b);
	json_add_string(&b, BYTES("\"\""));
	ck_assert_uint_eq(b.len, 0);
	buf_fini(&b);
}
END_TEST

START_TEST(white_space_is_trimmed_and_nothing_else)
{
	assert_bytes(json_trim(BYTES("\n\t\r [ 1 ] \n")), "[ 1 ]");
	assert_bytes(json_trim(BYTES(" \n ")), "");
	assert_bytes(json_trim(BYTES("\v1\f")), "\v1\f");
	ck_assert_uint_eq(json_trim(BYTES("1\0")).len, 2);
}
END_TEST

/* Not their contract, but they must stay inside the text. */
START_TEST(broken_texts_are_left_at_their_end)
{
	struct bytes whole = BYTES(" {\"a\\\\\":[1,{\"b\":\"\\u00e9\"}],"
				   "\"\\u0062\":{\"c\":[[\"]\"]]}, \"d\" : 1}");

	for (size_t from = 0; from < whole.len; from++)
		for (size_t to = from; to <= whole.len; to++) {
			struct bytes text = tight((struct bytes){
					     whole.at + from, to - from }),
				     rest = text, element;
			struct buf b = { 0 };
			size_t count = 0;

			(void)json_member(text, BYTES("b"));
			json_add_object_without(&b, text, BYTES("b"));
			json_add_string(&b, text);
			while (json_next_element(&rest, &element))
				ck_assert_uint_le(++count, text.len);
			buf_fini(&b);
			release(text);
		}
}
END_TEST

Suite *suite_json(void);

Suite *
suite_json(void)
{
	Suite *s = suite_create("json");
	TCase *t = tcase_create("check");

	tcase_add_test(t, texts_of_the_grammar_are_valid);
	tcase_add_test(t, texts_off_the_grammar_are_refused);
	tcase_add_test(t, every_truncation_of_a_text_is_refused);
	tcase_add_test(t, depth_is_bounded);
	suite_add_tcase(s, t);
	t = tcase_create("look");
	tcase_add_test(t, kinds_are_told_apart);
	tcase_add_test(t, member_is_found_with_its_bytes_untouched);
	tcase_add_test(t, names_are_compared_by_what_they_mean);
	tcase_add_test(t, of_repeated_names_the_last_counts);
	tcase_add_test(t, what_is_no_object_has_no_members);
	tcase_add_test(t, elements_come_in_order_and_untouched);
	tcase_add_test(t, what_is_no_array_has_no_elements);
	tcase_add_test(t, member_is_left_out_and_others_stay_as_they_are);
	tcase_add_test(t, member_is_put_last_in_place_of_any_other);
	tcase_add_test(t, members_come_in_order_and_untouched);
	tcase_add_test(t, string_is_unescaped);
	tcase_add_test(t, white_space_is_trimmed_and_nothing_else);
	tcase_add_test(t, broken_texts_are_left_at_their_end);
	suite_add_tcase(s, t);
	return (s);
}
