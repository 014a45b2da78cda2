/* SPDX-License-Identifier: MIT */
#ifndef POSTGRES_H
#define POSTGRES_H

#include "../base/bytes.h"
#include "../base/buf.h"
#include "../base/result.h"
#include "breaker.h"
#include "postgres_rows.h"
#include "postgres_arguments.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * postgres: a bounded pool of connections, and single statements with deadlines.
 *
 * Threads	Any.  A call blocks its thread until the answer or the deadline.
 * PgBouncer	Works behind transaction pooling: no named statements, no session state.
 * Faults	The server ends a statement that gets near its deadline, and nothing of it happens;
 *		one that is silent even then costs its connection (it is closed, never waited for).
 *		A breaker refuses calls at once while the server is down.
 *		Pooled connections that turn out dead before anything was sent on them are replaced.
 * Errors	R_UNAVAILABLE: no connection, or breaker open; the server shuts down, is read-only or out of
 *		disk or memory, or another transaction was in the way (40001, 40P01): it may go well the next time.
 *		R_TIMEOUT: the deadline, also while all connections were in use; the server's own limits.
 *		R_CONFLICT: SQLSTATE 23505, 23P01.  R_NOT_FOUND: 23503, a row refers to what is gone.
 *		R_INVALID: class 22, 23502, 23514; NUL in a text.
 *		R_FORBIDDEN: 42501.
 *		R_INTERNAL: any other SQL error (logged with its SQLSTATE and message, once until the statement
 *		goes well or says something else; never returned).
 */
struct postgres;

struct postgres_options {
	const char *url;  /* libpq connection URI or string */
	const char *name; /* application_name */
	unsigned pool_size;
	int64_t connect_timeout_ms;
	int64_t statement_timeout_ms; /* when a call gives no deadline */
};

/* Connects when first used.  NULL: no memory, or a malformed URL (logged). */
struct postgres *postgres_new(const struct postgres_options *options);
void postgres_free(struct postgres *pg);
enum breaker_state postgres_state(struct postgres *pg);

/* The deadline of a statement that may take as long as statements usually may,
 * within what must be over by `latest_ms`. */
int64_t postgres_deadline(const struct postgres *pg, int64_t latest_ms);

/* Run one statement; all columns come back in text form, except bytea, which
 * is decoded.  `deadline_ms` is monotonic; 0: now + statement_timeout_ms.
 * `*rows` is set on R_OK only. */
MUST_USE enum result postgres_query(struct postgres *pg, int64_t deadline_ms,
				    const char *sql,
				    const struct postgres_value *values,
				    unsigned n_values,
				    struct postgres_rows **rows);

/* Run several statements side by side, on connections of their own as far as
 * there are any to spare, each with the same values.  Each sees the database
 * of its own moment.  Takes as long as the slowest; R_OK: all of
 * rows[0..n-1] are set.  Otherwise none is. */
#define POSTGRES_ALL_MAX 16
MUST_USE enum result postgres_query_all(struct postgres *pg,
					int64_t deadline_ms,
					const char *const *sql, unsigned n,
					const struct postgres_value *values,
					unsigned n_values,
					struct postgres_rows **rows);

/* The same for statements whose rows do not matter. */
MUST_USE enum result postgres_run(struct postgres *pg, int64_t deadline_ms,
				  const char *sql,
				  const struct postgres_value *values,
				  unsigned n_values);

/* Several statements in one string, in one implicit transaction, no
 * parameters, on a connection of its own, past the breaker; for migrations.
 * On failure `problem` gets the server's message. */
MUST_USE enum result postgres_script(struct postgres *pg, int64_t deadline_ms,
				     const char *sql, struct buf *problem);

/*
 * postgres_listener: one direct connection that waits for NOTIFY.  One thread.
 */
struct postgres_listener;

/* Connect and LISTEN.  Blocks at most connect_timeout_ms. */
MUST_USE enum result postgres_listen(const struct postgres_options *options,
				     const char *channel,
				     struct postgres_listener **out);

/* Wait for a notification: R_OK, R_TIMEOUT, or R_UNAVAILABLE when the
 * connection is gone.  Returns R_TIMEOUT at once, whatever there is, when `stop_fd`
 * (-1: none) is readable, which it stays. */
MUST_USE enum result postgres_wait(struct postgres_listener *l,
				   int64_t deadline_ms, int stop_fd);
void postgres_listener_free(struct postgres_listener *l);

#endif
