/* SPDX-License-Identifier: MIT */
#include "metrics.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/json.h"
#include "../base/lock.h"
#include "../base/log.h"
#include "../base/random.h"
#include "../base/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FLUSH_EVERY_MS 1000
#define BEAT_EVERY_MS 5000 /* with nothing to add */
#define RING_PAUSE_MS 20   /* between two looks at who wants a report */
#define STATEMENT_MS 1000
#define PATIENCE_MS 200 /* of a report, for the other workers */
#define READ_MS 300	/* and for the sums */
#define LOOK_EVERY_MS 5

struct metrics {
	struct metrics_options options;
	char id[33], host[65], pid[16];
	pthread_t thread;

	/* The thread's own. */
	struct counters_totals base;	/* what is in the table */
	struct counters_totals pending; /* with `deltas` it will be this */
	struct buf deltas; /* of a batch that was not confirmed; or empty */
	int64_t batch;
	int64_t beat_at_ms;

	struct lock lock;
	struct signal news;
	bool rung, stopping, stopped;
};

/* The gauges as a JSON object. */
static void
add_gauges(const struct metrics *m, struct buf *to)
{
	buf_char(to, '{');
	if (m->options.gauges != NULL)
		m->options.gauges(m->options.arg, to);
	buf_char(to, '}');
}

static void
add_delta(struct buf *to, unsigned label, unsigned cell, uint64_t gained)
{
	struct counters_cell c = counters_cell(cell);

	buf_str(to, to->len > 1 ? ",{\"category\":" : "{\"category\":");
	buf_json(to, bytes_of(counters_label_value(label)));
	buf_printf(to,
		   ",\"tier\":\"%s\",\"name\":\"%s\",\"bucket\":%lld,"
		   "\"value\":%llu}",
		   c.tier, c.name, (long long)c.bound_us,
		   (unsigned long long)gained);
}

/* What has been gained since `base`, as the next batch; false when that is
 * nothing. */
static bool
take_deltas(struct metrics *m)
{
	unsigned l, c;

	counters_read(&m->pending);
	buf_clear(&m->deltas);
	buf_char(&m->deltas, '[');
	for (l = 0; l < counters_labels(); l++)
		for (c = 0; c < COUNTERS_CELLS; c++)
			if (m->pending.of[l][c] != m->base.of[l][c])
				add_delta(&m->deltas, l, c,
					  m->pending.of[l][c] -
						  m->base.of[l][c]);
	buf_char(&m->deltas, ']');
	if (buf_error(&m->deltas) == R_OK && m->deltas.len > 2)
		return (true);
	buf_clear(&m->deltas);
	return (false);
}

/* Add the pending batch, or none; `asked` is the server's time before the
 * counters were read, or empty. */
static enum result
send_batch(struct metrics *m, struct bytes asked)
{
	static const char sql[] =
		"WITH mine AS (INSERT INTO cache_workers AS w "
		"(id, host, pid, batch, gauges, flushed_at) VALUES ($1, $2, "
		"$3::integer, $4::bigint, $5::jsonb, $6::timestamptz) "
		"ON CONFLICT (id) DO UPDATE SET seen_at = now(), "
		"batch = excluded.batch, gauges = excluded.gauges, "
		"flushed_at = coalesce(excluded.flushed_at, w.flushed_at) "
		"WHERE w.batch < excluded.batch RETURNING 1) "
		"INSERT INTO cache_metrics AS c "
		"(category, tier, name, bucket, value) "
		"SELECT d.category, d.tier, d.name, d.bucket, d.value "
		"FROM mine, jsonb_to_recordset($7::jsonb) AS d(category text, "
		"tier text, name text, bucket bigint, value bigint) "
		"ORDER BY 1, 2, 3, 4 "
		"ON CONFLICT (category, tier, name, bucket) "
		"DO UPDATE SET value = c.value + excluded.value";
	struct buf gauges = { 0 };
	struct postgres_value values[7];
	char batch[24];
	enum result r;

	add_gauges(m, &gauges);
	snprintf(batch, sizeof(batch), "%lld", (long long)m->batch);
	values[0] = postgres_text(bytes_of(m->id));
	values[1] = postgres_text(bytes_of(m->host));
	values[2] = postgres_text(bytes_of(m->pid));
	values[3] = postgres_text(bytes_of(batch));
	values[4] = postgres_text(buf_bytes(&gauges));
	values[5] = (struct postgres_value){ asked, asked.len > 0 ? PG_TEXT
								  : PG_NULL };
	values[6] = (struct postgres_value){
		m->deltas.len > 0 ? buf_bytes(&m->deltas) : BYTES("[]"), PG_TEXT
	};
	r = buf_error(&gauges);
	if (r == R_OK)
		r = postgres_run(m->options.pg,
				 clock_monotonic_ms() + STATEMENT_MS, sql,
				 values, 7);
	buf_fini(&gauges);
	if (r != R_OK)
		return (r);
	if (m->deltas.len > 0)
		memcpy(&m->base, &m->pending, sizeof(m->base));
	buf_clear(&m->deltas);
	m->beat_at_ms = clock_monotonic_ms() + BEAT_EVERY_MS;
	return (R_OK);
}

