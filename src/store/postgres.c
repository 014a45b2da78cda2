/* SPDX-License-Identifier: MIT */
#include "postgres.h"

#include "postgres_link.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/lock.h"
#include "../base/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BREAKER_FAILURES 3
#define BREAKER_PAUSE_MS 250
#define BREAKER_PAUSE_MAX_MS 5000

/* A server that was given less time than this and did not answer in it has not
 * shown that it is down. */
#define FAIR_TIME_MS 100

#define WARN_EVERY_MS 1000

struct postgres {
	char *url, *name;
	int64_t connect_timeout_ms, statement_timeout_ms;
	struct breaker *breaker;

	struct lock lock;
	struct signal freed;
	struct postgres_link **idle; /* the last one used is on top */
	unsigned n_idle;
	unsigned n_open; /* idle, in use, or being connected */
	unsigned size;
	bool lost; /* and logged */
	int64_t warn_after_ms;
};

void
postgres_free(struct postgres *pg)
{
	if (pg == NULL)
		return;
	assert(pg->n_open == pg->n_idle);
	while (pg->n_idle > 0)
		postgres_link_close(pg->idle[--pg->n_idle]);
	breaker_free(pg->breaker);
	signal_fini(&pg->freed);
	lock_fini(&pg->lock);
	free(pg->idle);
	free(pg->name);
	free(pg->url);
	free(pg);
}

struct postgres *
postgres_new(const struct postgres_options *options)
{
	static const struct breaker_options breaker = { "postgres",
							BREAKER_FAILURES,
							BREAKER_PAUSE_MS,
							BREAKER_PAUSE_MAX_MS };
	struct postgres *pg;

	assert(options->pool_size > 0);
	if (!postgres_link_url_is_valid(options->url)) {
		/* libpq's words would show the password. */
		log_error("postgres: the database URL is malformed");
		return (NULL);
	}
	if ((pg = mem_alloc(sizeof(*pg))) == NULL)
		return (NULL);
	lock_init(&pg->lock, LOCK_POSTGRES);
	signal_init(&pg->freed);
	pg->connect_timeout_ms = options->connect_timeout_ms;
	pg->statement_timeout_ms = options->statement_timeout_ms;
	pg->size = options->pool_size;
	pg->url = mem_strdup(options->url);
	pg->name = mem_strdup(options->name);
	pg->idle =
		mem_alloc(options->pool_size * sizeof(struct postgres_link *));
	pg->breaker = breaker_new(&breaker);
	if (pg->url == NULL || pg->name == NULL || pg->idle == NULL ||
	    pg->breaker == NULL) {
		postgres_free(pg);
		return (NULL);
	}
	return (pg);
}

enum breaker_state
postgres_state(struct postgres *pg)
{
	return (breaker_state(pg->breaker));
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return (a < b ? a : b);
}

/* One line when the server is lost and one when it is back, not one per call. */
static void
note_lost(struct postgres *pg, struct bytes why)
{
	bool news;

	lock_take(&pg->lock);
	news = !pg->lost;
	pg->lost = true;
	lock_give(&pg->lock);
	if (news) {
		why = bytes_cut(&why, '\n'); /* advice follows */
		log_warn("postgres: no connection: %.*s", BYTES_ARG(why));
	}
}

static void
note_connected(struct postgres *pg)
{
	bool news;

	lock_take(&pg->lock);
	news = pg->lost;
	pg->lost = false;
	lock_give(&pg->lock);
	if (news)
		log_info("postgres: connected again");
}

static enum result
connect_now(struct postgres *pg, int64_t deadline_ms,
	    struct postgres_link **out)
{
	const struct postgres_link_target target = { pg->url, pg->name };
	struct buf problem = { 0 };
	enum result r;

