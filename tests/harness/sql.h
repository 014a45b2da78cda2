/* SPDX-License-Identifier: MIT */
#ifndef SQL_H
#define SQL_H

/*
 * sql: what a test asks a database.  Connections are kept and reused.
 */

/* Run statements; the last one's rows as text: a tab between columns, a newline
 * between rows, none at the end.  An SQL error fails the test. */
char *harness_sql(const char *url, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The same, but an error is the answer: "ERROR 42501: permission denied …". */
char *harness_sql_try(const char *url, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Drop the kept connection to `url`, if there is one. */
void harness_sql_close(const char *url);

#endif
