/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "web/response.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct policy policy = { "models", MINUTES(10), MINUTES(2),
				      HOURS(1) };

static struct entry *entry;
static char
	*head; /* of its exact size, so that a sanitizer sees a step past it */
static struct answer answer;

static struct entry *
make(struct bytes body)
{
	int64_t now = clock_wall_ms();
	const struct entry_parts parts = {
		.key = BYTES("models:all"),
		.body = body,
		.life = { now - 8500, now + 300500, now + 412500,
			  now + 999999 },
	};
	struct entry *e;

	ck_assert_int_eq(entry_new(&parts, &e), R_OK);
	return (e);
}

static void
setup(void)
{
	static char body[3000] = "\"";

	memset(body + 1, 'x', sizeof(body) - 2);
	body[sizeof(body) - 1] = '"';
	entry = make((struct bytes){ body, sizeof(body) });
	ck_assert_uint_gt(entry->gzip.len, 0);
	head = malloc(RESPONSE_HEAD_MAX);
	ck_assert_ptr_nonnull(head);
}

static void
teardown(void)
{
	entry_unref(entry);
	free(head);
}

static void
respond(const struct request *rq, struct cache_answer a, enum audience audience)
{
	a.result = R_OK;
	a.entry = entry_ref(entry);
	response_from_cache(rq, &a, &policy, audience, head, &answer);
	answer.release(answer.owner);
}

/* The value of the only line of this name; `at` is NULL when there is none. */
static struct bytes
line(const char *name)
{
	struct bytes rest = answer.head, text, found = { NULL, 0 };

	ck_assert(bytes_ends(rest, BYTES("\r\n\r\n")));
	while (rest.len > 0) {
		text = bytes_cut(&rest, '\n');
		ck_assert(bytes_ends(text, BYTES("\r")));
		text.len--;
		if (!bytes_equal_nocase(bytes_cut(&text, ':'), bytes_of(name)))
			continue;
		ck_assert_ptr_null(found.at);
		found = bytes_trim(text);
	}
	return (found);
}

static void
line_is(const char *name, const char *wanted)
{
	struct bytes is = line(name);

	ck_assert_msg(bytes_equal(is, bytes_of(wanted)), "%s: \"%.*s\"", name,
		      BYTES_ARG(is));
}

/* A Cache-Status as RFC 9211 and RFC 9651 have it: one item, its parameters. */
struct status {
	bool hit, stored, collapsed, has_ttl;
	int64_t ttl;
	struct bytes fwd, detail;
};

static void
assert_token(struct bytes token)
{
	ck_assert_uint_gt(token.len, 0);
	ck_assert((token.at[0] | 0x20) >= 'a' && (token.at[0] | 0x20) <= 'z');
	for (size_t i = 0; i < token.len; i++)
		ck_assert_ptr_nonnull(
			memchr("abcdefghijklmnopqrstuvwxyz-", token.at[i], 27));
}

static struct status
cache_status(void)
{
	struct bytes rest = line("Cache-Status"), value, name;
	struct status s = { 0 };

	ck_assert(bytes_equal(bytes_cut(&rest, ';'), BYTES("warmfront")));
	while (rest.len > 0) {
		value = bytes_trim(bytes_cut(&rest, ';'));
		name = bytes_cut(&value, '=');
		assert_token(name);
		if (bytes_equal(name, BYTES("ttl"))) {
			s.has_ttl = bytes_to_int64(value, &s.ttl);
			ck_assert(s.has_ttl);
			ck_assert_int_lt(llabs(s.ttl), 1000000000000000);
		} else if (value.len > 0) {
			assert_token(value);
			if (bytes_equal(name, BYTES("fwd")))
				s.fwd = value;
			else
				s.detail = value;
		} else if (bytes_equal(name, BYTES("hit"))) {
			s.hit = true;
		} else if (bytes_equal(name, BYTES("stored"))) {
			s.stored = true;
		} else {
			ck_assert(bytes_equal(name, BYTES("collapsed")));
			s.collapsed = true;
		}
	}
	return (s);
}

