/* SPDX-License-Identifier: MIT */
/*
 * Bodies that are not what they should be, to every endpoint that takes one, straight to
 * the worker: no web server in front keeps anything away.
 */
#include "faults.h"

#include <stdlib.h>
#include <string.h>

Suite *suite_bodies(void);

#define JSON "Content-Type: application/json"
#define LIMIT 1048576 /* REQUEST_MAX_BYTES */
#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char *login, *address;

static void
begin(void)
{
	login = stack_login("root@example.org", "admin");
	address = scratch_printf("unix:%s", stack.socket);
	stack_workers(1);
}

static struct http_response *
send_body(const struct faults_endpoint *e, const char *type, const char *body,
	  size_t len)
{
	return (fcgi_ask(address,
			 &(struct fcgi_request){
				 .method = e->method,
				 .uri = e->uri,
				 .headers = (const char *const[]){ login, type,
								   NULL },
				 .body = body,
				 .body_len = len }));
}

static const char *
start_of(const char *body)
{
	return (scratch_printf("%.80s", body));
}

/* Taken, or refused as the client's fault, in the form of a problem. */
static void
assert_no_fault_of_ours(const struct faults_endpoint *e, const char *body,
			const struct http_response *r)
{
	ck_assert_msg(r->status >= 200 && r->status < 500, "%s %s %s: %s",
		      e->method, e->uri, start_of(body), stack_describe(r));
	if (r->status >= 400)
		ck_assert_str_eq(http_header(r, "Content-Type"),
				 "application/problem+json");
	stack_assert_discreet(r);
}

static void
assert_refused(const struct faults_endpoint *e, const char *body, size_t len)
{
	const struct http_response *r = send_body(e, JSON, body, len);

	ck_assert_msg(r->status == 400, "%s %s %s: %s", e->method, e->uri,
		      start_of(body), stack_describe(r));
	assert_no_fault_of_ours(e, body, r);
}

/* ---- what no JSON parser should take */

static const char *const broken[] = {
	"{",
	"}",
	"{}}",
	"{\"",
	"{\"a",
	"{\"a\"",
	"{\"a\":",
	"{\"a\":1",
	"{\"a\":1,}",
	"{,}",
	"{a:1}",
	"{'a':1}",
	"[1]",
	"\"text\"",
	"1",
	"null",
	"true",
	" ",
	"\xef\xbb\xbf{}",
	"{\"%s\":\"\\ud800\"}",
	"{\"%s\":\"\\udc00\"}",
	"{\"%s\":\"\\ud800\\ud800\"}",
	"{\"%s\":\"\\udc00\\ud800\"}",
	"{\"%s\":\"\\ud800x\"}",
	"{\"%s\":\"\xed\xa0\x80\"}",
	"{\"%s\":\"\xff\"}",
	"{\"%s\":\"\xc0\xaf\"}",
	"{\"%s\":\"\xf4\x90\x80\x80\"}",
	"{\"%s\":\"\\u12\"}",
	"{\"%s\":\"\\x41\"}",
	"{\"%s\":\"a\nb\"}",
	"{\"%s\":\"\\u0000\"}",
	"{\"%s\":\"a\\u0000b\"}",
	"{\"\\ud800\":1}",
	"{\"%s\":\"a\",\"%s\":\"b\"}",
	"{\"%s\":{\"a\":1}}",
	"{\"%s\":NaN}",
	"{\"%s\":Infinity}",
	"{\"%s\":1e999999999}",
	"{\"%s\":\"a\"} {}",
	"{\"no such parameter\":1}",
	"/**/{}",
};

START_TEST(what_is_broken_is_refused)
{
	begin();
	for (int i = 0; i < FAULTS_ENDPOINTS; i++)
		for (int k = 0; k < LENGTH(broken); k++) {
			const char *body = broken[k];

			while (strstr(body, "%s") != NULL)
				body = scratch_printf("%.*s%s%s",
						      (int)(strstr(body, "%s") -
							    body),
						      body,
						      faults_endpoints[i].text,
						      strstr(body, "%s") + 2);
			assert_refused(&faults_endpoints[i], body,
				       strlen(body));
		}
}
END_TEST

START_TEST(nul_bytes_are_refused)
{
	static const char *const bodies[] = { "{\"a\":1}|", "|{}",
					      "{\"a|b\":1}",
					      "{\"name\":\"a|b\"}", "|" };

	begin();
	for (int i = 0; i < FAULTS_ENDPOINTS; i++)
		for (int k = 0; k < LENGTH(bodies); k++) {
			char *body = scratch_printf("%s", bodies[k]);
			size_t len = strlen(body);

			*strchr(body, '|') = '\0';
			assert_refused(&faults_endpoints[i], body, len);
		}
}
END_TEST

/* ---- what is too much */

static char *
repeat(const char *start, const char *piece, const char *end, size_t len)
{
	char *body = scratch_alloc(len + 1);
	size_t at = strlen(start), n = strlen(piece);

	memcpy(body, start, at);
	while (at + n + strlen(end) <= len) {
		memcpy(body + at, piece, n);
		at += n;
	}
	memcpy(body + at, end, strlen(end));
	return (body);
}

