/* SPDX-License-Identifier: MIT */
#include "../runner.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "cache/memory.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((size_t)1 << 20)
#define MAX MIB

static struct memory *m;

static void
set_up(void)
{
	m = memory_new(MAX);
	ck_assert_ptr_nonnull(m);
}

static void
tear_down(void)
{
	memory_free(m);
}

/* What a test says of an entry: times from now. */
struct want {
	const char *key;
	const char *text;
	size_t size; /* of the body, when over the text's length */
	int64_t fence, loaded_in_ms, fresh_in_ms, stale_in_ms;
};

/* A body that gzip cannot shorten, so that sizes are what they seem. */
static char *
body_of(const struct want *w, size_t *len)
{
	size_t text = w->text != NULL ? strlen(w->text) : 0;
	uint64_t x = 88172645463325252u;
	char *at;

	*len = text > w->size ? text : w->size;
	at = malloc(*len + 1);
	ENSURE(at != NULL);
	for (size_t i = 0; i < *len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		at[i] = (char)(x >> 24);
	}
	if (text > 0)
		memcpy(at, w->text, text);
	return (at);
}

static struct entry *
make(const struct want *w)
{
	int64_t now_ms = clock_wall_ms();
	struct entry_parts parts = { .key = bytes_of(w->key) };
	struct entry *e = NULL;
	char *body = body_of(w, &parts.body.len);

	parts.body.at = body;
	parts.fence = w->fence;
	parts.life.loaded_at_ms = now_ms + w->loaded_in_ms;
	parts.life.fresh_until_ms =
		now_ms + (w->fresh_in_ms ? w->fresh_in_ms : 60000);
	parts.life.refresh_at_ms = parts.life.fresh_until_ms - 1000;
	parts.life.stale_until_ms =
		now_ms + (w->stale_in_ms ? w->stale_in_ms : 120000);
	ENSURE(entry_new(&parts, &e) == R_OK);
	free(body);
	return (e);
}

static void
put(const struct want *w)
{
	struct entry *e = make(w);

	memory_put(m, e);
	entry_unref(e);
}

/* The key, the text, and what else is wanted. */
#define WANT(k, ...) (&(struct want){ .key = k, .text = __VA_ARGS__ })
#define PUT(k, ...) put(WANT(k, __VA_ARGS__))

static bool
has(const char *key)
{
	struct entry *e = memory_get(m, bytes_of(key));
	bool found = e != NULL;

	entry_unref(e);
	return (found);
}

static void
assert_text(const char *key, const char *text)
{
	struct entry *e = memory_get(m, bytes_of(key));

	ck_assert_msg(e != NULL, "%s is not there", key);
	ck_assert_msg(bytes_equal(e->body, bytes_of(text)), "%s is %.*s", key,
		      BYTES_ARG(e->body));
	entry_unref(e);
}

static bool
is_fresh(const char *key)
{
	struct entry *e = memory_get(m, bytes_of(key));
	bool fresh;

	ck_assert_ptr_nonnull(e);
	fresh = policy_judge(&e->life, clock_wall_ms()) == USE;
	entry_unref(e);
	return (fresh);
}

static const char *
numbered(const char *format, unsigned n)
{
	static _Thread_local char keys[4][64];
	static _Thread_local unsigned turn;
	char *key = keys[turn++ % 4];

	(void)snprintf(key, sizeof(keys[0]), "%s:%u", format, n);
	return (key);
}

START_TEST(what_is_put_is_found_and_nothing_else)
{
	PUT("models:a:all", "1");
	PUT("models:b:all", "2");
	assert_text("models:a:all", "1");
	assert_text("models:b:all", "2");
	ck_assert(!has("models:c:all"));
	ck_assert(!has(""));
	ck_assert_uint_eq(memory_count(m), 2);
}
END_TEST

START_TEST(held_entry_outlives_its_removal_and_the_tier)
{
	struct memory *own = memory_new(MAX);
	struct entry *e, *held;

	e = make(WANT("k", "text"));
	memory_put(own, e);
	entry_unref(e);
	held = memory_get(own, BYTES("k"));
	ck_assert_ptr_nonnull(held);
	ck_assert_uint_eq(memory_drop_key(own, BYTES("k"), 1, MEMORY_DROP_HARD),
			  1);
	memory_free(own);
	ck_assert(bytes_equal(held->body, BYTES("text")));
	entry_unref(held);
}
END_TEST