static const struct {
	const char *value;
	bool accepts;
} encodings[] = {
	{ "gzip", true },
	{ "GZip", true },
	{ "deflate, gzip, br", true },
	{ "deflate,gzip;q=0.5", true },
	{ "gzip;q=1.0", true },
	{ "gzip; q=0.001", true },
	{ "gzip ; Q=0.1", true },
	{ "*", true },
	{ "*;q=0.3", true },
	{ "br, *", true },
	{ "*;q=0, gzip", true },
	{ "identity;q=0, gzip;q=0.1", true },
	{ "", false },
	{ "gzip;q=0", false },
	{ "gzip;q=0.000", false },
	{ "gzip; Q=0.", false },
	{ "gzip;q=0, *", false },
	{ "*, gzip;q=0", false },
	{ "*;q=0", false },
	{ "identity", false },
	{ "br;q=1.0, deflate", false },
	{ "gzipped, not-gzip", false },
	{ ",,;,;q=0", false },
};

START_TEST(accept_encoding_is_weighed)
{
	ck_assert_msg(response_accepts_gzip(bytes_of(encodings[_i].value)) ==
			      encodings[_i].accepts,
		      "%s", encodings[_i].value);
}
END_TEST

static const struct {
	const char *value;
	bool matches;
} matches[] = {
	{ "\"abc\"", true },
	{ "W/\"abc\"", true },
	{ "\"abc-gzip\"", true },
	{ "W/\"abc-gzip\"", true },
	{ "*", true },
	{ " * ", true },
	{ "\"x\", \"abc\"", true },
	{ "\"x\",W/\"y\" ,\t\"abc-gzip\"", true },
	{ "", false },
	{ "abc", false },
	{ "\"abc", false },
	{ "\"ab\"", false },
	{ "\"abcd\"", false },
	{ "\"ABC\"", false },
	{ "\"abc-br\"", false },
	{ "\"abc-gzip", false },
	{ "\"abc-gzip-gzip\"", false },
	{ "w/\"abc\"", false },
	{ "\"*\"", false },
	{ ", ,", false },
};

START_TEST(if_none_match_is_a_list_of_either_form)
{
	ck_assert_msg(response_matches(bytes_of(matches[_i].value),
				       BYTES("\"abc\"")) == matches[_i].matches,
		      "%s", matches[_i].value);
}
END_TEST

START_TEST(hit_tells_its_age_and_how_long_it_stays)
{
	struct request rq = { 0 };
	struct status s;
	int64_t age, length;

	respond(&rq, (struct cache_answer){ .tier = CACHE_REDIS },
		AUDIENCE_PUBLIC);
	s = cache_status();
	ck_assert(s.hit && !s.stored && !s.collapsed && s.fwd.len == 0);
	ck_assert(s.has_ttl);
	ck_assert_int_le(s.ttl, 412);
	ck_assert_int_ge(s.ttl, 380);
	ck_assert(bytes_equal(s.detail, BYTES("redis")));
	line_is("X-Cache", "HIT");
	ck_assert(bytes_to_int64(line("Age"), &age));
	ck_assert_int_ge(age, 8);
	ck_assert_int_le(age, 40);
	ck_assert(bytes_to_int64(line("Content-Length"), &length));
	ck_assert_int_eq(length, (int64_t)entry->body.len);
	line_is("Content-Type", "application/json; charset=utf-8");
	line_is("Vary", "Accept-Encoding");
	line_is("ETag", entry->etag);
	ck_assert_ptr_null(line("Content-Encoding").at);
	ck_assert_ptr_null(line("Status").at);
	ck_assert(bytes_equal(answer.body, entry->body));
}
END_TEST

START_TEST(public_answers_may_be_kept_and_private_ones_asked_for_again)
{
	struct request rq = { 0 };
	struct cache_answer a = { .tier = CACHE_MEMORY };
	struct bytes control, word;
	int64_t max_age;

	respond(&rq, a, AUDIENCE_PUBLIC);
	control = line("Cache-Control");
	ck_assert(bytes_equal(bytes_cut(&control, ','), BYTES("public")));
	word = bytes_trim(bytes_cut(&control, ','));
	ck_assert(bytes_equal(bytes_cut(&word, '='), BYTES("max-age")));
	ck_assert(bytes_to_int64(word, &max_age));
	ck_assert(max_age <= 412 && max_age >= 380);
	ck_assert(bytes_equal(control, BYTES(" stale-while-revalidate=3600, "
					     "stale-if-error=3600")));
	respond(&rq, a, AUDIENCE_PRIVATE);
	line_is("Cache-Control", "private, no-cache");
	a.status = CACHE_BYPASS;
	respond(&rq, a, AUDIENCE_PUBLIC);
	line_is("Cache-Control", "no-store");
}
END_TEST