/* Add what was gained, after a batch whose fate is not known. */
static enum result
flush(struct metrics *m, struct bytes asked)
{
	enum result r;

	if (m->deltas.len > 0 && (r = send_batch(m, BYTES_NONE)) != R_OK)
		return (r);
	if (!take_deltas(m) && asked.len == 0 &&
	    clock_monotonic_ms() < m->beat_at_ms)
		return (R_OK);
	m->batch++;
	return (send_batch(m, asked));
}

/* Flush if somebody has asked for a report since we last did. */
static void
serve_ring(struct metrics *m)
{
	static const char sql[] =
		"SELECT clock_timestamp() FROM cache_workers "
		"WHERE scraped_at > coalesce((SELECT flushed_at "
		"FROM cache_workers WHERE id = $1), '-infinity') LIMIT 1";
	struct postgres_value id = postgres_text(bytes_of(m->id));
	struct postgres_rows *rows;

	if (postgres_query(m->options.pg, clock_monotonic_ms() + STATEMENT_MS,
			   sql, &id, 1, &rows) != R_OK)
		return;
	if (postgres_count(rows) > 0)
		(void)!flush(m, postgres_get(rows, 0, 0));
	postgres_rows_free(rows);
}

/* Leave nothing behind but the sums. */
static void
take_leave(struct metrics *m)
{
	struct postgres_value id = postgres_text(bytes_of(m->id));

	if (flush(m, BYTES_NONE) != R_OK) {
		log_info("metrics: what was counted last is lost");
		return;
	}
	(void)!postgres_run(m->options.pg, clock_monotonic_ms() + STATEMENT_MS,
			    "DELETE FROM cache_workers WHERE id = $1 "
			    "OR seen_at < now() - interval '1 day'",
			    &id, 1);
}

static void *
follow(void *arg)
{
	struct metrics *m = arg;
	int64_t flush_at_ms = 0, next_ring_ms = 0;
	bool rung, stopping = false;

	while (!stopping) {
		lock_take(&m->lock);
		while (!m->stopping && !m->rung &&
		       clock_monotonic_ms() < flush_at_ms)
			signal_wait(&m->news, &m->lock, flush_at_ms);
		while (!m->stopping && m->rung &&
		       clock_monotonic_ms() < next_ring_ms)
			signal_wait(&m->news, &m->lock, next_ring_ms);
		rung = m->rung;
		m->rung = false;
		stopping = m->stopping;
		lock_give(&m->lock);
		if (stopping)
			break;
		if (rung) {
			next_ring_ms = clock_monotonic_ms() + RING_PAUSE_MS;
			serve_ring(m);
		}
		if (clock_monotonic_ms() >= flush_at_ms) {
			flush_at_ms = clock_monotonic_ms() + FLUSH_EVERY_MS;
			(void)!flush(m, BYTES_NONE);
		}
	}
	take_leave(m);
	return (NULL);
}

static void
name_worker(struct metrics *m)
{
	unsigned char random[16];
	unsigned i;

	random_fill(random, sizeof(random));
	for (i = 0; i < sizeof(random); i++)
		snprintf(m->id + 2 * i, 3, "%02x", random[i]);
	if (gethostname(m->host, sizeof(m->host) - 1) != 0)
		snprintf(m->host, sizeof(m->host), "?");
	snprintf(m->pid, sizeof(m->pid), "%d", (int)getpid());
}