START_TEST(many_keys_are_all_found_while_the_tables_grow_and_shrink)
{
	struct memory *large = memory_new(64 * MIB);
	struct memory *old = m;

	m = large;
	for (unsigned i = 0; i < 20000; i++)
		PUT(numbered("k", i), "x");
	ck_assert_uint_eq(memory_count(m), 20000);
	for (unsigned i = 0; i < 20000; i++)
		ENSURE(has(numbered("k", i)));
	for (unsigned i = 0; i < 20000; i += 2)
		ENSURE(memory_drop_key(m, bytes_of(numbered("k", i)), 1,
				       MEMORY_DROP_HARD) == 1);
	for (unsigned i = 0; i < 20000; i++)
		ENSURE(has(numbered("k", i)) == i % 2);
	ck_assert_uint_eq(memory_drop_prefix(m, BYTES("k:"), 1,
					     MEMORY_DROP_HARD),
			  10000);
	ck_assert_uint_eq(memory_count(m), 0);
	ck_assert_uint_eq(memory_bytes(m), 0);
	m = old;
	memory_free(large);
}
END_TEST

START_TEST(older_fence_never_replaces_a_younger_one)
{
	PUT("k", "new", .fence = 10);
	PUT("k", "old", .fence = 9, .loaded_in_ms = 5000);
	assert_text("k", "new");
	PUT("k", "newer", .fence = 11, .loaded_in_ms = -5000);
	assert_text("k", "newer");
}
END_TEST

START_TEST(of_one_fence_the_later_load_stays)
{
	PUT("k", "first", .loaded_in_ms = 1000);
	PUT("k", "earlier", .loaded_in_ms = 0);
	assert_text("k", "first");
	PUT("k", "later", .loaded_in_ms = 2000);
	assert_text("k", "later");
	ck_assert_uint_eq(memory_count(m), 1);
}
END_TEST

START_TEST(two_loads_in_one_millisecond_leave_the_second)
{
	struct entry_parts parts = { .key = BYTES("k"),
				     .body = BYTES("1"),
				     .life = { 0, INT64_MAX / 8, INT64_MAX / 8,
					       INT64_MAX / 8 } };
	struct entry *e;

	ck_assert_int_eq(entry_new(&parts, &e), R_OK);
	memory_put(m, e);
	entry_unref(e);
	parts.body = BYTES("2");
	ck_assert_int_eq(entry_new(&parts, &e), R_OK);
	memory_put(m, e);
	entry_unref(e);
	assert_text("k", "2");
}
END_TEST

START_TEST(entry_past_its_grace_is_neither_taken_nor_given)
{
	PUT("late", "x", .fresh_in_ms = -2, .stale_in_ms = -1);
	ck_assert_uint_eq(memory_count(m), 0);
	PUT("k", "x", .fresh_in_ms = 1000, .stale_in_ms = 2000);
	clock_advance_ms(1500);
	ck_assert(!is_fresh("k"));
	clock_advance_ms(600);
	ck_assert(!has("k"));
	ck_assert_uint_eq(memory_count(m), 0);
	ck_assert_uint_eq(memory_bytes(m), 0);
}
END_TEST

START_TEST(hard_drop_removes_only_what_is_older_than_the_position)
{
	PUT("k", "x", .fence = 5);
	ck_assert_uint_eq(memory_drop_key(m, BYTES("k"), 5, MEMORY_DROP_HARD),
			  0);
	ck_assert(has("k"));
	ck_assert_uint_eq(memory_drop_key(m, BYTES("k"), 6, MEMORY_DROP_HARD),
			  1);
	ck_assert(!has("k"));
	ck_assert_uint_eq(memory_drop_key(m, BYTES("k"), 6, MEMORY_DROP_HARD),
			  0);
	ck_assert_uint_eq(memory_bytes(m), 0);
}
END_TEST

