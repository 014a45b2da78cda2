/* SPDX-License-Identifier: MIT */
#include "dispatch.h"

#include "../base/clock.h"
#include "../cache/scope.h"
#include "params.h"
#include "problem.h"
#include "response.h"
#include "server.h"
#include "tally.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_BYTES 160 /* for a usual key */

/* How far a request has come.  It begins on the event thread's stack; when
 * something must be waited for, what is known is found out again from the
 * kept request, in the request's arena, so that nothing points to bytes that
 * are gone. */
struct visit {
	const struct dispatch *dispatch;
	struct exchange *x;
	const struct served *served;
	struct identity who;
	bool known; /* who is asking, if that matters */
	bool parked;
	int64_t began_us;
	struct claim claim;
	struct values values;
	struct buf key, log_key, arguments;
	char rooms[3][ROOM_BYTES]; /* where those begin */
};

static void answer_known(struct visit *v);

static void
release_buf(const void *owner)
{
	free((void *)(uintptr_t)owner);
}

static void
send_answer(struct exchange *x, const struct answer *a)
{
	tally_answer(a);
	server_answer(x, a);
}

/* Release what a visit holds outside of its arena. */
static void
leave(struct visit *v)
{
	buf_fini(&v->key);
	buf_fini(&v->log_key);
	buf_fini(&v->arguments);
}

static void
answer_problem(struct visit *v, const struct problem *p)
{
	bool head_only = v->x->request.method == METHOD_HEAD;
	struct buf head = { 0 }, body = { 0 };
	struct exchange *x = v->x;
	struct answer a;

	problem_write(p, &head, &body);
	leave(v);
	a = (struct answer){ .head = buf_bytes(&head),
			     .body = head_only ? BYTES_NONE : buf_bytes(&body),
			     .release = release_buf,
			     .owner = body.at };
	/* Without memory for a page there is still a status. */
	if (buf_error(&head) != R_OK || buf_error(&body) != R_OK)
		a.head = BYTES("Status: 503 Service Unavailable\r\n"
			       "Content-Length: 0\r\n\r\n"),
		a.body = BYTES_NONE;
	send_answer(x, &a);
	buf_fini(&head);
}

static void
answer_status(struct visit *v, int status, const char *detail)
{
	const struct problem p = { .status = status, .detail = detail };

	answer_problem(v, &p);
}

static void
answer_entry(struct visit *v, const struct cache_answer *a)
{
	char head[RESPONSE_HEAD_MAX];
	struct exchange *x = v->x;
	struct answer answer;

	response_from_cache(&x->request, a, &v->served->policy,
			    v->served->endpoint->access == ACCESS_PUBLIC
				    ? AUDIENCE_PUBLIC
				    : AUDIENCE_PRIVATE,
			    head, &answer);
	leave(v);
	send_answer(x, &answer);
}

static void
answer_failed_load(struct visit *v, const struct cache_answer *a)
{
	static const char *const details[R_COUNT_] = {
		[R_NOT_FOUND] = "There is no such thing.",
		[R_TIMEOUT] =
			"What this answer is made from did not come in time.",
		[R_UNAVAILABLE] =
			"What this answer is made from is not available now.",
		[R_BUSY] = "Too many requests are being worked on.",
		[R_BAD_ANSWER] = "What this answer is made from came broken.",
		[R_TOO_LARGE] = "What this answer is made from is too large.",
	};
	const struct problem p = {
		.status = problem_status_of_load(a->result),
		.detail = details[a->result],
		.retry_ms = a->retry_ms,
	};

	answer_problem(v, &p);
}

/* Empty it, and let it begin in this visit's own memory; it may have been copied
 * from another's. */
static void
renew(struct buf *b, char room[static ROOM_BYTES])
{
	if (b->lent || b->at == NULL)
		buf_over(b, room, ROOM_BYTES);
	else
		buf_clear(b);
}

/* Values and key, from the request and who is asking.  False: answered. */
static bool
prepare(struct visit *v)
{
	const struct served *s = v->served;
	struct request *rq = &v->x->request;
	struct buf problem = { 0 };
	enum result r;

	v->values.of[0] = v->known ? bytes_of(v->who.user_id)
				   : (struct bytes){ NULL, 0 };
	r = params_from_url(s, rq, &rq->arena, &v->values, &problem);
	if (r == R_OK && s->endpoint->load != NULL) {
		renew(&v->key, v->rooms[0]);
		renew(&v->log_key, v->rooms[1]);
		renew(&v->arguments, v->rooms[2]);
		r = endpoint_query(s, &v->values, &v->key, &v->log_key,
				   &v->arguments);
		if (r == R_TOO_LARGE) {
			buf_str(&problem, "the parameters are too long");
			r = R_INVALID;
		}
	}
	if (r != R_OK)
		answer_status(v, problem_status_of_run(r),
			      r == R_INVALID && buf_error(&problem) == R_OK
				      ? problem.at
				      : NULL);
	buf_fini(&problem);
	return (r == R_OK);
}

