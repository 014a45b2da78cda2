/* SPDX-License-Identifier: MIT */
#ifndef FAULTS_H
#define FAULTS_H

#include "../harness/servers.h"
#include "../harness/worker.h"
#include "history.h"

#include <stdatomic.h>

/*
 * faults: what goes wrong while the checker reads and writes.
 */
enum fault {
	FAULT_WORKER_KILLED,
	FAULT_LISTENERS_CUT,
	FAULT_REDIS_FLUSHED,
	FAULT_LOG_EVICTED,   /* from Redis, alone */
	FAULT_REDIS_STOPPED, /* for up to 1.5 s */
	FAULT_REDIS_EMPTY,   /* restarted */
	FAULT_REDIS_OLD,     /* restarted with a snapshot from a while ago */
	FAULTS,
};

extern const char *const fault_names[FAULTS];

struct faults {
	const char *owner_url;	     /* of the database */
	struct harness_redis *redis; /* NULL: none */
	struct harness_worker *workers[PROCESSES];
	_Atomic int generations[PROCESSES];
	uint64_t random;
	unsigned counts[FAULTS];
};

/* One more, chosen at random; when it returns all is up again. */
void faults_next(struct faults *f);

#endif
