/* SPDX-License-Identifier: MIT */
#include "../harness/harness.h"
#include "redis_client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct harness_redis *server;

static void
start_server(void)
{
	server = harness_redis_new(&(struct harness_redis_options){
		.transport = REDIS_TCP,
		.password = "open sesame",
	});
}

static void
stop_server(void)
{
	harness_redis_stop(server);
}

static const char *
socket_url(unsigned db)
{
	return (scratch_printf("unix://:open%%20sesame@%s?db=%u",
			       server->socket, db));
}

static const char *
tcp_url(const char *host)
{
	return (scratch_printf("redis://:open%%20sesame@%s:%u", host,
			       server->port));
}

START_TEST(calls_work_over_every_transport)
{
	const char *const urls[] = { socket_url(0), tcp_url("127.0.0.1"),
				     tcp_url("localhost") };

	for (int i = 0; i < 3; i++) {
		struct redis *r = client_new(urls[i], CLIENT_TIMEOUT_MS);

		ck_assert_int_eq(CLIENT_CALL(r, "SET", "a", urls[i]), R_OK);
		ck_assert_str_eq(client_text, "OK");
		ck_assert_int_eq(CLIENT_CALL(r, "GET", "a"), R_OK);
		ck_assert_str_eq(client_text, urls[i]);
		ck_assert_int_eq(redis_state(r), BREAKER_CLOSED);
		redis_free(r);
	}
}
END_TEST

START_TEST(database_of_the_url_is_selected)
{
	struct redis *r = client_new(socket_url(5), CLIENT_TIMEOUT_MS);

	ck_assert_int_eq(CLIENT_CALL(r, "SET", "in-five", "yes"), R_OK);
	redis_free(r);
	ck_assert_str_eq(harness_redis_command(server, "EXISTS in-five"), "0");
	r = client_new(socket_url(5), CLIENT_TIMEOUT_MS);
	ck_assert_int_eq(CLIENT_CALL(r, "GET", "in-five"), R_OK);
	ck_assert_str_eq(client_text, "yes");
	redis_free(r);
}
END_TEST

START_TEST(an_error_reply_is_a_reply_but_fails_a_call)
{
	struct redis *r = client_new(socket_url(0), CLIENT_TIMEOUT_MS);
	struct client_tally tally = { 0 };

	ck_assert_int_eq(CLIENT_SEND(r, &tally, "NO-SUCH-COMMAND"), R_OK);
	ck_assert_int_eq(CLIENT_CALL(r, "NO-SUCH-COMMAND"), R_BAD_ANSWER);
	ck_assert_uint_eq(tally.results[R_OK], 1);
	ck_assert_int_eq(redis_state(r), BREAKER_CLOSED);
	redis_free(r);
}
END_TEST

static enum result
refuse(void *arg, const struct redis_reply *reply)
{
	ck_assert_int_eq(reply->type, REDIS_NIL);
	*(int *)arg += 1;
	return (R_NOT_FOUND);
}

START_TEST(taker_decides_the_result_of_a_call)
{
	struct redis *r = client_new(socket_url(0), CLIENT_TIMEOUT_MS);
	const struct bytes get[] = { BYTES("GET"), BYTES("nothing here") };
	int taken = 0;

	ck_assert_int_eq(redis_call(r, get, 2, refuse, &taken), R_NOT_FOUND);
	ck_assert_int_eq(taken, 1);
	redis_free(r);
}
END_TEST

#define SENDERS 4
#define SENDS 2500

struct sender {
	struct redis *redis;
	pthread_t thread;
	char name[16];
	unsigned next; /* number of the reply that must come next */
	atomic_uint ended;
};

static void
check_order(void *arg, enum result r, const struct redis_reply *reply)
{
	struct sender *s = arg;
	char expected[64];

	ck_assert_int_eq(r, R_OK);
	snprintf(expected, sizeof(expected), "%s-%u", s->name, s->next++);
	ck_assert(bytes_equal(reply->text, bytes_of(expected)));
	atomic_fetch_add(&s->ended, 1);
}

static void *
send_many(void *arg)
{
	struct sender *s = arg;
	char word[64];

	for (unsigned i = 0; i < SENDS; i++) {
		struct bytes argv[] = { BYTES("ECHO"), { word, 0 } };

		argv[1].len = (size_t)snprintf(word, sizeof(word), "%s-%u",
					       s->name, i);
		ck_assert_int_eq(redis_send(s->redis, argv, 2, check_order, s),
				 R_OK);
	}
	return (NULL);
}