struct metrics *
metrics_new(const struct metrics_options *options)
{
	struct metrics *m = mem_alloc(sizeof(*m));

	if (m == NULL)
		return (NULL);
	m->options = *options;
	name_worker(m);
	lock_init(&m->lock, LOCK_METRICS);
	signal_init(&m->news);
	if (thread_start("metrics", follow, m, &m->thread) == R_OK)
		return (m);
	signal_fini(&m->news);
	lock_fini(&m->lock);
	free(m);
	return (NULL);
}

void
metrics_ring(struct metrics *m)
{
	lock_take(&m->lock);
	m->rung = true;
	signal_wake_one(&m->news);
	lock_give(&m->lock);
}

void
metrics_stop(struct metrics *m)
{
	lock_take(&m->lock);
	m->stopping = true;
	signal_wake_one(&m->news);
	lock_give(&m->lock);
	if (m->stopped)
		return;
	pthread_join(m->thread, NULL);
	m->stopped = true;
}

void
metrics_free(struct metrics *m)
{
	if (m == NULL)
		return;
	metrics_stop(m);
	buf_fini(&m->deltas);
	signal_fini(&m->news);
	lock_fini(&m->lock);
	free(m);
}

/* Ask all workers for what they have.  `asked_at` gets the server's time. */
static enum result
ask(struct metrics *m, int64_t deadline_ms, struct buf *asked_at)
{
	static const char sql[] =
		"WITH asked AS (UPDATE cache_workers "
		"SET scraped_at = clock_timestamp() WHERE id = $1 "
		"RETURNING scraped_at) SELECT scraped_at, "
		"pg_notify('warmfront_log', '') FROM asked";
	struct postgres_value id = postgres_text(bytes_of(m->id));
	struct postgres_rows *rows;
	enum result r =
		postgres_query(m->options.pg, deadline_ms, sql, &id, 1, &rows);

	if (r != R_OK)
		return (r);
	if (postgres_count(rows) == 0)
		r = R_NOT_FOUND;
	else
		buf_add(asked_at, postgres_get(rows, 0, 0));
	postgres_rows_free(rows);
	return (r);
}

/* Have all workers seen lately added what they had when asked? */
static bool
have_flushed(struct metrics *m, int64_t deadline_ms, struct bytes asked_at)
{
	static const char sql[] =
		"SELECT count(*) FROM cache_workers "
		"WHERE seen_at > now() - interval '12 seconds' "
		"AND coalesce(flushed_at, '-infinity') < $1::timestamptz";
	struct postgres_value at = postgres_text(asked_at);
	struct postgres_rows *rows;
	bool yes;

	if (postgres_query(m->options.pg, deadline_ms, sql, &at, 1, &rows) !=
	    R_OK)
		return (false);
	yes = postgres_get_int(rows, 0, 0) == 0;
	postgres_rows_free(rows);
	return (yes);
}

enum result
metrics_collect(struct metrics *m, struct metrics_report *out)
{
	const struct timespec pause = { .tv_nsec = LOOK_EVERY_MS * 1000000 };
	int64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;
	struct buf asked_at = { 0 }, gauges = { 0 };
	bool current = false;
	enum result r;

	if ((r = ask(m, deadline_ms, &asked_at)) == R_OK) {
		metrics_ring(m);
		while (!(current = have_flushed(m, deadline_ms,
						buf_bytes(&asked_at))) &&
		       clock_monotonic_ms() + LOOK_EVERY_MS < deadline_ms)
			(void)nanosleep(&pause, NULL);
	}
	if (r == R_OK || r == R_NOT_FOUND)
		r = metrics_report_read(m->options.pg,
					clock_monotonic_ms() + READ_MS, out);
	if (r == R_OK) {
		out->current = current;
	} else {
		add_gauges(m, &gauges);
		r = buf_error(&gauges);
		if (r == R_OK)
			r = metrics_report_own(buf_bytes(&gauges), out);
	}
	buf_fini(&gauges);
	buf_fini(&asked_at);
	return (r);
}
