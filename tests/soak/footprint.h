/* SPDX-License-Identifier: MIT */
#ifndef FOOTPRINT_H
#define FOOTPRINT_H

#include "deployment.h"

#include <stdbool.h>

/*
 * footprint: what the deployment takes while nobody asks anything.
 */
#define DEPLOYMENT_POOL 8 /* DATABASE_POOL_SIZE */
#define FOOTPRINT_IDLE \
	16 /* connections to two gateways that a worker may keep */

struct footprint {
	long rss_kib[DEPLOYMENT_WORKERS];
	unsigned descriptors[DEPLOYMENT_WORKERS];
	unsigned postgres, redis; /* connections, of all workers */
};
void footprint_take(struct footprint *f);

/* Take it once nginx has closed the connections it kept, and print it. */
void footprint_rest(const char *when, struct footprint *f);

/* Is worker `which` as large as `before`, but for a quarter and 2 MiB?  Sanitizers
 * keep what was freed, so with them it always is. */
bool footprint_is_flat(long before_kib, long after_kib);

/* Leases somebody holds, in Redis and PostgreSQL. */
unsigned footprint_leases(void);

/* All entries of PostgreSQL. */
long long footprint_stored_bytes(void);

#endif
