/* SPDX-License-Identifier: MIT */
#include "upstream.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/counters.h"
#include "../base/lock.h"
#include "../base/log.h"
#include "transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_MAX 8
#define BREAKER_FAILURES 3
#define BREAKER_PAUSE_MS 1000
#define BREAKER_PAUSE_MAX_MS 30000
#define LOG_EVERY_MS 60000

struct upstream {
	char *name, *url, *api_key;
	struct upstream_options options;
	struct breaker *breaker;
	unsigned label; /* in counters */

	struct lock lock;		 /* the rest */
	struct transfer *idle[IDLE_MAX]; /* the last one used is taken first */
	unsigned n_idle;
	int64_t not_before_ms; /* Retry-After asked for silence until then */
	char said[256];	       /* the problem in the log; empty: none */
	int64_t said_ms;
};

static enum result
fill_in(struct upstream *u)
{
	const struct breaker_options breaker = {
		.name = u->options.name,
		.failures = BREAKER_FAILURES,
		.pause_ms = BREAKER_PAUSE_MS,
		.pause_max_ms = BREAKER_PAUSE_MAX_MS,
	};

	u->name = mem_strdup(u->options.name);
	u->url = mem_strdup(u->options.url);
	u->api_key = mem_strdup(u->options.api_key);
	u->breaker = breaker_new(&breaker);
	u->label = counters_label_copy(u->options.name);
	if (u->name == NULL || u->url == NULL || u->breaker == NULL ||
	    (u->options.api_key != NULL && u->api_key == NULL))
		return (R_NO_MEMORY);
	if (bytes_have_control(bytes_of(u->api_key)))
		return (R_INVALID);
	return (transfer_check_url(u->url));
}

enum result
upstream_new(const struct upstream_options *options, struct upstream **out)
{
	struct upstream *u;
	enum result r;

	u = mem_alloc(sizeof(*u));
	if (u == NULL)
		return (R_NO_MEMORY);
	u->options = *options;
	lock_init(&u->lock, LOCK_UPSTREAM);
	r = fill_in(u);
	/* The strings are the caller's. */
	u->options.name = u->options.url = u->options.api_key = NULL;
	if (r == R_OK)
		*out = u;
	else
		upstream_free(u);
	return (r);
}

void
upstream_free(struct upstream *u)
{
	if (u == NULL)
		return;
	while (u->n_idle > 0)
		transfer_free(u->idle[--u->n_idle]);
	if (u->api_key != NULL)
		explicit_bzero(u->api_key, strlen(u->api_key));
	free(u->api_key);
	free(u->name);
	free(u->url);
	breaker_free(u->breaker);
	lock_fini(&u->lock);
	free(u);
}

const char *
upstream_name(const struct upstream *u)
{
	return (u->name);
}

enum breaker_state
upstream_state(struct upstream *u)
{
	return (breaker_state(u->breaker));
}

/* How long Retry-After still asks for silence. */
static int64_t
silence_ms(struct upstream *u)
{
	int64_t left_ms;

	lock_take(&u->lock);
	left_ms = u->not_before_ms - clock_monotonic_ms();
	lock_give(&u->lock);
	return (left_ms > 0 ? left_ms : 0);
}

int64_t
upstream_retry_ms(struct upstream *u)
{
	int64_t silence = silence_ms(u), pause = breaker_retry_ms(u->breaker);

	return (silence > pause ? silence : pause);
}

static struct transfer *
take_transfer(struct upstream *u)
{
	struct transfer *t = NULL;

	lock_take(&u->lock);
	if (u->n_idle > 0)
		t = u->idle[--u->n_idle];
	lock_give(&u->lock);
	return (t != NULL ? t : transfer_new());
}

static void
give_transfer(struct upstream *u, struct transfer *t)
{
	lock_take(&u->lock);
	if (u->n_idle < IDLE_MAX) {
		u->idle[u->n_idle++] = t;
		t = NULL;
	}
	lock_give(&u->lock);
	transfer_free(t);
}

/* Tell the breaker, and keep to Retry-After. */
static void
report(struct upstream *u, const struct transfer_outcome *o)
{
	int64_t not_before_ms = clock_monotonic_ms() + o->retry_after_ms;

	if (o->origin == ORIGIN_ALIVE)
		breaker_success(u->breaker);
	else if (o->origin == ORIGIN_FAILED)
		breaker_failure(u->breaker);
	else
		breaker_forget(u->breaker);
	if (o->retry_after_ms == 0)
		return;
	lock_take(&u->lock);
	if (u->not_before_ms < not_before_ms)
		u->not_before_ms = not_before_ms;
	lock_give(&u->lock);
}

static void
count(const struct upstream *u, enum result r, int64_t took_us)
{
	counters_add(u->label, COUNT_UPSTREAM_CALLS, 1);
	counters_observe(u->label, TIME_UPSTREAM_TIME, took_us);
	if (r != R_OK && r != R_UNCHANGED)
		counters_add(u->label, COUNT_UPSTREAM_FAILURES, 1);
}

/* A lasting problem is one line a minute, not one a call. */
static void
say(struct upstream *u, const struct transfer_outcome *o)
{
	int64_t now_ms = clock_monotonic_ms();
	bool changed;

	lock_take(&u->lock);
	changed =
		strcmp(u->said, o->problem) != 0 ||
		(o->problem[0] != '\0' && now_ms - u->said_ms >= LOG_EVERY_MS);
	if (changed) {
		memcpy(u->said, o->problem, sizeof(u->said));
		u->said_ms = now_ms;
	}
	lock_give(&u->lock);
	if (changed && o->problem[0] != '\0')
		log_warn("upstream %s: %s", u->name, o->problem);
}

enum result
upstream_get(struct upstream *u, struct bytes validators, int64_t deadline_ms,
	     struct upstream_answer *answer)
{
	int64_t left_ms = deadline_ms - clock_monotonic_ms();
	int64_t began_us = clock_monotonic_us();
	struct transfer_request request = {
		.url = u->url,
		.api_key = u->api_key,
		.validators = validators,
		.timeout_ms = left_ms,
		.connect_timeout_ms = u->options.connect_timeout_ms,
	};
	struct transfer_outcome o = { .result = R_NO_MEMORY,
				      .origin = ORIGIN_UNKNOWN };
	struct transfer *t;

	*answer = (struct upstream_answer){
		.body = { .limit = u->options.max_bytes }
	};
	if (left_ms <= 0)
		return (R_TIMEOUT);
	if (silence_ms(u) > 0 || !breaker_allow(u->breaker)) {
		counters_add(u->label, COUNT_UPSTREAM_REFUSED, 1);
		return (R_UNAVAILABLE);
	}
	if (left_ms > u->options.timeout_ms)
		request.timeout_ms = u->options.timeout_ms;
	t = take_transfer(u);
	if (t != NULL) {
		transfer_run(t, &request, &answer->body, &answer->validators,
			     &o);
		give_transfer(u, t);
	}
	report(u, &o);
	say(u, &o);
	count(u, o.result, clock_monotonic_us() - began_us);
	if (o.result != R_OK)
		upstream_answer_fini(answer);
	return (o.result);
}

void
upstream_answer_fini(struct upstream_answer *a)
{
	buf_fini(&a->body);
	buf_fini(&a->validators);
}
