/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"

#include <check.h>
#include <string.h>

#define ck_bytes(got, expected)                                            \
	ck_assert_msg(bytes_equal((got), BYTES(expected)), "got \"%.*s\"", \
		      BYTES_ARG(got))

START_TEST(null_string_is_no_bytes)
{
	ck_assert_uint_eq(bytes_of(NULL).len, 0);
	ck_assert(bytes_equal(bytes_of(NULL), BYTES_NONE));
	ck_assert(bytes_equal((struct bytes){ NULL, 0 }, BYTES_NONE));
}
END_TEST

START_TEST(comparison_minds_length_and_case)
{
	ck_assert(bytes_equal(BYTES("a\0b"), BYTES("a\0b")));
	ck_assert(!bytes_equal(BYTES("a\0b"), BYTES("a\0c")));
	ck_assert(!bytes_equal(BYTES("ab"), BYTES("abc")));
	ck_assert(!bytes_equal(BYTES("ab"), BYTES("aB")));
	ck_assert(bytes_equal_nocase(BYTES("eTaG"), BYTES("EtAg")));
	ck_assert(!bytes_equal_nocase(BYTES("@["), BYTES("`{")));
	ck_assert(!bytes_equal_nocase(BYTES("\xC4"), BYTES("\xE4")));
	ck_assert(bytes_starts(BYTES("models:all"), BYTES("models:")));
	ck_assert(!bytes_starts(BYTES("mod"), BYTES("models:")));
	ck_assert(bytes_starts(BYTES("x"), BYTES_NONE));
	ck_assert(bytes_ends(BYTES("models:*"), BYTES(":*")));
	ck_assert(!bytes_ends(BYTES("*"), BYTES(":*")));
}
END_TEST

START_TEST(cut_takes_parts_one_after_another)
{
	struct bytes rest = BYTES("a,,b");

	ck_bytes(bytes_cut(&rest, ','), "a");
	ck_bytes(bytes_cut(&rest, ','), "");
	ck_bytes(bytes_cut(&rest, ','), "b");
	ck_assert_uint_eq(rest.len, 0);
	ck_bytes(bytes_cut(&rest, ','), "");
}
END_TEST

START_TEST(front_and_edges_are_dropped)
{
	ck_bytes(bytes_from(BYTES("abc"), 1), "bc");
	ck_bytes(bytes_from(BYTES("abc"), 9), "");
	ck_bytes(bytes_trim(BYTES(" \t a b\t ")), "a b");
	ck_bytes(bytes_trim(BYTES(" \t ")), "");
	ck_assert_int_eq(bytes_find(BYTES("abcb"), 'b'), 1);
	ck_assert_int_eq(bytes_find(BYTES("abc"), 'x'), -1);
	ck_assert_int_eq(bytes_find((struct bytes){ NULL, 0 }, 'x'), -1);
}
END_TEST

static bool
decodes(struct bytes from, bool plus_is_space, struct bytes to)
{
	char room[64];
	size_t len;

	return (bytes_percent_decode(from, plus_is_space, room, &len) &&
		bytes_equal((struct bytes){ room, len }, to));
}

START_TEST(percent_signs_stand_for_bytes)
{
	char room[64];
	size_t len;

	ck_assert(decodes(BYTES("a+b%2Bc%c3%A4%00"), false,
			  BYTES("a+b+c\xc3\xa4\0")));
	ck_assert(decodes(BYTES("a+b%2B"), true, BYTES("a b+")));
	ck_assert(decodes(BYTES_NONE, true, BYTES_NONE));
	ck_assert(!bytes_percent_decode(BYTES("%"), false, room, &len));
	ck_assert(!bytes_percent_decode(BYTES("a%4"), false, room, &len));
	ck_assert(!bytes_percent_decode(BYTES("%4g"), false, room, &len));
	ck_assert(!bytes_percent_decode(BYTES("%+1"), true, room, &len));
}
END_TEST

START_TEST(control_bytes_are_found)
{
	ck_assert(bytes_have_control(BYTES("a\r\nb")));
	ck_assert(bytes_have_control(BYTES("a\0")));
	ck_assert(bytes_have_control(BYTES("\x7f")));
	ck_assert(!bytes_have_control(BYTES(" ~\x80\xff")));
	ck_assert(!bytes_have_control(BYTES_NONE));
}
END_TEST

START_TEST(whole_numbers_are_read_exactly)
{
	static const struct {
		const char *text;
		int64_t value;
	} good[] = {
		{ "0", 0 },
		{ "-0", 0 },
		{ "007", 7 },
		{ "-42", -42 },
		{ "9223372036854775807", INT64_MAX },
		{ "-9223372036854775808", INT64_MIN },
	};
	static const char *const bad[] = {
		"",
		"-",
		"+1",
		"1 ",
		" 1",
		"1x",
		"0x10",
		"--1",
		"1.0",
		"٣",
		"9223372036854775808",
		"-9223372036854775809",
	};
	int64_t value;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert(bytes_to_int64(bytes_of(good[i].text), &value));
		ck_assert_int_eq(value, good[i].value);
	}
	value = 77;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!bytes_to_int64(bytes_of(bad[i]), &value),
			      "\"%s\" was accepted", bad[i]);
	ck_assert_int_eq(value, 77);
}
END_TEST

