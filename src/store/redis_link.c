/* SPDX-License-Identifier: MIT */
#include "redis_link.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "redis_greeting.h"
#include "redis_socket.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT_BYTES ((size_t)64 * 1024)
#define IN_BYTES ((size_t)64 * 1024)
/* hiredis moves the rest of its buffer after each reply: small bites cost
 * less. */
#define BITE_BYTES ((size_t)16 * 1024)
#define READS_MAX 256 /* in one go, so that a flood does not hide a deadline */
#define MIB ((size_t)1024 * 1024)

struct redis_link {
	struct redis_link_options options;
	struct redis_socket *socket;
	struct redis_reader *reader;
	enum redis_link_state state;
	int64_t connect_deadline_ms;
	struct redis_greeting greeting;

	struct redis_queue waiting; /* not a byte of them is written */
	struct redis_queue flying;
	struct redis_command
		*large; /* being written from its own bytes; flying */
	size_t large_done;
	size_t out_len, out_done;

	size_t moved;	   /* bytes in and out, below one MiB */
	int64_t credit_ms; /* what all the MiBs before gave */
	char problem[256];
	char out[OUT_BYTES];
	char in[IN_BYTES];
};

struct redis_link *
redis_link_new(const struct redis_link_options *options)
{
	struct redis_link *l = mem_alloc(sizeof(*l));

	if (l == NULL)
		return (NULL);
	l->options = *options;
	l->socket = redis_socket_new(options->url);
	if (l->socket == NULL) {
		free(l);
		return (NULL);
	}
	return (l);
}

void
redis_link_free(struct redis_link *l)
{
	if (l == NULL)
		return;
	assert(!redis_link_has_commands(l));
	redis_reader_free(l->reader);
	redis_socket_free(l->socket);
	free(l);
}

enum redis_link_state
redis_link_state(const struct redis_link *l)
{
	return (l->state);
}

bool
redis_link_has_commands(const struct redis_link *l)
{
	return (l->waiting.first != NULL || l->flying.first != NULL);
}

const char *
redis_link_server(const struct redis_link *l)
{
	return (l->greeting.server);
}

const char *
redis_link_problem(const struct redis_link *l)
{
	return (l->problem);
}

void
redis_link_push(struct redis_link *l, struct redis_command *c)
{
	/* So that due_ms + credit_ms is the deadline, whatever the credit
	 * was before. */
	c->due_ms -= l->credit_ms;
	redis_queue_put(&l->waiting, c);
}

static void
close_link(struct redis_link *l)
{
	redis_socket_close(l->socket);
	redis_reader_free(l->reader);
	l->reader = NULL;
	l->large = NULL;
	l->out_len = l->out_done = 0;
	l->state = REDIS_LINK_DOWN;
}

static enum result
drop(struct redis_link *l, enum result why, const char *problem)
{
	snprintf(l->problem, sizeof(l->problem), "%s", problem);
	close_link(l);
	return (why);
}

void
redis_link_fail(struct redis_link *l, enum result why)
{
	struct redis_queue flying = l->flying, waiting = l->waiting;
	struct redis_command *c;

	close_link(l);
	l->flying = l->waiting = (struct redis_queue){ NULL, NULL };
	while ((c = redis_queue_take(&flying)) != NULL)
		l->options.deliver(l->options.owner, c, why, NULL);
	while ((c = redis_queue_take(&waiting)) != NULL)
		l->options.deliver(l->options.owner, c, why, NULL);
}

static void
count_moved(struct redis_link *l, size_t bytes)
{
	l->moved += bytes;
	l->credit_ms += (int64_t)(l->moved / MIB) * REDIS_LINK_MIB_MS;
	l->moved %= MIB;
}