/* As large as it may be, of something. */
static const struct {
	const char *start, *piece, *end; /* "%s" is a parameter */
} heaps[] = {
	{ "", "[", "" },
	{ "", "{\"a\":", "" },
	{ "{\"%s\":", "[", "" },
	{ "{\"%s\":{\"a\":", "{\"a\":", "" },
	{ "{\"%s\":\"", "x", "\"}" },
	{ "{\"%s\":\"", "\\u00e9", "\"}" },
	{ "{\"%s\":\"", "\\ud83d\\ude00", "\"}" },
	{ "{\"%s\":\"", "\\\\", "\"}" },
	{ "{\"%s\":", "9", "}" },
	{ "{\"%s\":0.", "0", "1}" },
	{ "{\"%s\":1", "0", "e-9}" },
	{ "{", "\"a\":1,", "\"b\":2}" },
	{ "{\"%s\":{", "\"a\":1,", "\"b\":2}}" },
	{ "{\"%s\":[", "0,", "0]}" },
	{ "", " ", "{}" },
	{ "{}", "\n", "" },
	{ "", "\"", "" },
	{ "", ",", "" },
};

START_TEST(what_is_huge_costs_no_more_than_a_refusal)
{
	begin();
	for (int i = 0; i < FAULTS_ENDPOINTS; i++) {
		const struct faults_endpoint *e = &faults_endpoints[i];
		const char *const names[] = { e->text, e->object };

		for (int k = 0; k < LENGTH(heaps) * 2; k++) {
			const char *start = heaps[k / 2].start, *name;
			const struct http_response *r;
			char *body;

			if ((name = strstr(start, "%s")) != NULL)
				start = scratch_printf("%.*s%s%s",
						       (int)(name - start),
						       start, names[k % 2],
						       name + 2);
			body = repeat(start, heaps[k / 2].piece,
				      heaps[k / 2].end, LIMIT);
			r = send_body(e, JSON, body, strlen(body));
			assert_no_fault_of_ours(e, body, r);
			ck_assert_msg(r->ms < harness_limit_ms(2000),
				      "%.0f ms: %s", r->ms, start_of(body));
		}
	}
	faults_ok(ALPHA, NULL, 3000);
}
END_TEST

/* Depth that is allowed is taken, and given back as it was. */
START_TEST(what_is_deep_but_not_too_deep_is_taken)
{
	const char *body = "{\"model_id\":\"a/b\",\"name\":\"\\ud83d\\ude00\","
			   "\"pricing\":{\"a\":{\"b\":{\"c\":[[[[1]]]]}}}}";
	const struct http_response *r;

	begin();
	r = send_body(&faults_endpoints[0], JSON, body, strlen(body));
	assert_status(r, 201);
	r = faults_get(MINE, login);
	assert_status(r, 200);
	ck_assert_msg(strstr(r->body, "[[[[1]]]]") != NULL, "%s", r->body);
}
END_TEST

/* ---- what the worker refuses by itself */

START_TEST(body_over_the_limit_is_a_413)
{
	static const size_t sizes[] = { LIMIT + 1, 2 * LIMIT, 20 * LIMIT };
	char *body = repeat("{", " ", "}", 20 * LIMIT);

	begin();
	for (int i = 0; i < FAULTS_ENDPOINTS; i++) {
		const struct http_response *r =
			send_body(&faults_endpoints[i], JSON, body,
				  sizes[i % LENGTH(sizes)]);

		assert_status(r, 413);
		assert_no_fault_of_ours(&faults_endpoints[i], "{", r);
	}
}
END_TEST

/* And the connection is as good as before. */
START_TEST(connection_outlives_a_413)
{
	const struct fcgi_request small = { .uri = ALPHA, .keep = true };
	struct fcgi_request large = { .method = "POST",
				      .uri = "/api/models",
				      .keep = true };
	int fd;

	begin();
	large.headers = (const char *const[]){ login, JSON, NULL };
	large.body = repeat("{", " ", "}", 3 * LIMIT);
	fd = fcgi_connect(address);
	ck_assert_int_ge(fd, 0);
	for (int i = 0; i < 5; i++) {
		fcgi_send(fd, &large);
		assert_status(fcgi_receive(fd, 10000), 413);
		fcgi_send(fd, &small);
		assert_status(fcgi_receive(fd, 10000), 200);
	}
}
END_TEST

static const char *const types[] = {
	"Content-Type: text/plain",
	"Content-Type: text/json",
	"Content-Type: application/x-www-form-urlencoded",
	"Content-Type: multipart/form-data; boundary=x",
	"Content-Type: application/xml",
	"Content-Type: application/jsonx",
	"Content-Type: ,application/json",
	"Content-Type: */*",
	"X-None: 1",
};

START_TEST(another_type_is_a_415)
{
	begin();
	for (int i = 0; i < FAULTS_ENDPOINTS; i++)
		for (int k = 0; k < LENGTH(types); k++) {
			const struct http_response *r =
				send_body(&faults_endpoints[i], types[k], "{}",
					  2);

			assert_status(r, 415);
			assert_no_fault_of_ours(&faults_endpoints[i], types[k],
						r);
		}
}
END_TEST

Suite *
suite_bodies(void)
{
	Suite *s = suite_create("bodies");
	TCase *t = faults_case(s, "bodies");

	tcase_add_test(t, what_is_broken_is_refused);
	tcase_add_test(t, nul_bytes_are_refused);
	tcase_add_test(t, what_is_huge_costs_no_more_than_a_refusal);
	tcase_add_test(t, what_is_deep_but_not_too_deep_is_taken);
	tcase_add_test(t, body_over_the_limit_is_a_413);
	tcase_add_test(t, connection_outlives_a_413);
	tcase_add_test(t, another_type_is_a_415);
	return (s);
}
