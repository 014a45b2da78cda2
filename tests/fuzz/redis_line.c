/* SPDX-License-Identifier: MIT */
#include "redis_line.h"

#include "fuzz.h"
#include "store/redis.h"
#include "store/redis_link.h"
#include "store/redis_socket.h"

#include <stdlib.h>
#include <string.h>

#define FOR_EVER_MS 600000
#define GREETINGS_MAX 10

struct redis {
	struct redis_link *link;
};

struct redis_socket {
	struct bytes said; /* and not heard */
	unsigned next;	   /* of what it says */
};

static struct {
	const struct redis_line *line;
	const struct redis *redis;
	struct redis_socket socket;
} server;

/* ---- the socket */

static bool
is_greeting(void)
{
	return (redis_link_state(server.redis->link) == REDIS_LINK_RISING);
}

struct redis_socket *
redis_socket_new(const struct redis_url *url)
{
	(void)url;
	server.socket = (struct redis_socket){ .said = BYTES_NONE };
	return (&server.socket);
}

void
redis_socket_free(struct redis_socket *s)
{
	(void)s;
}

enum result
redis_socket_open(struct redis_socket *s)
{
	(void)s;
	return (R_OK);
}

void
redis_socket_close(struct redis_socket *s)
{
	s->said.len = 0;
}

int
redis_socket_fd(const struct redis_socket *s)
{
	(void)s;
	return (-1);
}

short
redis_socket_events(const struct redis_socket *s, enum redis_socket_wish wish)
{
	(void)s;
	(void)wish;
	return (0);
}

enum result
redis_socket_advance(struct redis_socket *s)
{
	(void)s;
	return (R_OK);
}

enum result
redis_socket_read(struct redis_socket *s, char *to, size_t size, size_t *got)
{
	const struct bytes ok = BYTES("+OK\r\n");

	if (server.line->is_polite && is_greeting()) {
		memcpy(to, ok.at, ok.len);
		*got = ok.len;
		return (R_OK);
	}
	if (s->said.len == 0)
		return (is_greeting() || redis_link_has_commands(
						 server.redis->link)
				? R_UNAVAILABLE
				: R_BUSY);
	*got = s->said.len < server.line->piece ? s->said.len
						: server.line->piece;
	*got = *got < size ? *got : size;
	memcpy(to, s->said.at, *got);
	s->said = bytes_from(s->said, *got);
	return (R_OK);
}

enum result
redis_socket_write(struct redis_socket *s, struct bytes from, size_t *done)
{
	const struct redis_line *line = server.line;

	*done = from.len;
	if (!(line->is_polite && is_greeting()) && s->said.len == 0 &&
	    s->next < line->count)
		s->said = line->says[s->next++];
	return (R_OK);
}

const char *
redis_socket_problem(const struct redis_socket *s)
{
	(void)s;
	return ("the end");
}

/* ---- commands on their way */

enum breaker_state
redis_state(struct redis *r)
{
	(void)r;
	return (BREAKER_CLOSED);
}

uint64_t
redis_connections(struct redis *r)
{
	(void)r;
	return (1);
}

static void
deliver(void *owner, struct redis_command *c, enum result r,
	const struct redis_reply *reply)
{
	(void)owner;
	FUZZ_MUST((reply != NULL) == (r == R_OK));
	c->done(c->arg, r, reply);
	free(c);
}

const char *
redis_server(const struct redis *r)
{
	return (redis_link_server(r->link));
}

enum result
redis_send_pair(struct redis *r, const struct redis_pair *pair,
		redis_done *done)
{
	const struct bytes *second = pair->argv + pair->argc[0];
	size_t size = redis_reply_command_size(pair->argv, pair->argc[0]);
	size_t more = redis_reply_command_size(second, pair->argc[1]);
	struct redis_command *c;

	if (redis_link_state(r->link) == REDIS_LINK_DOWN)
		return (R_UNAVAILABLE);
	c = calloc(1, sizeof(*c) + size + more);
	FUZZ_MUST(c != NULL);
	c->first = pair->first;
	c->done = done;
	c->arg = pair->arg;
	c->due_ms = INT64_MAX / 2;
	c->size = size + more;
	redis_reply_write_command(c->bytes, pair->argv, pair->argc[0]);
	redis_reply_write_command(c->bytes + size, second, pair->argc[1]);
	redis_link_push(r->link, c);
	return (R_OK);
}

enum result
redis_send(struct redis *r, const struct bytes *argv, unsigned argc,
	   redis_done *done, void *arg)
{
	const struct redis_pair alone = { argv, { argc, 0 }, NULL, arg };

	return (redis_send_pair(r, &alone, done));
}

void
redis_line_work(struct redis *r)
{
	enum result result = R_OK;

	while (is_greeting() || redis_link_has_commands(r->link) ||
	       server.socket.said.len > 0) {
		result = redis_link_work(r->link);
		if (result != R_OK)
			redis_link_fail(r->link, result);
	}
}

struct call {
	redis_done *first;
	redis_take *take;
	void *arg;
	enum result result;
};

static void
first_of_call(void *arg, enum result r, const struct redis_reply *reply)
{
	const struct call *call = arg;

	call->first(call->arg, r, reply);
}

static void
end_call(void *arg, enum result r, const struct redis_reply *reply)
{
	struct call *call = arg;

	if (r == R_OK && reply->type == REDIS_ERROR)
		r = R_BAD_ANSWER;
	else if (r == R_OK && call->take != NULL)
		r = call->take(call->arg, reply);
	call->result = r;
}

enum result
redis_call_pair(struct redis *r, const struct redis_pair *pair,
		redis_take *take)
{
	struct call call = { pair->first, take, pair->arg, R_INTERNAL };
	struct redis_pair commands = *pair;
	enum result result;

	commands.first = pair->first != NULL ? first_of_call : NULL;
	commands.arg = &call;
	if ((result = redis_send_pair(r, &commands, end_call)) != R_OK)
		return (result);
	redis_line_work(r);
	return (call.result);
}

enum result
redis_call(struct redis *r, const struct bytes *argv, unsigned argc,
	   redis_take *take, void *arg)
{
	const struct redis_pair alone = { argv, { argc, 0 }, NULL, arg };

	return (redis_call_pair(r, &alone, take));
}

/* ---- the whole */

struct redis *
redis_line_new(const struct redis_line *line)
{
	static char user[] = "u", password[] = "p";
	static const struct redis_url url = { .user = user,
					      .password = password,
					      .db = 1 };
	const struct redis_link_options options = {
		.url = &url,
		.timeout_ms = FOR_EVER_MS,
		.connect_timeout_ms = FOR_EVER_MS,
		.deliver = deliver,
	};
	struct redis *r = calloc(1, sizeof(*r));

	FUZZ_MUST(r != NULL);
	server.line = line;
	server.redis = r;
	r->link = redis_link_new(&options);
	FUZZ_MUST(r->link != NULL && redis_link_open(r->link) == R_OK);
	for (unsigned i = 0; line->is_polite && i < GREETINGS_MAX; i++)
		if (is_greeting())
			FUZZ_MUST(redis_link_work(r->link) == R_OK);
	FUZZ_MUST(!line->is_polite ||
		  redis_link_state(r->link) == REDIS_LINK_UP);
	redis_line_work(r);
	return (r);
}

void
redis_line_free(struct redis *r)
{
	redis_link_free(r->link);
	free(r);
}