	deadline_ms = earlier(deadline_ms,
			      clock_monotonic_ms() + pg->connect_timeout_ms);
	r = postgres_link_open(&target, deadline_ms, &problem, out);
	if (r == R_OK)
		note_connected(pg);
	else
		note_lost(pg, r == R_UNAVAILABLE ? buf_bytes(&problem)
						 : bytes_of(result_text(r)));
	buf_fini(&problem);
	return (r);
}

/* Give a place in the pool back, with a link that can be used again or none. */
static void
give_place(struct postgres *pg, struct postgres_link *reusable)
{
	lock_take(&pg->lock);
	if (reusable != NULL)
		pg->idle[pg->n_idle++] = reusable;
	else
		pg->n_open--;
	lock_give(&pg->lock);
	/* Those whose connecting failed wait for an idle link, or for the last one
	 * to go; the others for a place. */
	if (reusable != NULL)
		signal_wake_one(&pg->freed);
	else
		signal_wake_all(&pg->freed);
}

static void
give_link(struct postgres *pg, struct postgres_link *l)
{
	if (!postgres_link_is_reusable(l)) {
		postgres_link_close(l);
		l = NULL;
	}
	give_place(pg, l);
}

enum place { PLACE_NONE, PLACE_IDLE, PLACE_NEW };

/* Wait for an idle link, or (when `refused` is R_OK) for room for a new one. */
static enum place
take_place(struct postgres *pg, int64_t deadline_ms, enum result refused,
	   struct postgres_link **idle)
{
	enum place place = PLACE_NONE;

	lock_take(&pg->lock);
	for (;;) {
		if (pg->n_idle > 0) {
			*idle = pg->idle[--pg->n_idle];
			place = PLACE_IDLE;
			break;
		}
		if (refused == R_OK && pg->n_open < pg->size) {
			pg->n_open++;
			place = PLACE_NEW;
			break;
		}
		if ((refused != R_OK && pg->n_open == 0) ||
		    clock_left_ms(deadline_ms) == 0)
			break;
		signal_wait(&pg->freed, &pg->lock, deadline_ms);
	}
	lock_give(&pg->lock);
	return (place);
}

/*
 * An idle link, a new one, or, when the server takes no more connections, one that
 * somebody gives back.  R_TIMEOUT: all were in use until the deadline.
 */
static enum result
take_link(struct postgres *pg, int64_t deadline_ms, struct postgres_link **out)
{
	enum result refused = R_OK;
	struct postgres_link *l;

	for (;;) {
		switch (take_place(pg, deadline_ms, refused, &l)) {
		case PLACE_NONE:
			return (refused != R_OK ? refused : R_TIMEOUT);
		case PLACE_IDLE:
			if (postgres_link_is_alive(l)) {
				*out = l;
				return (R_OK);
			}
			postgres_link_close(l);
			give_place(pg, NULL);
			break;
		case PLACE_NEW:
			refused = connect_now(pg, deadline_ms, out);
			if (refused == R_OK)
				return (R_OK);
			give_place(pg, NULL);
			break;
		}
	}
}

/* A failure that can come with every call is logged once a second at most. */
static bool
is_time_to_warn(struct postgres *pg)
{
	int64_t now_ms = clock_monotonic_ms();
	bool yes;

	lock_take(&pg->lock);
	yes = now_ms >= pg->warn_after_ms;
	if (yes)
		pg->warn_after_ms = now_ms + WARN_EVERY_MS;
	lock_give(&pg->lock);
	return (yes);
}

static void
log_failure(struct postgres *pg, const struct postgres_link *l, enum result r,
	    const char *sql)
{
	const char *state = postgres_link_sqlstate(l);
	enum log_level level = LOG_LEVEL_WARN;

	if (r == R_UNAVAILABLE && postgres_link_is_broken(l)) {
		note_lost(pg, bytes_of(postgres_link_problem(l)));
		return;
	}
	if (r == R_INTERNAL)
		level = LOG_LEVEL_ERROR;
	else if (r == R_CONFLICT || r == R_INVALID || !is_time_to_warn(pg))
		level = LOG_LEVEL_DEBUG;
	log_write(level, "postgres: %s%s%s, in: %.200s", state,
		  state[0] != '\0' ? " " : "", postgres_link_problem(l), sql);
}

