/* SPDX-License-Identifier: MIT */
/*
 * Requests that no web server should send, straight to the worker: cut off in their
 * body or not as long as they say, with a thousand parameters, or questions about the
 * worker in between.
 */
#include "faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *suite_requests(void);

#define JSON "Content-Type: application/json"
#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* FastCGI Specification 1.0, section 8. */
enum { ABORT_REQUEST = 2, GET_VALUES = 9, GET_VALUES_RESULT = 10 };
#define END 8 /* bytes of the record that ends a stream */

static const char *login;
static pid_t worker;
static unsigned before; /* descriptors of it */

static void
begin(void)
{
	login = stack_login("root@example.org", "admin");
	stack_workers(1);
	worker = harness_worker_pid(stack.worker, 0);
	faults_ok(ALPHA, NULL, 3000);
	faults_ok(MINE, login, 3000);
	before = faults_descriptors(worker);
}

static void
assert_serves_on(int fd)
{
	fcgi_send(fd, &(struct fcgi_request){ .uri = ALPHA, .keep = true });
	assert_status(fcgi_receive(fd, 10000), 200);
}

static void
assert_is_problem(const struct http_response *r)
{
	ck_assert_str_eq(http_header(r, "Content-Type"),
			 "application/problem+json");
	stack_assert_discreet(r);
}

/* ---- cut off in the body */

/* What is announced, what of it is there, and how much of the records is not. */
struct cut {
	size_t announced, body_len, missing;
};

/* POST a model of the user's own.  What there is of the body would do as a whole. */
static void
send_model(int fd, unsigned number, struct cut c)
{
	const char *const headers[] = { login, JSON, NULL };
	const char *model =
		scratch_printf("{\"model_id\":\"acme/%u\",\"name\":\"x\"}",
			       number);
	const struct fcgi_request q = {
		.method = "POST",
		.uri = "/api/models",
		.headers = headers,
		.body = scratch_printf("%-*s", (int)c.body_len, model),
		.length = scratch_printf("%zu", c.announced),
		.keep = true,
	};
	size_t len;
	char *bytes = fcgi_encode(&q, &len);

	ck_assert_uint_eq(strlen(q.body), c.body_len);
	ck_assert(fcgi_send_raw(fd, bytes, len - c.missing));
}

/* A whole one is taken, and is the only one when the worker has ended, and with it
 * all that it had begun. */
static void
assert_only_a_whole_one_is_taken(void)
{
	int fd = fcgi_connect(stack.socket);

	wait_until(faults_descriptors(worker) <= before + FAULTS_SPARE, 5000);
	send_model(fd, 1000000, (struct cut){ 200, 200, 0 });
	assert_status(fcgi_receive(fd, 10000), 201);
	close(fd);
	harness_worker_stop(stack.worker);
	stack.worker = NULL;
	ck_assert_str_eq(harness_sql(stack.owner_url,
				     "SELECT string_agg(model_id, ' ') "
				     "FROM models"),
			 "acme/1000000");
}

START_TEST(aborted_bodies_change_nothing_and_the_connection_serves_on)
{
	static const struct cut cuts[] = { { 200, 100, END },
					   { 200, 200, END },
					   { 500000, 250000, END },
					   { 500000, 500000, END } };
	const struct http_response *r;
	size_t len;
	char *abort = fcgi_record(ABORT_REQUEST, 1, "", 0, &len);

	begin();
	for (unsigned i = 0; i < 100; i += LENGTH(cuts)) {
		int fd = fcgi_connect(stack.socket);

		for (unsigned k = 0; k < LENGTH(cuts); k++) {
			send_model(fd, i + k, cuts[k]);
			ck_assert(fcgi_send_raw(fd, abort, len));
			r = fcgi_receive(fd, 10000);
			/* END_REQUEST, and nothing before. */
			ck_assert_str_eq(r->error, "no end of the headers");
			assert_serves_on(fd);
		}
		close(fd);
	}
	assert_only_a_whole_one_is_taken();
}
END_TEST

START_TEST(clients_that_leave_in_their_body_change_nothing)
{
	static const struct cut cuts[] = {
		{ 200, 100, END },	 { 200, 200, END },
		{ 200, 200, END / 2 },	 { 200, 200, END + 100 },
		{ 500000, 250000, END }, { 500000, 500000, END },
		{ 500000, 500000, 1 },	 { 500000, 500000, 250000 }
	};

	begin();
	for (unsigned i = 0; i < 200; i++) {
		int fd = fcgi_connect(stack.socket);

		send_model(fd, i, cuts[i % LENGTH(cuts)]);
		close(fd);
	}
	assert_only_a_whole_one_is_taken();
}
END_TEST

