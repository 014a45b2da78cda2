/* SPDX-License-Identifier: MIT */
#ifndef ORIGIN_H
#define ORIGIN_H

#include "catalogue.h"
#include "plan.h"

/*
 * origin: the upstream's HTTP side; answers catalogues, and takes orders under
 * /control.  One thread for each connection; runs until the process ends.
 */
struct origin_options {
	struct plan delay;	     /* of which the delay counts */
	unsigned models;	     /* in a made-up catalogue */
	struct catalogue *catalogue; /* answered in its place; NULL: made up */
	int log_fd;		     /* -1: no log */
	char *tls_cert, *tls_key;    /* PEM texts; NULL: no TLS */
};

/* Serve on a listening socket from now on. */
bool origin_start(int fd, const struct origin_options *wanted);

#endif
