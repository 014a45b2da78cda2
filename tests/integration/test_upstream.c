/* SPDX-License-Identifier: MIT */
#include "../harness/certificates.h"
#include "../harness/harness.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "store/upstream.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_BYTES ((size_t)8 << 20)

static struct harness_upstream *origin;

static void
start_origin(void)
{
	origin = harness_upstream_new(NULL);
}

static void
stop_origin(void)
{
	harness_upstream_stop(origin);
}

static struct upstream *
client_to(const char *url, const char *api_key)
{
	struct upstream *u = NULL;

	ck_assert_int_eq(upstream_new(
				 &(struct upstream_options){
					 .name = "test",
					 .url = url,
					 .api_key = api_key,
					 .timeout_ms = 5000,
					 .connect_timeout_ms = 2000,
					 .max_bytes = LIMIT_BYTES,
				 },
				 &u),
			 R_OK);
	return (u);
}

static struct upstream *
client(const char *path)
{
	return (client_to(scratch_printf("%s%s", origin->url, path), NULL));
}

static enum result
get(struct upstream *u, const char *validators, struct upstream_answer *a)
{
	return (upstream_get(u, bytes_of(validators),
			     clock_monotonic_ms() + 10000, a));
}

static const char *
stats_of(const struct harness_upstream *u)
{
	return (http_get(scratch_printf("%s/control/stats", u->url), NULL)
			->body);
}

START_TEST(whole_body_comes_with_its_validators)
{
	struct upstream *u = client("/whole");
	struct http_response *plain =
		http_get(scratch_printf("%s/whole", origin->url), NULL);
	struct upstream_answer a;

	ck_assert_int_eq(get(u, "", &a), R_OK);
	ck_assert_uint_eq(a.body.len, plain->body_len);
	ck_assert_mem_eq(a.body.at, plain->body, plain->body_len);
	ck_assert_uint_eq(a.validators.at[0], '"');
	ck_assert_ptr_nonnull(strstr(a.validators.at, "\"\n"));
	ck_assert_ptr_nonnull(strstr(a.validators.at, " GMT"));
	ck_assert_str_eq(upstream_name(u), "test");
	/* It came compressed, and is not any more. */
	ck_assert_ptr_nonnull(strstr(stats_of(origin),
				     "\"accept_encoding\":\"deflate, gzip"));
	upstream_answer_fini(&a);
	upstream_free(u);
}
END_TEST

START_TEST(unchanged_body_is_not_sent_again)
{
	struct upstream *u = client("/same");
	struct upstream_answer a, b;
	char *etag, *modified;

	ck_assert_int_eq(get(u, "", &a), R_OK);
	ck_assert_int_eq(get(u, a.validators.at, &b), R_UNCHANGED);
	ck_assert_uint_eq(b.body.len, 0);
	modified = strchr(a.validators.at, '\n');
	etag = scratch_copy(a.validators.at,
			    (size_t)(modified - a.validators.at));
	/* Each of the two is enough. */
	ck_assert_int_eq(get(u, etag, &b), R_UNCHANGED);
	ck_assert_int_eq(get(u, modified, &b), R_UNCHANGED);
	harness_upstream_control(origin, "path=/same&mode=version:2");
	ck_assert_int_eq(get(u, etag, &b), R_OK);
	ck_assert_uint_gt(b.body.len, 0);
	upstream_answer_fini(&a);
	upstream_answer_fini(&b);
	upstream_free(u);
}
END_TEST

START_TEST(validators_cannot_forge_a_header)
{
	struct upstream *u = client("/forge");
	struct upstream_answer a;

	ck_assert_int_eq(get(u, "\"x\"\rX-Forged: 1\nThu\r\nX-Forged: 2", &a),
			 R_OK);
	ck_assert_ptr_nonnull(
		strstr(stats_of(origin), "\"if_none_match\":null"));
	upstream_answer_fini(&a);
	upstream_free(u);
}
END_TEST

START_TEST(connection_is_used_again)
{
	struct upstream *u = client("/again");
	struct upstream_answer a;

	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(get(u, "", &a), R_OK);
		upstream_answer_fini(&a);
	}
	/* An error with a body does not cost it, either. */
	harness_upstream_control(origin, "path=/again&status=404&times=1");
	ck_assert_int_eq(get(u, "", &a), R_BAD_ANSWER);
	ck_assert_int_eq(get(u, "", &a), R_OK);
	upstream_answer_fini(&a);
	ck_assert_int_eq(harness_upstream_stat(origin, "/again", "requests"),
			 7);
	ck_assert_int_eq(harness_upstream_stat(origin, "/again", "connections"),
			 1);
	upstream_free(u);
}
END_TEST

