/* SPDX-License-Identifier: MIT */
#include "server.h"

#include "../base/alloc.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/thread.h"
#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define STALLED_MS 30000    /* no byte in or out for so long: closed */
#define SWEEP_MS 1000	    /* how often that is looked at */
#define ACCEPT_AGAIN_MS 100 /* after running out of descriptors */
#define ACCEPT_AT_ONCE 4
#define ACCEPT_AT_LAST 4096 /* as many as may wait */
#define EVENTS_AT_ONCE 64

struct event_thread {
	struct connections all;
	struct server *server;
	pthread_t thread;
	bool started;
	bool listening; /* the listening socket is in the epoll set */
	int64_t listen_again_ms;
	unsigned open_at_pause;
	atomic_bool asked; /* by a thread that could not, to accept */
	bool helping;	   /* because it was asked */
	int64_t drain_until_ms;
};

struct server {
	struct server_options options;
	int64_t drain_ms;
	atomic_bool stopping;
	atomic_bool left; /* the listener */
	struct event_thread *threads[];
};

static bool
is_stopping(const struct event_thread *t)
{
	return (atomic_load_explicit(&t->server->stopping,
				     memory_order_acquire));
}

static void
listen_on(struct event_thread *t)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLEXCLUSIVE };

	t->listening = epoll_ctl(t->all.epoll_fd, EPOLL_CTL_ADD,
				 t->server->options.listener.fd, &event) == 0;
	if (t->listening)
		return;
	log_warn("cannot wait for connections: %s", strerror(errno));
	t->listen_again_ms = t->all.now_ms + ACCEPT_AGAIN_MS;
	t->open_at_pause = t->all.open;
}

static void
listen_off(struct event_thread *t)
{
	if (t->listening)
		(void)epoll_ctl(t->all.epoll_fd, EPOLL_CTL_DEL,
				t->server->options.listener.fd, NULL);
	t->listening = false;
	t->listen_again_ms = t->all.now_ms + ACCEPT_AGAIN_MS;
	t->open_at_pause = t->all.open;
}

static void
adopt(struct event_thread *t, int fd)
{
	struct connection *c;
	enum result r = connections_add(&t->all, fd, &c);

	if (r == R_OK) {
		connection_read(c); /* most send as they connect */
		return;
	}
	log_warn("cannot take a connection: %s", result_text(r));
	(void)close(fd);
}

/* Out of descriptors, and nothing of our own to close: another thread may have
 * idle connections, and has perhaps not been told that somebody waits
 * (EPOLLEXCLUSIVE). */
static void
ask_others(const struct event_thread *t)
{
	const struct server *s = t->server;

	if (t->helping)
		return;
	for (unsigned i = 0; i < s->options.threads; i++) {
		struct event_thread *other = s->threads[i];

		if (other == t)
			continue;
		atomic_store_explicit(&other->asked, true,
				      memory_order_relaxed);
		connections_wake(&other->all);
	}
}

/* accept(2) asks for a descriptor before it looks whether anybody waits. */
static bool
somebody_waits(const struct event_thread *t)
{
	struct pollfd p = { .fd = t->server->options.listener.fd,
			    .events = POLLIN };

	return (poll(&p, 1, 0) > 0);
}

/* False: there is nobody more, or no descriptor for them. */
static bool
accept_one(struct event_thread *t)
{
	int fd = accept4(t->server->options.listener.fd, NULL, NULL,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		adopt(t, fd);
		return (true);
	}
	switch (errno) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		if (!somebody_waits(t))
			return (false);
		if (connections_close_idle(&t->all))
			return (true);
		listen_off(t);
		ask_others(t);
		return (false);
	case EAGAIN:
		return (false);
	case EINTR:
	case ECONNABORTED:
	case EPERM: /* a firewall's word */
	case EPROTO:
		return (true);
	default:
		if (!is_stopping(t)) /* else another thread has left it */
			log_warn("accept: %s", strerror(errno));
		listen_off(t);
		return (false);
	}
}

static void
accept_some(struct event_thread *t, int most)
{
	for (int i = 0; i < most && t->listening; i++)
		if (!accept_one(t))
			break;
}

static void
take_answers(struct event_thread *t)
{
	struct connection *c, *next;
	uint64_t count;

	(void)!read(t->all.wake_fd, &count, sizeof(count));
	for (c = connections_take_answered(&t->all); c != NULL; c = next) {
		next = c->next_answered;
		connection_resume(c);
	}
}

static void
dispatch(struct event_thread *t, const struct epoll_event *event)
{
	void *subject = event->data.ptr;

	if (subject == NULL)
		accept_some(t, ACCEPT_AT_ONCE);
	else if (subject == &t->all)
		take_answers(t);
	else
		connection_ready(subject, event->events);
}

/* Who has connected is served, who comes is refused; those who share the socket
 * see to both.  TCP forgets who waits as it is left, hence the first round.  One
 * thread leaves it: what stands at its path after that may be another's. */
static void
leave(struct event_thread *t)
{
	const struct listener *l = &t->server->options.listener;

	if (l->own) {
		accept_some(t, ACCEPT_AT_LAST);
		if (!atomic_exchange(&t->server->left, true))
			listen_leave(l);
		accept_some(t, ACCEPT_AT_LAST);
	}
	listen_off(t);
}

/* No new connections; a look at each idle one, for what may have arrived just
 * now. */
