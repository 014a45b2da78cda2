/* SPDX-License-Identifier: MIT */
#include "redis_socket.h"

#include "../base/alloc.h"
#include "lookup.h"
#include "redis_tls.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum phase { CLOSED, LOOKING_UP, CONNECTING, SHAKING_HANDS, OPEN };

struct redis_socket {
	const struct redis_url *url;
	enum phase phase;
	int fd;
	struct lookup *lookup;
	const struct addrinfo
		*address; /* the one being tried; inside the lookup */
	unsigned tried;	  /* addresses tried since this opening began */
	unsigned skip; /* where the next opening begins in the list, so that one
			     * address that swallows packets does not hide the rest */
	struct redis_tls *tls;
	char problem[200];
};

struct redis_socket *
redis_socket_new(const struct redis_url *url)
{
	struct redis_socket *s = mem_alloc(sizeof(*s));

	if (s == NULL)
		return (NULL);
	s->url = url;
	s->fd = -1;
	if (url->tls && (s->tls = redis_tls_new()) == NULL) {
		free(s);
		return (NULL);
	}
	return (s);
}

void
redis_socket_free(struct redis_socket *s)
{
	if (s == NULL)
		return;
	redis_socket_close(s);
	redis_tls_free(s->tls);
	free(s);
}

void
redis_socket_close(struct redis_socket *s)
{
	if (s->phase != CLOSED && s->phase != OPEN)
		s->skip++;
	if (s->tls != NULL)
		redis_tls_end(s->tls);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	lookup_drop(s->lookup);
	s->lookup = NULL;
	s->phase = CLOSED;
}

static enum result
fail(struct redis_socket *s, const char *what)
{
	snprintf(s->problem, sizeof(s->problem), "%s", what);
	return (R_UNAVAILABLE);
}

