/* SPDX-License-Identifier: MIT */
#include "web/api_key.h"

#include <check.h>
#include <string.h>

#define ID "0123456789abcdef"
#define SECRET                             \
	"00112233445566778899aabbccddeeff" \
	"ffeeddccbbaa99887766554433221100"

START_TEST(a_made_key_can_be_taken_apart)
{
	char key[API_KEY_LEN + 1], again[API_KEY_LEN + 1];
	struct bytes id, secret;

	api_key_make(key);
	ck_assert_uint_eq(strlen(key), API_KEY_LEN);
	ck_assert(api_key_parse(bytes_of(key), &id, &secret));
	ck_assert_ptr_eq(id.at, key + 3);
	ck_assert_uint_eq(id.len, API_KEY_ID_LEN);
	ck_assert_ptr_eq(secret.at, key + 20);
	ck_assert_uint_eq(secret.len, API_KEY_SECRET_LEN);
	api_key_make(again);
	ck_assert_str_ne(key, again);
}
END_TEST

START_TEST(a_known_key_is_taken_apart)
{
	struct bytes id, secret;

	ck_assert(api_key_parse(BYTES("wf_" ID "_" SECRET), &id, &secret));
	ck_assert(bytes_equal(id, BYTES(ID)));
	ck_assert(bytes_equal(secret, BYTES(SECRET)));
}
END_TEST

START_TEST(what_is_not_exactly_a_key_is_refused)
{
	static const struct bytes refused[] = {
		BYTES_INIT(""),
		BYTES_INIT("wf_"),
		BYTES_INIT(ID),
		BYTES_INIT("wf_" ID "_"),
		BYTES_INIT("wf_" ID SECRET "0"),
		BYTES_INIT("wf_" ID "_" SECRET "0"),
		BYTES_INIT("wf_" ID "_" SECRET "\n"),
		BYTES_INIT(" wf_" ID "_" SECRET),
		BYTES_INIT("WF_" ID "_" SECRET),
		BYTES_INIT("wf-" ID "_" SECRET),
		BYTES_INIT("wf_0123456789ABCDEF_" SECRET),
		BYTES_INIT("wf_0123456789abcdeg_" SECRET),
		BYTES_INIT("wf_0123456789abcde\0_" SECRET),
		BYTES_INIT("wf_0123456789abcde_0" SECRET),
	};
	char key[] = "wf_" ID "_" SECRET;
	struct bytes id, secret;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		ck_assert_msg(!api_key_parse(refused[i], &id, &secret), "%zu",
			      i);
	/* A wrong byte anywhere, and any part of a key. */
	for (size_t i = 0; i < API_KEY_LEN; i++) {
		char was = key[i];

		key[i] = '~';
		ck_assert(!api_key_parse(bytes_of(key), &id, &secret));
		key[i] = was;
		ck_assert(
			!api_key_parse((struct bytes){ key, i }, &id, &secret));
	}
}
END_TEST

START_TEST(an_id_is_16_lower_case_digits)
{
	ck_assert(api_key_is_id(BYTES(ID)));
	ck_assert(!api_key_is_id(BYTES("0123456789abcde")));
	ck_assert(!api_key_is_id(BYTES("0123456789abcdef0")));
	ck_assert(!api_key_is_id(BYTES("0123456789abcdeF")));
}
END_TEST

START_TEST(the_hash_is_sha256_of_the_digits)
{
	/* printf %s 0011..1100 | sha256sum */
	static const char expected[] =
		"b596a82230823a3a355db48d40100629f34b8d88bfd0435e38719e7968a07731";
	unsigned char hash[SHA256_BYTES];
	char hex[2 * SHA256_BYTES + 1];

	api_key_hash(BYTES(SECRET), hash);
	hex_encode((struct bytes){ (const char *)hash, sizeof(hash) }, hex);
	ck_assert_str_eq(hex, expected);
}
END_TEST

Suite *suite_api_key(void);

Suite *
suite_api_key(void)
{
	Suite *s = suite_create("api_key");
	TCase *t = tcase_create("api_key");

	tcase_add_test(t, a_made_key_can_be_taken_apart);
	tcase_add_test(t, a_known_key_is_taken_apart);
	tcase_add_test(t, what_is_not_exactly_a_key_is_refused);
	tcase_add_test(t, an_id_is_16_lower_case_digits);
	tcase_add_test(t, the_hash_is_sha256_of_the_digits);
	suite_add_tcase(s, t);
	return (s);
}
