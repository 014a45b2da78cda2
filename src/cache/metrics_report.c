/* SPDX-License-Identifier: MIT */
#include "metrics_report.h"

#include "../base/alloc.h"
#include "../base/json.h"

#include <stdlib.h>
#include <string.h>

/* Views into `text` stay right because it has its full size before the
 * first. */
static struct bytes
keep(struct metrics_report *r, struct bytes text)
{
	struct bytes kept = { r->text.at + r->text.len, text.len };

	buf_add(&r->text, text);
	return (kept);
}

static int
compare(const void *a, const void *b)
{
	const struct metrics_row *x = a, *y = b;
	size_t len = x->label.len < y->label.len ? x->label.len : y->label.len;
	int order;

	if (x->cell != y->cell)
		return (x->cell < y->cell ? -1 : 1);
	order = memcmp(x->label.at, y->label.at, len);
	if (order != 0)
		return (order);
	return ((x->label.len > y->label.len) - (x->label.len < y->label.len));
}

static void
sort(struct metrics_report *r)
{
	qsort(r->rows, r->n_rows, sizeof(r->rows[0]), compare);
}

/* Room for rows, gauges and text. */
static enum result
reserve(struct metrics_report *r, size_t rows, size_t gauges, size_t text)
{
	r->rows = mem_alloc((rows + 1) * sizeof(r->rows[0]));
	r->gauges = mem_alloc((gauges + 1) * sizeof(r->gauges[0]));
	if (r->rows == NULL || r->gauges == NULL ||
	    buf_reserve(&r->text, text + 1) == NULL)
		return (R_NO_MEMORY);
	return (R_OK);
}

void
metrics_report_fini(struct metrics_report *r)
{
	free(r->rows);
	free(r->gauges);
	buf_fini(&r->text);
	*r = (struct metrics_report){ 0 };
}

/* "name|label" */
static void
add_gauge(struct metrics_report *r, struct bytes text, int64_t value)
{
	struct bytes label = keep(r, text);
	struct bytes name = bytes_cut(&label, '|');

	r->gauges[r->n_gauges++] = (struct metrics_gauge){ name, label, value };
}

/* One statement gives the workers, their gauges and the sums, told apart by
 * the first column. */
enum result
metrics_report_read(struct postgres *pg, int64_t deadline_ms,
		    struct metrics_report *out)
{
	static const char sql[] =
		"WITH live AS (SELECT * FROM cache_workers "
		"WHERE seen_at > now() - interval '12 seconds') "
		"SELECT 'workers', '', '', 0, count(*) FROM live "
		"UNION ALL SELECT 'gauge', g.key, '', 0, sum(g.value::bigint) "
		"FROM live, jsonb_each_text(live.gauges) AS g GROUP BY g.key "
		"UNION ALL SELECT name, category, tier, bucket, value "
		"FROM cache_metrics";
	struct metrics_report r = { .whole = true };
	struct postgres_rows *rows;
	enum result result;
	size_t text = 0;
	unsigned i, n;

	if ((result = postgres_query(pg, deadline_ms, sql, NULL, 0, &rows)) !=
	    R_OK)
		return (result);
	n = postgres_count(rows);
	for (i = 0; i < n; i++)
		text += postgres_get(rows, i, 1).len;
	if ((result = reserve(&r, n, n, text)) != R_OK)
		goto out;
	for (i = 0; i < n; i++) {
		struct bytes name = postgres_get(rows, i, 0);
		int64_t value = postgres_get_int(rows, i, 4);
		unsigned cell;

		if (bytes_equal(name, BYTES("workers"))) {
			r.workers = (unsigned)value;
		} else if (bytes_equal(name, BYTES("gauge"))) {
			add_gauge(&r, postgres_get(rows, i, 1), value);
		} else {
			cell = counters_find(name, postgres_get(rows, i, 2),
					     postgres_get_int(rows, i, 3));
			if (cell == COUNTERS_CELLS)
				continue; /* another version's */
			r.rows[r.n_rows++] = (struct metrics_row){
				keep(&r, postgres_get(rows, i, 1)), cell, value
			};
		}
	}
	sort(&r);
	*out = r;
out:
	postgres_rows_free(rows);
	if (result != R_OK)
		metrics_report_fini(&r);
	return (result);
}