START_TEST(replies_come_in_order_to_four_threads)
{
	struct redis *r = client_new(tcp_url("127.0.0.1"), 10000);
	static struct sender senders[SENDERS];

	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i].redis = r;
		snprintf(senders[i].name, sizeof(senders[i].name), "%u", i);
		ck_assert_int_eq(pthread_create(&senders[i].thread, NULL,
						send_many, &senders[i]),
				 0);
	}
	for (unsigned i = 0; i < SENDERS; i++) {
		pthread_join(senders[i].thread, NULL);
		wait_until(atomic_load(&senders[i].ended) == SENDS, 10000);
	}
	redis_free(r);
}
END_TEST

#define PAIRS 500

struct pairs {
	unsigned firsts, next; /* of the I/O thread */
	atomic_uint ended;
};

static void
check_pair(const char *which, unsigned number, const struct redis_reply *reply)
{
	char expected[64];

	snprintf(expected, sizeof(expected), "%s %u", which, number);
	ck_assert(bytes_equal(reply->text, bytes_of(expected)));
}

static void
take_first(void *arg, enum result r, const struct redis_reply *reply)
{
	struct pairs *p = arg;

	ck_assert_int_eq(r, R_OK);
	check_pair("first", p->firsts++, reply);
}

static void
take_second(void *arg, enum result r, const struct redis_reply *reply)
{
	struct pairs *p = arg;

	ck_assert_int_eq(r, R_OK);
	check_pair("second", p->next++, reply);
	ck_assert_uint_eq(p->firsts, p->next);
	atomic_fetch_add(&p->ended, 1);
}

START_TEST(replies_to_a_pair_come_one_after_the_other)
{
	struct redis *r = client_new(tcp_url("127.0.0.1"), 10000);
	struct client_tally tally = { 0 };
	struct pairs p = { 0 };

	for (unsigned i = 0; i < PAIRS; i++) {
		const struct bytes argv[] = {
			BYTES("ECHO"),
			bytes_of(scratch_printf("first %u", i)),
			BYTES("ECHO"),
			bytes_of(scratch_printf("second %u", i)),
		};
		const struct redis_pair pair = {
			argv, { 2, 2 }, take_first, &p
		};

		ck_assert_int_eq(redis_send_pair(r, &pair, take_second), R_OK);
		ck_assert_int_eq(CLIENT_SEND(r, &tally, "PING"), R_OK);
	}
	wait_until(atomic_load(&p.ended) == PAIRS, 10000);
	wait_until(atomic_load(&tally.ended) == PAIRS, 10000);
	ck_assert_uint_eq(tally.results[R_OK], PAIRS);
	redis_free(r);
}
END_TEST

static void *
call_many(void *arg)
{
	for (int i = 0; i < 300; i++)
		ck_assert_int_eq(CLIENT_CALL(arg, "INCR", "calls"), R_OK);
	return (NULL);
}

START_TEST(threads_that_wait_for_their_calls_do_not_meet)
{
	struct redis *r = client_new(socket_url(0), CLIENT_TIMEOUT_MS);
	pthread_t threads[8];

	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, call_many,
						r),
				 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(CLIENT_CALL(r, "GET", "calls"), R_OK);
	ck_assert_str_eq(client_text, "2400");
	redis_free(r);
}
END_TEST

#define LARGE ((size_t)20 << 20)

static enum result
compare_large(void *arg, const struct redis_reply *reply)
{
	ck_assert_uint_eq(reply->text.len, LARGE);
	ck_assert(memcmp(reply->text.at, arg, LARGE) == 0);
	return (R_OK);
}

START_TEST(value_of_20_MiB_goes_there_and_back)
{
	struct redis *r = client_new(tcp_url("127.0.0.1"), CLIENT_TIMEOUT_MS);
	char *value = malloc(LARGE);
	struct bytes set[] = { BYTES("SET"), BYTES("large"), { value, LARGE } };
	const struct bytes get[] = { BYTES("GET"), BYTES("large") };
	struct client_tally tally = { 0 };

	ck_assert_ptr_nonnull(value);
	for (size_t i = 0; i < LARGE; i++)
		value[i] = (char)(i * 2654435761u >> 13);
	/* Small ones around it must neither overtake nor be lost. */
	ck_assert_int_eq(CLIENT_SEND(r, &tally, "PING"), R_OK);
	ck_assert_int_eq(redis_call(r, set, 3, NULL, NULL), R_OK);
	ck_assert_int_eq(CLIENT_SEND(r, &tally, "PING"), R_OK);
	ck_assert_int_eq(redis_call(r, get, 2, compare_large, value), R_OK);
	ck_assert_int_eq(CLIENT_CALL(r, "PING"), R_OK);
	ck_assert_uint_eq(tally.results[R_OK], 2);
	redis_free(r);
	free(value);
}
END_TEST

