/* SPDX-License-Identifier: MIT */
#include "postgres_link.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "libpq.h"
#include "plain_url.h"
#include "postgres_hosts.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* libpq never shrinks a connection's buffers: past this a connection is worth
 * less than its memory. */
#define SWOLLEN_BYTES ((size_t)1 << 20)

struct postgres_link {
	PGconn *conn;
	bool broken;
	bool swollen;
	bool script; /* what runs is a string of statements */
	char sqlstate[6];
	char problem[1024];
};

/* The text of a message without the line ends libpq puts behind it. */
static struct bytes
message_of(const char *text)
{
	struct bytes message = bytes_of(text);

	while (message.len > 0 && message.at[message.len - 1] == '\n')
		message.len--;
	return (message);
}

static void
set_problem(struct postgres_link *l, const char *text)
{
	struct bytes message = message_of(text);

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

/* Wait until the socket is ready for `events`.  False: the deadline passed. */
static bool
wait_ready(const PGconn *conn, short events, int64_t deadline_ms, short *ready)
{
	struct pollfd fd = { .fd = PQsocket(conn), .events = events };
	int n;

	do {
		n = poll(&fd, 1, clock_left_ms(deadline_ms));
	} while (n < 0 && errno == EINTR);
	if (ready != NULL)
		*ready = fd.revents;
	return (n > 0);
}

static PGconn *
start_connection(const struct postgres_link_target *target,
		 const struct postgres_hosts *hosts)
{
	/* What stands before "dbname" the URL may override; what comes after it
	 * and is NULL is as the URL says. */
	static const char *const keywords[] = { "application_name",
						"keepalives_idle",
						"keepalives_interval",
						"keepalives_count",
						"gssencmode",
						"dbname",
						"client_encoding",
						"host",
						"hostaddr",
						"port",
						NULL };
	const char *const values[] = {
		target->name,	 "30",	      "10",   "3",
		"disable",	 target->url, "UTF8", hosts->host,
		hosts->hostaddr, hosts->port, NULL
	};

	return (PQconnectStartParams(keywords, values, 1));
}

static enum result
finish_connecting(PGconn *conn, int64_t deadline_ms, struct buf *problem)
{
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;

	if (PQstatus(conn) == CONNECTION_BAD)
		next = PGRES_POLLING_FAILED;
	while (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
		short events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;

		if (!wait_ready(conn, events, deadline_ms, NULL)) {
			buf_str(problem, "no connection in time");
			return (R_UNAVAILABLE);
		}
		next = PQconnectPoll(conn);
	}
	if (next != PGRES_POLLING_OK || PQsetnonblocking(conn, 1) != 0) {
		buf_add(problem, message_of(PQerrorMessage(conn)));
		return (R_UNAVAILABLE);
	}
	return (R_OK);
}

/* Notices are for people at a prompt. */
static void
drop_notice(void *arg, const PGresult *notice)
{
	(void)arg;
	(void)notice;
}

enum result
postgres_link_open(const struct postgres_link_target *target,
		   int64_t deadline_ms, struct buf *problem,
		   struct postgres_link **out)
{
	struct postgres_hosts hosts = { 0 };
	struct postgres_link *l;
	enum result r;

	if (!libpq_load()) {
		buf_str(problem, "libpq cannot be loaded");
		return (R_UNAVAILABLE);
	}
	if ((l = mem_alloc(sizeof(*l))) == NULL)
		return (R_NO_MEMORY);
	r = postgres_hosts_find(target->url, deadline_ms, &hosts, problem);
	if (r != R_OK)
		goto out;
	if ((l->conn = start_connection(target, &hosts)) == NULL) {
		r = R_NO_MEMORY;
		goto out;
	}
	PQsetNoticeReceiver(l->conn, drop_notice, NULL);
	if ((r = finish_connecting(l->conn, deadline_ms, problem)) != R_OK)
		goto out;
	*out = l;
	l = NULL;
out:
	postgres_hosts_fini(&hosts);
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

		if (!wait_ready(l->conn, POLLIN, 0, &ready))
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
	{ "23503", R_CONFLICT },    /* foreign_key_violation */
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

static bool
send_statement(struct postgres_link *l, const char *sql,
	       const struct postgres_arguments *a)
{
	size_t size = strlen(sql);

	for (int i = 0; a != NULL && i < a->count; i++)
		size += (size_t)a->lengths[i];
	l->swollen |= size > SWOLLEN_BYTES;
	if (a == NULL)
		return (PQsendQuery(l->conn, sql) == 1);
	return (PQsendQueryParams(l->conn, sql, a->count, a->types, a->at,
				  a->lengths, a->formats, 0) == 1);
}

/* Get all of the statement out, taking in what comes meanwhile so that neither
 * side waits for the other. */
static enum result
flush(struct postgres_link *l, int64_t deadline_ms)
{
	int left;

	while ((left = PQflush(l->conn)) == 1) {
		short ready;

		if (!wait_ready(l->conn, POLLIN | POLLOUT, deadline_ms, &ready))
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
	while (PQisBusy(l->conn)) {
		if (!wait_ready(l->conn, POLLIN, deadline_ms, NULL))
			return (broken(l, R_TIMEOUT));
		if (!PQconsumeInput(l->conn))
			return (broken(l, R_UNAVAILABLE));
	}
	*result = PQgetResult(l->conn);
	return (R_OK);
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
	if (!send_statement(l, sql, arguments))
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