enum result
redis_link_open(struct redis_link *l)
{
	enum result r;

	assert(l->state == REDIS_LINK_DOWN && l->flying.first == NULL);
	l->reader = redis_reader_new();
	if (l->reader == NULL)
		return (drop(l, R_NO_MEMORY, "no memory"));
	l->state = REDIS_LINK_RISING;
	l->greeting = (struct redis_greeting){ 0 };
	l->connect_deadline_ms =
		clock_monotonic_ms() + l->options.connect_timeout_ms;
	r = redis_socket_open(l->socket);
	if (r == R_OK || r == R_BUSY)
		return (R_OK);
	return (drop(l, R_UNAVAILABLE, redis_socket_problem(l->socket)));
}

static enum result
greet(struct redis_link *l)
{
	struct buf out;

	buf_over(&out, l->out, OUT_BYTES);
	out.limit = OUT_BYTES - 1; /* no further */
	redis_greeting_write(&l->greeting, l->options.url, &out);
	if (buf_error(&out) != R_OK)
		return (drop(l, R_UNAVAILABLE, "the login is too long"));
	l->out_len = out.len;
	return (R_OK);
}

static enum result
take_greeting(struct redis_link *l, const struct redis_reply *reply)
{
	int64_t due_ms;

	if (redis_greeting_take(&l->greeting, reply, l->problem,
				sizeof(l->problem)) != R_OK) {
		close_link(l);
		return (R_UNAVAILABLE);
	}
	if (!redis_greeting_is_over(&l->greeting))
		return (R_OK);
	l->state = REDIS_LINK_UP;
	due_ms = clock_monotonic_ms() + l->options.timeout_ms - l->credit_ms;
	for (struct redis_command *c = l->waiting.first; c != NULL; c = c->next)
		c->due_ms = due_ms;
	return (R_OK);
}

/* Fill the buffer from the commands that wait; one that is too large for it
 * is written from where it is. */
static void
fill_out(struct redis_link *l)
{
	struct redis_command *c;

	l->out_len = l->out_done = 0;
	while (l->large == NULL && (c = l->waiting.first) != NULL) {
		if (c->size > OUT_BYTES - l->out_len && l->out_len > 0)
			return;
		(void)redis_queue_take(&l->waiting);
		redis_queue_put(&l->flying, c);
		if (c->size > OUT_BYTES) {
			l->large = c;
			l->large_done = 0;
			return;
		}
		memcpy(l->out + l->out_len, c->bytes, c->size);
		l->out_len += c->size;
	}
}

static struct bytes
next_out(struct redis_link *l)
{
	if (l->out_done == l->out_len && l->large == NULL &&
	    l->state == REDIS_LINK_UP)
		fill_out(l);
	if (l->out_done < l->out_len)
		return ((struct bytes){ l->out + l->out_done,
					l->out_len - l->out_done });
	if (l->large != NULL)
		return ((struct bytes){ l->large->bytes + l->large_done,
					l->large->size - l->large_done });
	return (BYTES_NONE);
}

static enum result
write_some(struct redis_link *l)
{
	for (;;) {
		struct bytes rest = next_out(l);
		size_t done = 0;
		enum result r;

		if (rest.len == 0)
			return (R_OK);
		r = redis_socket_write(l->socket, rest, &done);
		if (r == R_BUSY)
			return (R_OK);
		if (r != R_OK)
			return (drop(l, r, redis_socket_problem(l->socket)));
		count_moved(l, done);
		if (l->out_done < l->out_len) {
			l->out_done += done;
			continue;
		}
		l->large_done += done;
		if (l->large_done == l->large->size)
			l->large = NULL;
	}
}

static enum result
take_reply(struct redis_link *l, const struct redis_reply *reply)
{
	struct redis_command *c;

	if (l->state == REDIS_LINK_RISING && l->greeting.asked > 0)
		return (take_greeting(l, reply));
	c = l->flying.first;
	if (c == NULL || c == l->large) {
		/* An error that was not asked for says why the server goes
		 * away. */
		if (reply->type == REDIS_ERROR) {
			snprintf(l->problem, sizeof(l->problem), "%.*s",
				 (int)(reply->text.len < 160 ? reply->text.len
							     : 160),
				 reply->text.at);
			close_link(l);
			return (R_UNAVAILABLE);
		}
		return (drop(l, R_UNAVAILABLE, "an answer to no question"));
	}
	if (c->first != NULL) {
		c->first(c->arg, R_OK, reply);
		c->first = NULL;
		return (R_OK);
	}
	(void)redis_queue_take(&l->flying);
	l->options.deliver(l->options.owner, c, R_OK, reply);
	return (R_OK);
}

