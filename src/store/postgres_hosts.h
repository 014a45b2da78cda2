/* SPDX-License-Identifier: MIT */
#ifndef POSTGRES_HOSTS_H
#define POSTGRES_HOSTS_H

#include "../base/buf.h"
#include "../base/result.h"

#include <stdint.h>

/*
 * postgres_hosts: the addresses of the hosts in a database URL.  libpq looks names up
 * without a deadline; given their addresses it has nothing to look up, and names serve
 * to verify certificates only (PostgreSQL manual, 34.1.2, hostaddr).
 */
struct postgres_hosts {
	/* libpq's parameters: lists with commas, a host once for each of its
	 * addresses.  NULL: nothing is to be looked up, the URL says it all. */
	const char *host, *hostaddr, *port;
	struct buf lists[3];
};

/* Look up the names in `url`, which libpq can parse, by `deadline_ms`; libpq is
 * loaded.  A name that has no address is left out if another has some.
 * R_UNAVAILABLE: none has, or there are over 16 hosts; `problem` says why. */
MUST_USE enum result postgres_hosts_find(const char *url, int64_t deadline_ms,
					 struct postgres_hosts *out,
					 struct buf *problem);

/* Also after a failure. */
void postgres_hosts_fini(struct postgres_hosts *h);

#endif
