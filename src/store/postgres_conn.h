/* SPDX-License-Identifier: MIT */
#ifndef POSTGRES_CONN_H
#define POSTGRES_CONN_H

#include "../base/buf.h"
#include "../base/result.h"
#include "libpq.h"

#include <stdint.h>

/*
 * postgres_conn: libpq's connections, with deadlines.  libpq is loaded.
 */

/* Connect by `deadline_ms`; `name` is the application_name.  `*out` is for
 * PQfinish, and set on R_OK only.  R_UNAVAILABLE: refused or too late, and
 * `problem` says why, without a password. */
MUST_USE enum result postgres_conn_open(const char *url, const char *name,
					int64_t deadline_ms,
					struct buf *problem, PGconn **out);

/* Wait until the socket is ready for `events`, as poll(2) has them, or has failed;
 * `ready`, unless NULL, is which.  False: the deadline passed. */
bool postgres_conn_wait(const PGconn *conn, short events, int64_t deadline_ms,
			short *ready);

/* The text of a message without the line ends libpq puts behind it. */
struct bytes postgres_conn_text(const char *message);

#endif
