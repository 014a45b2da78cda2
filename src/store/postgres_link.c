/* SPDX-License-Identifier: MIT */
#include "postgres_link.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "plain_url.h"
#include "postgres_conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libpq never shrinks a connection's buffers: past this a connection is worth
 * less than its memory. */
#define SWOLLEN_BYTES ((size_t)1 << 20)

#define MARGIN_MOST_MS 100 /* see server_ms() */

struct postgres_link {
	PGconn *conn;
	bool broken;
	bool swollen;
	bool script; /* what runs is a string of statements */
	char sqlstate[6];
	char problem[1024];
};

static void
set_problem(struct postgres_link *l, const char *text)
{
	struct bytes message = postgres_conn_text(text);

	if (message.len >= sizeof(l->problem))
		message.len = sizeof(l->problem) - 1;
	memcpy(l->problem, message.at, message.len);
	l->problem[message.len] = '\0';
}

/* The conversation cannot go on. */
static enum result
broken(struct postgres_link *l, enum result why)
{
	l->broken = true;
	if (why == R_TIMEOUT)
		set_problem(l, "no answer in time");
	else
		set_problem(l, PQerrorMessage(l->conn));
	return (why);
}

enum result
postgres_link_open(const struct postgres_link_target *target,
		   int64_t deadline_ms, struct buf *problem,
		   struct postgres_link **out)
{
	struct postgres_link *l;
	enum result r;

	if (!libpq_load()) {
		buf_str(problem, "libpq cannot be loaded");
		return (R_UNAVAILABLE);
	}
	if ((l = mem_alloc(sizeof(*l))) == NULL)
		return (R_NO_MEMORY);
	r = postgres_conn_open(target->url, target->name, deadline_ms, problem,
			       &l->conn);
	if (r == R_OK)
		*out = l;
	else
		postgres_link_close(l);
	return (r);
}

void
postgres_link_close(struct postgres_link *l)
{
	if (l == NULL)
		return;
	PQfinish(l->conn);
	free(l);
}

bool
postgres_link_url_is_valid(const char *url)
{
	static const char *const names[] = { "application_name",
					     "connect_timeout",
					     "dbname",
					     "host",
					     "password",
					     "port",
					     "sslmode",
					     "sslrootcert",
					     "user",
					     NULL };
	PQconninfoOption *parsed;

	if (plain_url(url, "postgresql", URL_MAY_LACK_HOST, names) ||
	    plain_url(url, "postgres", URL_MAY_LACK_HOST, names))
		return (true);
	if (!libpq_load())
		return (true); /* a connection will say why it cannot be */
	parsed = PQconninfoParse(url, NULL);
	PQconninfoFree(parsed);
	return (parsed != NULL);
}

bool
postgres_link_is_alive(struct postgres_link *l)
{
	/* A server that goes away says so and then closes: read on until
	 * there is nothing more, or the end.  One that talks without end is
	 * no use. */
	for (int i = 0; i < 16; i++) {
		short ready;

		if (!postgres_conn_wait(l->conn, POLLIN, 0, &ready))
			return (true);
		if (!PQconsumeInput(l->conn) ||
		    PQstatus(l->conn) != CONNECTION_OK) {
			broken(l, R_UNAVAILABLE);
			return (false);
		}
	}
	return (false);
}

bool
postgres_link_is_broken(const struct postgres_link *l)
{
	return (l->broken);
}

bool
postgres_link_is_reusable(const struct postgres_link *l)
{
	return (!l->broken && !l->swollen &&
		PQstatus(l->conn) == CONNECTION_OK &&
		PQtransactionStatus(l->conn) == PQTRANS_IDLE);
}

const char *
postgres_link_problem(const struct postgres_link *l)
{
	return (l->problem);
}

const char *
postgres_link_sqlstate(const struct postgres_link *l)
{
	return (l->sqlstate);
}

