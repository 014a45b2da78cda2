/* SPDX-License-Identifier: MIT */
#ifndef DEPLOYMENT_H
#define DEPLOYMENT_H

#include "../harness/harness.h"

/*
 * deployment: on a stack (stack.h) that has begun, four workers, each on a socket of its
 * own, nginx in front of them, and the users of mix.h.
 */
#define DEPLOYMENT_WORKERS 4
#define DEPLOYMENT_POOL 8		  /* DATABASE_POOL_SIZE */
#define DEPLOYMENT_STORED_BYTES (2 << 20) /* CACHE_MAX_BYTES */

extern struct harness_worker *deployment_workers[DEPLOYMENT_WORKERS];

/* The URL of nginx. */
const char *deployment_start(void);

/* The workers must end well. */
void deployment_stop(void);

/* As cron has it done. */
void deployment_clean_up(void);

#endif
