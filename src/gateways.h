/* SPDX-License-Identifier: MIT */
#ifndef GATEWAYS_H
#define GATEWAYS_H

#include "base/config.h"
#include "web/endpoint.h"

/* The upstreams that MODELS_GATEWAYS names.  On failure `problem` says which
 * is wrong. */
MUST_USE enum result gateways_new(const struct config *c, struct gateway **out,
				  unsigned *count, struct buf *problem);
void gateways_free(struct gateway *gateways, unsigned count);

#endif