/* Tell the breaker what this run says about the server. */
static void
report(struct postgres *pg, const struct postgres_link *l, enum result r,
       int64_t began_ms)
{
	if (!postgres_link_is_broken(l) || r == R_INTERNAL)
		breaker_success(pg->breaker);
	else if (r == R_TIMEOUT &&
		 clock_monotonic_ms() - began_ms < FAIR_TIME_MS)
		breaker_forget(pg->breaker);
	else
		breaker_failure(pg->breaker);
}

static enum result
run(struct postgres *pg, int64_t deadline_ms, const char *sql,
    const struct postgres_arguments *arguments, struct pg_result **result)
{
	int64_t began_ms = clock_monotonic_ms();
	struct postgres_link *l;
	enum result r;

	if (deadline_ms == 0)
		deadline_ms = INT64_MAX;
	deadline_ms = earlier(deadline_ms, began_ms + pg->statement_timeout_ms);
	if (!breaker_allow(pg->breaker))
		return (R_UNAVAILABLE);
	r = take_link(pg, deadline_ms, &l);
	if (r == R_UNAVAILABLE)
		breaker_failure(pg->breaker);
	else if (r != R_OK)
		breaker_forget(pg->breaker);
	if (r != R_OK)
		return (r);

	began_ms = clock_monotonic_ms();
	r = postgres_link_run(l, deadline_ms, sql, arguments, result);
	if (r != R_OK)
		log_failure(pg, l, r, sql);
	report(pg, l, r, began_ms);
	give_link(pg, l);
	return (r);
}

enum result
postgres_query(struct postgres *pg, int64_t deadline_ms, const char *sql,
	       const struct postgres_value *values, unsigned n_values,
	       struct postgres_rows **rows)
{
	struct pg_result *result = NULL;
	struct postgres_arguments a;
	enum result r;

	if ((r = postgres_arguments_init(&a, values, n_values)) != R_OK)
		goto out;
	r = run(pg, deadline_ms, sql, &a, &result);
	if (r != R_OK)
		goto out;
	r = postgres_rows_new(result, rows);
	if (r == R_BAD_ANSWER)
		log_error("postgres: bytea_output must be hex");
out:
	postgres_arguments_fini(&a);
	return (r);
}

enum result
postgres_run(struct postgres *pg, int64_t deadline_ms, const char *sql,
	     const struct postgres_value *values, unsigned n_values)
{
	struct postgres_rows *rows;
	enum result r;

	r = postgres_query(pg, deadline_ms, sql, values, n_values, &rows);
	if (r == R_OK)
		postgres_rows_free(rows);
	return (r);
}

enum result
postgres_script(struct postgres *pg, int64_t deadline_ms, const char *sql,
		struct buf *problem)
{
	const struct postgres_link_target target = { pg->url, pg->name };
	struct pg_result *result = NULL;
	struct postgres_rows *rows = NULL;
	struct postgres_link *l = NULL;
	int64_t now_ms = clock_monotonic_ms();
	enum result r;

	if (deadline_ms == 0)
		deadline_ms = now_ms + pg->statement_timeout_ms;
	r = postgres_link_open(&target,
			       earlier(deadline_ms,
				       now_ms + pg->connect_timeout_ms),
			       problem, &l);
	if (r != R_OK)
		return (r);
	r = postgres_link_run(l, deadline_ms, sql, NULL, &result);
	if (r == R_OK)
		r = postgres_rows_new(result, &rows);
	else
		buf_str(problem, postgres_link_problem(l));
	postgres_rows_free(rows);
	postgres_link_close(l);
	return (r);
}
