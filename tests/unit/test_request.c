/* SPDX-License-Identifier: MIT */
#include "../records.h"
#include "base/alloc.h"
#include "web/request.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pair {
	const char *name, *value;
};

/* A request from pairs, its stream in memory of exactly its size. */
struct given {
	struct request rq;
	char *stream;
	enum result result;
};

static struct given
parse_bytes(struct bytes stream)
{
	struct given g = { .stream = malloc(stream.len + 1) };

	memcpy(g.stream, stream.at, stream.len);
	g.result = request_parse(&g.rq, (struct bytes){ g.stream, stream.len });
	return (g);
}

static struct given
parse(const struct pair *pairs)
{
	struct buf stream = { 0 };
	struct given g;

	for (; pairs->name != NULL; pairs++)
		records_pair(&stream, pairs->name, bytes_of(pairs->value));
	g = parse_bytes(buf_bytes(&stream));
	buf_fini(&stream);
	return (g);
}

static void
given_fini(struct given *g)
{
	arena_fini(&g->rq.arena);
	free(g->stream);
}

static void
check_is(struct bytes is, const char *wanted)
{
	ck_assert_msg(bytes_equal(is, bytes_of(wanted)), "\"%.*s\", not \"%s\"",
		      BYTES_ARG(is), wanted);
}

static const struct pair from_nginx[] = {
	{ "QUERY_STRING", "gateway=all" },
	{ "REQUEST_METHOD", "GET" },
	{ "CONTENT_TYPE", "" },
	{ "CONTENT_LENGTH", "" },
	{ "SCRIPT_NAME", "/api/models" },
	{ "REQUEST_URI", "/api/mod%65ls?gateway=all" },
	{ "DOCUMENT_URI", "/api/models" },
	{ "SERVER_PROTOCOL", "HTTP/1.1" },
	{ "REMOTE_ADDR", "127.0.0.1" },
	{ "HTTP_HOST", "localhost" },
	{ "HTTP_ACCEPT_ENCODING", "gzip, br" },
	{ "HTTP_AUTHORIZATION", "Bearer wf_1" },
	{ "HTTP_X_API_KEY", "wf_2" },
	{ "HTTP_IF_NONE_MATCH", "\"abc\"" },
	{ NULL, NULL },
};

START_TEST(request_of_nginx_is_understood)
{
	struct given g = parse(from_nginx);

	ck_assert_int_eq(g.result, R_OK);
	ck_assert_int_eq(g.rq.method, METHOD_GET);
	check_is(g.rq.path, "/api/mod%65ls");
	check_is(g.rq.query, "gateway=all");
	check_is(g.rq.accept_encoding, "gzip, br");
	check_is(g.rq.authorization, "Bearer wf_1");
	check_is(g.rq.api_key, "wf_2");
	check_is(g.rq.if_none_match, "\"abc\"");
	check_is(g.rq.content_type, "");
	ck_assert_int_eq(g.rq.content_length, -1);
	ck_assert_ptr_null(g.rq.arena.newest);
	given_fini(&g);
}
END_TEST

START_TEST(kept_request_outlives_its_bytes)
{
	struct given g = parse(from_nginx);

	mem_fail_after(1);
	ck_assert_int_eq(request_keep(&g.rq), R_NO_MEMORY);
	mem_fail_after(0);
	check_is(g.rq.path, "/api/mod%65ls");
	ck_assert_int_eq(request_keep(&g.rq), R_OK);
	free(g.stream);
	g.stream = NULL;
	check_is(g.rq.path, "/api/mod%65ls");
	check_is(g.rq.query, "gateway=all");
	check_is(g.rq.accept_encoding, "gzip, br");
	check_is(g.rq.authorization, "Bearer wf_1");
	check_is(g.rq.api_key, "wf_2");
	check_is(g.rq.if_none_match, "\"abc\"");
	check_is(g.rq.content_type, "");
	given_fini(&g);
}
END_TEST