START_TEST(stale_answer_has_a_ttl_below_zero_and_no_max_age)
{
	struct request rq = { 0 };
	struct status s;

	entry->life.fresh_until_ms = clock_wall_ms() - 11500;
	respond(&rq,
		(struct cache_answer){ .status = CACHE_STALE,
				       .tier = CACHE_POSTGRES },
		AUDIENCE_PUBLIC);
	s = cache_status();
	ck_assert(s.hit && bytes_equal(s.fwd, BYTES("stale")));
	ck_assert_int_le(s.ttl, -12);
	ck_assert_int_ge(s.ttl, -40);
	ck_assert(bytes_equal(s.detail, BYTES("postgresql")));
	line_is("X-Cache", "STALE");
	ck_assert(bytes_starts(line("Cache-Control"),
			       BYTES("public, max-age=0,")));
}
END_TEST

START_TEST(miss_tells_whether_it_was_stored_or_shared)
{
	struct request rq = { 0 };
	struct status s;

	respond(&rq,
		(struct cache_answer){ .status = CACHE_MISS,
				       .tier = CACHE_ORIGIN,
				       .stored = true },
		AUDIENCE_PUBLIC);
	s = cache_status();
	ck_assert(!s.hit && s.stored && !s.collapsed);
	ck_assert(bytes_equal(s.fwd, BYTES("uri-miss")));
	line_is("X-Cache", "MISS");
	respond(&rq,
		(struct cache_answer){ .status = CACHE_MISS,
				       .collapsed = true },
		AUDIENCE_PUBLIC);
	s = cache_status();
	ck_assert(!s.hit && !s.stored && s.collapsed);
	respond(&rq, (struct cache_answer){ .status = CACHE_BYPASS },
		AUDIENCE_PUBLIC);
	s = cache_status();
	ck_assert(!s.hit && !s.stored && bytes_equal(s.fwd, BYTES("bypass")));
	line_is("X-Cache", "BYPASS");
}
END_TEST

START_TEST(gzip_is_another_representation_with_its_own_etag)
{
	struct request rq = { .accept_encoding = BYTES("gzip") };
	int64_t length;
	struct bytes etag;

	respond(&rq, (struct cache_answer){ 0 }, AUDIENCE_PUBLIC);
	line_is("Content-Encoding", "gzip");
	ck_assert(bytes_to_int64(line("Content-Length"), &length));
	ck_assert_int_eq(length, (int64_t)entry->gzip.len);
	ck_assert(bytes_equal(answer.body, entry->gzip));
	etag = line("ETag");
	ck_assert(bytes_ends(etag, BYTES("-gzip\"")));
	ck_assert(!bytes_equal(etag, bytes_of(entry->etag)));
	ck_assert(response_matches(etag, bytes_of(entry->etag)));
}
END_TEST

START_TEST(small_body_is_never_compressed)
{
	struct request rq = { .accept_encoding = BYTES("gzip") };

	entry_unref(entry);
	entry = make(BYTES("{}"));
	respond(&rq, (struct cache_answer){ 0 }, AUDIENCE_PUBLIC);
	ck_assert_ptr_null(line("Content-Encoding").at);
	line_is("Content-Length", "2");
	line_is("ETag", entry->etag);
	line_is("Vary", "Accept-Encoding");
}
END_TEST

START_TEST(head_has_all_of_get_but_the_body)
{
	struct request rq = { .method = METHOD_HEAD };

	respond(&rq, (struct cache_answer){ 0 }, AUDIENCE_PUBLIC);
	ck_assert_uint_eq(answer.body.len, 0);
	line_is("Content-Length", "3000");
	line_is("ETag", entry->etag);
	ck_assert_ptr_null(line("Status").at);
}
END_TEST

