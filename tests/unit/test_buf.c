/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"

#include <check.h>
#include <string.h>

START_TEST(appends_join_and_end_in_a_nul)
{
	struct buf b = { 0 };

	ck_assert_uint_eq(buf_bytes(&b).len, 0);
	buf_str(&b, "a");
	buf_char(&b, '-');
	buf_add(&b, BYTES("b\0c"));
	buf_add(&b, (struct bytes){ NULL, 0 });
	buf_str(&b, NULL);
	ck_assert(bytes_equal(buf_bytes(&b), BYTES("a-b\0c")));
	ck_assert_int_eq(b.at[b.len], '\0');
	ck_assert_int_eq(buf_error(&b), R_OK);
	buf_fini(&b);
	buf_fini(&b);
}
END_TEST

START_TEST(numbers_and_hex_are_written)
{
	struct buf b = { 0 };

	buf_int(&b, 0);
	buf_char(&b, ' ');
	buf_int(&b, INT64_MIN);
	buf_char(&b, ' ');
	buf_int(&b, INT64_MAX);
	buf_char(&b, ' ');
	buf_hex(&b, BYTES("\x00\x9F\xFF"));
	ck_assert_str_eq(b.at, "0 -9223372036854775808 9223372036854775807 "
			       "009fff");
	buf_fini(&b);
}
END_TEST

START_TEST(printf_grows_over_any_boundary)
{
	static const char text[] = "0123456789012345678901234567890123456789";

	for (int lead = 0; lead < 140; lead++) {
		struct buf b = { 0 };

		for (int i = 0; i < lead; i++)
			buf_char(&b, 'x');
		buf_printf(&b, "<%s|%d>", text, lead);
		ck_assert_int_eq(buf_error(&b), R_OK);
		ck_assert_uint_eq(b.len, strlen(b.at));
		ck_assert_int_eq(b.at[lead], '<');
		ck_assert_int_eq(b.at[b.len - 1], '>');
		buf_fini(&b);
	}
}
END_TEST

START_TEST(first_error_sticks_until_cleared)
{
	struct buf b = { .limit = 4 };

	buf_str(&b, "1234");
	ck_assert_int_eq(buf_error(&b), R_OK);
	buf_str(&b, "5");
	ck_assert_int_eq(buf_error(&b), R_TOO_LARGE);
	buf_str(&b, "");
	buf_printf(&b, "%s", "6");
	ck_assert_ptr_null(buf_reserve(&b, 0));
	ck_assert_str_eq(b.at, "1234");
	buf_clear(&b);
	ck_assert_str_eq(b.at, "");
	buf_printf(&b, "%s", "12345");
	ck_assert_int_eq(buf_error(&b), R_TOO_LARGE);
	ck_assert_str_eq(b.at, "");
	buf_clear(&b);
	buf_str(&b, "abcd");
	ck_assert_str_eq(b.at, "abcd");
	buf_fini(&b);
}
END_TEST

START_TEST(lack_of_memory_keeps_what_was_there)
{
	struct buf b = { 0 };
	char large[200];

	memset(large, 'x', sizeof(large));
	buf_str(&b, "abc");
	mem_fail_after(1);
	buf_add(&b, (struct bytes){ large, sizeof(large) });
	ck_assert_int_eq(buf_error(&b), R_NO_MEMORY);
	ck_assert_str_eq(b.at, "abc");
	buf_fini(&b);
}
END_TEST

START_TEST(impossible_sizes_are_refused)
{
	struct buf b = { 0 };

	buf_char(&b, 'x');
	ck_assert_ptr_null(buf_reserve(&b, SIZE_MAX));
	ck_assert_int_eq(buf_error(&b), R_TOO_LARGE);
	buf_clear(&b);
	ck_assert_ptr_null(buf_reserve(&b, SIZE_MAX / 2));
	ck_assert_int_eq(buf_error(&b), R_TOO_LARGE);
	buf_fini(&b);
}
END_TEST

START_TEST(reserved_room_can_be_filled)
{
	struct buf b = { 0 };
	char *at = buf_reserve(&b, 100);

	ck_assert_ptr_nonnull(at);
	memset(at, 'y', 100);
	b.len += 100;
	buf_char(&b, 'z');
	ck_assert_uint_eq(strlen(b.at), 101);
	buf_fini(&b);
}
END_TEST

static const struct {
	struct bytes text;
	const char *json;
} json[] = {
	{ BYTES_INIT(""), "\"\"" },
	{ BYTES_INIT("plain"), "\"plain\"" },
	{ BYTES_INIT("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"" },
	{ BYTES_INIT("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"" },
	{ BYTES_INIT("\0\x1F\x7F"), "\"\\u0000\\u001f\x7F\"" },
	{ BYTES_INIT("\xC3\xA9\xF0\x9F\x98\x80"),
	  "\"\xC3\xA9\xF0\x9F\x98\x80\"" },
	{ BYTES_INIT("a\xFF"
		     "b\xC3"),
	  "\"a\xEF\xBF\xBD"
	  "b\xEF\xBF\xBD\"" },
	{ BYTES_INIT("\xED\xA0\x80"),
	  "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"" },
};

START_TEST(json_strings_are_escaped)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < sizeof(json) / sizeof(json[0]); i++) {
		buf_clear(&b);
		buf_json(&b, json[i].text);
		ck_assert_str_eq(b.at, json[i].json);
		ck_assert(bytes_is_utf8(buf_bytes(&b)));
	}
	buf_fini(&b);
}
END_TEST

START_TEST(only_unreserved_characters_escape_percent)
{
	struct buf b = { 0 };

	buf_percent(&b, BYTES("Az09.-_~ /:%\xC3\xBC\0"));
	ck_assert_str_eq(b.at, "Az09.-_~%20%2F%3A%25%C3%BC%00");
	buf_fini(&b);
}
END_TEST

Suite *suite_buf(void);

Suite *
suite_buf(void)
{
	Suite *s = suite_create("buf");
	TCase *t = tcase_create("buf");

	tcase_add_test(t, appends_join_and_end_in_a_nul);
	tcase_add_test(t, numbers_and_hex_are_written);
	tcase_add_test(t, printf_grows_over_any_boundary);
	tcase_add_test(t, first_error_sticks_until_cleared);
	tcase_add_test(t, lack_of_memory_keeps_what_was_there);
	tcase_add_test(t, impossible_sizes_are_refused);
	tcase_add_test(t, reserved_room_can_be_filled);
	tcase_add_test(t, json_strings_are_escaped);
	tcase_add_test(t, only_unreserved_characters_escape_percent);
	suite_add_tcase(s, t);
	return (s);
}
