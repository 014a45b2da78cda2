/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_CHECK_H
#define COMMAND_CHECK_H

#include "base/config.h"

/*
 * `warmfront check`: read the configuration, try each dependency, one line each on stdout.
 * Returns 0 when all would work, else 1; 64 for arguments, which it has none.
 */
int command_check(const struct config *c, int argc, char **argv);

#endif
