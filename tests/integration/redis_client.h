/* SPDX-License-Identifier: MIT */
#ifndef REDIS_CLIENT_H
#define REDIS_CLIENT_H

#include "store/redis.h"

#include <stdatomic.h>

/*
 * redis_client: what the tests of store/redis share.
 */
#define CLIENT_TIMEOUT_MS 2000

/* Fails the test when the URL is refused. */
struct redis *client_new(const char *url, int64_t timeout_ms);

/* redis_call() with words; a reply's text goes to `client_text`. */
#define CLIENT_CALL(r, ...) \
	client_call(r, (const char *const[]){ __VA_ARGS__, NULL })
enum result client_call(struct redis *r, const char *const *words);
extern _Thread_local char client_text[256];

/* Commands under way: how many have ended, and how. */
struct client_tally {
	atomic_uint ended;
	atomic_uint results[R_COUNT_];
};

/* Add the outcome to the tally that `arg` is. */
void client_count(void *arg, enum result r, const struct redis_reply *reply);

#define CLIENT_SEND(r, tally, ...) \
	client_send(r, tally, (const char *const[]){ __VA_ARGS__, NULL })
enum result client_send(struct redis *r, struct client_tally *tally,
			const char *const *words);

#endif
