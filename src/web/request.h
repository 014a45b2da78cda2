/* SPDX-License-Identifier: MIT */
#ifndef REQUEST_H
#define REQUEST_H

#include "../base/arena.h"
#include "../base/bytes.h"
#include "../base/result.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * request: one HTTP request as the web server passed it on, as views into the
 * bytes received.
 *
 * Views are valid until the handler returns, or, after request_keep(), until
 * the request is answered.
 */
enum method {
	METHOD_GET,
	METHOD_HEAD,
	METHOD_POST,
	METHOD_PUT,
	METHOD_PATCH,
	METHOD_DELETE,
	METHOD_OTHER
};

struct request {
	enum method method;
	struct bytes path;  /* percent-encoded as it was, without the query */
	struct bytes query; /* behind '?' */

	/* Headers; empty when absent. */
	struct bytes authorization;
	struct bytes api_key; /* X-API-Key */
	struct bytes accept_encoding;
	struct bytes if_none_match;
	struct bytes content_type;
	int64_t content_length; /* -1: not given, -2: not a length */

	/* Kept or not, it stays until the request is answered. */
	struct bytes body;

	/* R_OK; R_TOO_LARGE: over the limit, and not here; R_INVALID: its
	 * length is not content_length; R_NO_MEMORY: not here. */
	enum result body_error;

	/* Lives until the request is answered; used by the event thread or by
	 * the one that it handed the request to. */
	struct arena arena;
};

/* Set all but body, body_error and arena from a PARAMS stream (CGI names, RFC
 * 3875).  The path comes from REQUEST_URI, without the scheme and host that it
 * may have, else from SCRIPT_NAME + PATH_INFO (which the web server has
 * decoded: encoded again, in the arena).  The query is what follows the '?'
 * there, else QUERY_STRING.  Of a name that comes twice the first counts: a web
 * server sends what its configuration sets before what the client did.
 * R_INVALID: no method or no path, a malformed stream.  R_NO_MEMORY. */
MUST_USE enum result request_parse(struct request *rq, struct bytes params);

/* Copy what the views show (but body) into the arena, so that they outlive the
 * handler's return.  On failure the views are as before. */
MUST_USE enum result request_keep(struct request *rq);

const char *method_name(enum method m);

#endif
