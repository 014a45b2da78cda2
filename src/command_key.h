/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_KEY_H
#define COMMAND_KEY_H

#include "base/config.h"
#include "store/postgres.h"

/*
 * `warmfront key create --user EMAIL [--role user|admin]`, `key list`, `key revoke ID`.
 * `argv` holds what stands behind "key", `argc` how much.  A key is shown once, alone on
 * stdout, when it is created; it is kept nowhere.
 * Returns the exit status, of <sysexits.h>.  `pg` may be NULL when DATABASE_URL is not set.
 */
int command_key(const struct config *c, struct postgres *pg, int argc,
		char **argv);

#endif
