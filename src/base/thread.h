/* SPDX-License-Identifier: MIT */
#ifndef THREAD_H
#define THREAD_H

#include "result.h"

#include <pthread.h>

typedef void *thread_main(void *arg);

/* Start a thread that all signals leave alone: they go to the main thread.
 * `name` is what ps(1) shows, cut at 15 bytes.  The starter joins it. */
MUST_USE enum result thread_start(const char *name, thread_main *run, void *arg,
				  pthread_t *out);

#endif
