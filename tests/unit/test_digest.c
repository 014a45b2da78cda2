/* SPDX-License-Identifier: MIT */
#include "base/digest.h"

#include <check.h>
#include <pthread.h>
#include <string.h>

#define ABC_SHA256 \
	"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static const char *
hex(const unsigned char digest[static SHA256_BYTES])
{
	static _Thread_local char text[2 * SHA256_BYTES + 1];

	hex_encode((struct bytes){ (const char *)digest, SHA256_BYTES }, text);
	return (text);
}

START_TEST(sha256_gives_the_standards_examples)
{
	unsigned char out[SHA256_BYTES];

	sha256(BYTES("abc"), out);
	ck_assert_str_eq(hex(out), ABC_SHA256);
	sha256((struct bytes){ NULL, 0 }, out);
	ck_assert_str_eq(hex(out), "e3b0c44298fc1c149afbf4c8996fb924"
				   "27ae41e4649b934ca495991b7852b855");
}
END_TEST

/* RFC 4231, cases 2 and 6. */
START_TEST(hmac_gives_the_rfcs_examples)
{
	unsigned char out[SHA256_BYTES];
	char key[131];

	hmac_sha256(BYTES("Jefe"), BYTES("what do ya want for nothing?"), out);
	ck_assert_str_eq(hex(out), "5bdcc146bf60754e6a042426089575c7"
				   "5a003f089d2739839dec58b964ec3843");
	memset(key, 0xAA, sizeof(key));
	hmac_sha256((struct bytes){ key, sizeof(key) },
		    BYTES("Test Using Larger Than Block-Size Key - "
			  "Hash Key First"),
		    out);
	ck_assert_str_eq(hex(out), "60e431591ee0b67f0d8a26aacbf5b77f"
				   "8e0bc6213728c5140546040f0ee37f54");
	hmac_sha256(BYTES_NONE, (struct bytes){ NULL, 0 }, out);
	ck_assert_str_eq(hex(out), "b613679a0814d9ec772f95d778c35fc5"
				   "ff1697c493715653c6c712144292c5ad");
}
END_TEST

START_TEST(constant_time_compare_compares)
{
	ck_assert(bytes_equal_constant_time(BYTES("secret"), BYTES("secret")));
	ck_assert(!bytes_equal_constant_time(BYTES("secret"), BYTES("secreT")));
	ck_assert(!bytes_equal_constant_time(BYTES("secret"), BYTES("secre")));
	ck_assert(!bytes_equal_constant_time(BYTES("secre"), BYTES("secret")));
	ck_assert(!bytes_equal_constant_time(BYTES_NONE, BYTES("secret")));
	ck_assert(!bytes_equal_constant_time(BYTES("secret"), BYTES_NONE));
	ck_assert(bytes_equal_constant_time(BYTES_NONE,
					    (struct bytes){ NULL, 0 }));
	ck_assert(bytes_equal_constant_time((struct bytes){ NULL, 0 },
					    BYTES_NONE));
}
END_TEST

START_TEST(hex_is_lower_case_with_leading_zeros)
{
	char out[9];

	hex_encode(BYTES("\x00\x0A\xFF\x7F"), out);
	ck_assert_str_eq(out, "000aff7f");
	hex_encode(BYTES_NONE, out);
	ck_assert_str_eq(out, "");
}
END_TEST

static void *
digest_often(void *arg)
{
	unsigned char out[SHA256_BYTES];
	unsigned *right = arg;

	for (int i = 0; i < 500; i++) {
		sha256(BYTES("abc"), out);
		*right += strcmp(hex(out), ABC_SHA256) == 0;
		hmac_sha256(BYTES("k"), BYTES("abc"), out);
	}
	return (NULL);
}

START_TEST(threads_do_not_disturb_each_other)
{
	pthread_t threads[4];
	unsigned right[4] = { 0 };

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, digest_often,
						&right[i]),
				 0);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert_uint_eq(right[i], 500);
	}
}
END_TEST

Suite *suite_digest(void);

Suite *
suite_digest(void)
{
	Suite *s = suite_create("digest");
	TCase *t = tcase_create("digest");

	tcase_add_test(t, sha256_gives_the_standards_examples);
	tcase_add_test(t, hmac_gives_the_rfcs_examples);
	tcase_add_test(t, constant_time_compare_compares);
	tcase_add_test(t, hex_is_lower_case_with_leading_zeros);
	tcase_add_test(t, threads_do_not_disturb_each_other);
	suite_add_tcase(s, t);
	return (s);
}
