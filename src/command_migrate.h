/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_MIGRATE_H
#define COMMAND_MIGRATE_H

#include "base/config.h"
#include "store/postgres.h"

/*
 * `warmfront migrate`.  `argv` holds what stands behind that word, `argc` how much.
 * Progress goes to stdout, a problem to stderr as one line or the server's few.
 * Returns the exit status, of <sysexits.h>.  `pg` may be NULL when DATABASE_URL is not set.
 */
int command_migrate(const struct config *c, struct postgres *pg, int argc,
		    char **argv);

#endif
