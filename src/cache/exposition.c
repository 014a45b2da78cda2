/* SPDX-License-Identifier: MIT */
#include "exposition.h"

#include <stdio.h>
#include <string.h>

static const char *const label_names[] = {
	[COUNTERS_LABEL_NONE] = "",
	[COUNTERS_LABEL_CATEGORY] = "category",
	[COUNTERS_LABEL_GATEWAY] = "gateway",
	[COUNTERS_LABEL_CODE] = "code",
};

void
exposition_family(struct buf *to, const char *name, const char *type,
		  const char *help)
{
	buf_printf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void
exposition_sample(struct buf *to, const char *name, struct bytes labels,
		  int64_t value)
{
	buf_str(to, name);
	if (labels.len > 0) {
		buf_char(to, '{');
		buf_add(to, labels);
		buf_char(to, '}');
	}
	buf_printf(to, " %lld\n", (long long)value);
}

void
exposition_label(struct buf *labels, const char *name, struct bytes value)
{
	size_t i;

	buf_printf(labels, "%s%s=\"", labels->len > 0 ? "," : "", name);
	for (i = 0; i < value.len; i++) {
		if (value.at[i] == '\n') {
			buf_str(labels, "\\n");
			continue;
		}
		if (value.at[i] == '"' || value.at[i] == '\\')
			buf_char(labels, '\\');
		buf_char(labels, value.at[i]);
	}
	buf_char(labels, '"');
}

static void
set_labels(struct buf *labels, const struct counters_cell *c,
	   struct bytes value)
{
	buf_clear(labels);
	if (c->label != COUNTERS_LABEL_NONE)
		exposition_label(labels, label_names[c->label], value);
	if (c->tier[0] != '\0')
		exposition_label(labels, "tier", bytes_of(c->tier));
}

static void
add_seconds(struct buf *to, int64_t us)
{
	buf_printf(to, "%lld.%06lld", (long long)(us / 1000000),
		   (long long)(us % 1000000));
}

static void
add_histogram(struct buf *to, const struct metrics_report *r, enum histogram h,
	      struct bytes label)
{
	unsigned first = counters_cell_of_times(h), i;
	struct counters_cell c = counters_cell(first);
	struct metrics_times t = metrics_times_of(r, label, h);
	struct buf labels = { 0 };
	int64_t sum = 0;

	set_labels(&labels, &c, label);
	for (i = 0; i < COUNTERS_BUCKETS; i++) {
		sum += t.buckets[i];
		buf_printf(to, "warmfront_%s_seconds_bucket{", c.name);
		buf_add(to, buf_bytes(&labels));
		buf_str(to, labels.len > 0 ? ",le=\"" : "le=\"");
		if (counters_bounds[i] == COUNTERS_ENDLESS)
			buf_str(to, "+Inf");
		else
			add_seconds(to, counters_bounds[i]);
		buf_printf(to, "\"} %lld\n", (long long)sum);
	}
	buf_printf(to, "warmfront_%s_seconds_sum", c.name);
	if (labels.len > 0)
		buf_printf(to, "{%.*s}", BYTES_ARG(buf_bytes(&labels)));
	buf_char(to, ' ');
	add_seconds(to, t.sum_us);
	buf_printf(to, "\nwarmfront_%s_seconds_count", c.name);
	if (labels.len > 0)
		buf_printf(to, "{%.*s}", BYTES_ARG(buf_bytes(&labels)));
	buf_printf(to, " %lld\n", (long long)t.count);
	buf_fini(&labels);
}

/* The family of a cell, unless it is that of the one before. */
static void
begin_family(struct buf *to, const struct counters_cell *c,
	     const char **previous)
{
	bool times = c->kind != CELL_COUNTER;
	char name[128];

	if (*previous != NULL && strcmp(*previous, c->name) == 0)
		return;
	*previous = c->name;
	snprintf(name, sizeof(name), "warmfront_%s_%s", c->name,
		 times ? "seconds" : "total");
	exposition_family(to, name, times ? "histogram" : "counter", c->help);
}

/* The next row, from `*i`, of the cells from `first` to before `end`. */
static const struct metrics_row *
next_row(const struct metrics_report *r, unsigned first, unsigned end,
	 unsigned *i)
{
	while (*i < r->n_rows && r->rows[*i].cell < first)
		(*i)++;
	if (*i < r->n_rows && r->rows[*i].cell < end)
		return (&r->rows[(*i)++]);
	return (NULL);
}

static void
add_counters(struct buf *to, const struct metrics_report *r)
{
	const char *previous = NULL;
	const struct metrics_row *row;
	struct counters_cell c;
	struct buf labels = { 0 };
	unsigned i = 0;
	char name[128];

	while ((row = next_row(r, 0, COUNTERS_, &i)) != NULL) {
		c = counters_cell(row->cell);
		begin_family(to, &c, &previous);
		snprintf(name, sizeof(name), "warmfront_%s_total", c.name);
		set_labels(&labels, &c, row->label);
		exposition_sample(to, name, buf_bytes(&labels), row->value);
	}
	buf_fini(&labels);
}

/* Has the label had a row of this histogram before row `upto`? */
static bool
was_before(const struct metrics_report *r, unsigned first, unsigned upto)
{
	unsigned i;

	for (i = 0; i < upto; i++)
		if (r->rows[i].cell >= first &&
		    bytes_equal(r->rows[i].label, r->rows[upto].label))
			return (true);
	return (false);
}

void
exposition_report(struct buf *to, const struct metrics_report *r)
{
	const char *previous = NULL;
	const struct metrics_row *row;
	struct counters_cell c;
	unsigned h, i, first;

	add_counters(to, r);
	for (h = 0; h < HISTOGRAMS_; h++) {
		first = counters_cell_of_times((enum histogram)h);
		c = counters_cell(first);
		i = 0;
		while ((row = next_row(r, first, first + COUNTERS_BUCKETS,
				       &i)) != NULL) {
			if (was_before(r, first, i - 1))
				continue;
			begin_family(to, &c, &previous);
			add_histogram(to, r, (enum histogram)h, row->label);
		}
	}
}
