/* SPDX-License-Identifier: MIT */
#ifndef RANDOM_H
#define RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Unpredictable bytes from the kernel (getrandom(2)); aborts if there are
 * none. */
void random_fill(void *at, size_t size);

/* A cheap pseudo-random number for jitter: not for secrets.  Any thread. */
uint64_t random_cheap(void);

#endif
