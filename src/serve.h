/* SPDX-License-Identifier: MIT */
#ifndef SERVE_H
#define SERVE_H

#include "base/config.h"

/*
 * `warmfront [serve] [-l ADDRESS]`: the worker.  `argv` holds what stands behind the command.
 * Returns the exit status, of <sysexits.h>; 0 after SIGTERM or SIGINT.
 */
int serve(const struct config *c, int argc, char **argv);

#endif
