/* SPDX-License-Identifier: MIT */
#ifndef REDIS_URL_H
#define REDIS_URL_H

#include "../base/result.h"

#include <stdbool.h>

/*
 * redis_url: where a Redis is and how to log in to it.
 *
 *	redis://[[user]:password@][host][:port][/db][?db=N]	rediss:// for TLS
 *	unix://[[user]:password@]/path[?db=N]
 *
 * As in redis-cli, "redis://secret@host" is a password without a user.  A part of the
 * user information may be percent-encoded (RFC 3986), an IPv6 address stands in
 * brackets; the host defaults to 127.0.0.1, the port to 6379.
 */
struct redis_url {
	bool tls;
	char *path;	/* UNIX socket; NULL: host and port count */
	char *host;	/* without brackets */
	char *port;	/* decimal */
	char *user;	/* NULL: none */
	char *password; /* NULL: no login */
	unsigned db;
	char *shown; /* for logs: no user information */
};

/* R_INVALID, R_NO_MEMORY.  `*out` is set on R_OK only. */
MUST_USE enum result redis_url_parse(const char *text, struct redis_url *out);
void redis_url_fini(struct redis_url *u); /* overwrites the password */

#endif