START_TEST(uuid_is_36_digits_and_dashes)
{
	ck_assert(bytes_is_uuid(BYTES("0123abcd-4567-89AB-cdef-0123456789aF")));
	ck_assert(!bytes_is_uuid(BYTES("0123abcd-4567-89AB-cdef-0123456789a")));
	ck_assert(
		!bytes_is_uuid(BYTES("0123abcd-4567-89AB-cdef-0123456789aF0")));
	ck_assert(
		!bytes_is_uuid(BYTES("0123abcd04567-89AB-cdef-0123456789aF")));
	ck_assert(
		!bytes_is_uuid(BYTES("0123abcg-4567-89AB-cdef-0123456789aF")));
	ck_assert(
		!bytes_is_uuid(BYTES("0123abc\0-4567-89AB-cdef-0123456789aF")));
	ck_assert(!bytes_is_uuid(BYTES("")));
	ck_assert(!bytes_is_uuid(BYTES_NONE));
}
END_TEST

START_TEST(only_well_formed_utf8_is_accepted)
{
	static const struct bytes good[] = {
		BYTES_INIT(""),
		BYTES_INIT("plain"),
		BYTES_INIT("\xC2\x80"),
		BYTES_INIT("\xE0\xA0\x80"),
		BYTES_INIT("\xED\x9F\xBF"),
		BYTES_INIT("\xEE\x80\x80"),
		BYTES_INIT("\xF0\x90\x80\x80"),
		BYTES_INIT("\xF4\x8F\xBF\xBF"),
	};
	static const struct bytes bad[] = {
		BYTES_INIT("a\0b"),	/* NUL */
		BYTES_INIT("\x80"),	/* a tail alone */
		BYTES_INIT("\xC0\x80"), /* too long forms */
		BYTES_INIT("\xC1\xBF"),
		BYTES_INIT("\xE0\x9F\xBF"),
		BYTES_INIT("\xF0\x8F\xBF\xBF"),
		BYTES_INIT("\xED\xA0\x80"),	/* a surrogate */
		BYTES_INIT("\xF4\x90\x80\x80"), /* past U+10FFFF */
		BYTES_INIT("\xF5\x80\x80\x80"),
		BYTES_INIT("\xFF"),
		BYTES_INIT("\xC3"), /* cut off */
		BYTES_INIT("\xE2\x82"),
		BYTES_INIT("\xF0\x9F\x98"),
		BYTES_INIT("\xE2\x28\xA1"),
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert_msg(bytes_is_utf8(good[i]), "good %zu", i);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!bytes_is_utf8(bad[i]), "bad %zu", i);
}
END_TEST

/* What is stored under a hash today must be found tomorrow. */
START_TEST(hashes_are_those_of_xxh3)
{
	static const unsigned char empty128[16] = {
		0x99, 0xAA, 0x06, 0xD3, 0x01, 0x47, 0x98, 0xD8,
		0x60, 0x01, 0xC3, 0x24, 0x46, 0x8D, 0x49, 0x7F,
	};
	unsigned char hash[16];

	ck_assert_uint_eq(bytes_hash(BYTES_NONE), 0x2D06800538D394C2u);
	ck_assert_uint_eq(bytes_hash_seeded(BYTES("abc"), 0),
			  bytes_hash(BYTES("abc")));
	ck_assert_uint_ne(bytes_hash_seeded(BYTES("abc"), 1),
			  bytes_hash(BYTES("abc")));
	bytes_hash128(BYTES_NONE, hash);
	ck_assert_mem_eq(hash, empty128, sizeof(hash));
}
END_TEST

Suite *suite_bytes(void);

Suite *
suite_bytes(void)
{
	Suite *s = suite_create("bytes");
	TCase *t = tcase_create("bytes");

	tcase_add_test(t, null_string_is_no_bytes);
	tcase_add_test(t, comparison_minds_length_and_case);
	tcase_add_test(t, cut_takes_parts_one_after_another);
	tcase_add_test(t, front_and_edges_are_dropped);
	tcase_add_test(t, percent_signs_stand_for_bytes);
	tcase_add_test(t, control_bytes_are_found);
	tcase_add_test(t, whole_numbers_are_read_exactly);
	tcase_add_test(t, uuid_is_36_digits_and_dashes);
	tcase_add_test(t, only_well_formed_utf8_is_accepted);
	tcase_add_test(t, hashes_are_those_of_xxh3);
	suite_add_tcase(s, t);
	return (s);
}
