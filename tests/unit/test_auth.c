/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/digest.h"
#include "web/api_key.h"
#include "compares.h"
#include "web/auth.h"

#include <check.h>
#include <string.h>

#define USER "00000000-0000-4000-8000-000000000001"

static struct auth *auth;
static char key[API_KEY_LEN + 1];
static struct buf header;
static struct claim claim;
static struct identity who;

static void
setup(void)
{
	auth = auth_new(NULL); /* nothing is loaded here */
	ck_assert_ptr_nonnull(auth);
	api_key_make(key);
	compares = (struct compares){ 0 };
}

static void
teardown(void)
{
	auth_free(auth);
	buf_fini(&header);
}

static enum result
claim_of(const char *authorization, const char *api_key)
{
	const struct request rq = { .authorization = bytes_of(authorization),
				    .api_key = bytes_of(api_key) };

	return (auth_claim(auth, &rq, &claim));
}

/* With the key in place of the %s. */
static enum result
claim_of_key(const char *before, const char *after)
{
	buf_clear(&header);
	buf_printf(&header, "%s%s%s", before, key, after);
	return (claim_of(header.at, NULL));
}

START_TEST(either_header_names_the_key)
{
	ck_assert_int_eq(claim_of_key("Bearer ", ""), R_OK);
	ck_assert_int_eq(claim_of_key("bearer ", ""), R_OK);
	ck_assert_int_eq(claim_of_key("BEARER   ", " \t"), R_OK);
	ck_assert_int_eq(claim_of(NULL, key), R_OK);
	ck_assert_int_eq(claim_of_key("Bearer ", ""), R_OK);
	ck_assert_int_eq(claim_of(header.at, "nonsense"), R_OK);
}
END_TEST

START_TEST(claim_asks_for_the_entry_of_the_keys_id)
{
	struct bytes id = { key + 3, API_KEY_ID_LEN };

	ck_assert_int_eq(claim_of_key("Bearer ", ""), R_OK);
	ck_assert(bytes_starts(claim.query.key, BYTES("auth:")));
	ck_assert(bytes_equal(bytes_from(claim.query.key, 5), id));
	ck_assert(bytes_equal(claim.query.log_key, claim.query.key));
	ck_assert(bytes_equal(claim.query.arguments, id));
	ck_assert_str_eq(claim.query.policy->category, "auth");
	ck_assert(claim.query.source->load != NULL);
	/* The secret itself is in none of it. */
	ck_assert_ptr_null(memmem(&claim, sizeof(claim), key + 20, 16));
}
END_TEST

START_TEST(nothing_is_no_claim)
{
	ck_assert_int_eq(claim_of(NULL, NULL), R_NOT_FOUND);
	ck_assert_int_eq(claim_of("", "  "), R_NOT_FOUND);
	ck_assert_int_eq(claim_of("Bearer", NULL), R_NOT_FOUND);
	ck_assert_int_eq(claim_of("Bearer ", NULL), R_NOT_FOUND);
}
END_TEST

START_TEST(what_is_no_key_is_refused)
{
	ck_assert_int_eq(claim_of("Bearer wf_", NULL), R_INVALID);
	ck_assert_int_eq(claim_of("Basic dXNlcjpwYXNz", NULL), R_INVALID);
	ck_assert_int_eq(claim_of("Basic dXNlcjpwYXNz", key), R_INVALID);
	ck_assert_int_eq(claim_of(key, NULL), R_INVALID); /* no scheme */
	ck_assert_int_eq(claim_of_key("Bearer ", "0"), R_INVALID);
	ck_assert_int_eq(claim_of_key("Bearer x", ""), R_INVALID);
	ck_assert_int_eq(claim_of_key("Bearer a ", ""), R_INVALID);
	ck_assert_int_eq(claim_of_key("Bearer, ", ""), R_INVALID);
	key[API_KEY_LEN - 1] = '\0';
	ck_assert_int_eq(claim_of(NULL, key), R_INVALID);
}
END_TEST

/* What the entry of `key` says; %h stands for the right hash. */
static enum result
verify(const char *form)
{
	struct buf body = { 0 };
	struct entry_parts parts = { .key = BYTES("auth:x") };
	struct bytes rest = bytes_of(form);
	struct entry *e;
	enum result r;

	while (rest.len > 0) {
		buf_add(&body, bytes_cut(&rest, '%'));
		if (rest.len == 0)
			break;
		buf_hex(&body, (struct bytes){ (const char *)claim.hash,
					       sizeof(claim.hash) });
		rest = bytes_from(rest, 1);
	}
	parts.body = buf_bytes(&body);
	ck_assert_int_eq(entry_new(&parts, &e), R_OK);
	r = auth_verify(&claim, e, &who);
	entry_unref(e);
	buf_fini(&body);
	return (r);
}