static void
begin_drain(struct event_thread *t)
{
	struct connection *c;

	leave(t);
	t->all.draining = true;
	t->drain_until_ms = t->all.now_ms + t->server->drain_ms;
	while ((c = connections_first(&t->all.idle)) != NULL) {
		connection_read(c);
		if (connections_first(&t->all.idle) == c)
			connections_close(c);
	}
}

static bool
is_drained(const struct event_thread *t)
{
	const struct connections *all = &t->all;

	return (all->draining && (all->now_ms >= t->drain_until_ms ||
				  (connections_first(&all->idle) == NULL &&
				   connections_first(&all->busy) == NULL &&
				   connections_first(&all->parked) == NULL)));
}

static int
timeout_ms(const struct event_thread *t)
{
	int64_t left = INT64_MAX;

	if (t->all.draining)
		left = t->drain_until_ms - t->all.now_ms;
	else if (!t->listening)
		left = t->listen_again_ms - t->all.now_ms;
	if (connections_first(&t->all.busy) != NULL && left > SWEEP_MS)
		left = SWEEP_MS;
	if (left == INT64_MAX)
		return (-1);
	return (left < 0 ? 0 : left > SWEEP_MS ? SWEEP_MS : (int)left);
}

/* What is due after each round of events. */
static void
look_around(struct event_thread *t)
{
	if (atomic_load_explicit(&t->asked, memory_order_relaxed)) {
		atomic_store_explicit(&t->asked, false, memory_order_relaxed);
		t->helping = true;
		accept_some(t, ACCEPT_AT_ONCE);
		t->helping = false;
	}
	connections_sweep(&t->all, STALLED_MS);
	connections_bury(&t->all);
	if (t->all.draining)
		return;
	if (is_stopping(t))
		begin_drain(t);
	else if (!t->listening && (t->all.now_ms >= t->listen_again_ms ||
				   t->all.open < t->open_at_pause))
		listen_on(t);
}

static void *
run(void *arg)
{
	struct event_thread *t = arg;
	struct epoll_event events[EVENTS_AT_ONCE];

	t->all.now_ms = clock_monotonic_ms();
	listen_on(t);
	look_around(t);
	while (!is_drained(t)) {
		int n = epoll_wait(t->all.epoll_fd, events, EVENTS_AT_ONCE,
				   timeout_ms(t));

		t->all.now_ms = clock_monotonic_ms();
		for (int i = 0; i < n; i++)
			dispatch(t, &events[i]);
		look_around(t);
	}
	connections_close_all(&t->all.idle);
	connections_close_all(&t->all.busy);
	connections_close_all(&t->all.parked);
	return (NULL);
}

static struct event_thread *
thread_new(struct server *s)
{
	struct event_thread *t = mem_alloc(sizeof(*t));

	if (t == NULL)
		return (NULL);
	t->server = s;
	if (connections_init(&t->all) != R_OK) {
		free(t);
		return (NULL);
	}
	t->all.handler = s->options.handler;
	t->all.arg = s->options.arg;
	t->all.request_max_bytes = s->options.request_max_bytes > 0
					   ? s->options.request_max_bytes
					   : SIZE_MAX;
	return (t);
}

/* Accepted connections inherit both. */
static enum result
prepare_socket(int fd)
{
	int listening = 0, on = 1, flags = fcntl(fd, F_GETFL);
	socklen_t size = sizeof(listening);

	if (flags < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 ||
	    !listening)
		return (R_INVALID);
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return (result_of_errno(errno));
	/* A UNIX socket knows no delay, and refuses. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return (R_OK);
}

enum result
server_new(const struct server_options *options, struct server **out)
{
	struct server *s;
	enum result r = prepare_socket(options->listener.fd);

	if (r != R_OK)
		return (r);
	s = mem_alloc(sizeof(*s) +
		      options->threads * sizeof(struct event_thread *));
	if (s == NULL)
		return (R_NO_MEMORY);
	s->options = *options;
	for (unsigned i = 0; i < options->threads; i++) {
		s->threads[i] = thread_new(s);
		if (s->threads[i] == NULL) {
			server_free(s);
			return (R_NO_MEMORY);
		}
	}
	*out = s;
	return (R_OK);
}

void
server_run(struct server *s, int64_t drain_ms)
{
	unsigned started = 0;

	s->drain_ms = drain_ms;
	for (unsigned i = 0; i < s->options.threads; i++) {
		struct event_thread *t = s->threads[i];

		t->started = thread_start("event", run, t, &t->thread) == R_OK;
		started += t->started;
	}
	if (started < s->options.threads)
		log_warn("serving on %u threads of %u", started,
			 s->options.threads);
	if (s->options.started != NULL)
		s->options.started();
	if (started == 0)
		(void)run(s->threads[0]);
	for (unsigned i = 0; i < s->options.threads; i++)
		if (s->threads[i]->started)
			(void)pthread_join(s->threads[i]->thread, NULL);
}

void
server_stop(struct server *s)
{
	atomic_store_explicit(&s->stopping, true, memory_order_release);
	for (unsigned i = 0; i < s->options.threads; i++)
		connections_wake(&s->threads[i]->all);
}

void
server_free(struct server *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->options.threads; i++) {
		if (s->threads[i] == NULL)
			continue;
		connections_fini(&s->threads[i]->all);
		free(s->threads[i]);
	}
	free(s);
}

void
server_answer(struct exchange *x, const struct answer *a)
{
	/* The exchange stands first in its connection. */
	connection_answer((struct connection *)x, a);
}
