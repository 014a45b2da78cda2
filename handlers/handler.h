/* SPDX-License-Identifier: MIT */
#ifndef HANDLER_H
#define HANDLER_H

/*
 * handler: all that a handler may know of the rest.  A handler is one file that
 * declares endpoints, and one line in handlers.def.
 */
#include "../src/base/clock.h"
#include "../src/base/json.h"
#include "../src/base/pool.h"
#include "../src/cache/explain.h"
#include "../src/cache/exposition.h"
#include "../src/cache/inventory.h"
#include "../src/cache/operations.h"
#include "../src/web/endpoint.h"
#include "../src/web/events.h"
#include "../src/web/params.h"
#include "../src/web/router.h"
#include "../src/web/wholes.h"

/* {name}_endpoints of every line of handlers.def. */
#define HANDLER(name) extern const struct endpoint name##_endpoints[];
#include "handlers.def"
#undef HANDLER

#endif
