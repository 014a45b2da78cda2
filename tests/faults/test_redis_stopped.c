/* SPDX-License-Identifier: MIT */
/*
 * How long one waits for a Redis that takes what it is told and says nothing: at first
 * what its deadlines add up to, and once the breaker has opened not at all.
 */
#include "faults.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

Suite *suite_redis_stopped(void);

/* The three failures that open the breaker: an operation on the connection that there
 * is, and two connections that are not made. */
#define DEADLINES_MS (50 + 2 * 250)
#define MARGIN_MS 150 /* for what else there is to do */

static struct harness_redis *redis;
static struct harness_proxy *line;

static void
stop_it(void)
{
	process_signal(redis->process, SIGSTOP);
}

static void
continue_it(void)
{
	process_signal(redis->process, SIGCONT);
}

static void
stall(void)
{
	harness_proxy_set(line, PROXY_STALL, 0);
}

static void
pass(void)
{
	harness_proxy_set(line, PROXY_PASS, 0);
}

static const char *anna;

static double
ask_for_a_catalogue(void)
{
	return (faults_ok(BETA, NULL, SLOWEST_MS)->ms);
}

/* With a key that the worker has not met. */
static double
add_a_model(void)
{
	double began = harness_now_ms();

	ck_assert_int_eq(faults_add_model(anna, scratch_printf("%.0f", began)),
			 201);
	return (harness_now_ms() - began);
}

static const struct first {
	void (*begin)(void), (*end)(void);
	double (*ask)(void);
} firsts[] = {
	{ stop_it, continue_it, ask_for_a_catalogue },
	{ stop_it, continue_it, add_a_model },
	{ stall, pass, ask_for_a_catalogue },
	{ stall, pass, add_a_model },
};
#define N_FIRSTS ((int)(sizeof(firsts) / sizeof(firsts[0])))

/* How long a new worker's first request takes that meets the silence. */
static double
first_request(const struct first *f)
{
	double took;

	harness_redis_command(redis, "FLUSHALL");
	stack_workers(1);
	faults_ok(ALPHA, NULL, SLOWEST_MS);
	f->begin();
	took = f->ask();
	f->end();
	harness_worker_stop(stack.worker);
	ck_assert_double_ge(took, 50);
	return (took);
}

/* One of some, should the machine be busy with something else. */
START_TEST(first_request_takes_no_longer_than_the_deadlines_add_up_to)
{
	const double limit_ms = harness_limit_ms(DEADLINES_MS + MARGIN_MS);
	double took = 0;

	redis = faults_own_redis(&line);
	anna = stack_login("anna@example.org", "user");
	for (int i = 0; i < 5; i++)
		if ((took = first_request(&firsts[_i])) < limit_ms)
			break;
	ck_assert_msg(took < limit_ms, "%.0f ms", took);
}
END_TEST

/* Somebody who asks, on a connection of his own, for what nobody has asked for yet:
 * for that the worker would turn to Redis each time. */
static struct {
	const char *login;
	int fd;
	unsigned asked, late;
	double since;
} stranger;

static void
stranger_asks(void)
{
	const char *const headers[] = { stranger.login, NULL };

	fcgi_send(stranger.fd,
		  &(struct fcgi_request){
			  .uri = scratch_printf("/api/admin/users?q=%u",
						++stranger.asked),
			  .headers = headers,
			  .keep = true });
	stranger.since = harness_now_ms();
}

static void
stranger_is_answered(void)
{
	assert_status(fcgi_receive(stranger.fd, 10000), 200);
	stranger.late += harness_now_ms() - stranger.since >
			 harness_limit_ms(AT_ONCE_MS);
}

static bool
breaker_has_opened(void)
{
	stranger_asks();
	stranger_is_answered();
	return (strstr(harness_worker_log(stack.worker),
		       "redis fails: not asked again") != NULL);
}

#define ROUNDS 5
#define HITS 500
#define EACH \
	50 /* for so many hits the stranger asks once: 2 %, which a p99 shows */

/* The p99 of many hits, while the stranger asks. */
static double
hits(void)
{
	struct http_request request = { .url = stack_url(ALPHA),
					.drop_body = true };
	struct http_response *all = scratch_alloc(HITS * sizeof(*all));

	for (unsigned i = 0; i < HITS; i++) {
		if (i % EACH == 0)
			stranger_asks();
		all[i] = *http_send(&request);
		assert_status(&all[i], 200);
		if (i % EACH == EACH / 2)
			stranger_is_answered();
		if (i % 5 == 0)
			harness_nap(); /* so that probes come in between */
	}
	return (http_percentile(all, HITS, 0.99));
}

/* One of some rounds keeps to the limit: who waits for Redis does so in each, and a
 * machine that is busy with something else is not in each. */
static void
hits_are_quick(const char *near, double limit_ms)
{
	double p99 = 0;

	redis = faults_own_redis(NULL);
	harness_env_set(stack.env, "NEAR_CACHE", "%s", near);
	stranger.login = stack_login("admin@example.org", "admin");
	stack_workers(1);
	stranger.fd = fcgi_connect(stack.socket);
	faults_ok(ALPHA, NULL, SLOWEST_MS);
	stop_it();
	wait_until(breaker_has_opened(), 5000);
	stranger.asked = stranger.late = 0;
	for (int i = 0; i < ROUNDS; i++)
		if ((p99 = hits()) < harness_limit_ms(limit_ms))
			break;
	ck_assert_msg(p99 < harness_limit_ms(limit_ms), "p99 %.1f ms", p99);
	/* Nor does the stranger wait any more. */
	ck_assert_uint_le(stranger.late, stranger.asked / 5);
	continue_it();
	ck_assert_uint_eq(stack_upstream_count("/alpha"), 1);
}

START_TEST(hits_keep_under_5_ms_while_redis_is_stopped)
{
	hits_are_quick("on", 5);
}
END_TEST

START_TEST(hits_without_a_near_cache_cost_a_look_in_postgres)
{
	hits_are_quick("off", 15);
}
END_TEST

Suite *
suite_redis_stopped(void)
{
	Suite *s = suite_create("redis_stopped");
	TCase *t = faults_case(s, "redis_stopped");

	tcase_add_loop_test(
		t, first_request_takes_no_longer_than_the_deadlines_add_up_to,
		0, N_FIRSTS);
	tcase_add_test(t, hits_keep_under_5_ms_while_redis_is_stopped);
	tcase_add_test(t, hits_without_a_near_cache_cost_a_look_in_postgres);
	return (s);
}