START_TEST(connection_that_died_idle_is_replaced)
{
	struct harness_upstream *own = harness_upstream_new(NULL);
	struct upstream *u = client_to(scratch_printf("%s/x", own->url), NULL);
	struct upstream_answer a;

	ck_assert_int_eq(get(u, "", &a), R_OK);
	upstream_answer_fini(&a);
	harness_upstream_kill(own);
	harness_upstream_start(own);
	ck_assert_int_eq(get(u, "", &a), R_OK);
	upstream_answer_fini(&a);
	upstream_free(u);
}
END_TEST

START_TEST(key_is_sent_and_follows_to_the_same_host_only)
{
	struct harness_upstream *other = harness_upstream_new(NULL);
	struct upstream *u =
		client_to(scratch_printf("%s/moved", origin->url), "s3cret");
	struct upstream_answer a;

	ck_assert_int_eq(get(u, "", &a), R_OK);
	upstream_answer_fini(&a);
	ck_assert_ptr_nonnull(strstr(stats_of(origin),
				     "\"authorization\":\"Bearer s3cret\""));

	harness_upstream_control(origin, "path=/moved&mode=redirect:/here");
	ck_assert_int_eq(get(u, "", &a), R_OK);
	upstream_answer_fini(&a);
	ck_assert_uint_eq(harness_upstream_count(origin, "/here"), 1);

	harness_upstream_control(origin,
				 "path=/moved&mode=redirect:"
				 "http://localhost:%u/there",
				 other->port);
	ck_assert_int_eq(get(u, "", &a), R_OK);
	upstream_answer_fini(&a);
	ck_assert_uint_eq(harness_upstream_count(other, "/there"), 1);
	ck_assert_ptr_null(strstr(stats_of(other), "s3cret"));
	upstream_free(u);
}
END_TEST

START_TEST(redirects_have_a_limit_and_a_scheme)
{
	static const char *const targets[] = { "/circle", "file:///etc/passwd",
					       "ftp://127.0.0.1/x" };
	struct upstream *u = client("/circle");
	struct upstream_answer a;

	for (int i = 0; i < 2; i++) {
		harness_upstream_control(origin,
					 "path=/circle&mode=redirect:%s",
					 targets[i]);
		ck_assert_int_eq(get(u, "", &a), R_BAD_ANSWER);
	}
	ck_assert_uint_eq(harness_upstream_count(origin, "/circle"), 4 + 1);
	upstream_free(u);
}
END_TEST

static void *
get_many(void *arg)
{
	struct upstream_answer a;

	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(get(arg, "", &a), R_OK);
		ck_assert_uint_gt(a.body.len, 1000);
		upstream_answer_fini(&a);
	}
	return (NULL);
}

START_TEST(threads_share_the_connections)
{
	struct upstream *u = client("/threads");
	pthread_t threads[12];

	for (int i = 0; i < 12; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, get_many, u),
				 0);
	for (int i = 0; i < 12; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_le(harness_upstream_stat(origin, "/threads",
					       "connections"),
			 100);
	upstream_free(u);
}
END_TEST

START_TEST(failed_allocations_are_reported)
{
	const struct upstream_options options = {
		.name = "test",
		.url = scratch_printf("%s/memory", origin->url),
		.api_key = "key",
		.timeout_ms = 5000,
		.connect_timeout_ms = 5000,
		.max_bytes = LIMIT_BYTES,
	};
	enum result r = R_NO_MEMORY;
	struct upstream_answer a;
	struct upstream *u;
	unsigned n;

	for (n = 1; r == R_NO_MEMORY; n++) {
		mem_fail_after(n);
		r = upstream_new(&options, &u);
	}
	ck_assert_int_eq(r, R_OK);
	r = R_NO_MEMORY;
	for (n = 1; r == R_NO_MEMORY; n++) {
		mem_fail_after(n);
		r = get(u, "", &a);
	}
	mem_fail_after(0);
	ck_assert_int_eq(r, R_OK);
	ck_assert_uint_gt(n, 3);
	upstream_answer_fini(&a);
	upstream_free(u);
}
END_TEST

