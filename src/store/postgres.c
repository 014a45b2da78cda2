/* SPDX-License-Identifier: MIT */
#include "postgres.h"

#include "postgres_pool.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/log.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BREAKER_FAILURES 3
#define BREAKER_PAUSE_MS 250
#define BREAKER_PAUSE_MAX_MS 5000

/* A server that was given less time than this and did not answer in it has not
 * shown that it is down: it may be busy, and whoever asked in a hurry. */
#define FAIR_TIME_MS 400

#define WARN_EVERY_MS 1000
#define COMPLAINTS 64

struct postgres {
	struct postgres_pool *pool;
	struct breaker *breaker;
	char *url, *name;
	int64_t connect_timeout_ms, statement_timeout_ms;
	_Atomic int64_t warn_after_ms;
	_Atomic uint64_t complaints[COMPLAINTS]; /* see is_news() */
};

void
postgres_free(struct postgres *pg)
{
	if (pg == NULL)
		return;
	postgres_pool_free(pg->pool);
	breaker_free(pg->breaker);
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
	const struct postgres_link_target target = { options->url,
						     options->name };
	struct postgres *pg;

	if (!postgres_link_url_is_valid(options->url)) {
		/* libpq's words would show the password. */
		log_error("postgres: the database URL is malformed");
		return (NULL);
	}
	if ((pg = mem_alloc(sizeof(*pg))) == NULL)
		return (NULL);
	pg->connect_timeout_ms = options->connect_timeout_ms;
	pg->statement_timeout_ms = options->statement_timeout_ms;
	pg->url = mem_strdup(options->url);
	pg->name = mem_strdup(options->name);
	pg->pool = postgres_pool_new(&target, options->pool_size,
				     options->connect_timeout_ms);
	pg->breaker = breaker_new(&breaker);
	if (pg->url == NULL || pg->name == NULL || pg->pool == NULL ||
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

/* A failure that can come with every call is logged once a second at most. */
static bool
is_time_to_warn(struct postgres *pg)
{
	int64_t now_ms = clock_monotonic_ms();
	int64_t after_ms = atomic_load(&pg->warn_after_ms);

	return (now_ms >= after_ms &&
		atomic_compare_exchange_strong(&pg->warn_after_ms, &after_ms,
					       now_ms + WARN_EVERY_MS));
}

/* The last complaint of the statements whose hash leads here. */
static _Atomic uint64_t *
complaint_of(struct postgres *pg, const char *sql)
{
	return (&pg->complaints[bytes_hash(bytes_of(sql)) % COMPLAINTS]);
}

/* Is this said of the statement for the first time since it went well? */
static bool
is_news(struct postgres *pg, const char *sql, const char *problem)
{
	uint64_t said =
		bytes_hash_seeded(bytes_of(problem), bytes_hash(bytes_of(sql)));

	return (atomic_exchange(complaint_of(pg, sql), said) != said);
}

/* What helps against it. */
static const char *
advice(const char *state)
{
	bool is_missing = strcmp(state, "42P01") == 0 || /* table */
			  strcmp(state, "42883") == 0;	 /* function */

	return (is_missing ? " (run: warmfront migrate)" : "");
}

static void
log_failure(struct postgres *pg, const struct postgres_link *l, enum result r,
	    const char *sql)
{
	const char *state = postgres_link_sqlstate(l);
	enum log_level level = LOG_LEVEL_WARN;

	if (r == R_UNAVAILABLE && postgres_link_is_broken(l)) {
		postgres_pool_note_lost(pg->pool,
					bytes_of(postgres_link_problem(l)));
		return;
	}
	if (r == R_INTERNAL || r == R_FORBIDDEN)
		level = is_news(pg, sql, postgres_link_problem(l))
				? LOG_LEVEL_ERROR
				: LOG_LEVEL_DEBUG;
	else if (r == R_CONFLICT || r == R_NOT_FOUND || r == R_INVALID ||
		 !is_time_to_warn(pg))
		level = LOG_LEVEL_DEBUG;
	log_write(level, "postgres: %s%s%s%s, in: %.200s", state,
		  state[0] != '\0' ? " " : "", postgres_link_problem(l),
		  advice(state), sql);
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

/* One statement under way. */
struct call {
	struct postgres_link *link;
	const char *sql;
	int64_t began_ms;
};

/* The end of a call, well or not. */
static void
end(struct postgres *pg, struct call *c, enum result r)
{
	if (r == R_OK)
		atomic_store(complaint_of(pg, c->sql), 0);
	else
		log_failure(pg, c->link, r, c->sql);
	report(pg, c->link, r, c->began_ms);
	postgres_pool_give(pg->pool, c->link);
	c->link = NULL;
}

/* Send a statement off.  With `spare` only if that takes no waiting for others:
 * R_BUSY otherwise. */
enum patience { PATIENT, SPARE };

static enum result
begin(struct postgres *pg, int64_t deadline_ms, enum patience patience,
      const char *sql, const struct postgres_arguments *arguments,
      struct call *c)
{
	enum result r = R_BUSY;

	*c = (struct call){ .sql = sql };
	if (!breaker_allow(pg->breaker))
		return (patience == PATIENT ? R_UNAVAILABLE : R_BUSY);
	if (patience == PATIENT)
		r = postgres_pool_take(pg->pool, deadline_ms, &c->link);
	else if ((c->link = postgres_pool_take_spare(pg->pool, deadline_ms)) !=
		 NULL)
		r = R_OK;
	if (r == R_UNAVAILABLE)
		breaker_failure(pg->breaker);
	else if (r != R_OK)
		breaker_forget(pg->breaker);
	if (r != R_OK)
		return (r);
	c->began_ms = clock_monotonic_ms();
	r = postgres_link_begin(c->link, deadline_ms, sql, arguments);
	if (r != R_OK)
		end(pg, c, r);
	return (r);
}

static enum result
finish(struct postgres *pg, int64_t deadline_ms, struct call *c,
       struct postgres_rows **rows)
{
	struct pg_result *result = NULL;
	enum result r = postgres_link_finish(c->link, deadline_ms, &result);

	end(pg, c, r);
	if (r != R_OK)
		return (r);
	r = postgres_rows_new(result, rows);
	if (r == R_BAD_ANSWER)
		log_error("postgres: bytea_output must be hex");
	return (r);
}

int64_t
postgres_deadline(const struct postgres *pg, int64_t latest_ms)
{
	return (earlier(latest_ms,
			clock_monotonic_ms() + pg->statement_timeout_ms));
}

static int64_t
deadline_of(const struct postgres *pg, int64_t deadline_ms)
{
	return (deadline_ms != 0 ? deadline_ms
				 : postgres_deadline(pg, INT64_MAX));
}

enum result
postgres_query(struct postgres *pg, int64_t deadline_ms, const char *sql,
	       const struct postgres_value *values, unsigned n_values,
	       struct postgres_rows **rows)
{
	struct postgres_arguments a;
	struct call c;
	enum result r;

	deadline_ms = deadline_of(pg, deadline_ms);
	r = postgres_arguments_init(&a, values, n_values);
	if (r == R_OK)
		r = begin(pg, deadline_ms, PATIENT, sql, &a, &c);
	if (r == R_OK)
		r = finish(pg, deadline_ms, &c, rows);
	postgres_arguments_fini(&a);
	return (r);
}

/* Begin the first of these statements, and as many more as there are links
 * to spare: who holds one waits for no other.  Returns how many have begun. */
static unsigned
begin_some(struct postgres *pg, int64_t deadline_ms, const char *const *sql,
	   unsigned n, const struct postgres_arguments *arguments,
	   struct call *calls, enum result *failure)
{
	enum patience patience = PATIENT;
	enum result r;
	unsigned i;

	for (i = 0; i < n; i++, patience = SPARE) {
		r = begin(pg, deadline_ms, patience, sql[i], arguments,
			  &calls[i]);
		if (r == R_OK)
			continue;
		if (r != R_BUSY)
			*failure = r;
		break;
	}
	return (i);
}

enum result
postgres_query_all(struct postgres *pg, int64_t deadline_ms,
		   const char *const *sql, unsigned n,
		   const struct postgres_value *values, unsigned n_values,
		   struct postgres_rows **rows)
{
	struct call calls[POSTGRES_ALL_MAX];
	struct postgres_arguments a;
	unsigned i, begun = 0, done = 0;
	enum result r, failure;

	assert(n <= POSTGRES_ALL_MAX);
	deadline_ms = deadline_of(pg, deadline_ms);
	failure = postgres_arguments_init(&a, values, n_values);
	while (failure == R_OK && done < n) {
		begun = done + begin_some(pg, deadline_ms, sql + done, n - done,
					  &a, calls + done, &failure);
		for (; done < begun; done++) {
			rows[done] = NULL;
			r = finish(pg, deadline_ms, &calls[done], &rows[done]);
			failure = failure != R_OK ? failure : r;
		}
	}
	postgres_arguments_fini(&a);
	for (i = 0; i < done && failure != R_OK; i++)
		postgres_rows_free(rows[i]);
	return (failure);
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

	deadline_ms = deadline_of(pg, deadline_ms);
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