static const struct {
	const char *sqlstate; /* or its beginning; the first that fits counts */
	enum result result;
} meanings[] = {
	{ "23505", R_CONFLICT },    /* unique_violation */
	{ "23503", R_NOT_FOUND },   /* foreign_key_violation */
	{ "23P01", R_CONFLICT },    /* exclusion_violation */
	{ "40001", R_UNAVAILABLE }, /* serialization_failure: try again */
	{ "40P01", R_UNAVAILABLE }, /* deadlock_detected: the same */
	{ "23502", R_INVALID },	    /* not_null_violation */
	{ "23514", R_INVALID },	    /* check_violation */
	{ "22", R_INVALID },	    /* data exception */
	{ "42501", R_FORBIDDEN },   /* insufficient_privilege */
	{ "57014", R_TIMEOUT },	    /* query_canceled: statement_timeout */
	{ "55P03", R_TIMEOUT },	    /* lock_not_available: lock_timeout */
	{ "25006", R_UNAVAILABLE }, /* read_only_sql_transaction */
	{ "53", R_UNAVAILABLE },    /* insufficient resources */
	{ "57P", R_UNAVAILABLE },   /* server is shutting down or starting */
	{ "08", R_UNAVAILABLE }, /* connection exception; a PgBouncer's too */
};

static enum result
result_of_sqlstate(const char *sqlstate)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		if (strncmp(sqlstate, meanings[i].sqlstate,
			    strlen(meanings[i].sqlstate)) == 0)
			return (meanings[i].result);
	}
	return (R_INTERNAL);
}

/* How long the server may work on what is to be answered by the deadline: a
 * little less, so that its word comes in time. */
static int
server_ms(int64_t deadline_ms)
{
	int left_ms = clock_left_ms(deadline_ms);
	int margin_ms = left_ms / 10;

	if (margin_ms > MARGIN_MOST_MS)
		margin_ms = MARGIN_MOST_MS;
	return (left_ms - margin_ms > 0 ? left_ms - margin_ms : 1);
}

/*
 * A statement that was given up would go on, hold its locks, and perhaps commit
 * later what was answered as failed: so the server gets the deadline, too.  For this
 * transaction alone, and in the same round trip: they are a pipeline, whose
 * statements are one transaction, through PgBouncer as well (34.5 in the manual).
 */
static bool
send_statement(struct postgres_link *l, int64_t deadline_ms, const char *sql,
	       const struct postgres_arguments *a)
{
	static const char limit[] =
		"SELECT set_config('statement_timeout', $1, true)";
	char text[16];
	const char *const limit_ms = text;
	size_t size = strlen(sql);

	for (int i = 0; i < a->count; i++)
		size += (size_t)a->lengths[i];
	l->swollen |= size > SWOLLEN_BYTES;
	snprintf(text, sizeof(text), "%d", server_ms(deadline_ms));
	return (PQenterPipelineMode(l->conn) == 1 &&
		PQsendQueryParams(l->conn, limit, 1, NULL, &limit_ms, NULL,
				  NULL, 0) == 1 &&
		PQsendQueryParams(l->conn, sql, a->count, a->types, a->at,
				  a->lengths, a->formats, 0) == 1 &&
		PQpipelineSync(l->conn) == 1);
}

/* Get all of the statement out, taking in what comes meanwhile so that neither
 * side waits for the other. */
static enum result
flush(struct postgres_link *l, int64_t deadline_ms)
{
	int left;

	while ((left = PQflush(l->conn)) == 1) {
		short ready;

		if (!postgres_conn_wait(l->conn, POLLIN | POLLOUT, deadline_ms,
					&ready))
			return (broken(l, R_TIMEOUT));
		if ((ready & POLLIN) != 0 && !PQconsumeInput(l->conn))
			return (broken(l, R_UNAVAILABLE));
	}
	return (left == 0 ? R_OK : broken(l, R_UNAVAILABLE));
}

/* The next of the answer's results, NULL at its end. */
static enum result
next_result(struct postgres_link *l, int64_t deadline_ms, PGresult **result)
{
	/* A NULL ends a script's answer; in a pipeline one ends each
	 * statement's. */
	for (unsigned ends = 0; ends < 2; ends++) {
		while (PQisBusy(l->conn)) {
			if (!postgres_conn_wait(l->conn, POLLIN, deadline_ms,
						NULL))
				return (broken(l, R_TIMEOUT));
			if (!PQconsumeInput(l->conn))
				return (broken(l, R_UNAVAILABLE));
		}
		*result = PQgetResult(l->conn);
		if (*result == NULL && !l->script)
			continue;
		if (PQresultStatus(*result) != PGRES_PIPELINE_SYNC)
			return (R_OK);
		PQclear(*result);
		*result = NULL;
		if (PQexitPipelineMode(l->conn) == 1)
			return (R_OK);
		break;
	}
	return (broken(l, R_UNAVAILABLE));
}

