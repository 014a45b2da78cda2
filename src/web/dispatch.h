/* SPDX-License-Identifier: MIT */
#ifndef DISPATCH_H
#define DISPATCH_H

#include "auth.h"
#include "endpoint.h"
#include "exchange.h"
#include "router.h"

/*
 * dispatch: a request's way from the socket to its answer.
 *
 *	route, credentials, parameters, key, memory: answered at once, on the event thread
 *	else parked: on the cache's flight, or as a mutation's job on a loader thread
 */
struct dispatch {
	const struct router *router;
	const struct auth *auth;
	const struct services *services;
};

/* A server_handler; `arg` is a struct dispatch. */
void dispatch_request(void *arg, struct exchange *x);

#endif