START_TEST(absent_fields_are_empty)
{
	struct given g = parse((struct pair[]){ { "REQUEST_METHOD", "GET" },
						{ "REQUEST_URI", "/" },
						{ NULL, NULL } });

	ck_assert_int_eq(g.result, R_OK);
	check_is(g.rq.query, "");
	check_is(g.rq.authorization, "");
	check_is(g.rq.api_key, "");
	check_is(g.rq.accept_encoding, "");
	check_is(g.rq.if_none_match, "");
	check_is(g.rq.content_type, "");
	ck_assert_ptr_nonnull(g.rq.authorization.at);
	given_fini(&g);
}
END_TEST

static const struct {
	const char *uri, *query_string, *path, *query;
} uris[] = {
	{ "/a", "", "/a", "" },
	{ "/a?", "x", "/a", "" },
	{ "/a?b?c", "x", "/a", "b?c" },
	{ "/a", "b=c", "/a", "b=c" },
	{ "http://host/a/b?c", "", "/a/b", "c" },
	{ "HTTPS://user@host:1/a", "", "/a", "" },
	{ "http://host", "", "/", "" },
	{ "http://host?q", "", "/", "q" },
	{ "http://", "", "/", "" },
	{ "http:/a", "", "http:/a", "" },
	{ "//host/a", "", "//host/a", "" },
	{ "*", "", "*", "" },
};

START_TEST(path_and_query_come_from_the_uri)
{
	struct given g = parse(
		(struct pair[]){ { "REQUEST_METHOD", "GET" },
				 { "QUERY_STRING", uris[_i].query_string },
				 { "SCRIPT_NAME", "/script" },
				 { "REQUEST_URI", uris[_i].uri },
				 { NULL, NULL } });

	ck_assert_int_eq(g.result, R_OK);
	check_is(g.rq.path, uris[_i].path);
	check_is(g.rq.query, uris[_i].query);
	given_fini(&g);
}
END_TEST

START_TEST(path_is_made_from_its_parts_without_a_uri)
{
	struct given g = parse((struct pair[]){
		{ "REQUEST_METHOD", "GET" },
		{ "SCRIPT_NAME", "/api" },
		{ "PATH_INFO", "/models/50% of a?b#c\xc3\xa4" },
		{ "QUERY_STRING", "q=1" },
		{ NULL, NULL } });

	ck_assert_int_eq(g.result, R_OK);
	check_is(g.rq.path, "/api/models/50%25%20of%20a%3Fb%23c%C3%A4");
	check_is(g.rq.query, "q=1");
	given_fini(&g);
}
END_TEST

START_TEST(first_of_a_name_counts)
{
	struct given g = parse((struct pair[]){ { "REQUEST_METHOD", "GET" },
						{ "REQUEST_URI", "/a" },
						{ "HTTP_X_API_KEY", "" },
						{ "HTTP_X_API_KEY", "forged" },
						{ "REQUEST_METHOD", "DELETE" },
						{ "REQUEST_URI", "/b" },
						{ NULL, NULL } });

	ck_assert_int_eq(g.result, R_OK);
	ck_assert_int_eq(g.rq.method, METHOD_GET);
	check_is(g.rq.path, "/a");
	check_is(g.rq.api_key, "");
	given_fini(&g);
}
END_TEST

static const struct {
	const char *name;
	enum method method;
} methods[] = {
	{ "GET", METHOD_GET },	     { "HEAD", METHOD_HEAD },
	{ "POST", METHOD_POST },     { "PUT", METHOD_PUT },
	{ "PATCH", METHOD_PATCH },   { "DELETE", METHOD_DELETE },
	{ "OPTIONS", METHOD_OTHER }, { "get", METHOD_OTHER },
	{ "another", METHOD_OTHER }, { "GETS", METHOD_OTHER },
};

