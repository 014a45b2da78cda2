/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "policies.h"
#include "web/auth.h"
#include "web/params.h"
#include "web/request.h"
#include "web/response.h"
#include "web/router.h"

#include <stdlib.h>
#include <string.h>

/*
 * fuzz_request: lines NAME=VALUE are a request's parameters as a web server sends them,
 * "METHOD path" for short is a line, too.  They go the way of a request: parsed, matched
 * against the product's own routes, its credentials and parameters taken apart.  Where it
 * leads is compared with a second, plainer opinion.
 */
#define SECRET "0123456789abcdef"
#define ETAG "\"00000000000000000000000000000001\""
#define PATH_PARTS 32

static struct {
	struct config *config;
	struct services services;
	struct router *router;
	struct auth *auth;
} worker;

static void
prepare(void)
{
	static const struct gateway gateway = { .name = "alpha" };
	static struct config_policy policies[POLICIES_MAX];
	const struct endpoint *families[POLICIES_MAX];
	struct buf problem = { 0 };

	if (worker.router != NULL)
		return;
	(void)clearenv();
	policies_collect(policies);
	FUZZ_MUST(config_read(policies, &worker.config, &problem) == R_OK);
	for (unsigned i = 0; i < handlers_count; i++)
		families[i] = handlers[i].endpoints;
	worker.services = (struct services){ .config = worker.config,
					     .gateways = &gateway,
					     .n_gateways = 1 };
	FUZZ_MUST(router_new(families, handlers_count, &worker.services,
			     &worker.router, &problem) == R_OK);
	worker.services.router = worker.router;
	worker.auth = auth_new(NULL);
	FUZZ_MUST(worker.auth != NULL);
	buf_fini(&problem);
}

/* ---- a second opinion on paths */

static unsigned
split(struct bytes path, struct bytes parts[static PATH_PARTS])
{
	unsigned n = 0;
	ptrdiff_t slash;

	do {
		slash = bytes_find(path, '/');
		parts[n] = path;
		if (slash >= 0)
			parts[n].len = (size_t)slash;
		path = bytes_from(path, parts[n++].len + 1);
	} while (slash >= 0 && n < PATH_PARTS);
	return (slash >= 0 ? PATH_PARTS + 1 : n);
}

static bool
fits(struct bytes route, struct bytes path)
{
	struct bytes want[PATH_PARTS], have[PATH_PARTS];
	unsigned n = split(route, want), m = split(path, have);

	if (n != m)
		return (false);
	while (n-- > 0)
		if (bytes_starts(want[n], BYTES("{"))
			    ? have[n].len == 0
			    : !bytes_equal(want[n], have[n]))
			return (false);
	return (true);
}

static bool
fits_any(struct bytes path)
{
	const struct served *s;

	for (unsigned i = 0; (s = router_at(worker.router, i)) != NULL; i++)
		if (s->endpoint->when == NULL && fits(s->path, path))
			return (true);
	return (false);
}

/* ---- where it leads */

static void
try_params(const struct served *s, const struct request *rq)
{
	struct arena arena = { 0 };
	struct buf problem = { 0 };
	struct values v = { .count = 0 };
	enum result r = params_from_url(s, rq, &arena, &v, &problem);

	FUZZ_MUST(r == R_OK ||
		  (r == R_INVALID && problem.len > 0 && problem.len < 2000));
	if (r == R_OK)
		for (unsigned i = 1; i < v.count; i++)
			FUZZ_MUST(v.of[i].at == NULL || bytes_is_utf8(v.of[i]));
	buf_fini(&problem);
	arena_fini(&arena);
}

static void
try_route(const struct request *rq)
{
	enum method wanted = rq->method == METHOD_HEAD ? METHOD_GET
						       : rq->method;
	const struct served *s = NULL;
	struct buf allow = { 0 };
	enum result r = router_match(worker.router, rq, &s, &allow);

	switch (r) {
	case R_OK:
		FUZZ_MUST(s->method == wanted && fits(s->path, rq->path));
		try_params(s, rq);
		break;
	case R_INVALID:
		FUZZ_MUST(allow.len > 0 && fits_any(rq->path));
		FUZZ_MUST(strstr(allow.at, method_name(rq->method)) == NULL);
		break;
	default:
		FUZZ_MUST(r == R_NOT_FOUND && !fits_any(rq->path));
	}
	(void)router_find_by_key(worker.router, rq->path);
	buf_fini(&allow);
}

static void
try_credentials(const struct request *rq)
{
	struct claim claim;
	enum result r = auth_claim(worker.auth, rq, &claim);

	if (r == R_OK)
		FUZZ_MUST(strlen(claim.key) == strlen("auth:") + 16);
	else
		FUZZ_MUST(r == R_INVALID || r == R_NOT_FOUND);
	if (auth_brings_secret(rq, BYTES(SECRET)))
		FUZZ_MUST(bytes_ends(bytes_trim(rq->authorization),
				     BYTES(" " SECRET)));
	FUZZ_MUST(!auth_brings_secret(rq, BYTES_NONE));
}

static void
try_headers(const struct request *rq)
{
	if (response_accepts_gzip(rq->accept_encoding))
		FUZZ_MUST(rq->accept_encoding.len > 0);
	if (response_matches(rq->if_none_match, BYTES(ETAG)))
		FUZZ_MUST(rq->if_none_match.len > 0);
}

/* What is kept is what was there. */
static void
try_keep(struct request *rq)
{
	struct request before = *rq;

	FUZZ_MUST(request_keep(rq) == R_OK);
	FUZZ_MUST(bytes_equal(before.path, rq->path));
	FUZZ_MUST(bytes_equal(before.query, rq->query));
	FUZZ_MUST(bytes_equal(before.authorization, rq->authorization));
	FUZZ_MUST(bytes_equal(before.api_key, rq->api_key));
	FUZZ_MUST(bytes_equal(before.if_none_match, rq->if_none_match));
	FUZZ_MUST(bytes_equal(before.content_type, rq->content_type));
}

/* ---- one input */

static void
add_length(struct buf *to, size_t n)
{
	if (n >= 128) {
		buf_char(to, (char)(0x80 | n >> 24));
		buf_char(to, (char)(n >> 16));
		buf_char(to, (char)(n >> 8));
	}
	buf_char(to, (char)n);
}

static void
add_param(struct buf *to, struct bytes name, struct bytes value)
{
	add_length(to, name.len);
	add_length(to, value.len);
	buf_add(to, name);
	buf_add(to, value);
}

static void
add_line(struct buf *to, struct bytes line)
{
	struct bytes value = line, name = bytes_cut(&value, '=');

	if (bytes_find(name, ' ') < 0) {
		add_param(to, name, value);
		return;
	}
	name = bytes_cut(&line, ' ');
	add_param(to, BYTES("REQUEST_METHOD"), name);
	add_param(to, BYTES("REQUEST_URI"), line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = { (const char *)data, size };
	struct request rq = { .body = BYTES_NONE };
	struct buf params = { 0 };
	enum result r;

	prepare();
	while (rest.len > 0)
		add_line(&params, bytes_cut(&rest, '\n'));
	r = request_parse(&rq, buf_bytes(&params));
	FUZZ_MUST(r == R_OK || r == R_INVALID);
	if (r == R_OK) {
		FUZZ_MUST(rq.path.len > 0 && rq.content_length >= -2);
		FUZZ_MUST(bytes_find(rq.path, '?') < 0);
		try_route(&rq);
		try_credentials(&rq);
		try_headers(&rq);
		try_keep(&rq);
	}
	arena_fini(&rq.arena);
	buf_fini(&params);
	return (0);
}
