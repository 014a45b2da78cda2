/* SPDX-License-Identifier: MIT */
#ifndef POLICIES_H
#define POLICIES_H

#include "../handlers/handler.h"
#include "base/config.h"

/*
 * policies: the handlers there are, and how long each category of their answers is kept
 * unless the environment says otherwise.
 */
#define POLICIES_MAX 32

struct handler {
	const char *name;
	const struct endpoint *endpoints;
};

extern const struct handler handlers[];
extern const unsigned handlers_count;

/* One row a category, a NULL category at the end. */
void policies_collect(struct config_policy out[static POLICIES_MAX]);

/* R_INVALID, and a line in `problem`, when HANDLERS names one that there is
 * not. */
MUST_USE enum result policies_check_handlers(const struct config *c,
					     struct buf *problem);

#endif
