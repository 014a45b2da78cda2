/* SPDX-License-Identifier: MIT */
#ifndef POSTGRES_LINK_H
#define POSTGRES_LINK_H

#include "../base/buf.h"
#include "../base/result.h"
#include "postgres_arguments.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * postgres_link: one connection to PostgreSQL, each wait bounded by a deadline.
 * What postgres_pool, postgres and postgres_listener share; nobody else includes it.
 *
 * Threads	One at a time.
 * Life		A link that broke (deadline passed, server gone) is only good for
 *		postgres_link_close(), which never waits.
 */
struct postgres_link;
struct pg_result; /* libpq's */

struct postgres_link_target {
	const char *url;
	const char *name; /* application_name */
};

/* Connect by `deadline_ms`.  R_UNAVAILABLE: refused or too late, and
 * `problem` says why, without a password. */
MUST_USE enum result postgres_link_open(
	const struct postgres_link_target *target, int64_t deadline_ms,
	struct buf *problem, struct postgres_link **out);
void postgres_link_close(struct postgres_link *l);

/* Is `url` something libpq can parse? */
bool postgres_link_url_is_valid(const char *url);

/* Has nothing been lost on this idle link?  Looks at what has arrived; does
 * not wait. */
bool postgres_link_is_alive(struct postgres_link *l);

/* Did the conversation break, rather than the server answer (if only with an
 * error)? */
bool postgres_link_is_broken(const struct postgres_link *l);

/* May it be used for another statement: sound, outside a transaction, and
 * not grown large? */
bool postgres_link_is_reusable(const struct postgres_link *l);

/* Run one statement, or with `arguments` NULL a string of statements.  Text
 * results.  R_OK: `*result` is the last statement's, for PQclear.  Otherwise
 * see postgres.h for the codes. */
MUST_USE enum result postgres_link_run(
	struct postgres_link *l, int64_t deadline_ms, const char *sql,
	const struct postgres_arguments *arguments, struct pg_result **result);

/* The same in two steps, between which the server works and the thread is
 * free for other links. After a beginning that failed there is nothing to
 * finish. */
MUST_USE enum result postgres_link_begin(
	struct postgres_link *l, int64_t deadline_ms, const char *sql,
	const struct postgres_arguments *arguments);
MUST_USE enum result postgres_link_finish(struct postgres_link *l,
					  int64_t deadline_ms,
					  struct pg_result **result);

/* What the last failure was: the server's or libpq's message, without a line
 * end; and its SQLSTATE, "" when the server did not give one.  Never a
 * password. */
const char *postgres_link_problem(const struct postgres_link *l);
const char *postgres_link_sqlstate(const struct postgres_link *l);

/* Wait for a notification: R_OK (all that have arrived are taken),
 * R_TIMEOUT, R_UNAVAILABLE.  R_TIMEOUT early, too, when `stop_fd` (-1: none)
 * is readable. */
MUST_USE enum result postgres_link_wait(struct postgres_link *l,
					int64_t deadline_ms, int stop_fd);

#endif