/* ---- not as long as CONTENT_LENGTH says */

/* What the endpoints change. */
static void
make_rows(void)
{
	harness_sql(stack.owner_url,
		    "INSERT INTO users (id, email) "
		    "VALUES ('" FAULTS_ID "', 'old@example.org');"
		    "INSERT INTO servers (id, owner_id, name) "
		    "SELECT '" FAULTS_ID "', id, 'old' FROM users "
		    "WHERE role = 'admin';"
		    "INSERT INTO models (id, owner_id, model_id, name) "
		    "SELECT '" FAULTS_ID "', id, 'acme/old', 'old' FROM users "
		    "WHERE role = 'admin'");
}

/* Each of the endpoints leaves its records in the log. */
static int
count_changes(void)
{
	return (atoi(harness_sql(stack.owner_url,
				 "SELECT count(*) FROM cache_invalidations")));
}

/* `length`: what is said of it; NULL: the truth. */
static struct http_response *
send_body(int fd, const struct faults_endpoint *e, const char *body,
	  const char *length)
{
	const char *const headers[] = { login, JSON, NULL };

	fcgi_send(fd, &(struct fcgi_request){ .method = e->method,
					      .uri = e->uri,
					      .headers = headers,
					      .body = body,
					      .length = length,
					      .keep = true });
	return (fcgi_receive(fd, 10000));
}

START_TEST(lies_about_the_length_are_a_400_and_change_nothing)
{
	const struct faults_endpoint *e = &faults_endpoints[_i];
	/* Without the space it would do as well. */
	const char *body = scratch_printf("%s ", e->body);
	const int len = (int)strlen(body);
	const char *const lies[] = { scratch_printf("%d", len + 1),
				     scratch_printf("%d", len - 1),
				     scratch_printf("%dx", len),
				     scratch_printf("+%d", len),
				     "-5",
				     "x",
				     "0",
				     "1000000",
				     "9223372036854775807",
				     "18446744073709551615",
				     "99999999999999999999999999999999" };
	const struct http_response *r;
	int fd, changes;

	begin();
	make_rows();
	changes = count_changes();
	fd = fcgi_connect(stack.socket);
	for (int i = 0; i < LENGTH(lies); i++) {
		r = send_body(fd, e, body, lies[i]);
		ck_assert_msg(r->status == 400, "%s %s: %s", e->uri, lies[i],
			      stack_describe(r));
		assert_is_problem(r);
		assert_serves_on(fd);
	}
	ck_assert_int_eq(count_changes(), changes);
	r = send_body(fd, e, body, NULL);
	ck_assert_msg(r->status == 200 || r->status == 201, "%s: %s", e->uri,
		      stack_describe(r));
	ck_assert_int_gt(count_changes(), changes);
	close(fd);
}
END_TEST

/* ---- a thousand parameters */

#define MANY 1000
#define ROUNDS 20

/* Ask it some times, on a connection that serves on; the answers come at once. */
static void
assert_answers(const struct fcgi_request *q, int status)
{
	unsigned slow = 0;
	int fd = fcgi_connect(stack.socket);

	for (int i = 0; i < ROUNDS; i++) {
		const double began = harness_now_ms();
		const struct http_response *r;

		fcgi_send(fd, q);
		r = fcgi_receive(fd, 10000);
		slow += harness_now_ms() - began > harness_limit_ms(AT_ONCE_MS);
		ck_assert_msg(r->status == status, "%.80s: %s", q->uri,
			      stack_describe(r));
		if (status != 200)
			assert_is_problem(r);
		assert_serves_on(fd);
	}
	ck_assert_uint_le(slow, ROUNDS / 10);
	close(fd);
}

/* With an API key behind all of them. */
START_TEST(thousand_headers_are_read_over_or_a_431)
{
	static const int sizes[] = { 1, 40, 100 };
	const char *params[MANY + 2] = { NULL };

	begin();
	params[MANY] = scratch_printf("HTTP_AUTHORIZATION=%s",
				      login + strlen("Authorization: "));
	for (int i = 0; i < LENGTH(sizes); i++) {
		for (int k = 0; k < MANY; k++)
			params[k] = scratch_printf("HTTP_X_%d=%0*d", k,
						   sizes[i], k);
		assert_answers(&(struct fcgi_request){ .uri = MINE,
						       .params = params,
						       .keep = true },
			       sizes[i] < 100 ? 200 : 431);
	}
}
END_TEST