START_TEST(right_secret_proves_who_is_asking)
{
	ck_assert_int_eq(claim_of(NULL, key), R_OK);
	ck_assert_int_eq(verify("{\"user\" : \"" USER "\", \"role\" : "
				"\"user\", \"hash\" : \"%h\"}"),
			 R_OK);
	ck_assert_str_eq(who.user_id, USER);
	ck_assert_int_eq(who.role, ROLE_USER);
	ck_assert_int_eq(verify("{\"user\":\"" USER "\",\"role\":\"admin\","
				"\"hash\":\"%h\"}"),
			 R_OK);
	ck_assert_int_eq(who.role, ROLE_ADMIN);
}
END_TEST

START_TEST(another_secret_with_the_same_id_proves_nothing)
{
	const char form[] = "{\"user\":\"" USER "\",\"role\":\"admin\","
			    "\"hash\":\"%h\"}";
	unsigned char right[SHA256_BYTES];

	ck_assert_int_eq(claim_of(NULL, key), R_OK);
	ck_assert_int_eq(verify(form), R_OK);
	memcpy(right, claim.hash, sizeof(right));
	key[API_KEY_LEN - 1] = key[API_KEY_LEN - 1] == '0' ? '1' : '0';
	ck_assert_int_eq(claim_of(NULL, key), R_OK);
	ck_assert_mem_ne(claim.hash, right, sizeof(right));
	for (size_t i = 0; i < sizeof(right); i++) {
		struct claim wrong = claim;
		struct buf body = { 0 };
		struct entry_parts parts = { .key = BYTES("auth:x") };
		struct entry *e;

		/* One bit apart, wherever it is. */
		memcpy(wrong.hash, right, sizeof(right));
		wrong.hash[i] ^= 1;
		buf_str(&body, "{\"user\":\"" USER "\",\"hash\":\"");
		buf_hex(&body,
			(struct bytes){ (const char *)right, sizeof(right) });
		buf_str(&body, "\"}");
		parts.body = buf_bytes(&body);
		ck_assert_int_eq(entry_new(&parts, &e), R_OK);
		ck_assert_int_eq(auth_verify(&wrong, e, &who), R_FORBIDDEN);
		entry_unref(e);
		buf_fini(&body);
	}
}
END_TEST

/* That much was compared, all of it, once: so the time says nothing of the secret. */
#define assert_compared(n)                                  \
	do {                                                \
		ck_assert_uint_eq(compares.calls, 1);       \
		ck_assert_uint_eq(compares.len, (size_t)n); \
		compares = (struct compares){ 0 };          \
	} while (0)

START_TEST(cron_secret_is_compared_whole_whatever_it_is)
{
	const char *const others[] = { "9123456789abcdef", "0123456789abcdeF",
				       "0123456789abcde", "0123456789abcdef0",
				       "0" };
	const struct request rq = { .authorization =
					    BYTES("Bearer 0123456789abcdef") };

	ck_assert(auth_brings_secret(&rq, BYTES("0123456789abcdef")));
	assert_compared(16);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		ck_assert(!auth_brings_secret(&rq, bytes_of(others[i])));
		assert_compared(16);
	}
}
END_TEST

START_TEST(keys_hash_is_compared_whole_whatever_it_is)
{
	const size_t len = 2 * sizeof(claim.hash);
	const struct {
		const char *before;
		size_t from, to; /* of the right one */
		const char *after;
	} others[] = { { "x", 1, len, "" },
		       { "", 0, len - 1, "x" },
		       { "", 0, len - 1, "" },
		       { "", 0, len, "0" },
		       { "", 0, 0, "" } };
	struct buf right = { 0 }, form = { 0 };

	ck_assert_int_eq(claim_of(NULL, key), R_OK);
	ck_assert_int_eq(verify("{\"user\":\"" USER "\",\"hash\":\"%h\"}"),
			 R_OK);
	assert_compared(len);
	buf_hex(&right,
		(struct bytes){ (const char *)claim.hash, sizeof(claim.hash) });
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		buf_clear(&form);
		buf_printf(&form,
			   "{\"user\":\"" USER "\",\"hash\":\"%s%.*s%s\"}",
			   others[i].before,
			   (int)(others[i].to - others[i].from),
			   right.at + others[i].from, others[i].after);
		ck_assert_int_eq(verify(form.at), R_FORBIDDEN);
		assert_compared(len);
	}
	buf_fini(&right);
	buf_fini(&form);
}
END_TEST