START_TEST(unchanged_is_304_without_body_but_with_what_caches_need)
{
	struct request rq = { .if_none_match = bytes_of(entry->etag) };

	respond(&rq, (struct cache_answer){ 0 }, AUDIENCE_PUBLIC);
	line_is("Status", "304 Not Modified");
	ck_assert_uint_eq(answer.body.len, 0);
	ck_assert_ptr_null(line("Content-Length").at);
	ck_assert_ptr_null(line("Content-Type").at);
	line_is("ETag", entry->etag);
	line_is("Vary", "Accept-Encoding");
	ck_assert_uint_gt(line("Cache-Control").len, 0);
	ck_assert(cache_status().hit);
	rq.if_none_match = BYTES("\"other\"");
	respond(&rq, (struct cache_answer){ 0 }, AUDIENCE_PUBLIC);
	ck_assert_ptr_null(line("Status").at);
	ck_assert(bytes_equal(answer.body, entry->body));
}
END_TEST

static const int64_t extremes[] = { INT64_MIN, INT64_MIN + 1, -1,	0,
				    1,	       INT64_MAX - 1, INT64_MAX };
#define EXTREMES (sizeof(extremes) / sizeof(extremes[0]))

/* One head with these numbers in the entry and the policy. */
static void
respond_extremely(const struct request *rq, const struct cache_answer *a,
		  enum audience audience, int64_t loaded, int64_t fresh)
{
	const struct policy p = { "x", INT64_MAX, INT64_MAX, INT64_MAX };
	struct entry e = *entry;
	struct cache_answer mine = *a;

	e.body.len = e.gzip.len = PTRDIFF_MAX; /* never looked at */
	e.life.loaded_at_ms = loaded;
	e.life.fresh_until_ms = fresh;
	mine.entry = &e;
	response_from_cache(rq, &mine, &p, audience, head, &answer);
	ck_assert_uint_le(answer.head.len, RESPONSE_HEAD_MAX);
	(void)cache_status();
}

START_TEST(head_fits_its_room_whatever_the_numbers)
{
	const struct request rq[] = {
		{ .accept_encoding = BYTES("gzip") },
		{ .if_none_match = BYTES("*"),
		  .accept_encoding = BYTES("gzip") },
	};
	size_t i;

	for (i = 0; i < EXTREMES * EXTREMES * 64; i++) {
		size_t rest = i / (EXTREMES * EXTREMES);
		const struct cache_answer a = {
			.status = (enum cache_status)(rest % 4),
			.tier = (enum cache_tier)(rest / 4 % 4),
			.stored = true,
			.collapsed = true,
		};

		respond_extremely(&rq[rest / 32], &a,
				  rest / 16 % 2 == 0 ? AUDIENCE_PUBLIC
						     : AUDIENCE_PRIVATE,
				  extremes[i % EXTREMES],
				  extremes[i / EXTREMES % EXTREMES]);
	}
}
END_TEST

Suite *suite_response(void);

Suite *
suite_response(void)
{
	Suite *s = suite_create("response");
	TCase *t = tcase_create("response");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, accept_encoding_is_weighed, 0,
			    sizeof(encodings) / sizeof(encodings[0]));
	tcase_add_loop_test(t, if_none_match_is_a_list_of_either_form, 0,
			    sizeof(matches) / sizeof(matches[0]));
	tcase_add_test(t, hit_tells_its_age_and_how_long_it_stays);
	tcase_add_test(
		t, public_answers_may_be_kept_and_private_ones_asked_for_again);
	tcase_add_test(t, stale_answer_has_a_ttl_below_zero_and_no_max_age);
	tcase_add_test(t, miss_tells_whether_it_was_stored_or_shared);
	tcase_add_test(t, gzip_is_another_representation_with_its_own_etag);
	tcase_add_test(t, small_body_is_never_compressed);
	tcase_add_test(t, head_has_all_of_get_but_the_body);
	tcase_add_test(t,
		       unchanged_is_304_without_body_but_with_what_caches_need);
	tcase_add_test(t, head_fits_its_room_whatever_the_numbers);
	suite_add_tcase(s, t);
	return (s);
}
