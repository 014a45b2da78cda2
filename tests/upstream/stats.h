/* SPDX-License-Identifier: MIT */
#ifndef STATS_H
#define STATS_H

#include <stdio.h>

/*
 * stats: what has been asked of the upstream, by path.  Any thread.
 */
struct stats_path;

/* One TCP connection, for as long as it is open: which paths it has asked for. */
struct stats_connection;

struct stats_request {
	const char *path;
	const char *authorization;   /* NULL: none sent */
	const char *if_none_match;   /* NULL: none sent */
	const char *accept_encoding; /* NULL: none sent */
	int status;		     /* what will be answered; 0: nothing */
};

struct stats_connection *stats_connection_new(void);
void stats_connection_free(struct stats_connection *c);

/* A request has arrived; what comes back goes to stats_end() once it is over. */
struct stats_path *stats_begin(struct stats_connection *c,
			       const struct stats_request *r);
void stats_end(struct stats_path *p);

/* Forget all counts; requests in the making stay counted as such. */
void stats_reset(void);

/* {"requests":…,"connections":…,"paths":{"/v1/models":{…}}} */
void stats_write(FILE *to);

#endif
