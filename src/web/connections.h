/* SPDX-License-Identifier: MIT */
#ifndef CONNECTIONS_H
#define CONNECTIONS_H

#include "../base/buf.h"
#include "../base/lock.h"
#include "../base/result.h"
#include "exchange.h"
#include "fastcgi.h"

/*
 * connections: all connections of one event thread, by what they wait for, and
 * what they share.
 *
 * Threads	Only the event thread touches any of it, but for
 *		connections_queue(), and for a parked connection's request,
 *		writer and release, which belong to whoever makes its answer.
 * Memory	A connection takes under 512 bytes; what it buffers is given
 *		back when it falls idle.  One that closes is not used again
 *		before connections_bury(), so events that epoll_wait() has
 *		already returned for it find it CLOSED.
 */
enum connection_state {
	CONNECTION_READING, /* for a request, or the rest of one */
	CONNECTION_PARKED,  /* its answer is in the making */
	CONNECTION_WRITING, /* its answer waits for room in the socket */
	CONNECTION_GONE,    /* closed while parked: its answer is to come */
	CONNECTION_CLOSED,
};

struct link {
	struct link *prev, *next;
};

struct connection {
	struct exchange exchange; /* first */
	struct link link;	  /* in one of the lists below; first in each
				   * stands who waits longest */
	struct connections *all;
	struct connection *next_answered;
	int64_t progress_ms; /* when bytes last went in or out */
	enum connection_state state;
	uint32_t interest; /* the epoll events asked for */
	int fd;
	struct fastcgi_reader reader;
	struct buf input; /* received, not yet consumed */
	struct fastcgi_writer writer;

	/* What the answer owes; NULL when there is none. */
	void (*release)(const void *owner);
	const void *owner;
};

#define CONNECTIONS_READ_BYTES 65536
#define CONNECTIONS_PIECES 512

struct connections {
	int epoll_fd;
	int wake_fd; /* an eventfd; its data in the epoll set: this struct */
	server_handler *handler;
	void *arg;
	size_t request_max_bytes;

	int64_t now_ms; /* monotonic, as of the last epoll_wait() */
	bool draining;	/* connections close once they are idle */
	unsigned open;	/* descriptors */
	struct link idle, busy, parked, gone, dead;
	struct link spare;
	unsigned spares;

	struct lock lock; /* over the answers that other threads have made */
	struct connection *answered, **answered_end;

	/* Scratch, for the length of one call. */
	struct buf reply;
	struct fastcgi_scratch records;
	struct iovec pieces[CONNECTIONS_PIECES];
	char input[CONNECTIONS_READ_BYTES];
};

/* Set up all but handler, arg and request_max_bytes. */
MUST_USE enum result connections_init(struct connections *all);

/* Close what is open, release what is owed. */
void connections_fini(struct connections *all);

/* A connection for `fd`, in the epoll set and idle.  On failure `fd` is the
 * caller's. */
MUST_USE enum result connections_add(struct connections *all, int fd,
				     struct connection **out);

/* Move to the end of one of the lists. */
void connections_place(struct connection *c, struct link *list);

/* The first of a list, NULL when empty. */
struct connection *connections_first(const struct link *list);

/* Close the descriptor; PARKED becomes GONE, all else CLOSED, and gives its
 * answer back. */
void connections_close(struct connection *c);

void connections_close_all(struct link *list);

/* A GONE connection's answer has come: give it back, be CLOSED. */
void connections_forget(struct connection *c);

/* Close the connection that has been idle longest and on which nothing has
 * arrived; not one that is new.  False: there is none. */
bool connections_close_idle(struct connections *all);

/* Close connections that have been stuck in something for `limit_ms`. */
void connections_sweep(struct connections *all, int64_t limit_ms);

/* Make CLOSED connections available again. */
void connections_bury(struct connections *all);

/* Any thread: `c` has its answer; wake the event thread. */
void connections_queue(struct connection *c);

/* Take all that were queued, oldest first, linked by next_answered. */
struct connection *connections_take_answered(struct connections *all);

/* Wake the event thread.  Any thread, signal handlers. */
void connections_wake(struct connections *all);

#endif
