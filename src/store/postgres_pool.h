/* SPDX-License-Identifier: MIT */
#ifndef POSTGRES_POOL_H
#define POSTGRES_POOL_H

#include "postgres_link.h"

/*
 * postgres_pool: connections that are kept, up to a number, and handed out.  Any thread.
 */
struct postgres_pool;

/* Copies the target.  NULL: no memory. */
struct postgres_pool *postgres_pool_new(
	const struct postgres_link_target *target, unsigned size,
	int64_t connect_timeout_ms);

/* Every link must have been given back. */
void postgres_pool_free(struct postgres_pool *p);

/* An idle link, a new one, or, when the server takes no more connections,
 * one that somebody gives back.  R_TIMEOUT: all were in use until the
 * deadline. */
MUST_USE enum result postgres_pool_take(struct postgres_pool *p,
					int64_t deadline_ms,
					struct postgres_link **out);

/* The same without waiting for what others use: who holds one link may not
 * wait for another.  NULL: there is none now. */
struct postgres_link *postgres_pool_take_spare(struct postgres_pool *p,
					       int64_t deadline_ms);

/* Give one back, in whatever state it is. */
void postgres_pool_give(struct postgres_pool *p, struct postgres_link *l);

/* The server is gone, says a link: logged once, until it is back. */
void postgres_pool_note_lost(struct postgres_pool *p, struct bytes why);

#endif