START_TEST(prefix_drop_takes_exactly_the_keys_that_begin_so)
{
	const char *const keys[] = { "user:1:data", "user:1:x", "user:10:data",
				     "user",	    "user:",	"users:1:data",
				     "models:1:all" };
	const struct {
		const char *prefix;
		size_t count;
	} cases[] = {
		{ "user:1:data:", 0 },
		{ "user:1:data", 1 },
		{ "user:1:", 2 },
		{ "user:1", 3 },
		{ "user:", 4 },
		{ "user", 6 },
		{ "", 7 },
		{ "nobody:", 0 },
	};

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct bytes prefix = bytes_of(cases[c].prefix);

		for (size_t i = 0; i < 7; i++)
			PUT(keys[i], "x");
		ck_assert_msg(memory_drop_prefix(m, prefix, 1,
						 MEMORY_DROP_HARD) ==
				      cases[c].count,
			      "prefix '%s'", cases[c].prefix);
		for (size_t i = 0; i < 7; i++)
			ck_assert_int_eq(has(keys[i]),
					 !bytes_starts(bytes_of(keys[i]),
						       prefix));
	}
}
END_TEST

START_TEST(prefix_drop_spares_young_fences)
{
	for (unsigned i = 0; i < 1000; i++)
		PUT(numbered("k", i), "x", .fence = i);
	ck_assert_uint_eq(memory_drop_prefix(m, BYTES("k:"), 400,
					     MEMORY_DROP_HARD),
			  400);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_int_eq(has(numbered("k", i)), i >= 400);
}
END_TEST

START_TEST(soft_drop_makes_stale_once)
{
	struct entry *e;
	int64_t stale_until_ms;

	PUT("k", "x", .fence = 5);
	e = memory_get(m, BYTES("k"));
	stale_until_ms = e->life.stale_until_ms;
	entry_unref(e);
	ck_assert_uint_eq(memory_drop_key(m, BYTES("k"), 5, MEMORY_DROP_SOFT),
			  0);
	ck_assert(is_fresh("k"));
	ck_assert_uint_eq(memory_drop_key(m, BYTES("k"), 6, MEMORY_DROP_SOFT),
			  1);
	ck_assert(!is_fresh("k"));
	ck_assert_uint_eq(memory_drop_key(m, BYTES("k"), 6, MEMORY_DROP_SOFT),
			  0);
	e = memory_get(m, BYTES("k"));
	ck_assert_int_eq(e->life.stale_until_ms, stale_until_ms);
	ck_assert_int_eq(e->fence, 5);
	ck_assert(bytes_equal(e->body, BYTES("x")));
	entry_unref(e);
}
END_TEST

START_TEST(soft_drop_by_prefix_keeps_all_entries)
{
	for (unsigned i = 0; i < 500; i++)
		PUT(numbered("k", i), "x");
	PUT("other", "x");
	ck_assert_uint_eq(memory_drop_prefix(m, BYTES("k:"), 1,
					     MEMORY_DROP_SOFT),
			  500);
	ck_assert_uint_eq(memory_count(m), 501);
	for (unsigned i = 0; i < 500; i++)
		ck_assert(!is_fresh(numbered("k", i)));
	ck_assert(is_fresh("other"));
}
END_TEST

START_TEST(copy_from_another_tier_does_not_undo_a_soft_drop)
{
	struct entry *e = make(WANT("k", "x"));

	memory_put(m, e);
	ck_assert_uint_eq(memory_drop_key(m, BYTES("k"), 1, MEMORY_DROP_SOFT),
			  1);
	memory_put(m, e);
	ck_assert(!is_fresh("k"));
	PUT("k", "y", .fence = 1);
	ck_assert(is_fresh("k"));
	entry_unref(e);
}
END_TEST

START_TEST(bytes_stay_within_the_bound)
{
	unsigned seed = 1;

	for (unsigned i = 0; i < 20000; i++) {
		PUT(numbered("k", i), NULL, .size = rand_r(&seed) % 2000);
		ENSURE(memory_bytes(m) <= MAX);
	}
	/* ... and use it. */
	ck_assert_uint_gt(memory_bytes(m), MAX * 9 / 10);
	ck_assert_uint_gt(memory_count(m), MAX / 2 / (1000 + 300));
}
END_TEST

