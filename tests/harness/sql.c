/* SPDX-License-Identifier: MIT */
#include "sql.h"
#include "scratch.h"

#include <check.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEPT_MAX 16

static struct kept {
	PGconn *connection;
	pid_t owner; /* a connection is no good to a forked process */
	char *url;
} kept[KEPT_MAX];

/* The parent's connection is released without a word to its server. */
static void
cut_off(const PGconn *connection)
{
	int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (nowhere < 0 || dup2(nowhere, PQsocket(connection)) < 0)
		abort();
	close(nowhere);
}

static void
forget(struct kept *k)
{
	if (k->owner != getpid() && PQsocket(k->connection) >= 0)
		cut_off(k->connection);
	PQfinish(k->connection);
	k->connection = NULL;
}

static PGconn *
connect_to(const char *url)
{
	struct kept *place = NULL;

	for (struct kept *k = kept; k < kept + KEPT_MAX; k++) {
		if (k->connection != NULL &&
		    (k->owner != getpid() ||
		     (strcmp(k->url, url) == 0 &&
		      PQstatus(k->connection) != CONNECTION_OK)))
			forget(k);
		if (k->connection != NULL && strcmp(k->url, url) == 0)
			return (k->connection);
		if (k->connection == NULL)
			place = k;
	}
	if (place == NULL) {
		place = kept;
		forget(place);
	}
	place->url = scratch_copy(url, strlen(url));
	place->owner = getpid();
	place->connection = PQconnectdb(url);
	return (place->connection);
}

static void
ignore_notice(void *arg, const PGresult *result)
{
	(void)arg, (void)result;
}

static char *
rows_of(const PGresult *result)
{
	char *text, *copy;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		abort();
	for (int row = 0; row < PQntuples(result); row++) {
		if (row > 0)
			fputc('\n', f);
		for (int column = 0; column < PQnfields(result); column++)
			fprintf(f, "%s%s", column > 0 ? "\t" : "",
				PQgetvalue(result, row, column));
	}
	fclose(f);
	copy = scratch_copy(text, len);
	free(text);
	return (copy);
}

/* NULL, with `*problem` set, on an error. */
static char *
run(const char *url, const char *statements, char **problem)
{
	PGconn *connection = connect_to(url);
	PGresult *result;
	char *rows = NULL;

	if (PQstatus(connection) != CONNECTION_OK) {
		*problem =
			scratch_printf("ERROR: %s", PQerrorMessage(connection));
		return (NULL);
	}
	PQsetNoticeReceiver(connection, ignore_notice, NULL);
	result = PQexec(connection, statements);
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		rows = rows_of(result);
		break;
	default:
		*problem = scratch_printf("ERROR %s: %s",
					  PQresultErrorField(result,
							     PG_DIAG_SQLSTATE),
					  PQresultErrorMessage(result));
		break;
	}
	PQclear(result);
	return (rows);
}

static char *__attribute__((format(printf, 1, 0)))
formatted(const char *format, va_list arguments)
{
	char *text, *copy;
	int len = vasprintf(&text, format, arguments);

	if (len < 0)
		abort();
	copy = scratch_copy(text, (size_t)len);
	free(text);
	return (copy);
}

char *
harness_sql(const char *url, const char *format, ...)
{
	char *problem = NULL, *statements, *rows;
	va_list arguments;

	va_start(arguments, format);
	statements = formatted(format, arguments);
	va_end(arguments);
	rows = run(url, statements, &problem);
	if (rows == NULL)
		ck_abort_msg("%s\n%s", statements, problem);
	return (rows);
}

char *
harness_sql_try(const char *url, const char *format, ...)
{
	char *problem = NULL, *statements, *rows;
	va_list arguments;

	va_start(arguments, format);
	statements = formatted(format, arguments);
	va_end(arguments);
	rows = run(url, statements, &problem);
	return (rows != NULL ? rows : problem);
}

void
harness_sql_close(const char *url)
{
	for (struct kept *k = kept; k < kept + KEPT_MAX; k++)
		if (k->connection != NULL && strcmp(k->url, url) == 0)
			forget(k);
}
