/* SPDX-License-Identifier: MIT */
#ifndef WEBSERVERS_H
#define WEBSERVERS_H

#include <stdbool.h>

/*
 * webservers: nginx and lighttpd in front of a worker, on a port of 127.0.0.1.
 */
struct process;

struct harness_nginx {
	struct process *process;
	const char *directory;
	const char *url; /* http://127.0.0.1:port */
	unsigned port;
};

struct harness_nginx_options {
	const char
		*worker; /* "unix:/path" or "host:port"; need not exist yet */
	unsigned keep;	 /* fastcgi_keep_conn with so many idle ones; 0: off */
	const char *server; /* what stands in server { } in place of the usual
				   location; "worker" is the upstream's name */
	const char *http;   /* more of http { } */
};

struct harness_nginx *harness_nginx_new(const struct harness_nginx_options *o);
void harness_nginx_stop(struct harness_nginx *n);

struct harness_lighttpd {
	struct process *process;
	const char *directory;
	const char *url;
	unsigned port;
};

struct harness_lighttpd_options {
	const char *worker;	  /* a UNIX socket's path; or: */
	const char *const *spawn; /* a program and its arguments, which lighttpd
					   itself spawns; NULL ends */
	unsigned processes;	  /* how many of them */
	const char *const *env;	  /* "NAME=value" for it, NULL ends */
};

struct harness_lighttpd *harness_lighttpd_new(
	const struct harness_lighttpd_options *o);
void harness_lighttpd_stop(struct harness_lighttpd *l);

#endif