static enum result
take_replies(struct redis_link *l, struct bytes bite)
{
	const struct redis_reply *reply;
	enum result r = redis_reader_feed(l->reader, bite);

	while (r == R_OK) {
		r = redis_reader_next(l->reader, &reply);
		if (r != R_OK)
			break;
		if (reply == NULL)
			return (R_OK);
		r = take_reply(l, reply);
		if (r != R_OK)
			return (r);
	}
	if (r == R_NO_MEMORY)
		return (drop(l, R_NO_MEMORY, "no memory for a reply"));
	return (drop(l, R_UNAVAILABLE, "what it says is not Redis protocol"));
}

static enum result
read_some(struct redis_link *l)
{
	for (unsigned i = 0; i < READS_MAX; i++) {
		size_t got = 0;
		enum result r =
			redis_socket_read(l->socket, l->in, IN_BYTES, &got);
		struct bytes rest = { l->in, got };

		if (r == R_BUSY)
			return (R_OK);
		if (r != R_OK)
			return (drop(l, r, redis_socket_problem(l->socket)));
		count_moved(l, got);
		while (rest.len > 0) {
			size_t bite = rest.len < BITE_BYTES ? rest.len
							    : BITE_BYTES;

			r = take_replies(l, (struct bytes){ rest.at, bite });
			if (r != R_OK)
				return (r);
			rest = bytes_from(rest, bite);
		}
		/* Most likely all there was, and poll knows better; but what
		 * TLS has decrypted and keeps, poll does not see. */
		if (got < IN_BYTES / 4 && !l->options.url->tls)
			return (R_OK);
	}
	return (R_OK);
}

static enum result
rise(struct redis_link *l)
{
	enum result r = redis_socket_advance(l->socket);

	if (r == R_BUSY)
		return (R_OK);
	if (r != R_OK)
		return (drop(l, r, redis_socket_problem(l->socket)));
	return (greet(l));
}

enum result
redis_link_work(struct redis_link *l)
{
	enum result r = R_OK;

	if (l->state == REDIS_LINK_DOWN)
		return (R_OK);
	if (l->greeting.asked == 0)
		r = rise(l);
	if (r == R_OK && l->greeting.asked > 0) {
		r = write_some(l);
		if (r == R_OK)
			r = read_some(l);
		/* What waited for the greeting, or for room. */
		if (r == R_OK)
			r = write_some(l);
	}
	if (r == R_OK && clock_monotonic_ms() >= redis_link_deadline_ms(l)) {
		if (l->state == REDIS_LINK_RISING)
			return (drop(l, R_UNAVAILABLE,
				     "connecting took too long"));
		return (drop(l, R_TIMEOUT, "no answer in time"));
	}
	return (r);
}

int
redis_link_fd(const struct redis_link *l)
{
	return (l->state == REDIS_LINK_DOWN ? -1 : redis_socket_fd(l->socket));
}

short
redis_link_events(const struct redis_link *l)
{
	bool more = l->out_done < l->out_len || l->large != NULL;

	return (redis_socket_events(l->socket,
				    more ? REDIS_SOCKET_READ_AND_WRITE
					 : REDIS_SOCKET_READ));
}

int64_t
redis_link_deadline_ms(const struct redis_link *l)
{
	const struct redis_command *oldest = l->flying.first;

	if (l->state == REDIS_LINK_RISING)
		return (l->connect_deadline_ms);
	if (oldest == NULL)
		oldest = l->waiting.first;
	return (oldest == NULL ? INT64_MAX : oldest->due_ms + l->credit_ms);
}
