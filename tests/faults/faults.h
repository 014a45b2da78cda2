/* SPDX-License-Identifier: MIT */
#ifndef FAULTS_H
#define FAULTS_H

#include "../harness/harness.h"
#include "../harness/proxy.h"

/*
 * faults: what the suites here share.  Each test breaks something for real and then
 * asserts what clients saw, that nothing was lost, and that it heals by itself.
 */
#define ALPHA "/api/models?gateway=alpha"
#define BETA "/api/models?gateway=beta"
#define MINE "/api/models?owner=me"
#define PROFILE "/api/user/data"

/* What took longer has waited for something, or the machine was busy. */
#define AT_ONCE_MS 300

/* What takes a body: which of its parameters takes any text and which an object ("x":
 * none), and a body that it takes once there are rows of FAULTS_ID. */
#define FAULTS_ID "00000000-0000-4000-8000-000000000001"
#define FAULTS_ENDPOINTS 9
extern const struct faults_endpoint {
	const char *method, *uri, *text, *object, *body;
} faults_endpoints[FAULTS_ENDPOINTS];

/* GET through nginx; an answer that is none (status 0) or that shows something of
 * the inside fails the test. */
struct http_response *faults_get(const char *path, const char *login);

/* The same, and it must be a 200 within `limit_ms`. */
struct http_response *faults_ok(const char *path, const char *login,
				double limit_ms);

/* No request takes longer, whoever is killed: a lease outlives its holder, or one that
 * never heard of it, by 2 s; and there are Redis's deadlines and the rest of the way. */
#define SLOWEST_MS 3500

/* POST a model of the user's own, within that time; its status.  A 503 says when to
 * come again. */
int faults_add_model(const char *login, const char *name);

/* How many models of the user's own a GET shows, within that time. */
size_t faults_count_models(const char *login);

/* Whether PostgreSQL holds an entry whose key begins so. */
bool faults_is_stored(const char *key);

/* How many descriptors a process has open. */
unsigned faults_descriptors(pid_t pid);
#define FAULTS_SPARE \
	16 /* for connections that a worker may yet make, and keep */

/* Servers of the test's own, put into stack.env in place of the shared ones; the
 * database is migrated.  `through` may be NULL, or gets a proxy in front. */
struct harness_redis *faults_own_redis(struct harness_proxy **through);
struct harness_postgres *faults_own_postgres(const char *const *settings,
					     struct harness_proxy **through);

/* Keep everybody from a table of the database, until they may again. */
void faults_lock(const char *table);
void faults_unlock(void);

/* Gateways at an upstream of another URL: alpha alone. */
void faults_use_upstream(const char *url);

/* Add the suite's test case: the stack, and time enough. */
TCase *faults_case(Suite *s, const char *name);

#endif
