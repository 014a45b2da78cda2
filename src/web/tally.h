/* SPDX-License-Identifier: MIT */
#ifndef TALLY_H
#define TALLY_H

#include "../cache/query.h"
#include "exchange.h"

/*
 * tally: counts requests before their answers go out, so that who has got an answer
 * finds it counted.
 */

/* A request for what the cache keeps in `category`, begun at `began_us`,
 * ends so. */
void tally_fetched(const char *category, const struct cache_answer *a,
		   int64_t began_us);

/* Any answer, by its status. */
void tally_answer(const struct answer *a);

#endif
