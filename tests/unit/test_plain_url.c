/* SPDX-License-Identifier: MIT */
#include "store/plain_url.h"

#include <check.h>
#include <stddef.h>

Suite *suite_plain_url(void);

static const char *const names[] = { "host", "port", NULL };

static const struct {
	const char *url, *scheme;
	enum plain_url_host host;
	bool plain;
} cases[] = {
	{ "http://a", "http", URL_HAS_HOST, true },
	{ "https://openrouter.ai/api/v1/models", "https", URL_HAS_HOST, true },
	{ "http://127.0.0.1:8080/", "http", URL_HAS_HOST, true },
	{ "postgresql://u:p@/db?host=/tmp/x&port=5432", "postgresql",
	  URL_MAY_LACK_HOST, true },
	{ "postgresql://", "postgresql", URL_MAY_LACK_HOST, true },
	{ "postgresql://u@h:5432/db", "postgresql", URL_MAY_LACK_HOST, true },
	{ "https://a", "http", URL_HAS_HOST, false },
	{ "http:/a", "http", URL_HAS_HOST, false },
	{ "http://", "http", URL_HAS_HOST, false },
	{ "http:///path", "http", URL_HAS_HOST, false },
	{ "http://user@/path", "http", URL_HAS_HOST, false },
	{ "http://a:0/", "http", URL_HAS_HOST, false },
	{ "http://a:65536/", "http", URL_HAS_HOST, false },
	{ "http://a:b/", "http", URL_HAS_HOST, false },
	{ "http://a:1:2/", "http", URL_HAS_HOST, false },
	{ "http://-a/", "http", URL_HAS_HOST, false },
	{ "http://a b/", "http", URL_HAS_HOST, false },
	{ "http://a/%zz", "http", URL_HAS_HOST, false },
	{ "http://[::1]/", "http", URL_HAS_HOST, false },
	{ "postgresql://u@v@h/db", "postgresql", URL_MAY_LACK_HOST, false },
	{ "postgresql://:5432/db", "postgresql", URL_MAY_LACK_HOST, false },
	{ "postgresql://h/db?hots=x", "postgresql", URL_MAY_LACK_HOST, false },
	{ "postgresql://h/db?host", "postgresql", URL_MAY_LACK_HOST, false },
	{ "postgresql://h/db?port=%31", "postgresql", URL_MAY_LACK_HOST,
	  false },
};

START_TEST(only_what_no_parser_objects_to_is_plain)
{
	ck_assert_msg(plain_url(cases[_i].url, cases[_i].scheme, cases[_i].host,
				names) == cases[_i].plain,
		      "%s", cases[_i].url);
}
END_TEST

Suite *
suite_plain_url(void)
{
	Suite *s = suite_create("plain_url");
	TCase *c = tcase_create("urls");

	tcase_add_loop_test(c, only_what_no_parser_objects_to_is_plain, 0,
			    sizeof(cases) / sizeof(cases[0]));
	suite_add_tcase(s, c);
	return (s);
}