START_TEST(bad_options_are_refused)
{
	static const struct {
		const char *url, *key;
	} bad[] = {
		{ "", NULL },
		{ "models", NULL },
		{ "ftp://host/", NULL },
		{ "file:///etc/passwd", NULL },
		{ "http://", NULL },
		{ "http://host/", "a\r\nX-Forged: 1" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct upstream *u;

		ck_assert_int_eq(upstream_new(
					 &(struct upstream_options){
						 .name = "bad",
						 .url = bad[i].url,
						 .api_key = bad[i].key,
						 .timeout_ms = 1000,
						 .connect_timeout_ms = 1000,
						 .max_bytes = 1000,
					 },
					 &u),
				 R_INVALID);
	}
	upstream_free(NULL);
}
END_TEST

/* nginx says which protocol it was spoken to. */
static const char *
start_nginx(const char *directory)
{
	unsigned port = harness_free_port();
	char *conf = scratch_printf("%s/nginx.conf", directory);
	char *url = scratch_printf("https://localhost:%u/", port);

	scratch_write(
		conf,
		scratch_printf(
			"daemon off; error_log %s/error.log; pid %s/pid;\n"
			"events {}\n"
			"http { access_log off; client_body_temp_path %s/b;\n"
			"proxy_temp_path %s/p; fastcgi_temp_path %s/f;\n"
			"uwsgi_temp_path %s/u; scgi_temp_path %s/s;\n"
			"server { listen 127.0.0.1:%u ssl http2;\n"
			"ssl_certificate %s/good.crt; ssl_certificate_key %s/good.key;\n"
			"location / { return 200 $server_protocol; } } }\n",
			directory, directory, directory, directory, directory,
			directory, directory, port, directory, directory));
	process_start(&(struct process_options){
		.argv = (const char *const[]){ "nginx", "-e", "stderr", "-c",
					       conf, NULL },
	});
	wait_until(http_send(&(struct http_request){ .url = url,
						     .insecure = true })
				   ->status == 200,
		   5000);
	return (url);
}

START_TEST(tls_is_verified_and_speaks_http_2)
{
	const char *directory = certificates_new();
	const char *url;
	struct upstream_answer a;
	struct upstream *u;

	certificates_add(directory, "good", "DNS:localhost", "10");
	url = start_nginx(directory);
	u = client_to(url, NULL);
	ck_assert_int_eq(get(u, "", &a), R_BAD_ANSWER);
	upstream_free(u);

	setenv("SSL_CERT_FILE", scratch_printf("%s/ca.crt", directory), 1);
	u = client_to(url, NULL);
	ck_assert_int_eq(get(u, "", &a), R_OK);
	ck_assert_str_eq(a.body.at, "HTTP/2.0");
	upstream_answer_fini(&a);
	upstream_free(u);

	/* The certificate is for the name, not for the address. */
	u = client_to(scratch_printf("https://127.0.0.1%s", strrchr(url, ':')),
		      NULL);
	ck_assert_int_eq(get(u, "", &a), R_BAD_ANSWER);
	upstream_free(u);
}
END_TEST

Suite *suite_upstream(void);

Suite *
suite_upstream(void)
{
	Suite *s = suite_create("upstream");
	TCase *c = tcase_create("upstream");

	tcase_add_unchecked_fixture(c, start_origin, stop_origin);
	tcase_set_timeout(c, 30);
	tcase_add_test(c, whole_body_comes_with_its_validators);
	tcase_add_test(c, unchanged_body_is_not_sent_again);
	tcase_add_test(c, validators_cannot_forge_a_header);
	tcase_add_test(c, connection_is_used_again);
	tcase_add_test(c, connection_that_died_idle_is_replaced);
	tcase_add_test(c, key_is_sent_and_follows_to_the_same_host_only);
	tcase_add_test(c, redirects_have_a_limit_and_a_scheme);
	tcase_add_test(c, threads_share_the_connections);
	tcase_add_test(c, failed_allocations_are_reported);
	tcase_add_test(c, bad_options_are_refused);
	tcase_add_test(c, tls_is_verified_and_speaks_http_2);
	suite_add_tcase(s, c);
	return (s);
}
