/* SPDX-License-Identifier: MIT */
#ifndef STACK_H
#define STACK_H

#include "http.h"
#include "servers.h"
#include "webservers.h"
#include "worker.h"

/*
 * stack: a whole deployment for end-to-end tests: PostgreSQL, Redis, an upstream
 * and nginx, shared by the tests of a case, and for each test an empty database,
 * an empty Redis, an obedient upstream, and workers of its own.
 *
 *	tcase_add_unchecked_fixture(t, stack_start, stack_stop);
 *	tcase_add_checked_fixture(t, stack_begin, stack_end);
 *
 * Workers log in as a member of warmfront_worker, never as the owner.  Two gateways
 * are set up, "alpha" and "beta", at /alpha/models and /beta/models of the upstream.
 */
struct stack {
	struct harness_postgres *postgres;
	struct harness_redis *redis;
	struct harness_upstream *upstream;
	struct harness_nginx
		*nginx; /* in front of `socket`, connections kept */
	const char *socket;

	/* Of the test: */
	const char *owner_url, *worker_url; /* of its database */
	struct harness_env
		*env; /* for its workers; change it before they start */
	struct harness_worker
		*worker; /* behind nginx; NULL before stack_workers() */
};

extern struct stack stack;

#define STACK_MODELS 40 /* of each gateway */

void stack_start(void);
void stack_stop(void);
void stack_begin(void);
void stack_end(void);

/* Start `n` workers on stack.socket, with stack.env. */
void stack_workers(unsigned n);

/* GET, by nginx; "Name: value" headers, a NULL ends them. */
struct http_response *stack_get(const char *path, ...)
	__attribute__((sentinel));
struct http_response *stack_request(const char *method, const char *path,
				    const char *body, ...)
	__attribute__((sentinel));
const char *stack_url(const char *path);

/* An Authorization header with a new API key. */
const char *stack_login(const char *email, const char *role);

/* For workers started afterwards: entries that are stale after a second and served for
 * a minute more. */
void stack_age_fast(void);

/* From now on, to put records of the log in their order takes as long at least; a
 * worker's first look does not wait for more than half a second. */
void stack_slow_log(int ms);

/* An answer in full, and how the worker's log ends. */
const char *stack_describe(const struct http_response *r);

/* Fail with the whole answer when its status is another. */
#define assert_status(response, wanted)                          \
	(ck_assert_msg(stack_has_status(response, wanted), "%s", \
		       stack_complaint()))

/* The same for X-Cache ("HIT") and the tier that Cache-Status names (NULL: any). */
#define assert_cache(response, wanted, tier)                          \
	(ck_assert_msg(stack_has_cache(response, wanted, tier), "%s", \
		       stack_complaint()))

bool stack_has_status(const struct http_response *r, int wanted);
bool stack_has_cache(const struct http_response *r, const char *wanted,
		     const char *tier);
const char *stack_complaint(void); /* of the last of these that was false */

/* Neither headers nor body give anything of the inside away: no addresses, statements,
 * passwords, texts of libraries; a refusal not even the names of what is there. */
void stack_assert_discreet(const struct http_response *r);

/* One that a client can live with: a discreet problem of 502, 503 or 504 with its
 * Retry-After. */
void stack_assert_refusal(const struct http_response *r);

/* How many upstream requests this test has caused under a path. */
unsigned stack_upstream_count(const char *prefix);

#endif
