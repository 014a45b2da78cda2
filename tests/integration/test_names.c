/* SPDX-License-Identifier: MIT */
/*
 * Hosts by name.  A name server that does not answer keeps getaddrinfo(3) for tens of
 * seconds; nobody with a deadline may wait for it.
 */
#include "../harness/harness.h"
#include "redis_client.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/postgres.h"
#include "store/upstream.h"

#include <dlfcn.h>
#include <netdb.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define SILENT "host.silent.test"     /* nobody answers for it */
#define UNKNOWN "host.unknown.test"   /* it does not exist */
#define TWO_ADDRESSES "host.two.test" /* at the first nobody listens */
#define CONNECT_MS 500
#define SLACK_MS 1500 /* on a busy machine */

/* ---- a resolver, this program's and its libraries' */

typedef int resolver(const char *host, const char *port,
		     const struct addrinfo *hints, struct addrinfo **list);

static atomic_bool released;
static atomic_uint waiting, asked;

static int
keep_waiting(void)
{
	atomic_fetch_add(&asked, 1);
	atomic_fetch_add(&waiting, 1);
	while (!atomic_load(&released))
		harness_nap();
	atomic_fetch_sub(&waiting, 1);
	return (EAI_AGAIN);
}

/* freeaddrinfo(3) frees a list item by item, wherever each is from. */
static int
find_two(resolver *real, const char *port, const struct addrinfo *hints,
	 struct addrinfo **list)
{
	int error = real("127.0.0.2", port, hints, list);
	struct addrinfo *last = *list;

	if (error != 0)
		return (error);
	while (last->ai_next != NULL)
		last = last->ai_next;
	return (real("127.0.0.1", port, hints, &last->ai_next));
}

int
getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
	    struct addrinfo **list)
{
	resolver *real;
	bool numeric = hints != NULL && (hints->ai_flags & AI_NUMERICHOST) != 0;

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (host == NULL || numeric)
		return (real(host, port, hints, list));
	if (strcmp(host, SILENT) == 0)
		return (keep_waiting());
	if (strcmp(host, UNKNOWN) == 0)
		return (EAI_NONAME);
	if (strcmp(host, TWO_ADDRESSES) == 0)
		return (find_two(real, port, hints, list));
	return (real(host, port, hints, list));
}

static void
release(void)
{
	atomic_store(&released, true);
	wait_until(atomic_load(&waiting) == 0, 5000);
}

/* ---- */

static struct harness_postgres *database;
static const char *log_path;

static void
setup(void)
{
	database = harness_postgres_new(NULL);
	log_path = scratch_printf("%s/worker.log", database->directory);
	ck_assert_int_eq(log_open(scratch_printf("file:%s", log_path),
				  LOG_LEVEL_INFO),
			 R_OK);
}

static void
teardown(void)
{
	release();
	log_close();
	harness_postgres_stop(database);
}

/* Run a statement in the database at these hosts, as they stand in a URL. */
static enum result
select_one(const char *hosts, const char *parameters)
{
	struct postgres *pg = postgres_new(&(struct postgres_options){
		scratch_printf("postgresql://postgres@%s/postgres%s", hosts,
			       parameters),
		"tested", 1, CONNECT_MS, CONNECT_MS });
	enum result r;

	ck_assert_ptr_nonnull(pg);
	r = postgres_run(pg, clock_monotonic_ms() + 10000, "SELECT 1", NULL, 0);
	postgres_free(pg);
	return (r);
}

/* That what began then has waited for a name, but not for long. */
static void
assert_given_up_in_time(double began_ms)
{
	double took_ms = harness_now_ms() - began_ms;

	ck_assert_uint_ge(atomic_load(&asked), 1);
	ck_assert_double_lt(took_ms, harness_limit_ms(CONNECT_MS + SLACK_MS));
}

START_TEST(silent_name_of_postgres_is_not_waited_for)
{
	double began = harness_now_ms();

	ck_assert_int_eq(select_one(SILENT, ""), R_UNAVAILABLE);
	assert_given_up_in_time(began);
	ck_assert_ptr_nonnull(strstr(scratch_read(log_path),
				     "no address of host " SILENT
				     ": no answer in time"));
}
END_TEST

