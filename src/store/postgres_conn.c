/* SPDX-License-Identifier: MIT */
#include "postgres_conn.h"

#include "../base/clock.h"
#include "postgres_hosts.h"

#include <errno.h>
#include <poll.h>

struct bytes
postgres_conn_text(const char *message)
{
	struct bytes text = bytes_of(message);

	while (text.len > 0 && text.at[text.len - 1] == '\n')
		text.len--;
	return (text);
}

bool
postgres_conn_wait(const PGconn *conn, short events, int64_t deadline_ms,
		   short *ready)
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
start(const char *url, const char *name, const struct postgres_hosts *hosts)
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
		name,	     "30",	  "10",
		"3",	     "disable",	  url,
		"UTF8",	     hosts->host, hosts->hostaddr,
		hosts->port, NULL
	};

	return (PQconnectStartParams(keywords, values, 1));
}

static enum result
finish(PGconn *conn, int64_t deadline_ms, struct buf *problem)
{
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;

	if (PQstatus(conn) == CONNECTION_BAD)
		next = PGRES_POLLING_FAILED;
	while (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
		short events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;

		if (!postgres_conn_wait(conn, events, deadline_ms, NULL)) {
			buf_str(problem, "no connection in time");
			return (R_UNAVAILABLE);
		}
		next = PQconnectPoll(conn);
	}
	if (next != PGRES_POLLING_OK || PQsetnonblocking(conn, 1) != 0) {
		buf_add(problem, postgres_conn_text(PQerrorMessage(conn)));
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
postgres_conn_open(const char *url, const char *name, int64_t deadline_ms,
		   struct buf *problem, PGconn **out)
{
	struct postgres_hosts hosts;
	PGconn *conn = NULL;
	enum result r;

	r = postgres_hosts_find(url, deadline_ms, &hosts, problem);
	if (r == R_OK && (conn = start(url, name, &hosts)) == NULL)
		r = R_NO_MEMORY;
	if (r == R_OK) {
		PQsetNoticeReceiver(conn, drop_notice, NULL);
		r = finish(conn, deadline_ms, problem);
	}
	postgres_hosts_fini(&hosts);
	if (r == R_OK)
		*out = conn;
	else
		PQfinish(conn);
	return (r);
}
