/* SPDX-License-Identifier: MIT */
#include "store/redis_reply.h"

#include "base/alloc.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct redis_reader *reader;

static void
setup(void)
{
	reader = redis_reader_new();
	ck_assert_ptr_nonnull(reader);
}

static void
teardown(void)
{
	redis_reader_free(reader);
}

static const struct redis_reply *
next(void)
{
	const struct redis_reply *reply;

	ck_assert_int_eq(redis_reader_next(reader, &reply), R_OK);
	return (reply);
}

static void
feed(struct bytes text)
{
	ck_assert_int_eq(redis_reader_feed(reader, text), R_OK);
}

static enum result
outcome(struct bytes text)
{
	const struct redis_reply *reply = NULL;
	enum result r = redis_reader_feed(reader, text);

	if (r == R_OK)
		r = redis_reader_next(reader, &reply);
	return (r);
}

START_TEST(commands_are_written_as_arrays_of_bulk_strings)
{
	const struct bytes argv[] = { BYTES("SET"), BYTES("k\r\n"), BYTES("") };
	const struct bytes expected =
		BYTES("*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n");
	char text[64];

	ck_assert_uint_eq(redis_reply_command_size(argv, 3), expected.len);
	redis_reply_write_command(text, argv, 3);
	ck_assert_mem_eq(text, expected.at, expected.len);
}
END_TEST

START_TEST(long_arguments_have_long_lengths)
{
	char value[12345], text[13000];
	const struct bytes argv[] = { { value, sizeof(value) } };

	memset(value, 'v', sizeof(value));
	ck_assert_uint_eq(redis_reply_command_size(argv, 1),
			  4 + 8 + sizeof(value) + 2);
	redis_reply_write_command(text, argv, 1);
	ck_assert_mem_eq(text, "*1\r\n$12345\r\nvvv", 15);
}
END_TEST

static void
check_mixed(const struct redis_reply *r)
{
	ck_assert_ptr_nonnull(r);
	ck_assert_int_eq(r->type, REDIS_ARRAY);
	ck_assert_uint_eq(r->count, 6);
	ck_assert_int_eq(r->items[0].type, REDIS_STRING);
	ck_assert(bytes_equal(r->items[0].text, BYTES("a\r\nb")));
	ck_assert_int_eq(r->items[1].type, REDIS_INTEGER);
	ck_assert_int_eq(r->items[1].integer, -7);
	ck_assert_int_eq(r->items[2].type, REDIS_NIL);
	ck_assert_int_eq(r->items[3].type, REDIS_ARRAY);
	ck_assert_uint_eq(r->items[3].count, 2);
	ck_assert_int_eq(r->items[3].items[1].type, REDIS_STATUS);
	ck_assert(bytes_equal(r->items[3].items[1].text, BYTES("OK")));
	ck_assert_int_eq(r->items[4].type, REDIS_ERROR);
	ck_assert(bytes_equal(r->items[4].text, BYTES("ERR no")));
	ck_assert_int_eq(r->items[5].type, REDIS_ARRAY);
	ck_assert_uint_eq(r->items[5].count, 0);
}

static const struct bytes mixed =
	BYTES_INIT("*6\r\n$4\r\na\r\nb\r\n:-7\r\n$-1\r\n*2\r\n$0\r\n\r\n+OK\r\n"
		   "-ERR no\r\n*0\r\n");

START_TEST(every_type_is_read_and_nested)
{
	feed(mixed);
	feed(mixed);
	check_mixed(next());
	check_mixed(next());
	ck_assert_ptr_null(next());
}
END_TEST

START_TEST(bytes_may_come_one_by_one)
{
	for (size_t i = 0; i + 1 < mixed.len; i++) {
		feed((struct bytes){ mixed.at + i, 1 });
		ck_assert_ptr_null(next());
	}
	feed((struct bytes){ mixed.at + mixed.len - 1, 1 });
	check_mixed(next());
}
END_TEST

START_TEST(a_large_reply_between_small_ones_is_whole)
{
	const size_t size = (size_t)3 << 20;
	char *value = malloc(size);
	const struct redis_reply *r;

	ck_assert_ptr_nonnull(value);
	memset(value, 'x', size);
	value[size - 1] = 'y';
	feed(BYTES("+first\r\n$3145728\r\n"));
	for (size_t i = 0; i < size; i += 65536)
		feed((struct bytes){ value + i, 65536 });
	feed(BYTES("\r\n+last\r\n"));
	ck_assert(bytes_equal(next()->text, BYTES("first")));
	r = next();
	ck_assert_uint_eq(r->text.len, size);
	ck_assert_mem_eq(r->text.at, value, size);
	ck_assert(bytes_equal(next()->text, BYTES("last")));
	ck_assert_ptr_null(next());
	feed(BYTES(":1\r\n"));
	ck_assert_int_eq(next()->integer, 1);
	free(value);
}
END_TEST

START_TEST(garbage_is_a_bad_answer)
{
	static const char *const garbage[] = {
		"HTTP/1.1 400 Bad Request\r\n",
		"$x\r\n",
		"$-2\r\n",
		":12a\r\n",
		"*-5\r\n",
		"%1\r\n",
	};

	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		ck_assert_msg(outcome(bytes_of(garbage[i])) == R_BAD_ANSWER,
			      "accepted: %s", garbage[i]);
		redis_reader_free(reader);
		setup();
	}
}
END_TEST

START_TEST(absurd_counts_and_depths_are_refused)
{
	ck_assert_int_eq(outcome(BYTES("*2000000000\r\n")), R_BAD_ANSWER);
	redis_reader_free(reader);
	setup();
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(outcome(BYTES("*1\r\n")), R_OK);
	ck_assert_int_ne(outcome(BYTES("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n")),
			 R_OK);
}
END_TEST

START_TEST(failed_allocations_are_reported)
{
	char *value = calloc(1, 100000);
	unsigned n = 0;
	enum result r;

	ck_assert_ptr_nonnull(value);
	do {
		redis_reader_free(reader);
		mem_fail_after(0);
		setup();
		mem_fail_after(++n);
		r = outcome(BYTES("*2\r\n:1\r\n$100000\r\n"));
		if (r == R_OK)
			r = outcome((struct bytes){ value, 100000 });
		if (r == R_OK)
			r = outcome(BYTES("\r\n"));
	} while (r == R_NO_MEMORY);
	mem_fail_after(0);
	ck_assert_int_eq(r, R_OK);
	ck_assert_uint_gt(n, 1);
	free(value);
}
END_TEST

Suite *suite_redis_reply(void);

Suite *
suite_redis_reply(void)
{
	Suite *s = suite_create("redis_reply");
	TCase *c = tcase_create("redis_reply");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, commands_are_written_as_arrays_of_bulk_strings);
	tcase_add_test(c, long_arguments_have_long_lengths);
	tcase_add_test(c, every_type_is_read_and_nested);
	tcase_add_test(c, bytes_may_come_one_by_one);
	tcase_add_test(c, a_large_reply_between_small_ones_is_whole);
	tcase_add_test(c, garbage_is_a_bad_answer);
	tcase_add_test(c, absurd_counts_and_depths_are_refused);
	tcase_add_test(c, failed_allocations_are_reported);
	suite_add_tcase(s, c);
	return (s);
}