START_TEST(silent_name_leaves_time_for_other_hosts)
{
	double began = harness_now_ms();

	ck_assert_int_eq(select_one(scratch_printf(SILENT ":1,localhost:%u",
						   database->port),
				    ""),
			 R_OK);
	assert_given_up_in_time(began);
}
END_TEST

START_TEST(unknown_name_is_named)
{
	ck_assert_int_eq(select_one(UNKNOWN, ""), R_UNAVAILABLE);
	ck_assert_ptr_nonnull(
		strstr(scratch_read(log_path), "no address of host " UNKNOWN));
}
END_TEST

START_TEST(unknown_name_is_passed_over_for_another_host)
{
	ck_assert_int_eq(select_one(scratch_printf(UNKNOWN ",127.0.0.1:%u",
						   database->port),
				    ""),
			 R_OK);
}
END_TEST

START_TEST(all_addresses_of_a_name_are_tried)
{
	ck_assert_int_eq(select_one(scratch_printf(TWO_ADDRESSES ":%u",
						   database->port),
				    ""),
			 R_OK);
}
END_TEST

START_TEST(ports_that_do_not_match_the_hosts_are_refused)
{
	ck_assert_int_eq(select_one("localhost,localhost", "?port=1,2,3"),
			 R_UNAVAILABLE);
	ck_assert_ptr_nonnull(
		strstr(scratch_read(log_path), "could not match"));
}
END_TEST

START_TEST(too_many_hosts_are_refused)
{
	ck_assert_int_eq(select_one("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p," SILENT,
				    ""),
			 R_UNAVAILABLE);
	ck_assert_ptr_nonnull(
		strstr(scratch_read(log_path), "more than 16 hosts"));
	ck_assert_uint_eq(atomic_load(&asked), 0);
}
END_TEST

START_TEST(silent_name_of_redis_is_not_waited_for)
{
	struct redis *r = client_new("redis://" SILENT, CONNECT_MS);
	double began = harness_now_ms();

	ck_assert_int_ne(CLIENT_CALL(r, "PING"), R_OK);
	assert_given_up_in_time(began);
	redis_free(r);
	assert_given_up_in_time(began);
}
END_TEST

static enum result
get(const char *url)
{
	const struct upstream_options options = {
		.name = "test",
		.url = url,
		.timeout_ms = CONNECT_MS,
		.connect_timeout_ms = CONNECT_MS,
		.max_bytes = 1 << 20,
	};
	struct upstream *u = NULL;
	struct upstream_answer a;
	enum result r;

	ck_assert_int_eq(upstream_new(&options, &u), R_OK);
	r = upstream_get(u, BYTES_NONE, clock_monotonic_ms() + 10000, &a);
	upstream_answer_fini(&a);
	upstream_free(u);
	return (r);
}

START_TEST(silent_name_of_an_upstream_is_not_waited_for)
{
	double began = harness_now_ms();

	ck_assert_int_eq(get("http://" SILENT "/"), R_TIMEOUT);
	assert_given_up_in_time(began);
}
END_TEST

Suite *suite_names(void);

Suite *
suite_names(void)
{
	Suite *s = suite_create("names");
	TCase *c = tcase_create("names");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 30);
	tcase_add_test(c, silent_name_of_postgres_is_not_waited_for);
	tcase_add_test(c, silent_name_leaves_time_for_other_hosts);
	tcase_add_test(c, unknown_name_is_named);
	tcase_add_test(c, unknown_name_is_passed_over_for_another_host);
	tcase_add_test(c, all_addresses_of_a_name_are_tried);
	tcase_add_test(c, ports_that_do_not_match_the_hosts_are_refused);
	tcase_add_test(c, too_many_hosts_are_refused);
	tcase_add_test(c, silent_name_of_redis_is_not_waited_for);
	tcase_add_test(c, silent_name_of_an_upstream_is_not_waited_for);
	suite_add_tcase(s, c);
	return (s);
}