/* What one result of the answer says; keeps the message of a failure. */
static enum result
judge(struct postgres_link *l, const PGresult *result)
{
	const char *text = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	switch (PQresultStatus(result)) {
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
	case PGRES_EMPTY_QUERY:
		return (R_OK);
	case PGRES_COPY_IN:
	case PGRES_COPY_OUT:
	case PGRES_COPY_BOTH:
		l->broken = true; /* it would wait for us for ever */
		set_problem(l, "COPY is not supported");
		return (R_INTERNAL);
	default:
		break;
	}
	if (text == NULL) { /* libpq's own failure */
		set_problem(l, PQresultErrorMessage(result));
		l->broken = true;
		return (R_UNAVAILABLE);
	}
	memcpy(l->sqlstate, text, strnlen(text, sizeof(l->sqlstate) - 1));
	/* Outside scripts not the details: they hold the rows' values. */
	text = l->script ? NULL
			 : PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	set_problem(l, text != NULL ? text : PQresultErrorMessage(result));
	return (result_of_sqlstate(l->sqlstate));
}

enum result
postgres_link_begin(struct postgres_link *l, int64_t deadline_ms,
		    const char *sql, const struct postgres_arguments *arguments)
{
	memset(l->sqlstate, 0, sizeof(l->sqlstate));
	l->problem[0] = '\0';
	l->script = arguments == NULL;
	if (l->script ? PQsendQuery(l->conn, sql) != 1
		      : !send_statement(l, deadline_ms, sql, arguments))
		return (broken(l, R_UNAVAILABLE));
	return (flush(l, deadline_ms));
}

enum result
postgres_link_finish(struct postgres_link *l, int64_t deadline_ms,
		     struct pg_result **out)
{
	PGresult *result = NULL, *last = NULL;
	enum result r, first = R_OK;

	while ((r = next_result(l, deadline_ms, &result)) == R_OK &&
	       result != NULL) {
		PQclear(last);
		last = result;
		l->swollen |= PQresultMemorySize(result) > SWOLLEN_BYTES;
		if (first == R_OK)
			first = judge(l, result);
		if (l->broken)
			break;
	}
	if (PQstatus(l->conn) != CONNECTION_OK)
		l->broken = true; /* an error, and with it the end */
	if (r == R_OK)
		r = last != NULL ? first : broken(l, R_UNAVAILABLE);
	if (r == R_OK) {
		*out = last;
		last = NULL;
	}
	PQclear(last);
	return (r);
}

enum result
postgres_link_run(struct postgres_link *l, int64_t deadline_ms, const char *sql,
		  const struct postgres_arguments *arguments,
		  struct pg_result **out)
{
	enum result r = postgres_link_begin(l, deadline_ms, sql, arguments);

	return (r == R_OK ? postgres_link_finish(l, deadline_ms, out) : r);
}

static bool
take_notifications(struct postgres_link *l)
{
	PGnotify *notification;
	bool any = false;

	while ((notification = PQnotifies(l->conn)) != NULL) {
		PQfreemem(notification);
		any = true;
	}
	return (any);
}

enum result
postgres_link_wait(struct postgres_link *l, int64_t deadline_ms, int stop_fd)
{
	struct pollfd fds[] = {
		{ .fd = PQsocket(l->conn), .events = POLLIN },
		{ .fd = stop_fd, .events = POLLIN },
	};
	int n;

	while (!take_notifications(l)) {
		n = poll(fds, 2, clock_left_ms(deadline_ms));
		if (n == 0)
			return (R_TIMEOUT);
		if (n < 0 && errno != EINTR)
			return (broken(l, R_UNAVAILABLE));
		if (n < 0)
			continue;
		if (fds[1].revents != 0)
			return (R_TIMEOUT);
		if (fds[0].revents != 0 && (!PQconsumeInput(l->conn) ||
					    PQstatus(l->conn) != CONNECTION_OK))
			return (broken(l, R_UNAVAILABLE));
	}
	return (R_OK);
}