START_TEST(replacing_by_a_larger_body_keeps_the_bound)
{
	for (unsigned round = 0; round < 6; round++)
		for (unsigned i = 0; i < 200; i++) {
			PUT(numbered("k", i), NULL, .size = round * 4000,
			    .fence = round);
			ck_assert_uint_le(memory_bytes(m), MAX);
			ck_assert(has(numbered("k", i)));
		}
}
END_TEST

START_TEST(one_entry_may_take_nearly_all)
{
	for (unsigned i = 0; i < 3000; i++)
		PUT(numbered("k", i), NULL, .size = 500);
	PUT("large", NULL, .size = MAX * 9 / 10);
	ck_assert(has("large"));
	ck_assert_uint_le(memory_bytes(m), MAX);
	/* Another of that size takes its place, wherever it is. */
	for (unsigned i = 0; i < 40; i++) {
		PUT(numbered("large", i), NULL, .size = MAX * 9 / 10);
		ck_assert(has(numbered("large", i)));
		ck_assert_uint_le(memory_bytes(m), MAX);
	}
}
END_TEST

START_TEST(large_entry_that_is_in_use_stays)
{
	PUT("large", NULL, .size = MAX / 3);
	/* Asked for before the tier is full, whatever the shards' sizes. */
	for (unsigned i = 0; i < 200; i++)
		PUT(numbered("k", i), NULL, .size = 1000);
	ck_assert(has("large"));
	for (unsigned i = 200; i < 1500; i++) {
		PUT(numbered("k", i), NULL, .size = 1000);
		for (unsigned hit = 0; hit < 3; hit++)
			ck_assert(has("large"));
	}
}
END_TEST

START_TEST(what_exceeds_the_tier_is_not_kept_nor_what_it_replaces)
{
	PUT("k", "old");
	PUT("other", "x");
	PUT("k", NULL, .size = MAX, .fence = 1);
	ck_assert(!has("k"));
	ck_assert(has("other"));
	ck_assert_uint_eq(memory_count(m), 1);
}
END_TEST

START_TEST(scan_does_not_flush_what_is_used)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < 200; i++)
		PUT(numbered("hot", i), NULL, .size = 1000);
	for (unsigned i = 0; i < 200; i++)
		ck_assert(has(numbered("hot", i)));
	/* Ten times what the tier holds, each asked for once. */
	for (unsigned i = 0; i < 8000; i++)
		PUT(numbered("scan", i), NULL, .size = 1000);
	for (unsigned i = 0; i < 200; i++)
		kept += has(numbered("hot", i));
	ck_assert_uint_ge(kept, 195);
}
END_TEST

START_TEST(key_that_returns_soon_after_eviction_stays_longer)
{
	unsigned kept = 0, returned = 0;

	for (unsigned i = 0; i < 1500; i++)
		PUT(numbered("a", i), NULL, .size = 1000);
	/* Those evicted come back: they are remembered, and go to the main queue. */
	for (unsigned i = 0; i < 600; i++)
		if (!has(numbered("a", i))) {
			PUT(numbered("a", i), NULL, .size = 1000);
			returned++;
		}
	ck_assert_uint_gt(returned, 300);
	for (unsigned i = 0; i < 250; i++)
		PUT(numbered("b", i), NULL, .size = 1000);
	for (unsigned i = 0; i < 600; i++)
		kept += has(numbered("a", i));
	ck_assert_uint_gt(kept, returned / 3);
}
END_TEST

START_TEST(no_memory_costs_entries_but_nothing_else)
{
	struct entry *e = make(WANT("first", "x"));

	mem_fail_after(1);
	memory_put(m, e);
	ck_assert_uint_eq(memory_count(m), 0);
	mem_fail_after(3);
	memory_put(m, e);
	mem_fail_after(0);
	ck_assert_uint_eq(memory_count(m), 0);
	memory_put(m, e);
	ck_assert_uint_eq(memory_count(m), 1);
	mem_fail_after(1);
	ck_assert_uint_eq(memory_drop_key(m, BYTES("first"), 1,
					  MEMORY_DROP_SOFT),
			  1);
	mem_fail_after(0);
	ck_assert_uint_eq(memory_count(m), 0); /* rather gone than fresh */
	ck_assert_uint_eq(memory_bytes(m), 0);
	mem_fail_after(1);
	ck_assert_ptr_null(memory_new(MAX));
	mem_fail_after(0);
	entry_unref(e);
	memory_free(NULL);
}
END_TEST