static const char *
thousand(const char *path, const char *name, int digits, const char *value)
{
	char *uri = scratch_alloc(200 * MANY), *at = stpcpy(uri, path);

	for (int i = 0; i < MANY; i++)
		at += sprintf(at, "&%s%0*d%s", name, digits, i, value);
	return (uri);
}

START_TEST(thousand_query_parameters_are_a_400)
{
	static const char *const paths[] = { ALPHA, MINE,
					     "/api/usage/costs?group_by=day",
					     "/api/analytics/data?range=7d" };
	const char *headers[] = { NULL, NULL };

	begin();
	headers[0] = login;
	for (int i = 0; i < LENGTH(paths); i++) {
		const char *const uris[] = {
			thousand(paths[i], "a", 1, "=1"),
			thousand(paths[i], "a", 1, "=%zz"),
			thousand(paths[i], "gateway=", 1, ""),
			thousand(paths[i], "a", 100, "=1"), /* too long */
		};

		for (int k = 0; k < LENGTH(uris); k++)
			assert_answers(&(struct fcgi_request){ .uri = uris[k],
							       .headers =
								       headers,
							       .keep = true },
				       k < 3 ? 400 : 431);
	}
}
END_TEST

/* ---- questions about the worker */

#define VARIABLES "\016\0FCGI_MAX_CONNS\015\0FCGI_MAX_REQS\017\0FCGI_MPXS_CONNS"
#define VALUES                                        \
	"\016\004FCGI_MAX_CONNS2000"                  \
	"\015\004FCGI_MAX_REQS2000\017\001FCGI_MPXS_" \
	"CONNS0"

static void
ask_values(int fd, unsigned times)
{
	const size_t len = sizeof(VARIABLES) - 1;
	char *variables = scratch_alloc(times * len), *question;
	size_t question_len;

	for (unsigned i = 0; i < times; i++)
		memcpy(variables + i * len, VARIABLES, len);
	question = fcgi_record(GET_VALUES, 0, variables, times * len,
			       &question_len);
	ck_assert(fcgi_send_raw(fd, question, question_len));
}

static void
assert_told_values(int fd)
{
	size_t len, got = 0;
	char *wanted = fcgi_record(GET_VALUES_RESULT, 0, VALUES,
				   sizeof(VALUES) - 1, &len),
	     answer[512];

	while (got < len) {
		long n = fcgi_receive_raw(fd, answer + got, len - got, 10000);

		ck_assert_int_gt(n, 0);
		got += (size_t)n;
	}
	ck_assert_mem_eq(answer, wanted, len);
}

START_TEST(values_are_told_between_requests_and_within)
{
	const struct fcgi_request q = { .uri = ALPHA, .keep = true };
	size_t len;
	char *bytes = fcgi_encode(&q, &len);
	int fd;

	begin();
	fd = fcgi_connect(stack.socket);
	for (int i = 0; i < 100; i++) {
		ask_values(fd, i % 2 ? 1 : MANY);
		assert_told_values(fd);
		assert_serves_on(fd);
		ck_assert(fcgi_send_raw(fd, bytes, len - END));
		ask_values(fd, 1);
		assert_told_values(fd);
		ck_assert(fcgi_send_raw(fd, bytes + len - END, END));
		assert_status(fcgi_receive(fd, 10000), 200);
	}
	close(fd);
}
END_TEST

Suite *
suite_requests(void)
{
	Suite *s = suite_create("requests");
	TCase *t = faults_case(s, "requests");

	tcase_add_test(
		t, aborted_bodies_change_nothing_and_the_connection_serves_on);
	tcase_add_test(t, clients_that_leave_in_their_body_change_nothing);
	tcase_add_loop_test(t,
			    lies_about_the_length_are_a_400_and_change_nothing,
			    0, FAULTS_ENDPOINTS);
	tcase_add_test(t, thousand_headers_are_read_over_or_a_431);
	tcase_add_test(t, thousand_query_parameters_are_a_400);
	tcase_add_test(t, values_are_told_between_requests_and_within);
	return (s);
}
