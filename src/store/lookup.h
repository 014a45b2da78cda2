/* SPDX-License-Identifier: MIT */
#ifndef LOOKUP_H
#define LOOKUP_H

#include "../base/result.h"

struct addrinfo;

/*
 * lookup: getaddrinfo(3) that nobody waits for.  A name is looked up by a thread of
 * its own, so a dead name server delays no one who has a deadline; a numeric address
 * takes no thread.  One user thread at a time.
 */
struct lookup;

/* For a stream socket.  `*out` is set on R_OK only. */
MUST_USE enum result lookup_start(const char *host, const char *port,
				  struct lookup **out);

/* Readable when the lookup has ended. */
int lookup_fd(const struct lookup *l);

/* R_BUSY: not yet.  R_OK: `*out` is the list, owned by the lookup.
 * R_UNAVAILABLE: `*problem` is why, a static text. */
MUST_USE enum result lookup_result(struct lookup *l,
				   const struct addrinfo **out,
				   const char **problem);

void lookup_drop(struct lookup *l); /* at any time; NULL is allowed */

#endif
