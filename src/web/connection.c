/* SPDX-License-Identifier: MIT */
#include "connection.h"

#include "../base/log.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* The least room for a read behind what is already buffered. */
#define READ_AGAIN_BYTES 2048

#define REFUSAL(status, title)                                             \
	((struct answer){                                                  \
		.head = BYTES("Status: " status " " title "\r\n"           \
			      "Content-Type: application/problem+json\r\n" \
			      "Cache-Control: no-store\r\n\r\n"),          \
		.body = BYTES("{\"status\":" status ",\"title\":\"" title  \
			      "\"}\n") })

/* The one whose handler runs on this thread; NULL once it has answered. */
static _Thread_local struct connection *handling;

static void
set_interest(struct connection *c, uint32_t interest)
{
	struct epoll_event event = { .events = interest, .data.ptr = c };

	if (c->interest == interest)
		return;
	c->interest = interest;
	if (epoll_ctl(c->all->epoll_fd, EPOLL_CTL_MOD, c->fd, &event) < 0) {
		log_warn("epoll_ctl: %s", strerror(errno));
		connections_close(c);
	}
}

/* Close after the last answer.  What is still unread would make the kernel send
 * a reset, which may overtake the answer; a peer that goes on sending gets it
 * all the same. */
static void
hang_up(struct connection *c)
{
	for (int i = 0; i < 4; i++)
		if (recv(c->fd, c->all->input, sizeof(c->all->input),
			 MSG_DONTWAIT) < (ssize_t)sizeof(c->all->input))
			break;
	connections_close(c);
}

static void
end_answer(struct connection *c)
{
	bool keep = c->reader.keep_connection;

	if (c->release != NULL)
		c->release(c->owner);
	c->release = NULL;
	arena_fini(&c->exchange.request.arena);
	fastcgi_reader_fini(&c->reader);
	c->state = CONNECTION_READING;
	if (keep)
		set_interest(c, EPOLLIN);
	else
		hang_up(c);
}

static size_t
pieces_bytes(const struct iovec *pieces, size_t count)
{
	size_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += pieces[i].iov_len;
	return (sum);
}

/* Write until all is out or the socket takes no more.  A short write says so:
 * the next would only be refused. */
static void
write_more(struct connection *c)
{
	struct connections *all = c->all;
	const size_t whole = fastcgi_stream_bytes(&c->writer);
	struct msghdr message = { .msg_iov = all->pieces };
	bool full = false;
	ssize_t sent;

	while (c->writer.sent < whole && !full) {
		message.msg_iovlen = fastcgi_fill(&c->writer, &all->records,
						  all->pieces,
						  CONNECTIONS_PIECES);
		sent = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN) {
			connections_close(c);
			return;
		}
		if (sent < 0)
			break;
		c->progress_ms = all->now_ms;
		c->writer.sent += (size_t)sent;
		full = (size_t)sent <
		       pieces_bytes(all->pieces, message.msg_iovlen);
	}
	if (c->writer.sent == whole)
		end_answer(c);
	else
		set_interest(c, EPOLLOUT);
}

static void
set_answer(struct connection *c, const struct answer *a)
{
	c->writer = (struct fastcgi_writer){ .head = a->head,
					     .body = a->body,
					     .id = c->reader.id };
	c->release = a->release;
	c->owner = a->owner;
}

/* The head is the answerer's, and about to go; on failure its `at` is NULL. */
static void
keep_head(struct connection *c)
{
	c->writer.head = arena_copy(&c->exchange.request.arena, c->writer.head);
}

void
connection_answer(struct connection *c, const struct answer *a)
{
	set_answer(c, a);
	if (handling != c) {
		keep_head(c);
		connections_queue(c);
		return;
	}
	handling = NULL;
	c->state = CONNECTION_WRITING;
	write_more(c);
	if (c->state != CONNECTION_WRITING)
		return;
	keep_head(c);
	if (c->writer.head.at == NULL)
		connections_close(c);
}

/* Whether the request that has come in is one for the handler. */
static enum result
make_request(struct connection *c)
{
	struct request *rq = &c->exchange.request;
	const struct buf *body = &c->reader.body;
	enum result r = c->reader.params.error;

	if (r == R_OK)
		r = request_parse(rq, c->reader.whole_params);
	if (r != R_OK)
		return (r);
	rq->body = buf_bytes(body);
	rq->body_error = body->error;
	if (body->error == R_OK && rq->content_length != -1 &&
	    rq->content_length != (int64_t)body->len)
		rq->body_error = R_INVALID;
	return (R_OK);
}

static void
refuse(struct connection *c, enum result why)
{
	switch (why) {
	case R_TOO_LARGE:
		connection_answer(c,
				  &REFUSAL("431",
					   "Request Header Fields Too Large"));
		return;
	case R_NO_MEMORY:
		connection_answer(c, &REFUSAL("503", "Service Unavailable"));
		return;
	default:
		connection_answer(c, &REFUSAL("400", "Bad Request"));
	}
}

/* READING afterwards: the answer is out; else PARKED, WRITING or CLOSED. */
static void
handle(struct connection *c)
{
	struct connections *all = c->all;
	enum result r = make_request(c);

	handling = c;
	if (r == R_OK)
		all->handler(all->arg, &c->exchange);
	else
		refuse(c, r);
	if (handling != NULL)
		c->state = CONNECTION_PARKED;
	handling = NULL;
}