static struct cache_query
query_of(const struct visit *v)
{
	return ((struct cache_query){
		.key = buf_bytes(&v->key),
		.log_key = buf_bytes(&v->log_key),
		.arguments = buf_bytes(&v->arguments),
		.policy = &v->served->policy,
		.source = &v->served->source,
	});
}

/* A visit that outlives the handler's return.  NULL: answered. */
static struct visit *
park(struct visit *v)
{
	struct request *rq = &v->x->request;
	struct visit *kept = NULL;

	if (v->parked)
		return (v);
	if (request_keep(rq) == R_OK &&
	    (kept = arena_alloc(&rq->arena, sizeof(*kept))) != NULL) {
		*kept = *v;
		kept->parked = true;
		kept->claim.query.key = bytes_of(kept->claim.key);
		kept->claim.query.log_key = kept->claim.query.key;
		kept->claim.query.arguments =
			bytes_from(kept->claim.query.key, 5);
		return (kept);
	}
	answer_status(v, 503, NULL);
	return (NULL);
}

static void
fetched(void *arg, const struct cache_answer *a)
{
	struct visit *v = arg;

	tally_fetched(v->served->policy.category, a, v->began_us);
	if (a->result == R_OK)
		answer_entry(v, a);
	else
		answer_failed_load(v, a);
}

static void
answer_from_cache(struct visit *v)
{
	struct cache *c = v->dispatch->services->cache;
	struct cache_answer a;
	struct cache_query q;

	if (!prepare(v))
		return;
	q = query_of(v);
	if (cache_peek(c, &q, &a)) {
		tally_fetched(v->served->policy.category, &a, v->began_us);
		answer_entry(v, &a);
		return;
	}
	if ((v = park(v)) == NULL)
		return;
	cache_fetch(c, &q, fetched, v);
}

static bool
is_json(struct bytes content_type)
{
	struct bytes type = bytes_trim(bytes_cut(&content_type, ';'));

	return (bytes_equal_nocase(type, BYTES("application/json")));
}

/* Does any parameter come in the body? */
static bool
takes_body(const struct served *s)
{
	unsigned i;

	for (i = 0; i < s->n_params; i++)
		if (s->endpoint->params[i].in == IN_BODY)
			return (true);
	return (false);
}

static void
answer_run(struct visit *v, struct run *r)
{
	bool head_only = v->x->request.method == METHOD_HEAD;
	int status = r->status != 0 ? r->status : 200;
	struct exchange *x = v->x;
	struct buf head = { 0 };
	struct answer a;

	buf_printf(&head,
		   "Status: %d %s\r\n"
		   "Content-Type: %s\r\n"
		   "Content-Length: %zu\r\n"
		   "Cache-Control: no-store\r\n\r\n",
		   status,
		   status == 200   ? "OK"
		   : status == 201 ? "Created"
				   : problem_title(status),
		   r->content_type != NULL ? r->content_type
					   : "application/json; charset=utf-8",
		   r->body.len);
	leave(v);
	a = (struct answer){ .head = buf_bytes(&head),
			     .body = head_only ? BYTES_NONE
					       : buf_bytes(&r->body),
			     .release = release_buf,
			     .owner = r->body.at };
	send_answer(x, &a);
	buf_fini(&head);
}

/* The mutation: commit, then Redis and our memory, then the answer. */
static void
run(void *arg)
{
	struct visit *v = arg;
	struct request *rq = &v->x->request;
	struct run r = { .services = v->dispatch->services,
			 .served = v->served,
			 .values = &v->values,
			 .status = v->served->endpoint->status };
	enum result result = R_OK;

	if (!prepare(v))
		return;
	if (takes_body(v->served))
		result = params_from_body(v->served, rq->body, &rq->arena,
					  &v->values, &r.detail);
	if (result == R_OK)
		result = v->served->endpoint->run(&r);
	if (result == R_FORBIDDEN) /* to us, not to who asks */
		result = R_UNAVAILABLE;
	if (result == R_OK)
		result = buf_error(&r.body);
	if (result == R_OK) {
		/* A Redis that cannot be told is not believed until it has
		 * been. */
		if (v->served->method != METHOD_GET)
			(void)!cache_catch_up(v->dispatch->services->cache);
		answer_run(v, &r);
	} else {
		const struct problem p = {
			.status = problem_status_of_run(result),
			.detail =
				r.detail.len > 0
					? r.detail.at
					: v->served->endpoint->details[result],
			.retry_ms = result == R_UNAVAILABLE ? 1000 : 0,
		};

		buf_fini(&r.body);
		answer_problem(v, &p);
	}
	buf_fini(&r.detail);
}

