/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_ROW_H
#define CONFIG_ROW_H

#include "buf.h"
#include "bytes.h"
#include "result.h"

/*
 * config_row: one row of settings.def, and what a value of its type looks like.
 * Plain data and pure functions.
 */
enum config_type {
	CONFIG_STRING,
	CONFIG_SECRET,
	CONFIG_POSTGRES,
	CONFIG_REDIS,
	CONFIG_HOST,
	CONFIG_TARGET,
	CONFIG_INT,
	CONFIG_MS,
	CONFIG_BYTES,
	CONFIG_BOOL,
	CONFIG_LIST,
	CONFIG_GATEWAYS,
	CONFIG_ENUM,
};

struct config_row {
	const char *name;
	enum config_type type;
	const char *initial; /* as in settings.def; "": none */
	int64_t minimum, maximum;
	const char *help;
};

/* The value used when none is set: an ENUM's first word, else `initial`. */
struct bytes config_row_default(const struct config_row *row);

/* The type's word for people: "url". */
const char *config_row_type(const struct config_row *row);

/* Test `value`; a number, size or truth value is written to `number` (else 0).
 * R_INVALID: `culprit` is the part of the value to complain about. */
MUST_USE enum result config_row_parse(const struct config_row *row,
				      struct bytes value, int64_t *number,
				      struct bytes *culprit);

/* Append `NAME is "value"; accepted is ...`, without secrets. */
void config_row_complain(const struct config_row *row, struct bytes culprit,
			 struct buf *problem);

/* Append the bounds or words, shortly: "1 to 200"; nothing for free text. */
void config_row_bounds(const struct config_row *row, struct buf *out);

/* Take the next item off a list of gateways; false at its end.  A part that is
 * missing or wrong is for config_row_parse() to find. */
bool config_row_next_gateway(struct bytes *rest, struct bytes *item,
			     struct bytes *name, struct bytes *url);

#endif