static const char *const tampered[] = {
	"",
	"null",
	"[]",
	"\"%h\"",
	"{",
	"{}",
	"{\"user\":\"" USER "\"}",
	"{\"user\":\"" USER "\",\"hash\":\"\"}",
	"{\"user\":\"" USER "\",\"hash\":null}",
	"{\"user\":\"" USER "\",\"hash\":[\"%h\"]}",
	"{\"user\":\"" USER "\",\"hash\":\"%h0\"}",
	"{\"user\":\"" USER "\",\"hash\":\"0%h\"}",
	"{\"user\":\"" USER "\",\"hash\":\"%h",
	"{\"user\":\"" USER "\",\"HASH\":\"%h\"}",
	"{\"hash\":\"%h\"}",
	"{\"user\":null,\"hash\":\"%h\"}",
	"{\"user\":\"\",\"hash\":\"%h\"}",
	"{\"user\":\"" USER "0\",\"hash\":\"%h\"}",
	"{\"user\":\"0000\",\"hash\":\"%h\"}",
	"{\"user\":123456789012345678901234567890123456,\"hash\":\"%h\"}",
	"{\"user\":\"*:000000-0000-4000-8000-00000000000:\",\"hash\":\"%h\"}",
	"{\"user\":{\"id\":\"" USER "\"},\"hash\":\"%h\"}",
};

START_TEST(tampered_entry_proves_nothing)
{
	ck_assert_int_eq(claim_of(NULL, key), R_OK);
	who.role = ROLE_USER;
	ck_assert_msg(verify(tampered[_i]) == R_FORBIDDEN, "%s", tampered[_i]);
	ck_assert_str_eq(who.user_id, "");
}
END_TEST

static const char *const roles[] = {
	"\"Admin\"", "\"administrator\"", "\"\"",     "null",
	"true",	     "[\"admin\"]",	  "\"user\"", "\"adm\\u0069n\"",
};

START_TEST(only_the_word_admin_makes_an_admin)
{
	struct buf form = { 0 };

	ck_assert_int_eq(claim_of(NULL, key), R_OK);
	buf_printf(&form,
		   "{\"user\":\"" USER "\",\"role\":%s,"
		   "\"hash\":\"%%h\"}",
		   roles[_i]);
	ck_assert_int_eq(verify(form.at), R_OK);
	ck_assert_int_eq(who.role, ROLE_USER);
	ck_assert_int_eq(verify("{\"user\":\"" USER "\",\"hash\":\"%h\"}"),
			 R_OK);
	ck_assert_int_eq(who.role, ROLE_USER);
	buf_fini(&form);
}
END_TEST

START_TEST(no_memory_makes_no_auth)
{
	mem_fail_after(1);
	ck_assert_ptr_null(auth_new(NULL));
	mem_fail_after(0);
	auth_free(NULL);
}
END_TEST

Suite *suite_auth(void);

Suite *
suite_auth(void)
{
	Suite *s = suite_create("auth");
	TCase *t = tcase_create("auth");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, either_header_names_the_key);
	tcase_add_test(t, claim_asks_for_the_entry_of_the_keys_id);
	tcase_add_test(t, nothing_is_no_claim);
	tcase_add_test(t, what_is_no_key_is_refused);
	tcase_add_test(t, right_secret_proves_who_is_asking);
	tcase_add_test(t, another_secret_with_the_same_id_proves_nothing);
	tcase_add_test(t, cron_secret_is_compared_whole_whatever_it_is);
	tcase_add_test(t, keys_hash_is_compared_whole_whatever_it_is);
	tcase_add_loop_test(t, tampered_entry_proves_nothing, 0,
			    sizeof(tampered) / sizeof(tampered[0]));
	tcase_add_loop_test(t, only_the_word_admin_makes_an_admin, 0,
			    sizeof(roles) / sizeof(roles[0]));
	tcase_add_test(t, no_memory_makes_no_auth);
	suite_add_tcase(s, t);
	return (s);
}