/* A model to compare with: for each key what stands there, without eviction. */
#define MODEL_KEYS 3000

START_TEST(random_operations_agree_with_a_plain_table)
{
	static int64_t fences[MODEL_KEYS]; /* -1: absent */
	struct memory *large = memory_new(64 * MIB), *old = m;
	unsigned seed = (unsigned)clock_monotonic_us();

	fprintf(stderr, "seed %u\n", seed);
	m = large;
	for (unsigned i = 0; i < MODEL_KEYS; i++)
		fences[i] = -1;
	for (unsigned step = 0; step < 60000; step++) {
		unsigned i = (unsigned)rand_r(&seed) % MODEL_KEYS;
		int64_t fence = rand_r(&seed) % 100;
		struct entry *e;

		switch (rand_r(&seed) % 4) {
		case 0:
			PUT(numbered("k", i), "x", .fence = fence);
			if (fence > fences[i])
				fences[i] = fence;
			break;
		case 1:
			(void)memory_drop_key(m, bytes_of(numbered("k", i)),
					      fence, MEMORY_DROP_HARD);
			if (fences[i] < fence)
				fences[i] = -1;
			break;
		default:
			e = memory_get(m, bytes_of(numbered("k", i)));
			ENSURE((e != NULL ? e->fence : -1) == fences[i]);
			entry_unref(e);
		}
	}
	m = old;
	memory_free(large);
}
END_TEST

static atomic_bool stop;

static void *
work(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < 6000; i++) {
		unsigned n = (unsigned)rand_r(&seed) % 600;
		struct entry *e;

		if (n % 3 == 0)
			PUT(numbered("k", n), NULL,
			    .size = (size_t)(rand_r(&seed) % 9000),
			    .fence = i / 100);
		e = memory_get(m, bytes_of(numbered("k", n)));
		if (e != NULL)
			ENSURE(bytes_equal(e->key, bytes_of(numbered("k", n))));
		entry_unref(e);
	}
	return (NULL);
}

static void *
invalidate(void *arg)
{
	(void)arg;
	for (int64_t i = 0; !atomic_load(&stop); i++) {
		(void)memory_drop_prefix(m, BYTES("k:"), i % 50,
					 i % 2 ? MEMORY_DROP_HARD
					       : MEMORY_DROP_SOFT);
		(void)memory_drop_key(m, BYTES("k:3"), 60, MEMORY_DROP_SOFT);
		(void)memory_count(m);
	}
	return (NULL);
}

static struct memory_family
family(const char *name)
{
	struct memory_families f;

	memory_survey(m, &f);
	for (unsigned i = 0; i <= f.named; i++)
		if (strcmp(f.of[i].name, name) == 0)
			return (f.of[i]);
	return ((struct memory_family){ .entries = 0 });
}

static size_t
sum_of_families(void)
{
	struct memory_families f;
	size_t sum = 0, entries = 0;

	memory_survey(m, &f);
	for (unsigned i = 0; i <= f.named; i++) {
		sum += f.of[i].bytes;
		entries += f.of[i].entries;
	}
	ck_assert_uint_eq(entries, memory_count(m));
	return (sum);
}

START_TEST(threads_may_do_anything_at_once)
{
	pthread_t workers[3], other;

	for (uintptr_t i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&workers[i], NULL, work,
						(void *)(i + 1)),
				 0);
	ck_assert_int_eq(pthread_create(&other, NULL, invalidate, NULL), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_join(workers[i], NULL), 0);
	atomic_store(&stop, true);
	ck_assert_int_eq(pthread_join(other, NULL), 0);
	ck_assert_uint_le(memory_bytes(m), MAX);
	(void)memory_drop_prefix(m, BYTES_NONE, INT64_MAX, MEMORY_DROP_HARD);
	ck_assert_uint_eq(memory_count(m), 0);
	ck_assert_uint_eq(memory_bytes(m), 0);
	ck_assert_uint_eq(family("k").bytes, 0);
}
END_TEST

