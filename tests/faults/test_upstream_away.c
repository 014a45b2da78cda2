/* SPDX-License-Identifier: MIT */
/*
 * A gateway in trouble: what is known is served at once, marked stale; what is not
 * is refused in time; the others are not affected; and it is used again when it is
 * well.
 */
#include "faults.h"

#include <string.h>

Suite *suite_upstream_away(void);

#define PATIENCE_MS 1000 /* UPSTREAM_TIMEOUT_MS */

static const struct fault {
	const char *name, *control;
	double limit_ms; /* of the first refusal */
} faults[] = {
	{ "reset", "mode=refuse-reset", 700 },
	{ "500", "status=500", 700 },
	{ "429", "mode=retry-after:1", 700 },
	{ "slow", "delay_ms=3000", PATIENCE_MS + 700 },
	{ "silent", "mode=hang", PATIENCE_MS + 700 },
	{ "trickling", "mode=trickle", PATIENCE_MS + 700 },
	{ "endless", "mode=endless", PATIENCE_MS + 700 },
	{ "not JSON", "mode=not-json", 700 },
	{ "broken JSON", "mode=broken-json", 700 },
	{ "truncated", "mode=truncate", 700 },
	{ "cut between chunks", "mode=chunk-cut", 700 },
	{ "redirect inside", "mode=redirect:http://127.0.0.1:1/", 700 },
	{ "redirect to a file", "mode=redirect:file:///etc/passwd", 700 },
};
#define N_FAULTS ((int)(sizeof(faults) / sizeof(faults[0])))

static void
begin(void)
{
	stack_age_fast();
	harness_env_set(stack.env, "UPSTREAM_TIMEOUT_MS", "%d", PATIENCE_MS);
	harness_env_set(stack.env, "UPSTREAM_MAX_BYTES", "1MiB");
	stack_workers(2);
}

static bool
is_stale(const struct http_response *r)
{
	return (strcmp(http_header(r, "X-Cache"), "STALE") == 0);
}

START_TEST(unknown_is_refused_in_time_known_is_stale_at_once_and_it_heals)
{
	const struct fault *f = &faults[_i];
	struct http_response *known, *r;
	unsigned late = 0;

	begin();
	known = faults_ok(ALPHA, NULL, 1500);
	harness_upstream_control(stack.upstream, "path=/&%s", f->control);
	r = faults_get(BETA, NULL);
	stack_assert_refusal(r);
	ck_assert_msg(r->ms < harness_limit_ms(f->limit_ms), "%.0f ms", r->ms);
	for (int i = 0; i < 20; i++) {
		r = faults_get(BETA, NULL);
		stack_assert_refusal(r);
		ck_assert_msg(r->ms < harness_limit_ms(f->limit_ms), "%.0f ms",
			      r->ms);
		late += r->ms > harness_limit_ms(AT_ONCE_MS);
	}
	ck_assert_uint_le(late, 1);
	wait_until(is_stale(r = faults_ok(ALPHA, NULL, 300)), 3000);
	for (int i = 0; i < 20; i++) {
		r = faults_ok(ALPHA, NULL, 300);
		ck_assert(r->body_hash == known->body_hash);
	}
	ck_assert_uint_le(stack_upstream_count("/beta"), 6);
	harness_upstream_control(stack.upstream, "path=/&mode=normal");
	harness_upstream_control(stack.upstream, "path=/&mode=version:7");
	wait_until(strstr(faults_ok(ALPHA, NULL, 1500)->body, "Edition 7."),
		   15000);
	wait_until(faults_get(BETA, NULL)->status == 200, 15000);
}
END_TEST

START_TEST(refused_connections_cost_nothing)
{
	struct harness_upstream *u = harness_upstream_new(NULL);
	struct http_response *known, *r;

	begin();
	harness_worker_stop(stack.worker);
	faults_use_upstream(u->url);
	stack_workers(1);
	known = faults_ok(ALPHA, NULL, 1500);
	harness_upstream_kill(u);
	wait_until(is_stale(faults_ok(ALPHA, NULL, 300)), 3000);
	for (int i = 0; i < 50; i++) {
		r = faults_ok(ALPHA, NULL, 300);
		ck_assert(r->body_hash == known->body_hash);
	}
	harness_upstream_start(u);
	wait_until(!is_stale(faults_ok(ALPHA, NULL, 1500)), 20000);
}
END_TEST

START_TEST(twenty_megabytes_come_through_whole)
{
	struct http_response *r, *again;

	stack_workers(1);
	harness_upstream_control(stack.upstream, "path=/alpha&mode=huge:%d",
				 20 << 20);
	r = faults_ok(ALPHA, NULL, 15000);
	ck_assert_uint_gt(r->body_len, 20 << 20);
	again = faults_ok(ALPHA, NULL, 3000);
	ck_assert(again->body_hash == r->body_hash);
	assert_cache(again, "HIT", NULL);
	wait_until(faults_is_stored("models:alpha:"), 15000);
	harness_worker_respawn(stack.worker);
	again = faults_ok(ALPHA, NULL, 10000);
	ck_assert(again->body_hash == r->body_hash);
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 1);
}
END_TEST

START_TEST(certificate_that_nobody_vouches_for_is_a_refusal)
{
	const char *directory = scratch_directory("tls");
	struct harness_upstream *u;
	struct process_result made = process_run(&(struct process_options){
		.argv = (const char *const[]){ "openssl", "req", "-x509",
					       "-newkey", "rsa:2048", "-nodes",
					       "-subj", "/CN=127.0.0.1",
					       "-days", "10", "-keyout", "key",
					       "-out", "crt", NULL },
		.directory = directory,
	});
	struct http_response *r;

	ck_assert_msg(made.status == 0, "%s", made.err);
	u = harness_upstream_new((const char *const[]){
		"--tls-cert", scratch_printf("%s/crt", directory), "--tls-key",
		scratch_printf("%s/key", directory), NULL });
	faults_use_upstream(scratch_printf("https://127.0.0.1:%u", u->port));
	stack_workers(1);
	for (int i = 0; i < 5; i++) {
		r = faults_get(ALPHA, NULL);
		stack_assert_refusal(r);
		ck_assert_msg(r->ms < harness_limit_ms(1000), "%.0f ms", r->ms);
	}
	ck_assert_uint_eq(harness_upstream_count(u, "/"), 0);
}
END_TEST

Suite *
suite_upstream_away(void)
{
	Suite *s = suite_create("upstream_away");
	TCase *t = faults_case(s, "upstream_away");

	tcase_add_loop_test(
		t,
		unknown_is_refused_in_time_known_is_stale_at_once_and_it_heals,
		0, N_FAULTS);
	tcase_add_test(t, refused_connections_cost_nothing);
	tcase_add_test(t, twenty_megabytes_come_through_whole);
	tcase_add_test(t, certificate_that_nobody_vouches_for_is_a_refusal);
	return (s);
}
