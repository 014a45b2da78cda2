/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/arena.h"

#include <check.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define PIECES 2000

static bool
is_all(const unsigned char *at, size_t size, unsigned char byte)
{
	while (size > 0 && at[size - 1] == byte)
		size--;
	return (size == 0);
}

/* Fill each piece with its own byte: overlap would show. */
START_TEST(pieces_are_zeroed_aligned_and_apart)
{
	static unsigned char *pieces[PIECES];
	struct arena a = { 0 };

	for (size_t i = 0; i < PIECES; i++) {
		size_t size = i * 7 % 2100;

		pieces[i] = arena_alloc(&a, size);
		ck_assert_ptr_nonnull(pieces[i]);
		ck_assert_uint_eq((uintptr_t)pieces[i] % alignof(max_align_t),
				  0);
		ck_assert(is_all(pieces[i], size, 0));
		memset(pieces[i], (int)(i % 255 + 1), size);
	}
	for (size_t i = 0; i < PIECES; i++)
		ck_assert(is_all(pieces[i], i * 7 % 2100,
				 (unsigned char)(i % 255 + 1)));
	arena_fini(&a);
}
END_TEST

START_TEST(copies_end_in_a_nul)
{
	struct arena a = { 0 };
	struct bytes copy = arena_copy(&a, BYTES("a\0b"));

	ck_assert(bytes_equal(copy, BYTES("a\0b")));
	ck_assert_int_eq(copy.at[copy.len], '\0');
	copy = arena_copy(&a, (struct bytes){ NULL, 0 });
	ck_assert_str_eq(copy.at, "");
	arena_fini(&a);
}
END_TEST

START_TEST(small_pieces_share_a_block_past_a_large_one)
{
	struct arena a = { 0 };
	char *first = arena_alloc(&a, 16), *second;

	ck_assert_ptr_nonnull(arena_alloc(&a, 100000));
	second = arena_alloc(&a, 16);
	ck_assert_ptr_eq(second, first + 16);
	arena_fini(&a);
}
END_TEST

START_TEST(failure_gives_null_and_leaves_the_arena_whole)
{
	struct arena a = { 0 };

	mem_fail_after(1);
	ck_assert_ptr_null(arena_alloc(&a, 10));
	ck_assert_ptr_nonnull(arena_alloc(&a, 10));
	mem_fail_after(1);
	ck_assert_ptr_null(arena_alloc(&a, 5000));
	mem_fail_after(0);
	ck_assert_ptr_null(arena_alloc(&a, SIZE_MAX));
	ck_assert_ptr_null(arena_alloc(&a, SIZE_MAX - 64));
	ck_assert_ptr_null(arena_copy(&a, (struct bytes){ "", SIZE_MAX }).at);
	ck_assert_ptr_nonnull(arena_alloc(&a, 10));
	arena_fini(&a);
}
END_TEST

START_TEST(an_arena_serves_again_after_its_release)
{
	struct arena a = { 0 };

	arena_fini(&a);
	for (int i = 0; i < 3; i++) {
		ck_assert_ptr_nonnull(arena_alloc(&a, 3000));
		ck_assert_str_eq(arena_copy(&a, BYTES("x")).at, "x");
		arena_fini(&a);
	}
}
END_TEST

START_TEST(the_nth_allocation_fails_and_only_that)
{
	void *at;

	mem_fail_after(3);
	for (int i = 1; i <= 5; i++) {
		at = mem_alloc(1);
		ck_assert_int_eq(at == NULL, i == 3);
		free(at);
	}
	ck_assert_ptr_null(mem_strdup(NULL));
	at = mem_strdup("abc");
	ck_assert_str_eq(at, "abc");
	free(at);
}
END_TEST

Suite *suite_arena(void);

Suite *
suite_arena(void)
{
	Suite *s = suite_create("arena");
	TCase *t = tcase_create("arena");

	tcase_add_test(t, pieces_are_zeroed_aligned_and_apart);
	tcase_add_test(t, copies_end_in_a_nul);
	tcase_add_test(t, small_pieces_share_a_block_past_a_large_one);
	tcase_add_test(t, failure_gives_null_and_leaves_the_arena_whole);
	tcase_add_test(t, an_arena_serves_again_after_its_release);
	tcase_add_test(t, the_nth_allocation_fails_and_only_that);
	suite_add_tcase(s, t);
	return (s);
}