/* Send what fastcgi_feed() has put into all->reply.  A peer that has no room
 * for these few bytes does not read what it asks for: its connection closes. */
static void
send_reply(struct connection *c)
{
	struct buf *reply = &c->all->reply;
	bool sent = buf_error(reply) == R_OK;

	if (sent && reply->len > 0)
		sent = send(c->fd, reply->at, reply->len,
			    MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)reply->len;
	buf_clear(reply);
	if (!sent)
		connections_close(c);
}

static void
refuse_request(struct connection *c)
{
	bool keep = c->reader.keep_connection;

	fastcgi_reader_fini(&c->reader);
	if (keep)
		return;
	send_reply(c);
	if (c->state == CONNECTION_READING)
		hang_up(c);
}

/* Take requests off the front of `input` and have them answered, until one has
 * to wait or the input is used up. */
static void
take_requests(struct connection *c, struct bytes *input)
{
	struct connections *all = c->all;
	enum fastcgi_event event = FASTCGI_REPLY;

	while (c->state == CONNECTION_READING && event != FASTCGI_MORE) {
		event = fastcgi_feed(&c->reader, input, all->request_max_bytes,
				     &all->reply);
		if (event == FASTCGI_REPLY)
			continue;
		if (event == FASTCGI_ABORT) {
			refuse_request(c);
			continue;
		}
		if (event == FASTCGI_BROKEN)
			log_debug("not FastCGI: closing the connection");
		send_reply(c);
		if (c->state != CONNECTION_READING)
			break;
		if (event == FASTCGI_BROKEN)
			connections_close(c);
		else if (event == FASTCGI_REQUEST)
			handle(c);
	}
}

/* Into the list for its state, with nothing buffered when it is idle. */
static void
settle(struct connection *c)
{
	struct connections *all = c->all;

	switch (c->state) {
	case CONNECTION_READING:
		if (c->reader.begun || c->input.len > 0) {
			connections_place(c, &all->busy);
			break;
		}
		fastcgi_reader_fini(&c->reader);
		buf_fini(&c->input);
		connections_place(c, &all->idle);
		if (all->draining)
			connections_close(c);
		break;
	case CONNECTION_PARKED:
		connections_place(c, &all->parked);
		break;
	case CONNECTION_WRITING:
		connections_place(c, &all->busy);
		break;
	default:
		break;
	}
}

/* Consume `input`, which is c->input's bytes or the scratch's, and keep what is
 * left. */
static void
consume(struct connection *c, struct bytes input)
{
	const bool own = input.at == c->input.at;

	take_requests(c, &input);
	if (c->state == CONNECTION_CLOSED)
		return;
	if (own && input.len > 0)
		memmove(c->input.at, input.at, input.len);
	if (own)
		c->input.len = input.len;
	else if (input.len > 0)
		buf_add(&c->input, input);
	settle(c);
	if (buf_error(&c->input) != R_OK && c->state != CONNECTION_CLOSED)
		connections_close(c);
}

/* How much to read behind the start of a record that is already there. */
static size_t
read_room(struct bytes start)
{
	const unsigned char *at = (const unsigned char *)start.at;
	size_t whole =
		start.len < 8 ? 8 : 8u + (unsigned)(at[4] << 8 | at[5]) + at[6];

	return (whole > start.len + READ_AGAIN_BYTES ? whole - start.len
						     : READ_AGAIN_BYTES);
}

void
connection_read(struct connection *c)
{
	const bool fresh = c->input.len == 0;
	size_t room = sizeof(c->all->input);
	char *at = c->all->input;
	ssize_t n;

	if (!fresh) {
		room = read_room(buf_bytes(&c->input));
		at = buf_reserve(&c->input, room);
	}
	if (at == NULL) {
		connections_close(c);
		return;
	}
	n = recv(c->fd, at, room, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		connections_close(c);
		return;
	}
	c->progress_ms = c->all->now_ms;
	if (!fresh)
		c->input.len += (size_t)n;
	consume(c,
		fresh ? (struct bytes){ at, (size_t)n } : buf_bytes(&c->input));
}

/* After its answer is out, what came behind the request is next. */
static void
write_on(struct connection *c)
{
	write_more(c);
	if (c->state == CONNECTION_READING)
		consume(c, buf_bytes(&c->input));
	else if (c->state == CONNECTION_WRITING)
		settle(c);
}

void
connection_resume(struct connection *c)
{
	if (c->state == CONNECTION_GONE) {
		connections_forget(c);
		return;
	}
	assert(c->state == CONNECTION_PARKED);
	c->state = CONNECTION_WRITING;
	c->progress_ms = c->all->now_ms;
	if (c->writer.head.at == NULL)
		connections_close(c);
	else
		write_on(c);
}

void
connection_ready(struct connection *c, uint32_t events)
{
	switch (c->state) {
	case CONNECTION_READING:
		connection_read(c);
		break;
	case CONNECTION_WRITING:
		write_on(c);
		break;
	case CONNECTION_PARKED:
		/* Nobody left to answer; or only more input, which can wait and
		 * shall not wake us again.  A peer that has merely finished
		 * sending (half-closed) still gets its answer. */
		if ((events & (EPOLLHUP | EPOLLERR)) != 0)
			connections_close(c);
		else
			set_interest(c, 0);
		break;
	default:
		break;
	}
}
