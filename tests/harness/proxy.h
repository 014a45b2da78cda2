/* SPDX-License-Identifier: MIT */
#ifndef PROXY_H
#define PROXY_H

/*
 * proxy: a bad line between a worker and one of its dependencies, on a TCP port of
 * 127.0.0.1.  It lives as long as the test's process, in threads of its own.
 *
 * What it does to the bytes may be changed at any time, and counts for
 * connections that there are as well.
 */
struct harness_proxy;

enum proxy_mode {
	PROXY_PASS,
	PROXY_DELAY,   /* answers come `amount` milliseconds late */
	PROXY_STALL,   /* takes everything, passes nothing on */
	PROXY_CUT,     /* resets a connection after `amount` bytes of answers */
	PROXY_CORRUPT, /* spoils each `amount`th byte of answers */
	PROXY_REFUSE,  /* resets what is connected, and what comes */
};

/* `to`: a UNIX socket's path, or a port of 127.0.0.1 as a number. */
struct harness_proxy *harness_proxy_new(const char *to);
unsigned harness_proxy_port(const struct harness_proxy *p);
void harness_proxy_set(struct harness_proxy *p, enum proxy_mode mode,
		       unsigned amount);

/* How many connections it has taken so far. */
unsigned harness_proxy_connections(const struct harness_proxy *p);

#endif