/* A chain of commands, each sent by the callback of the one before. */
struct chain {
	struct redis *redis;
	unsigned left;
	atomic_bool ended;
};

static void
next_of_chain(void *arg, enum result r, const struct redis_reply *reply)
{
	const struct bytes ping[] = { BYTES("PING") };
	struct chain *c = arg;

	(void)reply;
	ck_assert_int_eq(r, R_OK);
	if (c->left-- == 0)
		atomic_store(&c->ended, true);
	else
		ck_assert_int_eq(redis_send(c->redis, ping, 1, next_of_chain,
					    c),
				 R_OK);
}

START_TEST(a_callback_may_send)
{
	struct redis *r = client_new(socket_url(0), CLIENT_TIMEOUT_MS);
	struct chain c = { .redis = r, .left = 500 };

	next_of_chain(&c, R_OK, NULL);
	wait_until(atomic_load(&c.ended), 5000);
	redis_free(r);
}
END_TEST

START_TEST(a_full_queue_refuses)
{
	struct client_tally tally = { 0 };
	struct redis *r;

	ck_assert_int_eq(redis_new(
				 &(struct redis_options){
					 .url = socket_url(0),
					 .timeout_ms = 5000,
					 .connect_timeout_ms = 5000,
					 .queue_limit = 3,
				 },
				 &r),
			 R_OK);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(CLIENT_SEND(r, &tally, "BLPOP", "none", "1"),
				 R_OK);
	ck_assert_int_eq(CLIENT_SEND(r, &tally, "PING"), R_BUSY);
	redis_free(r);
	ck_assert_uint_eq(tally.ended, 3);
}
END_TEST

START_TEST(free_fails_what_is_in_flight_and_then_calls_nobody)
{
	struct redis *r = client_new(socket_url(0), 60000);
	struct client_tally tally = { 0 };

	ck_assert_int_eq(CLIENT_CALL(r, "PING"), R_OK);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(CLIENT_SEND(r, &tally, "BLPOP", "none", "0"),
				 R_OK);
	redis_free(r);
	ck_assert_uint_eq(tally.ended, 10);
	ck_assert_uint_eq(tally.results[R_UNAVAILABLE], 10);
}
END_TEST

static void
count_connection(void *arg)
{
	atomic_fetch_add((atomic_uint *)arg, 1);
}

START_TEST(idle_connection_may_be_closed_by_the_server)
{
	atomic_uint connections = 0;
	struct redis *r;

	ck_assert_int_eq(redis_new(
				 &(struct redis_options){
					 .url = socket_url(0),
					 .timeout_ms = CLIENT_TIMEOUT_MS,
					 .connect_timeout_ms =
						 CLIENT_TIMEOUT_MS,
					 .queue_limit = 10,
					 .connected = count_connection,
					 .arg = &connections,
				 },
				 &r),
			 R_OK);
	ck_assert_int_eq(CLIENT_CALL(r, "CLIENT", "SETNAME", "idler"), R_OK);
	wait_until(atomic_load(&connections) == 1, 1000);
	harness_redis_command(server, "CLIENT KILL TYPE normal SKIPME yes");
	wait_until(strstr(harness_redis_command(server, "CLIENT LIST"),
			  "name=idler") == NULL,
		   2000);
	/* Had it not been noticed, the command would be lost with it. */
	wait_until(CLIENT_CALL(r, "PING") == R_OK, 1000);
	wait_until(atomic_load(&connections) == 2, 1000);
	ck_assert_int_eq(redis_state(r), BREAKER_CLOSED);
	redis_free(r);
}
END_TEST

Suite *suite_redis(void);

Suite *
suite_redis(void)
{
	Suite *s = suite_create("redis");
	TCase *c = tcase_create("redis");

	tcase_add_unchecked_fixture(c, start_server, stop_server);
	tcase_set_timeout(c, 30);
	tcase_add_test(c, calls_work_over_every_transport);
	tcase_add_test(c, database_of_the_url_is_selected);
	tcase_add_test(c, an_error_reply_is_a_reply_but_fails_a_call);
	tcase_add_test(c, taker_decides_the_result_of_a_call);
	tcase_add_test(c, replies_come_in_order_to_four_threads);
	tcase_add_test(c, replies_to_a_pair_come_one_after_the_other);
	tcase_add_test(c, threads_that_wait_for_their_calls_do_not_meet);
	tcase_add_test(c, value_of_20_MiB_goes_there_and_back);
	tcase_add_test(c, a_callback_may_send);
	tcase_add_test(c, a_full_queue_refuses);
	tcase_add_test(c, free_fails_what_is_in_flight_and_then_calls_nobody);
	tcase_add_test(c, idle_connection_may_be_closed_by_the_server);
	suite_add_tcase(s, c);
	return (s);
}
