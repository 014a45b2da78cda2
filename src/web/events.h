/* SPDX-License-Identifier: MIT */
#ifndef EVENTS_H
#define EVENTS_H

#include "../base/buf.h"
#include "../base/bytes.h"

/*
 * events: from the name of what happened to the scopes it makes stale (events.def).  Constant.
 */
#define EVENT_SCOPES_MAX 8

struct event {
	const char *name;
	const char *scopes[EVENT_SCOPES_MAX + 1]; /* a NULL ends them */
};

extern const struct event events[];
extern const unsigned events_count;

/* NULL: there is no such event. */
const struct event *event_find(struct bytes name);

/* Append a scope in the log's form: {user} becomes "@" and the user's id,
 * or, when `user` is empty, "*", with which the scope then ends. */
void event_add_scope(const char *scope, struct bytes user, struct buf *to);

#endif
