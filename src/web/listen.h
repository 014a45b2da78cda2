/* SPDX-License-Identifier: MIT */
#ifndef LISTEN_H
#define LISTEN_H

#include "../base/buf.h"
#include "../base/result.h"

/*
 * listen: open the socket that a web server connects to.
 *
 * `address` is "unix:/path" or "host:port" ("127.0.0.1:9000", "[::1]:9000";
 * ":9000" is all interfaces).  The file of a UNIX socket gets mode 0666 less
 * the umask; one that nobody listens on any more is replaced, a live one is
 * not.  The socket is listening, non-blocking and close-on-exec.  On failure
 * `problem` gets a line that says what was wrong and what is accepted:
 * R_INVALID for an address that is none, R_CONFLICT for one in use, else what
 * errno says.
 */
MUST_USE enum result listen_open(const char *address, int *fd,
				 struct buf *problem);

#endif