enum result
metrics_report_own(struct bytes gauges, struct metrics_report *out)
{
	struct counters_totals *totals = mem_alloc(sizeof(*totals));
	struct metrics_report r = { .workers = 1 };
	struct bytes rest = gauges, name, value;
	unsigned l, c, labels = counters_labels();
	size_t n = 0;
	int64_t number;

	for (l = 0; totals != NULL && json_next_member(&rest, &name, &value);
	     l++)
		;
	if (totals == NULL || reserve(&r, (size_t)labels * COUNTERS_CELLS, l,
				      gauges.len) != R_OK) {
		free(totals);
		metrics_report_fini(&r);
		return (R_NO_MEMORY);
	}
	labels = counters_labels();
	counters_read(totals);
	for (c = 0; c < COUNTERS_CELLS; c++)
		for (l = 0; l < labels; l++)
			if (totals->of[l][c] != 0)
				r.rows[n++] = (struct metrics_row){
					bytes_of(counters_label_value(l)), c,
					(int64_t)totals->of[l][c]
				};
	r.n_rows = (unsigned)n;
	sort(&r);
	for (rest = gauges; json_next_member(&rest, &name, &value);)
		if (name.len > 2 && bytes_to_int64(value, &number))
			add_gauge(&r,
				  (struct bytes){ name.at + 1, name.len - 2 },
				  number);
	free(totals);
	*out = r;
	return (R_OK);
}

/* The first row of a cell or of a later one; rows are in order of cells. */
static unsigned
find_cell(const struct metrics_report *r, unsigned cell)
{
	unsigned low = 0, high = r->n_rows, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (r->rows[middle].cell < cell)
			low = middle + 1;
		else
			high = middle;
	}
	return (low);
}

/* `label` NULL: all of them. */
static int64_t
sum_of_cell(const struct metrics_report *r, const struct bytes *label,
	    unsigned cell)
{
	int64_t sum = 0;
	unsigned i;

	for (i = find_cell(r, cell); i < r->n_rows && r->rows[i].cell == cell;
	     i++)
		if (label == NULL || bytes_equal(r->rows[i].label, *label))
			sum += r->rows[i].value;
	return (sum);
}

int64_t
metrics_count(const struct metrics_report *r, const char *label, enum counter c)
{
	struct bytes wanted = bytes_of(label);

	return (sum_of_cell(r, label != NULL ? &wanted : NULL,
			    counters_cell_of(c)));
}

static struct metrics_times
times(const struct metrics_report *r, const struct bytes *label,
      enum histogram h)
{
	unsigned first = counters_cell_of_times(h), i;
	struct metrics_times t = { 0 };

	for (i = 0; i < COUNTERS_BUCKETS; i++) {
		t.buckets[i] = sum_of_cell(r, label, first + i);
		t.count += t.buckets[i];
	}
	t.sum_us = sum_of_cell(r, label, first + COUNTERS_BUCKETS);
	return (t);
}

struct metrics_times
metrics_times(const struct metrics_report *r, const char *label,
	      enum histogram h)
{
	struct bytes wanted = bytes_of(label);

	return (times(r, label != NULL ? &wanted : NULL, h));
}

struct metrics_times
metrics_times_of(const struct metrics_report *r, struct bytes label,
		 enum histogram h)
{
	return (times(r, &label, h));
}

int64_t
metrics_gauge(const struct metrics_report *r, const char *name,
	      const char *label)
{
	int64_t sum = 0;
	unsigned i;

	for (i = 0; i < r->n_gauges; i++)
		if (bytes_equal(r->gauges[i].name, bytes_of(name)) &&
		    (label == NULL ||
		     bytes_equal(r->gauges[i].label, bytes_of(label))))
			sum += r->gauges[i].value;
	return (sum);
}
