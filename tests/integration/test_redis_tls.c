/* SPDX-License-Identifier: MIT */
#include "../harness/certificates.h"
#include "../harness/harness.h"
#include "redis_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *directory;

static void
make_certificates(void)
{
	directory = certificates_new();
	certificates_add(directory, "good", "DNS:localhost,IP:127.0.0.1", "10");
	certificates_add(directory, "other", "DNS:elsewhere.example", "10");
	certificates_add(directory, "expired", "DNS:localhost", "-1");
	setenv("SSL_CERT_FILE", scratch_printf("%s/ca.crt", directory), 1);
}

static struct harness_redis *
start(const char *certificate, const char *password)
{
	return (harness_redis_new(&(struct harness_redis_options){
		.transport = REDIS_TLS,
		.password = password,
		.certificate =
			scratch_printf("%s/%s.crt", directory, certificate),
		.key = scratch_printf("%s/%s.key", directory, certificate),
		.extra = (const char *const[]){ "--tls-ca-cert-file",
						scratch_printf("%s/ca.crt",
							       directory),
						NULL },
	}));
}

START_TEST(verified_server_is_talked_to)
{
	struct harness_redis *server = start("good", "pass/word");
	const char *const hosts[] = { "localhost", "127.0.0.1" };

	for (int i = 0; i < 2; i++) {
		struct redis *r = client_new(
			scratch_printf("rediss://:pass%%2Fword@%s:%u/1",
				       hosts[i], server->port),
			CLIENT_TIMEOUT_MS);

		ck_assert_int_eq(CLIENT_CALL(r, "SET", "a", "b"), R_OK);
		ck_assert_int_eq(CLIENT_CALL(r, "GET", "a"), R_OK);
		ck_assert_str_eq(client_text, "b");
		redis_free(r);
	}
}
END_TEST

static enum result
check_size(void *arg, const struct redis_reply *reply)
{
	ck_assert_uint_eq(reply->text.len, *(size_t *)arg);
	return (R_OK);
}

START_TEST(large_values_and_many_commands_pass_through)
{
	struct harness_redis *server = start("good", NULL);
	struct redis *r = client_new(server->tcp_url, 5000);
	size_t size = (size_t)20 << 20;
	char *value = calloc(1, size);
	struct bytes set[] = { BYTES("SET"), BYTES("large"), { value, size } };
	const struct bytes get[] = { BYTES("GET"), BYTES("large") };
	struct client_tally tally = { 0 };

	ck_assert_ptr_nonnull(value);
	ck_assert_int_eq(redis_call(r, set, 3, NULL, NULL), R_OK);
	ck_assert_int_eq(redis_call(r, get, 2, check_size, &size), R_OK);
	for (int i = 0; i < 5000; i++)
		ck_assert_int_eq(CLIENT_SEND(r, &tally, "ECHO", "something"),
				 R_OK);
	wait_until(atomic_load(&tally.ended) == 5000, 5000);
	ck_assert_uint_eq(tally.results[R_OK], 5000);
	redis_free(r);
	free(value);
}
END_TEST

START_TEST(unfit_certificate_is_refused)
{
	static const char *const unfit[] = { "other", "expired" };
	struct harness_redis *server = start(unfit[_i], NULL);
	struct redis *r = client_new(server->tcp_url, CLIENT_TIMEOUT_MS);

	ck_assert_int_eq(CLIENT_CALL(r, "PING"), R_UNAVAILABLE);
	redis_free(r);
}
END_TEST

START_TEST(unknown_authority_is_refused)
{
	struct harness_redis *server = start("good", NULL);
	struct redis *r;

	unsetenv("SSL_CERT_FILE");
	r = client_new(server->tcp_url, CLIENT_TIMEOUT_MS);
	ck_assert_int_eq(CLIENT_CALL(r, "PING"), R_UNAVAILABLE);
	redis_free(r);
}
END_TEST

START_TEST(plain_server_is_refused)
{
	struct harness_redis *server =
		harness_redis_new(&(struct harness_redis_options){
			.transport = REDIS_TCP,
		});
	struct redis *r = client_new(scratch_printf("rediss://localhost:%u",
						    server->port),
				     500);

	ck_assert_int_eq(CLIENT_CALL(r, "PING"), R_UNAVAILABLE);
	redis_free(r);
}
END_TEST

Suite *suite_redis_tls(void);

Suite *
suite_redis_tls(void)
{
	Suite *s = suite_create("redis_tls");
	TCase *c = tcase_create("redis_tls");

	tcase_add_unchecked_fixture(c, make_certificates, NULL);
	tcase_set_timeout(c, 30);
	tcase_add_test(c, verified_server_is_talked_to);
	tcase_add_test(c, large_values_and_many_commands_pass_through);
	tcase_add_loop_test(c, unfit_certificate_is_refused, 0, 2);
	tcase_add_test(c, unknown_authority_is_refused);
	tcase_add_test(c, plain_server_is_refused);
	suite_add_tcase(s, c);
	return (s);
}
