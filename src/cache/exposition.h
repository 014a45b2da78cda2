/* SPDX-License-Identifier: MIT */
#ifndef EXPOSITION_H
#define EXPOSITION_H

#include "metrics_report.h"

/*
 * exposition: metrics as Prometheus reads them (text format 0.0.4).
 */
#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* HELP and TYPE of a family ("gauge", "counter"), before its samples. */
void exposition_family(struct buf *to, const char *name, const char *type,
		       const char *help);

/* A sample.  `labels` is the part between the braces, or empty. */
void exposition_sample(struct buf *to, const char *name, struct bytes labels,
		       int64_t value);

/* Append name="value" to labels, quoted as it must be; a comma before all
 * but the first. */
void exposition_label(struct buf *labels, const char *name, struct bytes value);

/* Everything counted: counters, then histograms. */
void exposition_report(struct buf *to, const struct metrics_report *r);

#endif