START_TEST(methods_are_told_apart)
{
	struct given g =
		parse((struct pair[]){ { "REQUEST_METHOD", methods[_i].name },
				       { "REQUEST_URI", "/" },
				       { NULL, NULL } });

	ck_assert_int_eq(g.result, R_OK);
	ck_assert_int_eq(g.rq.method, methods[_i].method);
	if (g.rq.method != METHOD_OTHER)
		ck_assert_str_eq(method_name(g.rq.method), methods[_i].name);
	given_fini(&g);
}
END_TEST

static const struct {
	const char *text;
	int64_t length;
} lengths[] = {
	{ "", -1 },   { "0", 0 },    { "12", 12 },
	{ "-1", -2 }, { "1 ", -2 },  { "1e3", -2 },
	{ "x", -2 },  { "0x1", -2 }, { "9223372036854775808", -2 },
};

START_TEST(content_length_is_a_number_or_wrong)
{
	struct given g =
		parse((struct pair[]){ { "REQUEST_METHOD", "POST" },
				       { "REQUEST_URI", "/" },
				       { "CONTENT_LENGTH", lengths[_i].text },
				       { NULL, NULL } });

	ck_assert_int_eq(g.result, R_OK);
	ck_assert_int_eq(g.rq.content_length, lengths[_i].length);
	given_fini(&g);
}
END_TEST

static const struct bytes invalid[] = {
	BYTES_INIT(""),
	BYTES_INIT("\16\3REQUEST_METHODGET"),		    /* no path */
	BYTES_INIT("\13\1REQUEST_URI/"),		    /* no method */
	BYTES_INIT("\16\0REQUEST_METHOD\13\1REQUEST_URI/"), /* an empty one */
	BYTES_INIT(
		"\16\3REQUEST_METHODGET\13\1REQUEST_URI?"), /* only a query */
	BYTES_INIT("\16\3REQUEST_METHODGET\13\1REQUEST_URI/\1"), /* cut */
	BYTES_INIT("\16\3REQUEST_METHODGET\13\1REQUEST_URI/\1\5abc"),
	BYTES_INIT("\16\3REQUEST_METHODGET\13\377\377\377\377REQUEST_URI/"),
};

START_TEST(request_that_is_none_is_invalid)
{
	struct given g = parse_bytes(invalid[_i]);

	ck_assert_int_eq(g.result, R_INVALID);
	given_fini(&g);
}
END_TEST

START_TEST(thousand_parameters_are_read_over)
{
	struct buf stream = { 0 };
	struct given g;
	char name[24];

	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "HTTP_X_%d", i);
		records_pair(&stream, name, BYTES("v"));
	}
	records_pair(&stream, "REQUEST_METHOD", BYTES("GET"));
	records_pair(&stream, "REQUEST_URI", BYTES("/last"));
	g = parse_bytes(buf_bytes(&stream));
	ck_assert_int_eq(g.result, R_OK);
	check_is(g.rq.path, "/last");
	given_fini(&g);
	buf_fini(&stream);
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

Suite *suite_request(void);

Suite *
suite_request(void)
{
	Suite *s = suite_create("request");
	TCase *t = tcase_create("parsing");

	tcase_add_test(t, request_of_nginx_is_understood);
	tcase_add_test(t, kept_request_outlives_its_bytes);
	tcase_add_test(t, absent_fields_are_empty);
	tcase_add_loop_test(t, path_and_query_come_from_the_uri, 0,
			    COUNT(uris));
	tcase_add_test(t, path_is_made_from_its_parts_without_a_uri);
	tcase_add_test(t, first_of_a_name_counts);
	tcase_add_loop_test(t, methods_are_told_apart, 0, COUNT(methods));
	tcase_add_loop_test(t, content_length_is_a_number_or_wrong, 0,
			    COUNT(lengths));
	tcase_add_loop_test(t, request_that_is_none_is_invalid, 0,
			    COUNT(invalid));
	tcase_add_test(t, thousand_parameters_are_read_over);
	suite_add_tcase(s, t);
	return (s);
}
