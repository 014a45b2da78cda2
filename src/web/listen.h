/* SPDX-License-Identifier: MIT */
#ifndef LISTEN_H
#define LISTEN_H

#include "../base/buf.h"
#include "../base/result.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * listen: open the socket that a web server connects to, and leave it.
 *
 * `address` is "unix:/path" or "host:port" ("127.0.0.1:9000", "[::1]:9000";
 * ":9000" is all interfaces).  The file of a UNIX socket gets mode 0666 less
 * the umask; one that nobody listens on any more is replaced, a live one is
 * not.  The socket is listening, non-blocking and close-on-exec.  On failure
 * `problem` gets a line that says what was wrong and what is accepted:
 * R_INVALID for an address that is none, R_UNAVAILABLE for a host that cannot be
 * found, R_CONFLICT for an address in use, else what errno says.
 */
struct listener {
	int fd;
	bool own; /* listen_open() made it, so no other process has it */
	dev_t device;
	ino_t file; /* of a UNIX socket; else 0 */
};

MUST_USE enum result listen_open(const char *address, struct listener *out,
				 struct buf *problem);

/* Whoever connects from now on is refused, and another may listen on the
 * address; who has connected to a UNIX socket can still be accepted.  A socket
 * that is not our own alone stays as it is.  Not by two threads at once: what
 * stands at the path after the first may be another worker's. */
void listen_leave(const struct listener *l);

/* The same, and close it. */
void listen_close(const struct listener *l);

#endif