/* R_OK: connected at once; R_BUSY: under way. */
static enum result
connect_to(struct redis_socket *s, const struct sockaddr *address,
	   socklen_t size)
{
	const int on = 1;

	if (s->fd >= 0)
		close(s->fd);
	s->fd = socket(address->sa_family,
		       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return (fail(s, strerror(errno)));
	if (address->sa_family != AF_UNIX) {
		/* Without these it still works, only later. */
		(void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on,
				 sizeof(on));
		(void)setsockopt(s->fd, SOL_SOCKET, SO_KEEPALIVE, &on,
				 sizeof(on));
	}
	if (connect(s->fd, address, size) == 0)
		return (R_OK);
	if (errno == EINPROGRESS)
		return (R_BUSY);
	return (fail(s, strerror(errno)));
}

static enum result
connect_unix(struct redis_socket *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	/* The URL's parser made sure that it fits. */
	memcpy(address.sun_path, s->url->path, strlen(s->url->path));
	return (connect_to(s, (const struct sockaddr *)&address,
			   sizeof(address)));
}

/* Connected; what comes next? */
static enum result
connected(struct redis_socket *s)
{
	enum result r;

	if (s->tls == NULL) {
		s->phase = OPEN;
		return (R_OK);
	}
	r = redis_tls_start(s->tls, s->fd, s->url->host);
	if (r != R_OK)
		return (fail(s, redis_tls_problem(s->tls)));
	s->phase = SHAKING_HANDS;
	return (R_BUSY);
}

/* Try `s->address` and those behind it, until one does not fail at once. */
static enum result
connect_some(struct redis_socket *s, const struct addrinfo *list,
	     unsigned count)
{
	enum result r = R_UNAVAILABLE;

	for (; s->tried < count; s->tried++) {
		r = connect_to(s, s->address->ai_addr, s->address->ai_addrlen);
		s->address = s->address->ai_next != NULL ? s->address->ai_next
							 : list;
		if (r == R_OK || r == R_BUSY) {
			s->tried++;
			break;
		}
	}
	s->phase = CONNECTING;
	return (r == R_OK ? connected(s) : r);
}

static enum result
advance_lookup(struct redis_socket *s)
{
	const struct addrinfo *list = NULL;
	const char *problem = "";
	unsigned count = 0;
	enum result r = lookup_result(s->lookup, &list, &problem);

	if (r == R_UNAVAILABLE)
		return (fail(s, problem));
	if (r != R_OK)
		return (r);
	for (const struct addrinfo *a = list; a != NULL; a = a->ai_next)
		count++;
	if (s->phase == LOOKING_UP) {
		s->address = list;
		for (unsigned i = s->skip % count; i > 0; i--)
			s->address = s->address->ai_next;
	}
	return (connect_some(s, list, count));
}

static enum result
advance_connect(struct redis_socket *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int error = 0;

	if (poll(&p, 1, 0) == 0)
		return (R_BUSY);
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		error = errno;
	if (error == 0)
		return (connected(s));
	(void)fail(s, strerror(error));
	return (s->lookup != NULL ? advance_lookup(s) : R_UNAVAILABLE);
}

enum result
redis_socket_open(struct redis_socket *s)
{
	enum result r;

	redis_socket_close(s);
	s->tried = 0;
	if (s->url->path != NULL) {
		s->phase = CONNECTING;
		r = connect_unix(s);
		return (r == R_OK ? connected(s) : r);
	}
	r = lookup_start(s->url->host, s->url->port, &s->lookup);
	if (r != R_OK)
		return (fail(s, "cannot look up the host"));
	s->phase = LOOKING_UP;
	return (redis_socket_advance(s));
}

enum result
redis_socket_advance(struct redis_socket *s)
{
	enum result r = R_OK;

	if (s->phase == LOOKING_UP)
		r = advance_lookup(s);
	else if (s->phase == CONNECTING)
		r = advance_connect(s);
	if (s->phase == SHAKING_HANDS) {
		r = redis_tls_handshake(s->tls);
		if (r == R_OK)
			s->phase = OPEN;
		else if (r != R_BUSY)
			r = fail(s, redis_tls_problem(s->tls));
	}
	return (r);
}

int
redis_socket_fd(const struct redis_socket *s)
{
	return (s->phase == LOOKING_UP ? lookup_fd(s->lookup) : s->fd);
}

short
redis_socket_events(const struct redis_socket *s, enum redis_socket_wish wish)
{
	int events;

	switch (s->phase) {
	case CLOSED:
		return (0);
	case LOOKING_UP:
		return (POLLIN);
	case CONNECTING:
		return (POLLOUT);
	case SHAKING_HANDS:
		return (redis_tls_events(s->tls));
	case OPEN:
		break;
	}
	events = wish == REDIS_SOCKET_READ ? POLLIN : POLLIN | POLLOUT;
	if (s->tls != NULL)
		events |= redis_tls_events(
			s->tls); /* to read, TLS may have to write */
	return ((short)events);
}

enum result
redis_socket_read(struct redis_socket *s, char *to, size_t size, size_t *got)
{
	ssize_t n;

	if (s->tls != NULL) {
		enum result r = redis_tls_read(s->tls, to, size, got);

		return (r == R_UNAVAILABLE ? fail(s, redis_tls_problem(s->tls))
					   : r);
	}
	n = recv(s->fd, to, size, 0);
	if (n > 0) {
		*got = (size_t)n;
		return (R_OK);
	}
	if (n == 0)
		return (fail(s, "closed by the server"));
	if (errno == EAGAIN || errno == EINTR)
		return (R_BUSY);
	return (fail(s, strerror(errno)));
}

enum result
redis_socket_write(struct redis_socket *s, struct bytes from, size_t *done)
{
	ssize_t n;

	if (s->tls != NULL) {
		enum result r = redis_tls_write(s->tls, from, done);

		return (r == R_UNAVAILABLE ? fail(s, redis_tls_problem(s->tls))
					   : r);
	}
	n = send(s->fd, from.at, from.len, MSG_NOSIGNAL);
	if (n >= 0) {
		*done = (size_t)n;
		return (R_OK);
	}
	if (errno == EAGAIN || errno == EINTR)
		return (R_BUSY);
	return (fail(s, strerror(errno)));
}

const char *
redis_socket_problem(const struct redis_socket *s)
{
	return (s->problem);
}
