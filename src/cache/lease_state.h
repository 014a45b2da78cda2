/* SPDX-License-Identifier: MIT */
#ifndef LEASE_STATE_H
#define LEASE_STATE_H

#include "../base/result.h"

#include <stdbool.h>
#include <stdint.h>

/* What asking for a key's lease led to. */
enum lease_outcome {
	LEASE_WON,    /* ours: load, then store, then give it back */
	LEASE_HELD,   /* somebody loads: their entry will appear */
	LEASE_FAILED, /* somebody's load failed lately: do not try yet */
};

struct lease_state {
	enum lease_outcome outcome;
	enum result failure; /* LEASE_FAILED: how the load ended */
	int64_t left_ms;     /* HELD, FAILED: until it runs out */
	bool in_redis;	     /* where it lives */
};

#endif
