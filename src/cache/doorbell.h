/* SPDX-License-Identifier: MIT */
#ifndef DOORBELL_H
#define DOORBELL_H

#include "../store/postgres.h"

#include <stdbool.h>

/*
 * doorbell: says that the log has news, by LISTEN.
 *
 * It has a thread and a connection of its own, so that nobody waits while it connects.
 * No payload is trusted: whoever it rings for looks for himself.
 */
struct doorbell;

/* `ring` is called, by the doorbell's thread, for news and when it begins to
 * hear of any, and with `deaf` when it ceases to; it must not wait.  Copies the
 * options, not what they point to.  NULL: no memory, or no thread. */
struct doorbell *doorbell_new(const struct postgres_options *listen,
			      void (*ring)(void *arg, bool deaf), void *arg);

/* Waits for a connection that is being made, within its deadline. */
void doorbell_free(struct doorbell *d);

/* Nobody can ring now.  NULL is deaf. */
bool doorbell_is_deaf(struct doorbell *d);

#endif