static void
answer_by_running(struct visit *v)
{
	const struct services *s = v->dispatch->services;
	struct pool *apart = s->apart[v->served->endpoint->apart];
	const struct request *rq = &v->x->request;
	struct problem busy = { .status = 503, .retry_ms = 1000 };
	enum result r;

	if (rq->body_error == R_TOO_LARGE) {
		answer_status(v, 413, "The body is too large.");
		return;
	}
	if (rq->body_error != R_OK) {
		answer_status(v, 400, "The body is not as long as announced.");
		return;
	}
	if (takes_body(v->served) && !is_json(rq->content_type)) {
		answer_status(v, 415,
			      "Content-Type: expected application/json");
		return;
	}
	if ((v = park(v)) == NULL)
		return;
	r = apart != NULL ? pool_submit(apart, run, v)
			  : cache_run(s->cache, run, v);
	if (r != R_OK)
		answer_problem(v, &busy);
}

/* Who is asking is known, if it matters. */
static void
answer_known(struct visit *v)
{
	enum access access = v->served->endpoint->access;

	if ((access == ACCESS_ADMIN || (access == ACCESS_SCRAPE && v->known)) &&
	    v->who.role != ROLE_ADMIN)
		answer_status(v, 403, "This needs the API key of an admin.");
	else if (v->served->endpoint->load != NULL)
		answer_from_cache(v);
	else
		answer_by_running(v);
}

static void
identified(void *arg, const struct cache_answer *a)
{
	struct visit *v = arg;
	enum result r = a->result;

	if (r == R_OK) {
		r = auth_verify(&v->claim, a->entry, &v->who);
		entry_unref(a->entry);
	}
	if (r == R_OK) {
		v->known = true;
		answer_known(v);
	} else if (r == R_FORBIDDEN || r == R_NOT_FOUND) {
		answer_status(v, 401, "The API key is not valid.");
	} else {
		answer_failed_load(v, a);
	}
}

static void
identify(struct visit *v)
{
	struct cache *c = v->dispatch->services->cache;
	struct cache_answer a;

	switch (auth_claim(v->dispatch->auth, &v->x->request, &v->claim)) {
	case R_OK:
		break;
	case R_NOT_FOUND:
		answer_status(v, 401,
			      "This needs an API key: Authorization: Bearer "
			      "wf_... or X-API-Key: wf_...");
		return;
	default:
		answer_status(v, 401, "That is not an API key.");
		return;
	}
	if (cache_peek(c, &v->claim.query, &a))
		identified(v, &a);
	else if ((v = park(v)) != NULL)
		cache_fetch(c, &v->claim.query, identified, v);
}

/* Who may come in is known by the endpoint's access alone, or asked for. */
static void
admit(struct visit *v)
{
	const struct config *c = v->dispatch->services->config;
	enum access access = v->served->endpoint->access;
	bool cron = access == ACCESS_CRON || access == ACCESS_SCRAPE;

	if (cron &&
	    auth_brings_secret(&v->x->request,
			       bytes_of(config_string(c, SET_CRON_SECRET))))
		answer_known(v);
	else if (access == ACCESS_PUBLIC)
		answer_known(v);
	else if (access != ACCESS_CRON)
		identify(v);
	else if (!config_is_set(c, SET_CRON_SECRET))
		answer_status(v, 403,
			      "This is closed: CRON_SECRET is not set.");
	else
		answer_status(v, 401,
			      "This needs Authorization: Bearer and "
			      "the CRON_SECRET.");
}

void
dispatch_request(void *arg, struct exchange *x)
{
	struct visit v = { .dispatch = arg,
			   .x = x,
			   .began_us = clock_monotonic_us() };
	struct buf allow = { 0 };
	struct problem not_allowed = { .status = 405 };

	switch (router_match(v.dispatch->router, &x->request, &v.served,
			     &allow)) {
	case R_OK:
		admit(&v);
		break;
	case R_INVALID:
		not_allowed.allow = buf_bytes(&allow);
		answer_problem(&v, &not_allowed);
		break;
	default:
		answer_status(&v, 404, "There is no such path.");
		break;
	}
	buf_fini(&allow);
}
