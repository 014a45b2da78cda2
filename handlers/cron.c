/* SPDX-License-Identifier: MIT */
/*
 * cron: what must happen though nobody asks.
 *
 *	GET, POST /cron/cache-warming	load what is asked for most; clean up
 *
 * What is warmed stands with the endpoints, as their .warm.  All of them are done side by
 * side; one that fails holds up no other.  Of two calls at once, in the whole deployment,
 * one does the work, and the other says so.
 */
#include "handler.h"

#include <stdlib.h>
#include <string.h>

#define TASKS_MAX 16
#define BATCH 16 /* keys of one task that are loaded side by side */

/* One endpoint's warming, or the clean-up. */
struct task {
	const struct served *served; /* NULL: the clean-up */
	const struct services *services;
	int64_t deadline_ms;
	enum result result;
	bool cut; /* the time was up before the end */
	unsigned keys, loaded, fresh, failed;
	int64_t removed;
	int64_t took_ms;
};

/* Load what is not fresh. */
static void
warm_batch(struct task *t, struct cache_part *parts, unsigned n)
{
	const struct cache_answer *a;
	unsigned i;

	cache_wait_until(t->services->cache, parts, n, CACHE_YOUNG,
			 t->deadline_ms);
	for (i = 0; i < n; i++) {
		a = &parts[i].answer;
		t->keys++;
		if (a->result != R_OK || a->status == CACHE_STALE)
			t->failed++;
		else if (a->status == CACHE_HIT)
			t->fresh++;
		else
			t->loaded++;
		if (a->result != R_OK && a->result != R_NOT_FOUND)
			t->result = a->result;
	}
}

/* The values of row `row`; NULL columns are absent, and so is what has no
 * column. */
static void
take_values(const struct task *t, struct postgres_rows *rows, unsigned row,
	    unsigned columns, struct values *v)
{
	unsigned i;

	*v = (struct values){ .count = t->served->n_params + 1 };
	for (i = 0; i < v->count && i < columns; i++)
		if (!postgres_is_null(rows, row, i))
			v->of[i] = postgres_get(rows, row, i);
}

static void
warm_rows(struct task *t, struct postgres_rows *rows)
{
	unsigned columns = postgres_columns(rows), row = 0, n;
	struct values values;

	while (row < postgres_count(rows)) {
		struct cache_part parts[BATCH] = { 0 };

		if (clock_monotonic_ms() >= t->deadline_ms) {
			t->cut = true;
			return;
		}
		for (n = 0; n < BATCH && row < postgres_count(rows); row++) {
			take_values(t, rows, row, columns, &values);
			if (params_part(t->served, &values, &parts[n++]) !=
			    R_OK) {
				t->result = R_INVALID;
				cache_part_fini(&parts[--n]);
			}
		}
		warm_batch(t, parts, n);
		while (n-- > 0)
			cache_part_fini(&parts[n]);
	}
}

/* The one question without a caller. */
static void
warm_defaults(struct task *t)
{
	struct cache_part part = { 0 };
	struct values values = { .count = t->served->n_params + 1 };

	t->result = params_part(t->served, &values, &part);
	if (t->result == R_OK)
		warm_batch(t, &part, 1);
	cache_part_fini(&part);
}

static void
run_task(void *arg)
{
	struct task *t = arg;
	int64_t began_ms = clock_monotonic_ms();
	struct postgres_rows *rows;
	const char *sql;

	if (t->served == NULL) {
		t->result = cache_clean(t->services->cache, &t->removed);
	} else if (strcmp(sql = t->served->endpoint->warm, WARM_DEFAULTS) ==
		   0) {
		warm_defaults(t);
	} else {
		t->result = postgres_query(t->services->pg,
					   postgres_deadline(t->services->pg,
							     t->deadline_ms),
					   sql, NULL, 0, &rows);
		if (t->result == R_OK) {
			warm_rows(t, rows);
			postgres_rows_free(rows);
		}
	}
	t->took_ms = clock_monotonic_ms() - began_ms;
}

struct warming {
	struct task tasks[TASKS_MAX];
	unsigned n;
	enum result result;
};

/* On threads of its own: loads need those that loads have. */
static void
do_tasks(void *arg)
{
	struct warming *w = arg;
	const struct pool_options options = { .name = "warming",
					      .threads = w->n,
					      .queue_limit = w->n };
	struct pool *pool = pool_new(&options);
	unsigned i;

	if (pool == NULL) {
		w->result = R_NO_MEMORY;
		return;
	}
	for (i = 0; i < w->n; i++) {
		if (pool_submit(pool, run_task, &w->tasks[i]) != R_OK)
			run_task(&w->tasks[i]);
	}
	pool_free(pool); /* once all are done */
}

static void
list_tasks(const struct services *s, struct warming *w)
{
	int64_t deadline_ms = clock_monotonic_ms() +
			      config_int(s->config, SET_WARMING_BUDGET_MS);
	const struct served *served;
	unsigned i;

	w->tasks[w->n++] =
		(struct task){ .services = s, .deadline_ms = deadline_ms };
	for (i = 0; (served = router_at(s->router, i)) != NULL; i++)
		if (served->endpoint->warm != NULL && w->n < TASKS_MAX &&
		    served->policy.ttl_ms > 0)
			w->tasks[w->n++] =
				(struct task){ .served = served,
					       .services = s,
					       .deadline_ms = deadline_ms };
}

static void
add_task(struct buf *to, const struct task *t)
{
	buf_printf(to, "{\"task\":\"%s\",\"ok\":%s",
		   t->served != NULL ? t->served->policy.category : "cleanup",
		   t->result == R_OK && !t->cut ? "true" : "false");
	if (t->served != NULL)
		buf_printf(to,
			   ",\"endpoint\":\"%s\",\"keys\":%u,\"loaded\":%u,"
			   "\"fresh\":%u,\"failed\":%u",
			   t->served->endpoint->route, t->keys, t->loaded,
			   t->fresh, t->failed);
	else
		buf_printf(to, ",\"removed\":%lld", (long long)t->removed);
	if (t->result != R_OK)
		buf_printf(to, ",\"error\":\"%s\"", result_text(t->result));
	else if (t->cut)
		buf_str(to, ",\"error\":\"time was up\"");
	buf_printf(to, ",\"ms\":%lld}", (long long)t->took_ms);
}

static enum result
run_warming(struct run *r)
{
	int64_t began_ms = clock_monotonic_ms();
	struct warming w = { .result = R_OK };
	unsigned i, failed = 0;
	bool ours;

	list_tasks(r->services, &w);
	ours = operations_alone(r->services->cache, "@warming", do_tasks, &w);
	if (w.result != R_OK)
		return (w.result);
	buf_printf(&r->body, "{\"data\":{\"status\":\"%s\",\"tasks\":[",
		   ours ? "done" : "already running");
	for (i = 0; ours && i < w.n; i++) {
		if (i > 0)
			buf_char(&r->body, ',');
		add_task(&r->body, &w.tasks[i]);
		failed += w.tasks[i].result != R_OK || w.tasks[i].cut;
	}
	buf_printf(&r->body, "],\"failed\":%u,\"ms\":%lld}}", failed,
		   (long long)(clock_monotonic_ms() - began_ms));
	return (R_OK);
}

const struct endpoint cron_endpoints[] = {
	{
		.route = "GET /cron/cache-warming",
		.access = ACCESS_CRON,
		.run = run_warming,
		.apart = APART_WAIT,
	},
	{
		.route = "POST /cron/cache-warming",
		.access = ACCESS_CRON,
		.run = run_warming,
		.apart = APART_WAIT,
	},
	ENDPOINTS_END,
};