/* Twelve entries of six families, put, replaced, evicted and dropped. */
START_TEST(survey_tells_whose_the_bytes_are)
{
	char key[32];

	for (unsigned i = 0; i < 200; i++) {
		snprintf(key, sizeof(key), "f%u:%u", i % 6, i % 12);
		put(&(struct want){
			.key = key, .size = 1 + 7919 * i % 90000, .fence = i });
	}
	ck_assert_uint_eq(sum_of_families(), memory_bytes(m));
	PUT("models:a", "x");
	PUT("models:b", "y", .size = 5000);
	PUT("user:a", "z");
	ck_assert_uint_eq(family("models").entries, 2);
	ck_assert_uint_gt(family("models").bytes, 5000);
	ck_assert_uint_eq(family("user").entries, 1);
	(void)memory_drop_key(m, BYTES("models:b"), 1, MEMORY_DROP_HARD);
	ck_assert_uint_eq(family("models").entries, 1);
	ck_assert_uint_lt(family("models").bytes, 5000);
	ck_assert_uint_eq(sum_of_families(), memory_bytes(m));
}
END_TEST

START_TEST(families_beyond_what_is_counted_apart_share_one)
{
	char key[64];

	for (unsigned i = 0; i < 2 * MEMORY_FAMILIES; i++) {
		snprintf(key, sizeof(key), "f%u:a", i);
		PUT(key, "x");
	}
	PUT("a-name-that-is-longer-than-any-family-may-have:a", "x");
	ck_assert_uint_ge(family("").entries, MEMORY_FAMILIES);
	ck_assert_uint_eq(sum_of_families(), memory_bytes(m));
}
END_TEST

Suite *suite_memory(void);

Suite *
suite_memory(void)
{
	Suite *s = suite_create("memory");
	TCase *t = tcase_create("memory");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, what_is_put_is_found_and_nothing_else);
	tcase_add_test(t, held_entry_outlives_its_removal_and_the_tier);
	tcase_add_test(
		t, many_keys_are_all_found_while_the_tables_grow_and_shrink);
	tcase_add_test(t, older_fence_never_replaces_a_younger_one);
	tcase_add_test(t, of_one_fence_the_later_load_stays);
	tcase_add_test(t, two_loads_in_one_millisecond_leave_the_second);
	tcase_add_test(t, entry_past_its_grace_is_neither_taken_nor_given);
	tcase_add_test(t,
		       hard_drop_removes_only_what_is_older_than_the_position);
	tcase_add_test(t, prefix_drop_takes_exactly_the_keys_that_begin_so);
	tcase_add_test(t, prefix_drop_spares_young_fences);
	tcase_add_test(t, soft_drop_makes_stale_once);
	tcase_add_test(t, soft_drop_by_prefix_keeps_all_entries);
	tcase_add_test(t, copy_from_another_tier_does_not_undo_a_soft_drop);
	tcase_add_test(t, bytes_stay_within_the_bound);
	tcase_add_test(t, replacing_by_a_larger_body_keeps_the_bound);
	tcase_add_test(t, one_entry_may_take_nearly_all);
	tcase_add_test(t, large_entry_that_is_in_use_stays);
	tcase_add_test(t,
		       what_exceeds_the_tier_is_not_kept_nor_what_it_replaces);
	tcase_add_test(t, scan_does_not_flush_what_is_used);
	tcase_add_test(t, key_that_returns_soon_after_eviction_stays_longer);
	tcase_add_test(t, no_memory_costs_entries_but_nothing_else);
	tcase_add_test(t, random_operations_agree_with_a_plain_table);
	tcase_add_test(t, threads_may_do_anything_at_once);
	tcase_add_test(t, survey_tells_whose_the_bytes_are);
	tcase_add_test(t, families_beyond_what_is_counted_apart_share_one);
	suite_add_tcase(s, t);
	return (s);
}
