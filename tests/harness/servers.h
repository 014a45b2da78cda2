/* SPDX-License-Identifier: MIT */
#ifndef SERVERS_H
#define SERVERS_H

#include <stdbool.h>

/*
 * servers: the dependencies of a worker, each private to the test and empty.
 *
 * Every start returns once the server answers.  `process` takes the signals:
 * process_signal(pg->process, SIGSTOP).  _stop ends in the regular way, _kill
 * with SIGKILL; _start brings either back, with the data it has on disk.
 */
struct process;

/* PostgreSQL 15, on a UNIX socket and, if wanted, on a TCP port of 127.0.0.1. */
struct harness_postgres {
	struct process *process;
	const char *directory; /* data and sockets */
	const char *url;       /* of the superuser, database "postgres" */
	unsigned port;	       /* also of the UNIX socket */
	const char *const *settings;
};

/* `settings`: "name=value" of postgresql.conf, NULL ends; may be NULL. */
struct harness_postgres *harness_postgres_new(const char *const *settings);
void harness_postgres_start(struct harness_postgres *pg);
void harness_postgres_stop(struct harness_postgres *pg);
void harness_postgres_kill(struct harness_postgres *pg);

/* A signal for the server with all its processes. */
void harness_postgres_signal(struct harness_postgres *pg, int number);

/* A new database, empty or a copy of another, and its URL. */
const char *harness_postgres_database(struct harness_postgres *pg,
				      const char *name, const char *copy_of);

/* The URL of a database, for any role: "postgres" is the superuser. */
const char *harness_postgres_url(const struct harness_postgres *pg,
				 const char *role, const char *database);

/* Give a file to the user that servers run as, who is not root. */
void harness_postgres_own(const char *path);

/* Redis 7, without persistence, on a UNIX socket; TCP and TLS if wanted. */
struct harness_redis {
	struct process *process;
	const char *directory, *socket;
	const char *url;     /* of the UNIX socket */
	const char *tcp_url; /* redis:// or rediss://; NULL: no port */
	unsigned port;
	const char *const *extra;
};

struct harness_redis_options {
	enum { REDIS_SOCKET_ONLY, REDIS_TCP, REDIS_TLS } transport;
	const char *password;
	const char *certificate, *key; /* for TLS */
	const char *const *extra;      /* more arguments, NULL ends */
};

struct harness_redis *harness_redis_new(
	const struct harness_redis_options *options); /* or NULL */
void harness_redis_start(struct harness_redis *r);
void harness_redis_stop(struct harness_redis *r);
void harness_redis_kill(struct harness_redis *r);

/* A command, and its reply as redis-cli would print it without colours; an
 * error reply begins with "ERR" or its like.  Always by the UNIX socket. */
char *harness_redis_command(const struct harness_redis *r, const char *format,
			    ...) __attribute__((format(printf, 2, 3)));

/* The origin of tests/upstream. */
struct harness_upstream {
	struct process *process;
	const char *url; /* http://127.0.0.1:port */
	const char *log; /* one line for each request */
	unsigned port;
	const char *const *arguments;
	const char *directory;
};

/* `arguments`: more of the command line, NULL ends; may be NULL. */
struct harness_upstream *harness_upstream_new(const char *const *arguments);
void harness_upstream_start(struct harness_upstream *u);
void harness_upstream_stop(struct harness_upstream *u);
void harness_upstream_kill(struct harness_upstream *u);

/* POST /control with this query: "path=/groq&mode=hang". */
void harness_upstream_control(const struct harness_upstream *u,
			      const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* How many requests have arrived under a path prefix, by its log. */
unsigned harness_upstream_count(const struct harness_upstream *u,
				const char *prefix);

/* A number of /control/stats: ("/groq/models", "connections"). */
long harness_upstream_stat(const struct harness_upstream *u, const char *path,
			   const char *name);

/* PgBouncer in transaction mode, in front of all databases of a server. */
struct harness_pgbouncer {
	struct process *process;
	const char *directory;
	unsigned port;
};

struct harness_pgbouncer *harness_pgbouncer_new(
	const struct harness_postgres *pg, unsigned pool_size);
const char *harness_pgbouncer_url(const struct harness_pgbouncer *b,
				  const char *role, const char *database);
void harness_pgbouncer_stop(struct harness_pgbouncer *b);

#endif
